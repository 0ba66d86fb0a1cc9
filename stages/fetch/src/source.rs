//! Names of places that hold images, as skopeo has them.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

use cvbake_verify::Digest;

use crate::{Error, Name, reference};

/// A place that holds images, and which of them is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Source {
    /// `oci:DIR[:TAG|@DIGEST]`, a directory in the OCI image layout.
    Oci {
        /// The directory.
        path: PathBuf,
        /// Which image.
        select: Select,
    },
    /// `oci-archive:FILE[:TAG|@DIGEST]`, the tar of such a directory.
    OciArchive {
        /// The archive.
        path: PathBuf,
        /// Which image.
        select: Select,
    },
    /// `docker-archive:FILE[:REF|:@INDEX]`, what `docker save` and `podman save` write.
    DockerArchive {
        /// The archive.
        path: PathBuf,
        /// Which image.
        select: DockerSelect,
    },
    /// `tar:FILE` or `tar:-`, a root filesystem.
    Tar(TarSource),
    /// `docker://NAME` or `NAME`, an image in a registry.
    Registry(Name),
}

/// Which image of an OCI image layout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Select {
    /// The only one.
    Only,
    /// The one whose index entry has this `org.opencontainers.image.ref.name`.
    Tag(String),
    /// The one with this digest in the index.
    Digest(Digest),
}

/// Which image of a Docker archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DockerSelect {
    /// The only one.
    Only,
    /// The one with this name, in full: `docker.io/library/alpine:latest`.
    Name(String),
    /// The one at this position, counted from 0.
    Index(usize),
}

/// Where a plain tar comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TarSource {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// Transports that skopeo has and that are something else than a name of an image in a registry.
const OTHER_TRANSPORTS: [&str; 7] =
    ["containers-storage", "dir", "docker-daemon", "ostree", "sif", "tarball", "atomic"];

impl Source {
    /// Reads a source as it is given on a command line; paths need not be UTF-8.
    ///
    /// # Errors
    /// When it is none, or none that is supported.
    pub fn parse(text: &OsStr) -> Result<Source, Error> {
        let bytes = text.as_bytes();
        let wrong = |problem| Error::Source { text: text.to_string_lossy().into_owned(), problem };
        let Some(colon) = bytes.iter().position(|&byte| byte == b':') else { return Source::not_local(text, "") };
        let (transport, rest) = (&bytes[..colon], &bytes[colon + 1..]);
        let transport = std::str::from_utf8(transport).unwrap_or_default();
        match transport {
            "oci" | "oci-archive" => {
                let (path, select) = split_oci(rest).map_err(wrong)?;
                Ok(match transport {
                    "oci" => Source::Oci { path, select },
                    _ => Source::OciArchive { path, select },
                })
            }
            "docker-archive" => {
                let (path, name) = split(rest).map_err(wrong)?;
                let select = docker_select(name).map_err(wrong)?;
                Ok(Source::DockerArchive { path, select })
            }
            "tar" => match rest {
                b"" => Err(wrong("the path is empty")),
                b"-" => Ok(Source::Tar(TarSource::Stdin)),
                path => Ok(Source::Tar(TarSource::File(OsStr::from_bytes(path).into()))),
            },
            transport => Source::not_local(text, transport),
        }
    }

    fn not_local(text: &OsStr, transport: &str) -> Result<Source, Error> {
        let shown = text.to_string_lossy().into_owned();
        if OTHER_TRANSPORTS.contains(&transport) {
            return Err(Error::Transport { text: shown, transport: transport.to_owned() });
        }
        let name = shown.strip_prefix("docker://").unwrap_or(&shown);
        match Name::new(name) {
            Some(name) => Ok(Source::Registry(name)),
            None => Err(Error::Source { problem: not_a_name(name), text: shown }),
        }
    }
}

/// What is wrong with a text that is no name of an image in a registry, as far as that can be told.
fn not_a_name(text: &str) -> &'static str {
    if text.starts_with("http://") || text.starts_with("https://") {
        return "expected the name of an image in a registry, such as host/name:tag, without a scheme";
    }
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    if Name::new(rest).is_some() {
        return match digest {
            Some("") => "expected a digest after '@'",
            Some(digest) if digest.parse::<Digest>().is_err() => {
                "expected a whole digest after '@', such as sha256: and 64 hexadecimal digits"
            }
            _ => EXPECTED,
        };
    }
    if rest.strip_suffix(':').is_some_and(|name| Name::new(name).is_some()) {
        return "the tag after ':' is empty";
    }
    if Name::new(&rest.to_ascii_lowercase()).is_some() {
        return "expected lower case in the name of an image in a registry";
    }
    EXPECTED
}

