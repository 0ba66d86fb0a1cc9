//! How far addresses can be reached from: IANA's registries of special-purpose addresses (RFC 6890,
//! RFC 8190), as a table.
//!
//! <https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>,
//! <https://www.iana.org/assignments/ipv6-address-space>. All blocks that are not globally
//! reachable are in it, and all that have an IPv4 address in them, which then decides. Beside those
//! stand single addresses at which clouds have services for their machines: whoever reaches one is
//! taken for the machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use self::Reach::{Bench, Machine, Network, Special, World};
use self::Rule::{At, Is};

/// How far an address can be reached from; what is further down is nearer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Reach {
    /// From everywhere.
    World,
    /// From where devices are measured; some programs that tunnel everything let every name stand
    /// for an address there.
    Bench,
    /// From a network of somebody's own.
    Network,
    /// From this machine.
    Machine,
    /// They have a meaning of their own, and are nobody's registry.
    Special,
}

/// What a block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    Is(Reach),
    /// What the IPv4 address is that stands at this byte.
    At(usize),
}

/// A block, what it is, and why. The first that an address is in counts.
type Row = (&'static str, Rule, &'static str);

#[rustfmt::skip]
const V4: [Row; 18] = [
    ("100.100.100.200/32", Is(Special), "Alibaba Cloud's metadata"),
    ("168.63.129.16/32",   Is(Special), "Azure's service for its virtual machines"),
    ("0.0.0.0/8",          Is(Special), "it means no address, or this machine"),
    ("10.0.0.0/8",         Is(Network), "for private networks"),
    ("100.64.0.0/10",      Is(Network), "shared by the customers of a provider"),
    ("127.0.0.0/8",        Is(Machine), "loopback"),
    ("169.254.0.0/16",     Is(Special), "link-local, where most clouds have their metadata"),
    ("172.16.0.0/12",      Is(Network), "for private networks"),
    ("192.0.0.0/24",       Is(Special), "for protocols of the IETF; Oracle Cloud has metadata there"),
    ("192.0.2.0/24",       Is(Special), "for documentation"),
    ("192.88.99.0/24",     Is(Special), "for relays to IPv6"),
    ("192.168.0.0/16",     Is(Network), "for private networks"),
    ("198.18.0.0/15",      Is(Bench),   "for benchmarks"),
    ("198.51.100.0/24",    Is(Special), "for documentation"),
    ("203.0.113.0/24",     Is(Special), "for documentation"),
    ("224.0.0.0/4",        Is(Special), "multicast"),
    ("240.0.0.0/4",        Is(Special), "reserved; the last one is for broadcasts"),
    ("0.0.0.0/0",          Is(World),   "the Internet"),
];

#[rustfmt::skip]
const V6: [Row; 24] = [
    ("fd00:ec2::/112",         Is(Special), "AWS's metadata and credentials"),
    ("fd20:ce::254/128",       Is(Special), "Google Cloud's metadata"),
    ("fd00:c1::a9fe:a9fe/128", Is(Special), "Oracle Cloud's metadata"),
    ("fd00:42::42/128",        Is(Special), "Scaleway's metadata"),
    ("::/128",                 Is(Special), "it means no address, or this machine"),
    ("::1/128",                Is(Machine), "loopback"),
    ("::/96",                  At(12),      "an IPv4 address, \"compatible\""),
    ("::ffff:0:0/96",          At(12),      "an IPv4 address, \"mapped\""),
    ("::ffff:0:0:0/96",        At(12),      "an IPv4 address, \"translated\""),
    ("64:ff9b::/96",           At(12),      "an IPv4 address behind NAT64"),
    // Where in them the IPv4 address stands is for the network to say.
    ("64:ff9b:1::/48",         Is(Special), "IPv4 addresses behind the NAT64 of a network"),
    ("100::/64",               Is(Special), "what is sent there is thrown away"),
    ("100:0:0:1::/64",         Is(Special), "it stands for nothing"),
    // Among others Teredo, 2001::/32, which hides two IPv4 addresses: a server's, and a client's
    // with all bits the other way round.
    ("2001::/23",              Is(Special), "for protocols of the IETF"),
    ("2001:db8::/32",          Is(Special), "for documentation"),
    ("2002::/16",              At(2),       "an IPv4 address behind 6to4"),
    ("3fff::/20",              Is(Special), "for documentation"),
    ("5f00::/16",              Is(Special), "for segments of a provider's routes"),
    ("fc00::/7",               Is(Network), "for private networks"),
    ("fe80::/10",              Is(Special), "link-local"),
    ("fec0::/10",              Is(Special), "site-local, as private networks were once called"),
    ("ff00::/8",               Is(Special), "multicast"),
    ("2000::/3",               Is(World),   "the Internet"),
    ("::/0",                   Is(Special), "reserved"),
];

