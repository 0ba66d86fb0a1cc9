//! What is given as an image, where files are possible as well as names in registries.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use cvbake::ImageSource;
use cvbake::error::Error;
use cvbake::fetch::{Name, Source};

use crate::failure::Failure;
use crate::hint;

/// The endings of files that are an archive rather than a name in a registry.
const ARCHIVES: [&str; 10] = ["tar", "tgz", "tzst", "txz", "tbz", "tbz2", "gz", "zst", "xz", "bz2"];

/// What has a transport is neither a path nor a short name, whatever is in the current directory.
const PREFIXES: [&str; 6] = ["docker", "oci", "oci-archive", "docker-archive", "tar", "dir"];

/// Whether a text names an image with its transport.
pub(super) fn has_transport(text: &str) -> bool {
    text.split_once(':').is_some_and(|(transport, _)| PREFIXES.contains(&transport))
}

/// What a command takes besides names of images in registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Files and directories, each with its transport.
    Files,
    /// Nothing.
    NamesOnly,
}

/// A source. What could be a name in a registry and is a path is not guessed at: somebody who gives
/// the name of a file would get an image that whoever has that name in the registry has made.
pub(super) fn parse(text: &OsStr) -> Result<Source, Failure> {
    check(text, Takes::Files)?;
    Ok(Source::parse(text)?)
}

/// An image, in the store or elsewhere.
pub(super) fn image(text: &OsStr) -> Result<ImageSource, Failure> {
    check(text, Takes::Files)?;
    if let Some(digest) = text.to_str().filter(|text| is_digest(text)) {
        return Ok(ImageSource::Digest(digest.to_owned()));
    }
    Ok(meant(text, parse(text)?))
}

/// A source, which is in the store under some other name if it is a mere name.
fn meant(text: &OsStr, source: Source) -> ImageSource {
    match source {
        Source::Registry(name) if name.short().is_some() && !text.as_bytes().starts_with(b"docker://") => {
            ImageSource::Short(name)
        }
        source => ImageSource::At(source),
    }
}

/// Whether a text is a digest or its beginning, and no name. What could be either is looked for in
/// the store first.
fn is_digest(text: &str) -> bool {
    let with_algorithm = ["sha256:", "sha512:"].iter().find_map(|algorithm| text.strip_prefix(algorithm));
    let hex = with_algorithm.unwrap_or(text);
    let is_hex = hex.len() >= 4 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex && (with_algorithm.is_some() || Name::new(text).is_none())
}

/// Refuses a text without a transport that looks like a path: one where something is, one that ends
/// like an archive, or one that begins or ends as only paths do. A name that says its registry, its
/// tag or its digest is a name.
pub(super) fn check(text: &OsStr, takes: Takes) -> Result<(), Failure> {
    check_in(Path::new(""), text, takes)
}

/// Refuses a text that is no name to push to, though it could be read as one: a registry alone, and
/// an image layout. Any other path may well be called like an image in a registry.
pub(super) fn check_target(text: &OsStr) -> Result<(), Failure> {
    let shown = text.to_string_lossy();
    match Name::new(&shown) {
        Some(name) if name.is_registry() => Err(registry_alone(&name)),
        name => match Found::at(Path::new(text)) {
            Found::Layout => Err(Found::Layout.refused(&shown, name.is_some().then_some(&*shown), Takes::NamesOnly)),
            _ => Ok(()),
        },
    }
}

fn check_in(current: &Path, text: &OsStr, takes: Takes) -> Result<(), Failure> {
    let shown = text.to_string_lossy();
    if has_transport(&shown) || shown.contains("://") || shown.is_empty() {
        return Ok(());
    }
    if shown == "-" {
        let problem = "- is not an image source: expected tar:-".to_owned();
        return Err(Failure::Usage { problem, hint: Some(hint::STDIN.to_owned()) });
    }
    let name = Name::new(&shown);
    let at = |path: &str| Found::at(&current.join(path));
    let refuse = |path: &str, found: Found| Err(found.refused(path, name.is_some().then_some(&*shown), takes));
    // `image.tar:latest`, `layout:v2`: who writes this means what is there.
    if let Some((path, tag)) = shown.split_once(':') {
        match at(path) {
            Found::File if is_archive(path) => return refuse(path, Found::File),
            Found::Layout if !tag.contains('/') => return refuse(&shown, Found::Layout),
            _ => {}
        }
    }
    if let Some(name) = name.as_ref().filter(|name| name.is_registry()) {
        return Err(registry_alone(name));
    }
    let found = Found::at(&current.join(text));
    let is_path = match &name {
        None => found != Found::Nothing || looks_like_path(text),
        Some(name) if name.short().is_some() && name.suffix().is_empty() => {
            found != Found::Nothing || is_archive(&shown)
        }
        // A directory may well be called like a registry, a layout and an archive hardly.
        Some(_) => found == Found::Layout || found == Found::File && is_archive(&shown),
    };
    if is_path { refuse(&shown, found) } else { Ok(()) }
}

