//! Which machine an image is for, and which of several images serves a machine best.

mod host;

use std::fmt;
use std::str::FromStr;

use self::host::Target;

/// An operating system and an architecture, perhaps a variant of it: `linux/arm/v7`.
///
/// Kept in the form that containerd normalises to: lower case, aliases resolved (`x86_64` is
/// `amd64`, `aarch64` is `arm64`, `armhf` is `arm/v7`), and the variant that every processor of the
/// architecture has left out (`amd64/v1`, `arm64/v8`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: String,
}

/// Why a text does not name a platform.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a platform: expected os/architecture or os/architecture/variant, such as linux/arm64")]
pub struct PlatformError {
    /// The text, cut to a bearable length.
    pub text: String,
}

/// How well an image's platform serves a wanted one: more is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Fit(u32, u32);

impl Platform {
    /// The platform that parts say together, normalised.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: &str) -> Platform {
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant.to_ascii_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("x86_64" | "x86-64" | "amd64", "" | "1" | "v1") => ("amd64", String::new()),
            ("x86_64" | "x86-64" | "amd64", other) => ("amd64", numbered(other)),
            ("i386", _) => ("386", String::new()),
            ("aarch64" | "arm64", "" | "8" | "v8" | "8.0" | "v8.0") => ("arm64", String::new()),
            ("aarch64" | "arm64", other) => {
                let variant = numbered(other);
                ("arm64", variant.strip_suffix(".0").map_or(variant.clone(), str::to_owned))
            }
            ("armhf", _) => ("arm", "v7".to_owned()),
            ("armel", _) => ("arm", "v6".to_owned()),
            ("arm", "") => ("arm", "v7".to_owned()),
            ("arm", other) => ("arm", numbered(other)),
            (other, variant) => (other, variant.to_owned()),
        };
        Platform { os, architecture: architecture.to_owned(), variant }
    }

    /// Linux on this machine's processor: what a disk baked here is booted on if nobody says
    /// otherwise.
    #[must_use]
    pub fn host() -> Platform {
        let (architecture, variant) = Target::OWN.go();
        Platform::new("linux", architecture, variant)
    }

    /// The operating system.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture, by Go's name.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant of the architecture; empty for the one that all its processors have.
    #[must_use]
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// Whether programs for `offered` run on this platform, and how well it uses them.
    ///
    /// Later variants run what was made for earlier ones, as containerd has it; architectures never
    /// run each other's here.
    pub(crate) fn fit(&self, offered: &Platform) -> Option<Fit> {
        if (&self.os, &self.architecture) != (&offered.os, &offered.architecture) {
            return None;
        }
        if self.variant == offered.variant {
            return Some(Fit(u32::MAX, u32::MAX));
        }
        let (have, need) = (self.version()?, offered.version()?);
        let runs = match self.architecture.as_str() {
            // ARMv9.N has all of ARMv8.(N+5).
            "arm64" if have.0 == 9 && need.0 == 8 => need.1 <= have.1.saturating_add(5),
            "arm64" => have.0 == need.0 && need.1 <= have.1,
            // 32-bit ARM before v5 is another instruction set for our purposes, as for
            // containerd's.
            "arm" => need.0 >= 5 && need.0 <= have.0,
            "amd64" => need.0 <= have.0,
            _ => false,
        };
        runs.then_some(Fit(need.0, need.1))
    }

    /// The variant as major and minor number, for the architectures whose variants are numbered.
    fn version(&self) -> Option<(u32, u32)> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let digits = match (self.architecture.as_str(), self.variant.as_str()) {
            ("amd64", "") => return Some((1, 0)),
            ("arm64", "") => return Some((8, 0)),
            ("amd64" | "arm" | "arm64", variant) => variant.strip_prefix('v')?,
            _ => return None,
        };
        match digits.split_once('.') {
            Some((major, minor)) => Some((number(major)?, number(minor)?)),
            None => Some((number(digits)?, 0)),
        }
    }
}

