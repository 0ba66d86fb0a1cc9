//! Names of images in registries, as people write them.

use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Deref;

use crate::reference::{self, Reference};

/// The name of an image in a registry: the reference that it is by the rules of Docker, and whether
/// it says the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    reference: Reference,
    /// What was written before the tag and the digest, if it has no registry.
    short: Option<String>,
    /// The tag and the digest, as far as they were written.
    suffix: String,
}

impl Name {
    /// Reads a name; `None` if it is none.
    #[must_use]
    pub fn new(text: &str) -> Option<Name> {
        let reference = reference::parse(text).ok()?;
        let name = text.split('@').next().unwrap_or_default();
        let tag = name.rfind('/').map_or(0, |slash| slash + 1);
        let end = name[tag..].find(':').map_or(name.len(), |colon| tag + colon);
        let (name, suffix) = text.split_at(end);
        let registry = name.split_once('/').is_some_and(|(first, _)| reference::looks_like_host(first));
        Some(Name { reference, short: (!registry).then(|| name.to_owned()), suffix: suffix.to_owned() })
    }

    /// The name without tag and digest, if it says no registry.
    #[must_use]
    pub fn short(&self) -> Option<&str> {
        self.short.as_deref()
    }

    /// Whether it is what a registry is called, with no image behind it: an address, `localhost`,
    /// or a host with a port.
    #[must_use]
    pub fn is_registry(&self) -> bool {
        /// The ports of registries. Another number behind a host may as well be a tag: there are
        /// images like `node.js:20`.
        const PORTS: [u16; 6] = [443, 5000, 5001, 5443, 8080, 8443];
        let Some(host) = self.short().filter(|short| !short.contains('/')) else { return false };
        let port = self.suffix.strip_prefix(':').and_then(|port| port.parse::<u16>().ok());
        let is_alone = self.suffix.is_empty() || port.is_some();
        let is_local = host == "localhost" || host.parse::<Ipv4Addr>().is_ok();
        is_alone && is_local || host.contains('.') && port.is_some_and(|port| PORTS.contains(&port))
    }

    /// The tag with its colon and the digest with its `@`, as far as they were written.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.suffix
    }
}

/// The name as it was written.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.short {
            Some(short) => write!(f, "{short}{}", self.suffix),
            None => self.reference.whole().fmt(f),
        }
    }
}

impl From<Reference> for Name {
    fn from(reference: Reference) -> Name {
        let tag = reference.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = reference.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
        Name { suffix: tag + &digest, short: None, reference }
    }
}

/// What the name is if nothing is configured: one without a registry is Docker Hub's.
impl Deref for Name {
    type Target = Reference;

    fn deref(&self) -> &Reference {
        &self.reference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries() {
        for text in
            ["127.0.0.1:5055", "127.0.0.1", "localhost:5000", "localhost", "r.example.com:5000", "r.example:443"]
        {
            assert!(Name::new(text).unwrap().is_registry(), "{text}");
        }
        for text in [
            "node.js:20",
            "my.app:2024",
            "node.js",
            "alpine:5000",
            "localhost:v1",
            "localhost:5000/x",
            "r.example/x:5000",
            "a.b/c:5000",
        ] {
            assert!(!Name::new(text).unwrap().is_registry(), "{text}");
        }
    }

    #[test]
    fn parts() {
        let digest = format!("@sha256:{}", "0".repeat(64));
        let table = [
            ("alpine", Some("alpine"), ""),
            ("alpine:3.20", Some("alpine"), ":3.20"),
            ("library/alpine", Some("library/alpine"), ""),
            ("docker.io/alpine", None, ""),
            ("localhost/x:1", None, ":1"),
            ("localhost:5000/x", None, ""),
            ("host:5000/a/b:1", None, ":1"),
            ("host/b:1", Some("host/b"), ":1"),
        ];
        for (text, short, suffix) in table {
            for digest in ["", &digest] {
                let name = Name::new(&format!("{text}{digest}")).unwrap();
                assert_eq!((name.short(), name.suffix()), (short, &*format!("{suffix}{digest}")), "{text}{digest}");
                assert_eq!(Name::from(name.reference.clone()).short(), None);
            }
        }
        for text in ["", "UPPER", "Team/image", "a b", ":tag", "/x"] {
            assert_eq!(Name::new(text), None, "{text:?}");
        }
    }
}