/// A row that is ready for use.
struct Block {
    /// Of as many bits as the addresses have.
    first: u128,
    /// How many of these are not looked at.
    free_bits: u32,
    rule: Rule,
    reason: &'static str,
}

static BLOCKS: LazyLock<(Vec<Block>, Vec<Block>)> =
    LazyLock::new(|| (V4.iter().map(Block::new).collect(), V6.iter().map(Block::new).collect()));

impl Block {
    fn new((text, rule, reason): &Row) -> Block {
        let (first, bits) = text.split_once('/').expect("the table has networks");
        let (first, width) = match first.parse().expect("the table has addresses") {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), Ipv4Addr::BITS),
            IpAddr::V6(v6) => (v6.to_bits(), Ipv6Addr::BITS),
        };
        let bits: u32 = bits.parse().expect("the table has lengths");
        Block { first, free_bits: width - bits, rule: *rule, reason }
    }

    fn has(&self, address: u128) -> bool {
        // Of none all bits are free.
        (address ^ self.first).checked_shr(self.free_bits).unwrap_or(0) == 0
    }
}

fn find(blocks: &[Block], address: u128) -> &Block {
    blocks.iter().find(|block| block.has(address)).expect("the last block has all addresses")
}

/// How far an address can be reached from, and why.
pub(super) fn reach(address: IpAddr) -> (Reach, &'static str) {
    match address {
        IpAddr::V4(v4) => of_v4(v4),
        IpAddr::V6(v6) => of_v6(v6),
    }
}

fn of_v4(v4: Ipv4Addr) -> (Reach, &'static str) {
    let block = find(&BLOCKS.0, u128::from(v4.to_bits()));
    match block.rule {
        Is(reach) => (reach, block.reason),
        At(_) => unreachable!("there is no address in an IPv4 address"),
    }
}

fn of_v6(v6: Ipv6Addr) -> (Reach, &'static str) {
    let block = find(&BLOCKS.1, v6.to_bits());
    let whole = match block.rule {
        Is(reach) => (reach, block.reason),
        At(byte) => of_v4(v4_at(v6, byte)),
    };
    // ISATAP tells by the second half of an address that there is an IPv4 address, whatever the
    // first half is.
    let [.., local, isatap, _, _] = v6.segments();
    let inner = (matches!(local, 0 | 0x200) && isatap == 0x5efe).then(|| of_v4(v4_at(v6, 12)));
    inner.filter(|inner| inner.0 > whole.0).unwrap_or(whole)
}