/// The error about a name that is a registry's, without an image in it.
fn registry_alone(name: &Name) -> Failure {
    Failure::Usage {
        problem: format!("{name} is a registry, expected the name of an image in it"),
        hint: Some(format!("write {name}/NAME:TAG; docker://{name} is an image of Docker Hub that is called so")),
    }
}

fn is_archive(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(_, ending)| ARCHIVES.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Whether it is a path, of what is no name.
fn looks_like_path(text: &OsStr) -> bool {
    let bytes = text.as_bytes();
    let starts = matches!(bytes, [b'.' | b'/' | b'~', ..]);
    starts || bytes.ends_with(b"/") || is_archive(&text.to_string_lossy())
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    File,
    /// A directory in the OCI image layout.
    Layout,
    Directory,
}

impl Found {
    fn at(path: &Path) -> Found {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() && path.join("oci-layout").is_file() => Found::Layout,
            Ok(metadata) if metadata.is_dir() => Found::Directory,
            Ok(_) => Found::File,
            Err(_) => Found::Nothing,
        }
    }

    /// The error about a path, which may be the name of an image as well.
    fn refused(self, path: &str, name: Option<&str>, takes: Takes) -> Failure {
        let what = match self {
            Found::Nothing => "looks like a path, but there is no such file or directory",
            Found::File => "is a file",
            Found::Layout => "is a directory in the OCI image layout",
            Found::Directory => "is a directory",
        };
        let problem = match (self, name) {
            (Found::Nothing, _) => format!("{path} {what}"),
            (_, Some(_)) => format!("{path} {what}, and could be the name of an image in a registry, too"),
            (_, None) => format!("{path} {what}: expected the transport in front of it"),
        };
        let transports = match self {
            Found::Layout => format!("oci:{path}"),
            Found::Directory => format!(
                "oci:{path} if it is an OCI image layout; a directory with the files of a root filesystem is archived \
                 first: `tar -C {path} -cf rootfs.tar .` makes tar:rootfs.tar"
            ),
            Found::Nothing if !is_archive(path) => {
                format!("oci:{path}, tar:{path}, oci-archive:{path} or docker-archive:{path}")
            }
            Found::File | Found::Nothing => format!(
                "tar:{path} for a root filesystem, docker-archive:{path} for what `docker save` wrote, or \
                 oci-archive:{path}"
            ),
        };
        let files = match (takes, self) {
            // With a transport it would not be there, either.
            (Takes::Files, Found::Nothing) => format!("check the path, and write {transports}"),
            (Takes::Files, _) => format!("write {transports}"),
            (Takes::NamesOnly, _) => format!("`cvbake bake` and `cvbake image import` take files: {transports}"),
        };
        let registry = name.map(|name| format!("; docker://{name} is the image in a registry")).unwrap_or_default();
        Failure::Usage { problem, hint: Some(format!("{files}{registry}")) }
    }
}

/// What a source begins with that is certainly not the name of something in the store.
const TRANSPORTS: [&[u8]; 5] = [b"docker://", b"oci:", b"oci-archive:", b"docker-archive:", b"tar:"];

/// A source that says what it is, where a mere name is one in the store.
pub(super) fn elsewhere(text: &OsStr) -> Result<Option<Source>, Failure> {
    let says = TRANSPORTS.iter().any(|transport| text.as_bytes().starts_with(transport));
    Ok(says.then(|| Source::parse(text)).transpose()?)
}

