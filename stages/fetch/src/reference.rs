//! What a name of an image may look like, and what it means where it says less than everything, by
//! the rules of Docker.
//!
//! ```text
//! name     = [host [":" port] "/"] part {"/" part}        host = label {"." label}
//! whole    = name [":" tag] ["@" algorithm ":" hex]
//! ```
//!
//! A first part with a dot is a host even if only a part may look like that (`my_registry.local`),
//! as Docker has it.
//!
//! `oci-spec` reads the same with one regular expression (and takes letters beyond ASCII in tags,
//! which registries don't). To make that ready takes 15 ms, half of what it takes to bake a small
//! image; it is the oracle of the tests.

use std::fmt;
use std::str::FromStr;

use crate::Error;

const HUB: &str = "docker.io";
const OLD_HUB: &str = "index.docker.io";
/// Where Docker Hub has what it names with one part.
const OFFICIAL: &str = "library";
const DEFAULT_TAG: &str = "latest";

/// Of a repository.
const MAX_LEN: usize = 255;
const MAX_TAG: usize = 128;

/// The full name of an image in a registry, with a tag or a digest or both.
///
/// ```
/// let reference: cvbake_fetch::Reference = "alpine".parse()?;
/// assert_eq!((reference.registry(), reference.repository()), ("docker.io", "library/alpine"));
/// assert_eq!((reference.tag(), reference.digest()), (Some("latest"), None));
/// # Ok::<(), cvbake_fetch::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    /// The host of the registry, with its port if it has one.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path in the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; without a digest there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, with its algorithm.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The reference as text, as [`Display`](fmt::Display) has it.
    #[must_use]
    pub fn whole(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// Reads a name, in full or not.
impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference, Error> {
        parse(text).map_err(|problem| Error::Source { text: text.to_owned(), problem })
    }
}

/// Reads a name, in full or not.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Reference, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[last..].split_once(':') {
        Some((part, tag)) => (&rest[..last + part.len()], Some(tag)),
        None => (rest, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err("the digest is malformed");
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("the tag is malformed");
    }
    let (mut registry, repository) = match name.split_once('/') {
        Some((host, rest)) if looks_like_host(host) => (host, rest),
        _ => (HUB, name),
    };
    if registry == OLD_HUB {
        registry = HUB;
    }
    if !is_host(registry) && !is_part(registry) {
        return Err("the host is malformed");
    }
    if !repository.split('/').all(is_part) {
        return Err("a repository is made of small letters and digits, with '.', '_', '-' and '/' between them");
    }
    let repository = match registry == HUB && !repository.contains('/') {
        true => format!("{OFFICIAL}/{repository}"),
        false => repository.to_owned(),
    };
    if repository.len() > MAX_LEN {
        return Err("the repository is too long");
    }
    // Without a digest, the tag has to say which image it is.
    let tag = tag.or(digest.is_none().then_some(DEFAULT_TAG)).map(str::to_owned);
    Ok(Reference { registry: registry.to_owned(), repository, tag, digest: digest.map(str::to_owned) })
}

/// Whether what comes before the first slash is meant to be a registry.
pub(crate) fn looks_like_host(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost"
}

fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "0"));
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(is_inner)
    };
    name.split('.').all(is_label) && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Small letters and digits, and between them a dot, one or two underscores, or any number of
/// dashes.
fn is_part(text: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let letters = rest.iter().take_while(|byte| is_letter(byte)).count();
        if letters == 0 {
            return false;
        }
        rest = &rest[letters..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.iter().take_while(|byte| !is_letter(byte)).count();
        match &rest[..separator] {
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|&byte| byte == b'-') => {}
            _ => return false,
        }
        rest = &rest[separator..];
    }
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=MAX_TAG).contains(&text.len())
        && is_word(text.as_bytes()[0])
        && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

/// Of an algorithm that names of images may have, with as many digits as it gives.
fn is_digest(text: &str) -> bool {
    let digits = |digits: &str, count| digits.len() == count && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.split_once(':') {
        Some(("sha256", hex)) => digits(hex, 64),
        Some(("sha384", hex)) => digits(hex, 96),
        Some(("sha512", hex)) => digits(hex, 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::distribution::Reference as Oracle;
    use proptest::prelude::*;

    use super::*;

    /// What the oracle makes of it, but for what it takes though its own whole form is none:
    /// `Team/image`.
    fn oracle(text: &str) -> Option<Oracle> {
        let reference: Oracle = text.parse().ok()?;
        reference.whole().parse().ok()
    }

    fn check(text: &str) {
        let (ours, expected) = (parse(text).ok(), oracle(text));
        let parts = ours.as_ref().map(|name| (name.registry(), name.repository(), name.tag(), name.digest()));
        let expected_parts =
            expected.as_ref().map(|name| (name.registry(), name.repository(), name.tag(), name.digest()));
        assert_eq!(parts, expected_parts, "{text:?}");
        assert_eq!(ours.map(|name| name.whole()), expected.map(|name| name.whole()), "{text:?}");
    }

    #[test]
    fn as_the_oracle_has_it() {
        let hosts =
            ["", "localhost/", "host/", "host.example/", "HOST.x:5000/", "h:/", "h:1x/", "-h.x/", "h-.x/", "h..x/"];
        let more = [
            "docker.io/",
            "index.docker.io/",
            "Team/",
            "a-b.c/",
            "1.2.3.4:80/",
            "/",
            "h.x//",
            "library/",
            "_.x/",
            "a_b.c/",
            "a_b.c:1/",
            "a__b.c/",
        ];
        let parts = [
            "a",
            "a/b",
            "library/a",
            "a.b",
            "a..b",
            "a__b",
            "a___b",
            "a_b",
            "a---b",
            "a._b",
            ".a",
            "a.",
            "a-",
            "A",
            "",
        ];
        let tags = ["", ":", ":t", ":T.1-x_", ":.x", ":-x", ":_x", ":a:b", ":a/b", ": "];
        let (hex, long) = ("0123456789abcdefABCDEF".repeat(3), "a".repeat(130));
        let digests = [
            String::new(),
            "@".to_owned(),
            format!("@sha256:{}", &hex[..64]),
            format!("@sha256:{}", &hex[..63]),
            format!("@sha384:{}", &long[..96]),
            format!("@sha512:{}", &long[..128]),
            format!("@md5:{}", &hex[..32]),
            format!("@sha256:{}@sha256:{}", &hex[..64], &hex[..64]),
        ];
        for host in hosts.iter().chain(&more) {
            for part in parts {
                for tag in tags {
                    digests.iter().for_each(|digest| check(&format!("{host}{part}{tag}{digest}")));
                }
            }
        }
        for len in [127, 128, 129] {
            check(&format!("a:{}", &long[..len]));
        }
        for len in [254, 255, 256] {
            check(&format!("h.x/{}", "a".repeat(len)));
            check(&"a".repeat(len - "library/".len()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn as_the_oracle_has_it_at_random(text in "[aA0:/@._-]{0,12}", word in "[a-z0-9.:/@_-]{0,20}") {
            check(&text);
            check(&word);
            check(&format!("a/{text}"));
        }
    }
}
