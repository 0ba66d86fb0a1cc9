//! Where an image may be exported to, in the words of the command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use cvbake::archive::Compression;
use cvbake::fetch::{DockerSelect, Error as FetchError, Select, Source, TarSource};
use cvbake::images::Target;

use super::root_filesystem;
use crate::failure::Failure;

/// The ending of a file that promises what is not written: another compression, or no tar.
pub(super) fn unsupported(target: &Target) -> Option<String> {
    const ENDINGS: [&str; 13] =
        ["xz", "txz", "bz2", "tbz", "tbz2", "tb2", "lz4", "lz", "lzma", "tlz", "z", "zip", "7z"];
    let ending = file_of(target)?.extension()?.to_str()?.to_ascii_lowercase();
    ENDINGS.contains(&ending.as_str()).then(|| format!(".{ending}"))
}

/// The file that is written.
pub(super) fn file_of(target: &Target) -> Option<&Path> {
    match target {
        Target::OciArchive { path, .. } | Target::DockerArchive { path, .. } | Target::Tar { path: Some(path) } => {
            Some(path)
        }
        _ => None,
    }
}

/// The path to suggest for a target that has no transport, or an unknown one.
fn place(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    text.split_once(':').map_or_else(|| text.clone().into_owned(), |_| "PATH".to_owned())
}

const STDOUT: &str =
    "tar:- writes the root filesystem to standard output; an image goes to a file, such as docker-archive:image.tar";

pub(super) fn parse(text: &OsStr) -> Result<Target, Failure> {
    let wrong = |problem: String, hint: &str| Err(Failure::Usage { problem, hint: Some(hint.to_owned()) });
    let tag = |select| match select {
        Select::Only => Ok(None),
        Select::Tag(tag) => Ok(Some(tag)),
        Select::Digest(_) => Err(()),
    };
    let named = |path, select, make: fn(_, _) -> Target| match tag(select) {
        Ok(tag) => Ok(make(path, tag)),
        Err(()) => wrong(
            format!("{}: the digest of an export follows from the image", text.display()),
            "give a tag instead: oci:DIR:TAG",
        ),
    };
    let nowhere = |is_remote: bool| {
        let hint = match (text == "-", is_remote) {
            (true, _) => STDOUT.to_owned(),
            (false, true) => format!(
                "`cvbake push NAME {}` sends an image to a registry; oci:DIR adds it to a directory",
                text.to_string_lossy().trim_start_matches("docker://")
            ),
            (false, false) => format!(
                "oci:{0} adds the image to a directory; oci-archive:{0} and docker-archive:{0} write a file",
                place(text)
            ),
        };
        wrong(
            format!(
                "{} is not a place to export to: expected oci:DIR, oci-archive:FILE, docker-archive:FILE, tar:FILE or dir:PATH",
                text.display()
            ),
            &hint,
        )
    };
    if let Some(path) = directory(text) {
        return match path.as_os_str().is_empty() {
            true => wrong("dir: names no directory".to_owned(), "dir:PATH writes the files into a new directory"),
            false => Ok(Target::Dir { path }),
        };
    }
    let place = match root_filesystem(text).map_or_else(|| Source::parse(text), Ok) {
        // One with its transport says what is wrong behind that.
        Err(FetchError::Source { .. }) if !text.as_bytes().contains(&b':') => return nowhere(false),
        parsed => parsed?,
    };
    match place {
        // What other programs take for standard output.
        Source::Oci { path, .. } | Source::OciArchive { path, .. } | Source::DockerArchive { path, .. }
            if path == Path::new("-") =>
        {
            wrong(format!("{} would be a file called -, not standard output", text.display()), STDOUT)
        }
        Source::Oci { path, select } => named(path, select, |path, tag| Target::Oci { path, tag }),
        Source::OciArchive { path, select } => named(path, select, |path, tag| Target::OciArchive { path, tag }),
        Source::DockerArchive { path, select: DockerSelect::Only } => {
            Ok(Target::DockerArchive { path, names: Vec::new() })
        }
        Source::DockerArchive { path, select: DockerSelect::Name(name) } => {
            Ok(Target::DockerArchive { path, names: vec![name] })
        }
        Source::Tar(TarSource::File(path)) => Ok(Target::Tar { path: Some(path) }),
        Source::Tar(TarSource::Stdin) => Ok(Target::Tar { path: None }),
        Source::Registry(name) => nowhere(name.short().is_none() || text.as_bytes().contains(&b':')),
        _ => nowhere(false),
    }
}

