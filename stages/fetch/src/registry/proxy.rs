//! Which requests go through a proxy.
//!
//! The rules are those that most programs have: a proxy for each scheme, or one for all, and a list
//! of what is reached without. This machine is never asked through a proxy.

use std::net::IpAddr;

use reqwest::Url;

use super::guard::{bare, is_loopback};
use super::problem::{Problem, shorten};

/// The most exceptions. Lists that programs generate have some hundreds.
const MAX_EXCEPTIONS: usize = 10_000;

/// Proxies, as the environment has them: `http://host:port`, also with `user:password@`, or only
/// `host:port`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// For requests without TLS.
    pub http: Option<String>,
    /// For requests with TLS.
    pub https: Option<String>,
    /// For those that have none of their own.
    pub all: Option<String>,
    /// What is reached without: hosts, domains, addresses and networks, with commas between them;
    /// or `*`.
    pub exceptions: String,
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // There may be passwords in the others.
        f.debug_struct("Proxies").field("exceptions", &self.exceptions).finish_non_exhaustive()
    }
}

/// Proxies that make sense.
#[derive(Clone, Default)]
pub(super) struct Rules {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Vec<Exception>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Exception {
    what: What,
    port: Option<u16>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    All,
    /// A host and all below it.
    Host(String),
    /// All below.
    Below(String),
    /// Addresses that begin with so many bits.
    Network(IpAddr, u8),
}

impl Rules {
    pub(super) fn new(proxies: &Proxies) -> Result<Rules, Problem> {
        let Proxies { http, https, all, exceptions } = proxies;
        let own = |own: &Option<String>, scheme: &'static str| match own.as_ref().or(all.as_ref()) {
            Some(text) if !text.is_empty() => parse(text, scheme).map(Some),
            _ => Ok(None),
        };
        let words = exceptions.split([',', ' ', '\t']).filter(|word| !word.is_empty()).take(MAX_EXCEPTIONS);
        Ok(Rules {
            http: own(http, "http")?,
            https: own(https, "https")?,
            exceptions: words.map(Exception::new).collect(),
        })
    }

    /// The proxy for a request, if it is to go through one.
    pub(super) fn proxy_for(&self, url: &Url) -> Option<&Url> {
        let host = bare(url.host_str()?);
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let port = url.port_or_known_default();
        let direct = is_loopback(host) || self.exceptions.iter().any(|exception| exception.covers(host, port));
        proxy.as_ref().filter(|_| !direct)
    }

    /// The hosts of all proxies.
    pub(super) fn hosts(&self) -> Vec<String> {
        let all = [&self.http, &self.https].into_iter().flatten();
        all.filter_map(|url| Some(bare(url.host_str()?).to_ascii_lowercase())).collect()
    }
}

fn parse(text: &str, scheme: &'static str) -> Result<Url, Problem> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&whole).ok().filter(|url| url.scheme() == "http" && url.host_str().is_some());
    url.ok_or_else(|| {
        // What stands before an @ may be secret.
        let found = shorten(text.rsplit('@').next().unwrap_or_default());
        Problem::Proxy { scheme, found }
    })
}

impl Exception {
    fn new(word: &str) -> Exception {
        let exception = |what, port| Exception { what, port };
        if word == "*" {
            return exception(What::All, None);
        }
        if let Some((address, bits)) = word.split_once('/')
            && let (Ok(address), Ok(bits)) = (address.parse(), bits.parse())
        {
            return exception(What::Network(address, bits), None);
        }
        if let Ok(address) = bare(word).parse::<IpAddr>() {
            return exception(What::Network(address, 128), None);
        }
        let (host, port) = match word.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().ok()),
            _ => (word, None),
        };
        if let Ok(address) = bare(host).parse::<IpAddr>() {
            return exception(What::Network(address, 128), port);
        }
        let host = host.to_ascii_lowercase();
        match host.strip_prefix("*.").or(host.strip_prefix('.')) {
            Some(domain) => exception(What::Below(domain.to_owned()), port),
            None => exception(What::Host(host), port),
        }
    }

    fn covers(&self, host: &str, port: Option<u16>) -> bool {
        if self.port.is_some() && self.port != port {
            return false;
        }
        let host = host.to_ascii_lowercase();
        let below = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        match &self.what {
            What::All => true,
            What::Host(name) => host == *name || below(name),
            What::Below(domain) => below(domain),
            What::Network(network, bits) => host.parse().is_ok_and(|address| within(address, *network, *bits)),
        }
    }
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let leading =
        |different: u128, width: u8| (different << (128 - u32::from(width))).leading_zeros() >= u32::from(bits);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a == b || leading(u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => a == b || leading(a.to_bits() ^ b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which() {
        let some = |text: &str| Some(text.to_owned());
        let proxies = Proxies {
            http: some("plain.example:3128"),
            https: None,
            all: some("http://u:p@all.example"),
            exceptions:
                "direct.example, .below.example,*.star.example,10.0.0.0/8 port.example:5000,192.168.1.7,fd00::/8"
                    .to_owned(),
        };
        let rules = Rules::new(&proxies).unwrap();
        let table = [
            ("http://a.example/x", Some("plain.example")),
            ("https://a.example/x", Some("all.example")),
            ("https://localhost:5000/", None),
            ("http://127.0.0.1:5000/", None),
            ("http://[::1]:5000/", None),
            ("https://direct.example/", None),
            ("https://DIRECT.example/", None),
            ("https://sub.direct.example/", None),
            ("https://indirect.example/", Some("all.example")),
            ("https://below.example/", Some("all.example")),
            ("https://a.below.example/", None),
            ("https://a.star.example/", None),
            ("https://10.1.2.3/", None),
            ("https://11.1.2.3/", Some("all.example")),
            ("https://192.168.1.7:5000/", None),
            ("https://192.168.1.8/", Some("all.example")),
            ("https://[fd12::1]/", None),
            ("https://[fe12::1]/", Some("all.example")),
            ("https://port.example:5000/", None),
            ("https://port.example/", Some("all.example")),
        ];
        for (url, expected) in table {
            let found = rules.proxy_for(&Url::parse(url).unwrap()).and_then(Url::host_str);
            assert_eq!(found, expected, "{url}");
        }
        assert!(!format!("{proxies:?}").contains("u:p"));
        let none = Rules::new(&Proxies { exceptions: "*".to_owned(), ..proxies }).unwrap();
        assert_eq!(none.proxy_for(&Url::parse("http://a.example/").unwrap()), None);
        assert!(Rules::default().proxy_for(&Url::parse("http://a.example/").unwrap()).is_none());
        for bits in [0, 1, 32, 33, 128, 255] {
            let within = within("10.0.0.1".parse().unwrap(), "11.0.0.1".parse().unwrap(), bits);
            assert_eq!(within, bits < 8, "{bits}");
        }
    }

    #[test]
    fn not_proxies() {
        for text in ["socks5://a.example", "https://user:secret@a.example", "http://", "://", "http://user:secret@"] {
            let proxies = Proxies { all: Some(text.to_owned()), ..Proxies::default() };
            let Err(problem) = Rules::new(&proxies) else { panic!("{text}") };
            assert!(!problem.to_string().contains("secret"), "{problem}");
        }
        let empty = Proxies { all: Some(String::new()), ..Proxies::default() };
        assert!(Rules::new(&empty).unwrap().hosts().is_empty());
    }
}
