//! Which hosts a registry may send us to.
//!
//! A registry names other hosts: for tokens, for blobs. It must not make us talk to what only we can reach, a cloud's metadata
//! service or a neighbour's router, unless it is in such a place itself. Names are checked where they are resolved for the
//! connection, so that no second answer can differ from the checked one.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::problem::Problem;

/// How far an address can be reached from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    World,
    Network,
    Machine,
    /// Addresses with a meaning of their own: link-local, where clouds have their metadata; unspecified; multicast.
    Special,
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            if v4.is_loopback() {
                Reach::Machine
            } else if v4.is_link_local() || first == 0 || v4.is_multicast() || first >= 240 {
                Reach::Special
            } else if v4.is_private() || (first == 100 && second & 0xc0 == 64) {
                Reach::Network
            } else {
                Reach::World
            }
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped().or_else(|| embedded(v6)) {
            Some(v4) => reach(v4.into()),
            None if v6.is_loopback() => Reach::Machine,
            None if v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local() => Reach::Special,
            None if v6.is_unique_local() => Reach::Network,
            None => Reach::World,
        },
    }
}

/// The IPv4 address behind one of NAT64, 6to4, or of the old "compatible" form.
fn embedded(v6: Ipv6Addr) -> Option<std::net::Ipv4Addr> {
    let octets = v6.octets();
    let four = |at: usize| std::net::Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]);
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(four(12)),
        [0x2002, ..] => Some(four(2)),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => Some(four(12)),
        _ => None,
    }
}

/// Whether an address that a registry leads to may be talked to, when the registry itself is at these addresses.
fn allowed(address: IpAddr, registry: &[IpAddr]) -> bool {
    match reach(address) {
        Reach::World => true,
        Reach::Special => false,
        other => registry.iter().any(|&registry| reach(registry) == other),
    }
}

/// Resolves names, and refuses what the registry must not lead to.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// The registry's host, without port.
    host: Arc<str>,
    /// The hosts of proxies, which may be anywhere.
    proxies: Arc<[String]>,
}

impl Guard {
    pub(super) fn new(host: &str, proxies: Vec<String>) -> Guard {
        Guard { host: host.to_ascii_lowercase().into(), proxies: proxies.into() }
    }

    fn is_proxy(&self, host: &str) -> bool {
        self.proxies.iter().any(|proxy| host.eq_ignore_ascii_case(proxy))
    }

    /// Checks an address in a URL; names are checked when they are resolved, which for what goes through a proxy is not here.
    pub(super) fn check(&self, url: &Url) -> Result<(), Problem> {
        let Some(host) = url.host_str().map(bare) else { return Ok(()) };
        match host.parse() {
            Ok(address) => self.admit(host, &[address]),
            // A proxy's name is not checked when it is resolved, so it is here, where somebody leads to it.
            Err(_) if self.is_proxy(host) => {
                let addresses: Vec<IpAddr> = lookup(host).unwrap_or_default().iter().map(SocketAddr::ip).collect();
                self.admit(host, &addresses)
            }
            Err(_) => Ok(()),
        }
    }

    fn admit(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Problem> {
        if host.eq_ignore_ascii_case(&self.host) || addresses.iter().all(|&address| allowed(address, &[])) {
            return Ok(());
        }
        let own: Vec<IpAddr> = lookup(&self.host).unwrap_or_default().iter().map(SocketAddr::ip).collect();
        match addresses.iter().find(|&&address| !allowed(address, &own)) {
            None => Ok(()),
            Some(&address) => Err(Problem::Address { host: host.to_owned(), address, registry: self.host.to_string() }),
        }
    }
}

/// An IPv6 address without the brackets that it has in a URL.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Whether a host, as a reference names it, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let named = host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
    named || host.parse().is_ok_and(|address| reach(address) == Reach::Machine)
}

fn lookup(host: &str) -> std::io::Result<Vec<SocketAddr>> {
    Ok((host, 0).to_socket_addrs()?.collect())
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            // The system's resolver blocks.
            let task = tokio::task::spawn_blocking(move || {
                let host = name.as_str();
                let found = lookup(host).map_err(Box::<dyn std::error::Error + Send + Sync>::from)?;
                let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
                if !guard.is_proxy(host) {
                    guard.admit(host, &addresses)?;
                }
                Ok(Box::new(found.into_iter()) as Addrs)
            });
            task.await?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let world = ["8.8.8.8"];
        let (network, machine) = (["10.1.2.3"], ["127.0.0.1"]);
        let table: [(&str, &[&str], bool); 18] = [
            ("1.1.1.1", &world, true),
            ("2606:4700::1111", &world, true),
            ("10.0.0.1", &world, false),
            ("192.168.1.1", &world, false),
            ("172.16.0.1", &world, false),
            ("100.64.0.1", &world, false),
            ("127.0.0.1", &world, false),
            ("::1", &world, false),
            ("::ffff:127.0.0.1", &world, false),
            ("64:ff9b::10.0.0.1", &world, false),
            ("2002:7f00:1::", &world, false),
            ("fd00::1", &world, false),
            ("10.0.0.1", &network, true),
            ("127.0.0.1", &network, false),
            ("127.9.9.9", &machine, true),
            ("10.0.0.1", &machine, false),
            ("169.254.169.254", &machine, false),
            ("0.0.0.0", &machine, false),
        ];
        for (address, registry, expected) in table {
            let registry: Vec<IpAddr> = registry.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(allowed(address.parse().unwrap(), &registry), expected, "{address} from {registry:?}");
        }
    }

    #[test]
    fn names() {
        // A public registry (by its address) that leads to this machine by name.
        let guard = Guard::new("8.8.8.8", Vec::new());
        let loopback = ["127.0.0.1".parse().unwrap()];
        assert!(matches!(guard.admit("sneaky.example", &loopback), Err(Problem::Address { .. })));
        assert!(guard.admit("8.8.8.8", &loopback).is_ok());
        let metadata = Url::parse("http://169.254.169.254/latest").unwrap();
        assert!(matches!(Guard::new("localhost", Vec::new()).check(&metadata), Err(Problem::Address { .. })));
        // A proxy may be on this machine, but is none of a public registry's business.
        let guard = Guard::new("8.8.8.8", vec!["localhost".to_owned()]);
        let proxy = Url::parse("http://LOCALHOST:3128/").unwrap();
        assert!(matches!(guard.check(&proxy), Err(Problem::Address { .. })));
        for (host, expected) in [("localhost", true), ("127.0.0.2", true), ("::1", true), ("example.com", false)] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
