//! Which hosts a registry may send us to.
//!
//! A registry names other hosts: for tokens, for blobs. It must not make us talk to what only we
//! can reach, a cloud's metadata service or a neighbour's router, unless it is in such a place
//! itself. Names are checked where they are resolved for the connection, so that no second answer
//! can differ from the checked one.

mod reach;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, OnceLock};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use self::reach::{Reach, reach};
use super::problem::Problem;

/// Whether an address that a registry leads to may be talked to, when the registry itself can be
/// reached like this.
fn allowed(address: IpAddr, registry: &[Reach]) -> bool {
    match reach(address).0 {
        Reach::World => true,
        Reach::Special => false,
        other => registry.contains(&other),
    }
}

/// Resolves names, and refuses what the registry must not lead to.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// The registry's host, without port.
    host: Arc<str>,
    /// From where the registry can be reached that answered first.
    registry: Arc<OnceLock<Reach>>,
    /// The hosts of proxies, which may be anywhere.
    proxies: Arc<[String]>,
}

impl Guard {
    pub(super) fn new(host: &str, proxies: Vec<String>) -> Guard {
        Guard { host: host.to_ascii_lowercase().into(), registry: Arc::default(), proxies: proxies.into() }
    }

    fn is_registry(&self, host: &str) -> bool {
        host.eq_ignore_ascii_case(&self.host)
    }

    fn is_proxy(&self, host: &str) -> bool {
        self.proxies.iter().any(|proxy| host.eq_ignore_ascii_case(proxy))
    }

    /// The registry answered from this address. The first answer counts: later ones may come from
    /// where it leads.
    pub(super) fn answered_from(&self, address: IpAddr) {
        let _ = self.registry.set(reach(address).0);
    }

    /// Where the registry is. What its name stands for is for it to say, so that it is not asked;
    /// but behind a proxy nobody else knows.
    fn registry(&self) -> Vec<Reach> {
        match self.registry.get() {
            Some(answered) => vec![*answered],
            None => lookup(&self.host).unwrap_or_default().iter().map(|address| reach(address.ip()).0).collect(),
        }
    }

    /// Checks an address in a URL; names are checked when they are resolved, which for what goes
    /// through a proxy is not here.
    pub(super) fn check(&self, url: &Url) -> Result<(), Problem> {
        let Some(host) = url.host_str().map(bare) else { return Ok(()) };
        match host.parse() {
            Ok(address) => self.admit(host, vec![SocketAddr::new(address, 0)]).map(drop),
            // A proxy's name is not checked when it is resolved, so it is here, where somebody
            // leads to it.
            Err(_) if self.is_proxy(host) => self.admit(host, lookup(host).unwrap_or_default()).map(drop),
            Err(_) => Ok(()),
        }
    }