/// `7` is the same variant as `v7`.
fn numbered(variant: &str) -> String {
    if variant.starts_with(|first: char| first.is_ascii_digit()) { format!("v{variant}") } else { variant.to_owned() }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The parts may come from an image, and end on a terminal.
        let part = |text: &str| crate::shorten(text).escape_debug().to_string();
        write!(f, "{}/{}", part(&self.os), part(&self.architecture))?;
        if !self.variant.is_empty() {
            write!(f, "/{}", part(&self.variant))?;
        }
        Ok(())
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Platform, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let valid = |part: &&str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let platform = match parts[..] {
            [os, architecture] if parts.iter().all(valid) => Some(Platform::new(os, architecture, "")),
            [os, architecture, variant] if parts.iter().all(valid) => Some(Platform::new(os, architecture, variant)),
            _ => None,
        };
        // What is shown of a platform can be asked for.
        let is_shown_whole = |platform: &Platform| {
            let parts = [&platform.os, &platform.architecture, &platform.variant];
            parts.iter().all(|part| part.len() <= crate::SHOWN_CHARS)
        };
        platform.filter(is_shown_whole).ok_or_else(|| PlatformError { text: crate::shorten(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_normalised() {
        let table = [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/i386", "linux/386"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/8", "linux/arm64"),
            ("linux/arm64/v9.0", "linux/arm64/v9"),
            ("linux/arm64/v8.2", "linux/arm64/v8.2"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/s390x", "linux/s390x"),
            ("macos/arm64", "darwin/arm64"),
        ];
        for (text, normal) in table {
            assert_eq!(platform(text).to_string(), normal);
            assert_eq!(platform(normal), platform(text));
        }
        let longest = format!("linux/{}", "a".repeat(crate::SHOWN_CHARS));
        assert_eq!(platform(&longest).to_string(), longest);
        for text in [format!("{longest}a"), format!("linux/arm/{}", "7".repeat(crate::SHOWN_CHARS))] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/arm/v7/x",
            "linux//v7",
            "li nux/amd64",
            "linux/amd64\n",
            "linux/ämd64",
        ] {
            assert_eq!(text.parse::<Platform>(), Err(PlatformError { text: text.to_owned() }));
        }
    }

    #[test]
    fn the_host_is_linux() {
        let host = Platform::host();
        assert_eq!(host.os(), "linux");
        assert_eq!(host, platform(&host.to_string()));
        for (architecture, expected) in [("x86_64", "linux/amd64"), ("x86", "linux/386"), ("aarch64", "linux/arm64")] {
            assert_eq!(host == platform(expected), std::env::consts::ARCH == architecture);
        }
    }

    #[test]
    fn earlier_variants_serve() {
        // wanted; what fits, best first; what does not
        let table: [(&str, &[&str], &[&str]); 9] = [
            ("linux/amd64", &["linux/amd64"], &["linux/amd64/v2", "linux/386", "windows/amd64", "linux/arm64"]),
            (
                "linux/amd64/v3",
                &["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"],
                &["linux/amd64/v4", "linux/amd64/x"],
            ),
            (
                "linux/arm",
                &["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
                &["linux/arm/v8", "linux/arm/v4", "linux/arm64"],
            ),
            ("linux/arm/v6", &["linux/arm/v6", "linux/arm/v5"], &["linux/arm/v7", "linux/arm"]),
            ("linux/arm/v8", &["linux/arm/v8", "linux/arm/v7", "linux/arm/v5"], &["linux/arm64"]),
            ("linux/arm64", &["linux/arm64/v8"], &["linux/arm64/v8.1", "linux/arm64/v9", "linux/arm/v7"]),
            (
                "linux/arm64/v8.2",
                &["linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64"],
                &["linux/arm64/v8.3", "linux/arm64/v9"],
            ),
            (
                "linux/arm64/v9.1",
                &["linux/arm64/v9.1", "linux/arm64/v9", "linux/arm64/v8.6", "linux/arm64"],
                &["linux/arm64/v8.7"],
            ),
            ("linux/ppc64le", &["linux/ppc64le"], &["linux/ppc64", "linux/ppc64le/power9"]),
        ];
        for (wanted, fitting, others) in table {
            let wanted = platform(wanted);
            let fits: Vec<_> = fitting.iter().map(|offered| wanted.fit(&platform(offered))).collect();
            assert!(fits.iter().all(Option::is_some) && fits.is_sorted_by(|a, b| a > b), "{wanted}: {fits:?}");
            for offered in others {
                assert_eq!(wanted.fit(&platform(offered)), None, "{wanted}, {offered}");
            }
        }
    }
}