/// What is not in the store by this name may be somewhere else: a file here, or an image in the
/// registry.
pub(super) fn or_elsewhere(text: &OsStr, error: Error) -> Failure {
    let Error::NoSuchImage { name, similar } = error else { return error.into() };
    match parse(text) {
        Ok(Source::Registry(_)) => Failure::NotInStore { name, similar },
        Err(error @ Failure::Usage { .. }) => error,
        Ok(_) | Err(_) => Error::NoSuchImage { name, similar }.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn directory() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["m.tar", "m.tar.xz", "M.TAR", "plain"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        for name in ["ubuntu", "team/app", "layout", "ghcr.io/a/layout", "ghcr.io/a/b"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        for layout in ["layout", "ghcr.io/a/layout"] {
            fs::write(dir.path().join(layout).join("oci-layout"), "{}").unwrap();
        }
        dir
    }

    #[test]
    fn paths_are_refused_with_the_transport_to_write() {
        let dir = directory();
        for (text, problem, hint) in [
            ("m.tar", "m.tar is a file, and", "write tar:m.tar for"),
            ("m.tar", "name of an image", "; docker://m.tar is the image"),
            ("m.tar.xz", "is a file", "docker-archive:m.tar.xz"),
            ("m.tar:latest", "m.tar is a file", "docker-archive:m.tar for"),
            ("M.TAR", "M.TAR is a file: expected the transport", "oci-archive:M.TAR"),
            ("plain", "plain is a file", "docker://plain"),
            ("./plain", "is a file", "tar:./plain"),
            ("ubuntu", "ubuntu is a directory, and", "write oci:ubuntu if"),
            ("ubuntu", "", "`tar -C ubuntu -cf rootfs.tar .` makes tar:rootfs.tar"),
            ("ubuntu/", "ubuntu/ is a directory: expected", "oci:ubuntu/"),
            ("team/app", "is a directory", "docker://team/app"),
            ("layout", "layout is a directory in the OCI image layout", "write oci:layout; docker://layout"),
            ("ghcr.io/a/layout", "in the OCI image layout", "oci:ghcr.io/a/layout"),
            ("nosuch.tar", "nosuch.tar looks like a path, but there is no such file", "docker-archive:nosuch.tar"),
            ("nosuch.tar.gz", "no such file", "docker://nosuch.tar.gz"),
            ("team/nosuch.tgz", "no such file", "tar:team/nosuch.tgz"),
            ("Nosuch.Tar", "no such file", "tar:Nosuch.Tar"),
            ("./nosuch", "no such file or directory", "oci:./nosuch"),
            ("/no/such", "no such file or directory", "oci:/no/such"),
            ("../nosuch", "no such file or directory", "oci:../nosuch"),
            ("~/nosuch", "no such file or directory", "oci:~/nosuch"),
            ("nosuch/", "no such file or directory", "oci:nosuch/"),
        ] {
            let error = check_in(dir.path(), OsStr::new(text), Takes::Files).unwrap_err();
            assert!(error.line().contains(problem), "{text}: {}", error.line());
            let given = error.hint().unwrap();
            assert!(given.contains(hint), "{text}: {given}");
            assert_eq!(error.exit_status(), 2);
            let error = check_in(dir.path(), OsStr::new(text), Takes::NamesOnly).unwrap_err();
            assert!(error.hint().unwrap().starts_with("`cvbake bake` and `cvbake image import` take files: "));
        }
    }

    #[test]
    fn digests_and_names() {
        let image = |text: &str| image(OsStr::new(text)).unwrap();
        for text in ["sha256:abcd", &format!("sha256:{}", "0".repeat(64)), "ABCD"] {
            assert!(matches!(image(text), ImageSource::Digest(_)), "{text}");
        }
        // What may be either is looked for in the store first.
        for text in ["abcd", "cafe1", "abc", "abcd:latest", "alpine", "sha256:abc", "sha256:latest"] {
            assert!(matches!(image(text), ImageSource::Short(_)), "{text}");
        }
        for text in ["docker://abcd", "ghcr.io/a/b", "oci:dir", "tar:-"] {
            assert!(matches!(image(text), ImageSource::At(_)), "{text}");
        }
    }

    #[test]
    fn names_are_names() {
        let dir = directory();
        let digest = format!("m.tar@sha256:{}", "0".repeat(64));
        for text in [
            "alpine",
            "ubuntu:24.04",
            "team/app:v1",
            "docker.io/ubuntu",
            "ghcr.io/a/b",
            "ghcr.io/a/nosuch.tar",
            "localhost:5000/m.tar",
            "nosuch.tar:v1",
            "docker://m.tar",
            "docker://ubuntu",
            "oci:layout",
            "oci:nosuch",
            "tar:m.tar",
            "tar:-",
            "dir:ubuntu",
            "node.js",
            "https://localhost:5000/",
            &digest,
            "",
            "Alpine",
            "a b",
        ] {
            assert!(check_in(dir.path(), OsStr::new(text), Takes::Files).is_ok(), "{text}");
        }
        assert!(matches!(parse(OsStr::new("docker://m.tar")), Ok(Source::Registry(_))));
    }
}