    /// Those of a host's addresses that may be talked to, of which there must be one if there are
    /// any.
    fn admit(&self, host: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Problem> {
        let of_world = addresses.iter().all(|address| allowed(address.ip(), &[]));
        let registry = if of_world { Vec::new() } else { self.registry() };
        let admitted: Vec<SocketAddr> = addresses
            .iter()
            .filter(|address| allowed(address.ip(), &registry) || self.is_registry(host) && self.may_move(address.ip()))
            .copied()
            .collect();
        match addresses.first() {
            Some(refused) if admitted.is_empty() => {
                let (address, reason) = (refused.ip(), reach(refused.ip()).1);
                Err(Problem::Address { host: host.to_owned(), address, reason, registry: self.host.to_string() })
            }
            _ => Ok(admitted),
        }
    }

    /// Whether this may be an address of the registry. At first all may: it was asked for.
    /// Afterwards its name may stand for another machine, even in another network, but not for this
    /// one.
    fn may_move(&self, to: IpAddr) -> bool {
        self.registry.get().is_none_or(|&first| match reach(to).0 {
            near @ (Reach::Machine | Reach::Special) => near == first,
            Reach::World | Reach::Bench | Reach::Network => true,
        })
    }
}

/// An IPv6 address without the brackets that it has in a URL.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Whether a host, as a reference names it, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    // A dot at the end says that nothing belongs behind it.
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let named = name == "localhost" || name.ends_with(".localhost");
    named || host.parse().is_ok_and(|address| reach(address).0 == Reach::Machine)
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
                let found = if guard.is_proxy(host) { found } else { guard.admit(host, found)? };
                Ok(Box::new(found.into_iter()) as Addrs)
            });
            task.await?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    /// A guard of a registry that has answered from an address.
    fn answered(from: &str) -> Guard {
        let guard = Guard::new("registry.invalid", Vec::new());
        guard.answered_from(from.parse().unwrap());
        guard
    }

    #[test]
    fn places() {
        let (world, network, machine) = ("8.8.8.8", "10.1.2.3", "127.0.0.1");
        let table = [
            (world, "1.1.1.1", true),
            (world, "2606:4700::1111", true),
            (world, "10.0.0.1", false),
            (world, "100.64.0.1", false),
            (world, "127.0.0.1", false),
            (world, "::ffff:127.0.0.1", false),
            (world, "64:ff9b::10.0.0.1", false),
            (world, "fd00::1", false),
            (world, "198.18.0.1", false),
            (network, "1.1.1.1", true),
            (network, "10.0.0.1", true),
            (network, "fd00::1", true),
            (network, "127.0.0.1", false),
            (network, "198.18.0.1", false),
            (network, "169.254.169.254", false),
            (network, "100.100.100.200", false),
            (network, "fd00:ec2::254", false),
            (network, "fd20:ce::254", false),
            (network, "168.63.129.16", false),
            (machine, "127.9.9.9", true),
            (machine, "10.0.0.1", false),
            (machine, "169.254.169.254", false),
            (machine, "0.0.0.0", false),
            ("198.18.0.7", "198.18.0.1", true),
            ("198.18.0.7", "10.0.0.1", false),
            ("169.254.1.1", "169.254.169.254", false),
        ];
        for (registry, address, expected) in table {
            let admitted = answered(registry).admit("other.invalid", sockets(&[address]));
            assert_eq!(admitted.is_ok(), expected, "{address} from {registry}: {admitted:?}");
        }
    }

    #[test]
    fn what_is_refused_is_not_connected_to() {
        let mixed = sockets(&["10.0.0.1", "1.1.1.1", "127.0.0.1"]);
        assert_eq!(answered("8.8.8.8").admit("other.invalid", mixed).unwrap(), sockets(&["1.1.1.1"]));
        assert_eq!(answered("8.8.8.8").admit("other.invalid", Vec::new()).unwrap(), []);
    }

    #[test]
    fn a_registry_is_where_it_answers_from() {
        let private = sockets(&["10.0.0.1"]);
        let guard = Guard::new("registry.invalid", Vec::new());
        // At first nobody knows, and it was asked for.
        assert!(guard.admit("registry.invalid", sockets(&["127.0.0.1"])).is_ok());
        guard.answered_from("8.8.8.8".parse().unwrap());
        assert!(guard.admit("other.invalid", private.clone()).is_err());
        // Its name may come to stand for another machine, but not for this one.
        assert!(guard.admit("REGISTRY.invalid", private.clone()).is_ok());
        assert!(guard.admit("registry.invalid", sockets(&["127.0.0.1"])).is_err());
        assert!(guard.admit("registry.invalid", sockets(&["169.254.169.254"])).is_err());
        // And it gains nothing by that.
        guard.answered_from("10.0.0.1".parse().unwrap());
        assert!(guard.admit("other.invalid", private).is_err());
    }

    #[test]
    fn forms_of_addresses() {
        let guard = answered("8.8.8.8");
        for host in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "0177.0.0.1",
            "017700000001.",
            "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
            "127\u{3002}0\u{3002}0\u{ff61}1",
            "%31%32%37.0.0.1",
            "[::1]",
            "[::FFFF:7F00:1]",
            "[0:0:0:0:0:ffff:127.0.0.1]",
            "[64:FF9B::7f00:1]",
            "169.254.169.254",
            "0xA9FEA9FE",
            "[fd00:0ec2:0:0::0254]",
        ] {
            let url = Url::parse(&format!("http://{host}/latest")).unwrap();
            assert!(matches!(guard.check(&url), Err(Problem::Address { .. })), "{host}");
        }
        for host in ["[fe80::1%25lo]", "[fe80::1%lo]", "127.0.0.1:80:80", "0x7f.0.0.0.1", "256.0.0.1"] {
            assert!(Url::parse(&format!("http://{host}/latest")).is_err(), "{host}");
        }
    }

    #[test]
    fn names() {
        // A public registry (by its address) that leads to this machine by name.
        let guard = Guard::new("8.8.8.8", Vec::new());
        let loopback = sockets(&["127.0.0.1"]);
        assert!(matches!(guard.admit("sneaky.example", loopback.clone()), Err(Problem::Address { .. })));
        assert!(guard.admit("8.8.8.8", loopback).is_ok());
        let metadata = Url::parse("http://169.254.169.254/latest").unwrap();
        assert!(matches!(Guard::new("localhost", Vec::new()).check(&metadata), Err(Problem::Address { .. })));
        // A proxy may be on this machine, but is none of a public registry's business.
        let guard = Guard::new("8.8.8.8", vec!["localhost".to_owned()]);
        let proxy = Url::parse("http://LOCALHOST:3128/").unwrap();
        assert!(matches!(guard.check(&proxy), Err(Problem::Address { .. })));
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST.", true),
            ("a.localhost.", true),
            ("127.0.0.2", true),
            ("::1", true),
            ("example.com", false),
            ("localhost.example.com", false),
            ("notlocalhost", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