const EXPECTED: &str =
    "expected the name of an image in a registry, oci:PATH, oci-archive:PATH, docker-archive:PATH or tar:PATH";

/// The path before the first colon and the text after it, as containers/image splits them.
fn split(rest: &[u8]) -> Result<(PathBuf, Option<&str>), &'static str> {
    let mut parts = rest.splitn(2, |&byte| byte == b':');
    let path = parts.next().unwrap_or_default();
    if path.is_empty() {
        return Err("the path is empty");
    }
    let name = match parts.next() {
        Some(name) => Some(std::str::from_utf8(name).map_err(|_| "the name after the path is not UTF-8")?),
        None => None,
    };
    Ok((OsStr::from_bytes(path).into(), name))
}

fn split_oci(rest: &[u8]) -> Result<(PathBuf, Select), &'static str> {
    let (path, name) = split(rest)?;
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok((path, Select::Only)) };
    // `dir@sha256:…`: the first colon is the digest's own.
    let bytes = path.as_os_str().as_bytes();
    for algorithm in ["sha256", "sha512"] {
        if let Some(dir) = bytes.strip_suffix(algorithm.as_bytes()).and_then(|start| start.strip_suffix(b"@")) {
            let digest = format!("{algorithm}:{name}").parse().map_err(|_| "the digest is malformed")?;
            if dir.is_empty() {
                return Err("the path is empty");
            }
            return Ok((OsStr::from_bytes(dir).into(), Select::Digest(digest)));
        }
    }
    Ok((path, Select::Tag(name.to_owned())))
}

fn docker_select(name: Option<&str>) -> Result<DockerSelect, &'static str> {
    let Some(name) = name else { return Ok(DockerSelect::Only) };
    if let Some(index) = name.strip_prefix('@') {
        return index.parse().map(DockerSelect::Index).map_err(|_| "expected a number after '@'");
    }
    match normal_name(name) {
        Some(_) if name.contains('@') => Err("images of a Docker archive have no digest to be selected by"),
        Some(name) => Ok(DockerSelect::Name(name)),
        None => Err("the name after the path is not a reference"),
    }
}

