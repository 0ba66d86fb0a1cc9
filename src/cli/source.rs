//! What is given as an image, where files are possible as well as names in registries.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use cvbake::error::Error;
use cvbake::fetch::Source;

/// The endings of files that are more likely an archive than a name in a registry.
const ARCHIVES: [&[u8]; 6] = [b".tar", b".tar.gz", b".tgz", b".tar.zst", b".tzst", b".tar.xz"];

/// A source. What could be a name in a registry and is an archive or a layout here is not guessed at: somebody who gives the
/// name of a file would get an image that whoever has that name in the registry has made.
pub(super) fn parse(text: &OsStr) -> Result<Source, Error> {
    unmistakable(text, Source::parse(text)?)
}

/// The same of a source that is known already.
pub(super) fn unmistakable(text: &OsStr, source: Source) -> Result<Source, Error> {
    let Source::Registry(_) = source else { return Ok(source) };
    if text.as_bytes().starts_with(b"docker://") {
        return Ok(source);
    }
    let (path, shown) = (Path::new(text), text.to_string_lossy());
    let is_archive = ARCHIVES.iter().any(|ending| text.as_bytes().ends_with(ending)) && path.is_file();
    // A directory may well be called like an image, a layout hardly.
    let (what, others) = if is_archive {
        ("file", format!("tar:{shown}, oci-archive:{shown}, docker-archive:{shown}"))
    } else if path.join("oci-layout").is_file() {
        ("directory", format!("oci:{shown}"))
    } else {
        return Ok(source);
    };
    Err(Error::Usage {
        problem: format!("{shown} is a {what} here, and the name of an image in a registry"),
        hint: Some(format!("say which is meant: {others} or docker://{shown}")),
    })
}

/// What a source begins with that is certainly not the name of something in the store.
const TRANSPORTS: [&[u8]; 5] = [b"docker://", b"oci:", b"oci-archive:", b"docker-archive:", b"tar:"];

/// A source that says what it is, where a mere name is one in the store.
pub(super) fn elsewhere(text: &OsStr) -> Result<Option<Source>, Error> {
    let says = TRANSPORTS.iter().any(|transport| text.as_bytes().starts_with(transport));
    Ok(says.then(|| Source::parse(text)).transpose()?)
}

/// What is not in the store by this name may be somewhere else: a file here, or an image in the registry.
pub(super) fn or_elsewhere(text: &OsStr, error: Error) -> Error {
    let Error::NoSuchImage { name, similar } = error else { return error };
    match Source::parse(text).map(|source| unmistakable(text, source)) {
        Ok(Ok(Source::Registry(_))) => Error::NotInStore { name, similar },
        Ok(Err(error)) => error,
        Ok(Ok(_)) | Err(_) => Error::NoSuchImage { name, similar },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_and_names() {
        let registry: Source = "m.tar".parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let there = |name: &str| dir.path().join(name).into_os_string();
        for name in ["m.tar", "m.tar.xz", "alpine"] {
            fs::write(there(name), "").unwrap();
        }
        for name in ["ubuntu", "layout", "d.tar"] {
            fs::create_dir(there(name)).unwrap();
        }
        fs::write(dir.path().join("layout/oci-layout"), "{}").unwrap();
        // Tests have no directory of their own to be in, so here the texts are longer than what they stand for.
        for (name, what, hint) in [
            ("m.tar", "a file", "docker-archive:"),
            ("m.tar.xz", "a file", "oci-archive:"),
            ("layout", "a directory", "oci:"),
        ] {
            let error = unmistakable(&there(name), registry.clone()).unwrap_err();
            assert!(error.line().contains(&format!("{name} is {what} here, and")), "{}", error.line());
            let given = error.hint().unwrap();
            assert!(given.contains(hint) && given.contains("or docker://"), "{given}");
            assert_eq!(error.kind().exit_code(), 2);
        }
        for name in ["alpine", "ubuntu", "d.tar", "other.tar"] {
            assert_eq!(unmistakable(&there(name), registry.clone()).unwrap(), registry, "{name}");
        }
        let oci: Source = "oci:layout".parse().unwrap();
        assert_eq!(unmistakable(&there("layout"), oci.clone()).unwrap(), oci);
        assert!(matches!(parse(OsStr::new("docker://m.tar")), Ok(Source::Registry(_))));
    }
}