fn v4_at(v6: Ipv6Addr, byte: usize) -> Ipv4Addr {
    let octets = v6.octets();
    Ipv4Addr::new(octets[byte], octets[byte + 1], octets[byte + 2], octets[byte + 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first and the last address of each block, and what is beside it.
    #[test]
    fn addresses() {
        let table = [
            (World, "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 126.255.255.255 128.0.0.0 1.0.0.0 223.255.255.255"),
            (World, "100.63.255.255 100.128.0.0 168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0"),
            (World, "172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0"),
            (World, "192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255"),
            (World, "203.0.114.0 2606:4700::1111 2001:200:: 2001:db7:ffff:: 2001:db9:: 2003:: 3ffe:: 3fff:1000::"),
            (Network, "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255"),
            (Network, "100.64.0.0 100.127.255.255 100.100.100.199 fc00:: fdff:ffff:: fd00:ec2::1:0 fd20:ce::253"),
            (Machine, "127.0.0.0 127.0.0.1 127.255.255.255 ::1"),
            (Bench, "198.18.0.0 198.19.255.255"),
            // Services for the machines of clouds.
            (
                Special,
                "169.254.169.254 169.254.170.2 169.254.170.23 169.254.42.42 168.63.129.16 100.100.100.200 192.0.0.192",
            ),
            (
                Special,
                "fd00:ec2::254 fd00:ec2::23 fd00:ec2::123 fd20:ce::254 fd00:c1::a9fe:a9fe fd00:42::42 fe80::a9fe:a9fe",
            ),
            (Special, "0.0.0.0 0.255.255.255 169.254.0.0 169.254.255.255 192.0.0.0 192.0.0.255 192.0.2.0 192.0.2.255"),
            (Special, "192.88.99.0 192.88.99.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.0"),
            (Special, "239.255.255.255 240.0.0.0 255.255.255.254 255.255.255.255"),
            (Special, ":: ::2 64:ff9b:1:: 64:ff9b:1:ffff:ffff:ffff:ffff:ffff 100:: 100::ffff 100:0:0:1:: 100:0:0:1::1"),
            (Special, "2001:: 2001:0:808:808:0:ffff:f7f7:f7f7 2001:1::1 2001:2:: 2001:10:: 2001:20:: 2001:1ff:ffff::"),
            (
                Special,
                "2001:db8:: 2001:db8:ffff:: 3fff:: 3fff:fff:: 5f00:: 5f00:ffff:: fe80:: febf:ffff:: fec0:: feff:ffff::",
            ),
            (Special, "ff00:: ff02::1 1:: 1fff:: 4000:: fbff:: fe00:: 64:ff9b:0:1:: 64:ff9b:2::"),
            // Addresses in addresses.
            (World, "::8.8.8.8 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808:: 2600::5efe:8.8.8.8"),
            (
                Network,
                "::10.0.0.1 ::ffff:10.0.0.1 ::ffff:0:10.0.0.1 64:ff9b::10.0.0.1 2002:a00:1::1 2600::200:5efe:10.0.0.1",
            ),
            (
                Machine,
                "::127.0.0.1 ::ffff:127.0.0.1 ::ffff:0:7f00:1 64:ff9b::7f00:1 2002:7f00:1:: fd00::5efe:127.0.0.1",
            ),
            (Special, "::169.254.169.254 ::ffff:a9fe:a9fe 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe:: 2600::5efe:a9fe:a9fe"),
            (Special, "64:ff9b::168.63.129.16 2002:6464:64c8:: fe80::5efe:8.8.8.8"),
        ];
        for (expected, addresses) in table {
            for address in addresses.split(' ') {
                let (found, reason) = reach(address.parse().unwrap());
                assert_eq!(found, expected, "{address}: {reason}");
            }
        }
    }

    /// Rows below others that have all of them would not count.
    #[test]
    fn every_row_counts() {
        for blocks in [&BLOCKS.0, &BLOCKS.1] {
            for (at, block) in blocks.iter().enumerate() {
                let last = block.first | 1_u128.checked_shl(block.free_bits).map_or(u128::MAX, |size| size - 1);
                let covers = |above: &Block| above.has(block.first) && above.has(last);
                assert!(!blocks[..at].iter().any(covers), "row {at}: {}", block.reason);
                assert_eq!(
                    block.first.checked_shr(block.free_bits).unwrap_or(0) << (block.free_bits % 128),
                    block.first
                );
            }
        }
    }
}