/// The name of an image in full: with registry and tag.
pub(crate) fn normal_name(name: &str) -> Option<String> {
    reference::parse(name).ok().map(|reference| reference.whole())
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Source, Error> {
        Source::parse(OsStr::new(text))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Oci { path, select } => write!(f, "oci:{}{select}", path.display()),
            Source::OciArchive { path, select } => write!(f, "oci-archive:{}{select}", path.display()),
            Source::DockerArchive { path, select } => write!(f, "docker-archive:{}{select}", path.display()),
            Source::Tar(TarSource::File(path)) => write!(f, "tar:{}", path.display()),
            Source::Tar(TarSource::Stdin) => f.write_str("tar:-"),
            Source::Registry(name) => write!(f, "docker://{name}"),
        }
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Select::Only => Ok(()),
            Select::Tag(tag) => write!(f, ":{tag}"),
            Select::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl fmt::Display for DockerSelect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DockerSelect::Only => Ok(()),
            DockerSelect::Name(name) => write!(f, ":{name}"),
            DockerSelect::Index(index) => write!(f, ":@{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn oci(path: &str, select: Select) -> Source {
        Source::Oci { path: path.into(), select }
    }

    fn docker(path: &str, select: DockerSelect) -> Source {
        Source::DockerArchive { path: path.into(), select }
    }

    #[test]
    fn sources() {
        let tag = |tag: &str| Select::Tag(tag.to_owned());
        let name = |name: &str| DockerSelect::Name(name.to_owned());
        let table = [
            ("oci:dir".to_owned(), oci("dir", Select::Only)),
            ("oci:/a/b:latest".to_owned(), oci("/a/b", tag("latest"))),
            ("oci:dir:docker.io/library/x:1".to_owned(), oci("dir", tag("docker.io/library/x:1"))),
            (format!("oci:dir@sha256:{HEX}"), oci("dir", Select::Digest(format!("sha256:{HEX}").parse().unwrap()))),
            (format!("oci:dir:tag@sha256:{HEX}"), oci("dir", tag(&format!("tag@sha256:{HEX}")))),
            ("oci:d@r:tag".to_owned(), oci("d@r", tag("tag"))),
            ("oci:sha256:x".to_owned(), oci("sha256", tag("x"))),
            ("oci-archive:x.tar:v1".to_owned(), Source::OciArchive { path: "x.tar".into(), select: tag("v1") }),
            ("docker-archive:x.tar".to_owned(), docker("x.tar", DockerSelect::Only)),
            ("docker-archive:x.tar:@3".to_owned(), docker("x.tar", DockerSelect::Index(3))),
            (
                "docker-archive:x.tar:docker.io/library/a:latest".to_owned(),
                docker("x.tar", name("docker.io/library/a:latest")),
            ),
            ("tar:-".to_owned(), Source::Tar(TarSource::Stdin)),
            ("tar:a:b".to_owned(), Source::Tar(TarSource::File("a:b".into()))),
            ("tar:./-".to_owned(), Source::Tar(TarSource::File("./-".into()))),
        ];
        for (text, source) in table {
            assert_eq!(text.parse::<Source>().unwrap(), source);
            assert_eq!(source.to_string(), text);
        }
        for text in
            ["docker-archive:x.tar:a", "docker-archive:x.tar:library/a", "docker-archive:x.tar:docker.io/a:latest"]
        {
            assert_eq!(text.parse::<Source>().unwrap(), docker("x.tar", name("docker.io/library/a:latest")), "{text}");
        }
        assert_eq!("oci:dir:".parse::<Source>().unwrap(), oci("dir", Select::Only));
        let bytes = Source::parse(OsStr::from_bytes(b"oci:\xff\xfe:t")).unwrap();
        assert_eq!(bytes, Source::Oci { path: OsStr::from_bytes(b"\xff\xfe").into(), select: tag("t") });
    }

    #[test]
    fn texts_that_are_nearly_names() {
        let table = [
            ("http://localhost:5000/x", "without a scheme"),
            ("docker://https://localhost:5000/x", "without a scheme"),
            ("Alpine", "lower case"),
            ("docker://ghcr.io/A/b:Tag", "lower case"),
            ("Team/image", "lower case"),
            ("tiny:", "empty"),
            ("localhost:5000/tiny:", "empty"),
            ("tiny@", "expected a digest"),
            ("tiny@sha256:12", "whole digest"),
            ("tiny@latest", "whole digest"),
            ("a b", "oci:PATH"),
            ("", "oci:PATH"),
        ];
        for (text, expected) in table {
            match text.parse::<Source>() {
                Err(Error::Source { problem, .. }) => assert!(problem.contains(expected), "{text:?}: {problem}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn other_texts() {
        let malformed = [
            "",
            "oci:",
            "oci::tag",
            "oci-archive:",
            "tar:",
            "docker-archive:x:",
            "docker-archive:x:@",
            "docker-archive:x:@-1",
            "docker-archive:x:UPPER",
            "/a/path",
            "./a",
            "oci:dir@sha256:12",
            "oci:@sha256:12",
        ];
        for text in malformed {
            assert!(matches!(text.parse::<Source>(), Err(Error::Source { .. })), "{text:?}");
        }
        let digest = format!("docker-archive:x:a@sha256:{HEX}");
        assert!(matches!(digest.parse::<Source>(), Err(Error::Source { .. })));
        for text in ["alpine", "alpine:3", "docker://alpine", "ghcr.io/a/b:c", "localhost:5000/x"] {
            assert!(matches!(text.parse::<Source>(), Ok(Source::Registry(_))), "{text:?}");
        }
        for text in ["docker-daemon:x:1", "containers-storage:x", "dir:/x"] {
            assert!(matches!(text.parse::<Source>(), Err(Error::Transport { .. })), "{text:?}");
        }
        assert!(matches!(Source::parse(OsStr::from_bytes(b"oci:d:\xff")), Err(Error::Source { .. })));
    }
}