/// The directory that is meant by `dir:PATH`.
pub(in crate::cli) fn directory(text: &OsStr) -> Option<PathBuf> {
    text.as_bytes().strip_prefix(b"dir:").map(|path| PathBuf::from(OsStr::from_bytes(path)))
}

/// How a file is compressed, by its ending.
pub(in crate::cli) fn compression_by_name(target: &Target) -> Compression {
    let ending = file_of(target).and_then(Path::extension).and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    match ending.as_deref() {
        Some("gz" | "tgz") => Compression::Gzip,
        Some("zst" | "tzst") => Compression::Zstd,
        _ => Compression::None,
    }
}

/// What a target is, in the words of the command line.
pub(super) fn format_of(target: &Target) -> &'static str {
    match target {
        Target::Oci { .. } => "oci",
        Target::OciArchive { .. } => "oci-archive",
        Target::DockerArchive { .. } => "docker-archive",
        Target::Tar { .. } => "tar",
        Target::Dir { .. } => "dir",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let shown = |text: &str| format!("{:?}", parse(OsStr::new(text)).unwrap());
        let table = [
            ("oci:d:t", r#"Oci { path: "d", tag: Some("t") }"#),
            ("oci-archive:f.tar", r#"OciArchive { path: "f.tar", tag: None }"#),
            ("docker-archive:f.tar:a", r#"DockerArchive { path: "f.tar", names: ["docker.io/library/a:latest"] }"#),
            ("tar:-", "Tar { path: None }"),
            ("tar:x", r#"Tar { path: Some("x") }"#),
            ("./a.tar.gz", r#"Tar { path: Some("./a.tar.gz") }"#),
            ("a.tgz", r#"Tar { path: Some("a.tgz") }"#),
            ("dir:a.tar", r#"Dir { path: "a.tar" }"#),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text), expected, "{text}");
        }
        let digest = format!("oci:d@sha256:{}", "0".repeat(64));
        for text in ["alpine", "docker://alpine", &digest, "docker-archive:f:@0", "dir:", ".tar"] {
            let error = parse(OsStr::new(text)).unwrap_err();
            assert_eq!(error.exit_status(), 2, "{text}");
        }
    }

    #[test]
    fn hints() {
        for (text, expected) in [
            ("-", "tar:- writes"),
            ("docker-archive:-", "tar:- writes"),
            ("oci:-:v1", "tar:- writes"),
            ("docker://r.example/a:1", "`cvbake push NAME r.example/a:1` sends"),
            ("r.example/a", "`cvbake push NAME r.example/a` sends"),
            ("team/app:v1", "`cvbake push NAME team/app:v1` sends"),
            ("X", "oci:X adds"),
            ("alpine", "oci:alpine adds"),
        ] {
            let hint = parse(OsStr::new(text)).unwrap_err().hint().unwrap();
            assert!(hint.starts_with(expected), "{text}: {hint}");
        }
        assert!(parse(OsStr::new("oci-archive:./-")).is_ok());
    }

    #[test]
    fn compressions() {
        let of = |name: &str| compression_by_name(&Target::Tar { path: Some(Path::new(name).into()) });
        assert_eq!(of("a.tar"), Compression::None);
        assert_eq!(of("a.tar.gz"), Compression::Gzip);
        assert_eq!(of("a.tgz"), Compression::Gzip);
        assert_eq!(of("a.tar.zst"), Compression::Zstd);
        assert_eq!(of("A.TAR.GZ"), Compression::Gzip);
        assert_eq!(of("gz"), Compression::None);
        for (text, expected) in [
            ("tar:a.tar.xz", Some(".xz")),
            ("docker-archive:a.tar.BZ2:x", Some(".bz2")),
            ("oci-archive:a.zip", Some(".zip")),
            ("tar:a.tar.gz", None),
            ("tar:xz", None),
            ("tar:-", None),
            ("oci:a.xz", None),
        ] {
            assert_eq!(unsupported(&parse(OsStr::new(text)).unwrap()).as_deref(), expected, "{text}");
        }
    }
}
