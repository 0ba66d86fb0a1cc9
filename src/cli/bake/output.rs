//! Where a disk may be written to.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cvbake::ImageSource;
use cvbake::fetch::{Source, TarSource};

use crate::cli::image::export;
use crate::failure::Failure;

/// Endings of what is compressed, and of archives but those that are written.
const ARCHIVES: [&str; 16] =
    ["tar", "tgz", "tzst", "txz", "tbz", "tbz2", "gz", "zst", "xz", "bz2", "lz4", "lzma", "zip", "7z", "cpio", "iso"];

/// Whether an ending is that of an archive, or of what is compressed.
pub(super) fn is_archive_ending(ending: &str) -> bool {
    ARCHIVES.contains(&ending)
}

/// Refuses outputs that would not be what their name says.
pub(in crate::cli) fn check(path: &Path) -> Result<&Path, Failure> {
    let wrong = |problem: String, hint: &str| Err(Failure::Usage { problem, hint: Some(hint.to_owned()) });
    if path.as_os_str().as_bytes() == b"-" {
        return wrong(
            "cannot write the disk to standard output: it is written at random positions".to_owned(),
            "write to a file, such as -o disk.ext4, and copy that; `cvbake image export SOURCE tar:-` writes the files as an archive; for a file called - write ./-",
        );
    }
    if let Some(directory) = export::directory(path.as_os_str()) {
        return match directory.as_os_str().is_empty() {
            true => wrong("dir: names no directory".to_owned(), "-o dir:PATH writes the files into a new directory"),
            false => Ok(path),
        };
    }
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    if ARCHIVES.contains(&ending.as_str()) && !super::archive::is_archive(path) {
        return wrong(
            format!("{}: a disk is neither an archive nor compressed; expected a name for a disk", path.display()),
            "name it disk.ext4 or disk.img, and compress it afterwards; -o rootfs.tar, .tar.gz or .tar.zst writes the files \
             as an archive",
        );
    }
    Ok(path)
}

/// Whether a file is the archive that a source is read from, by whatever name.
pub(super) fn is_file_of(source: &ImageSource, file: &Path) -> bool {
    let ImageSource::At(
        Source::OciArchive { path, .. } | Source::DockerArchive { path, .. } | Source::Tar(TarSource::File(path)),
    ) = source
    else {
        return false;
    };
    let identity = |path: &Path| path.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((identity(path), identity(file)), (Ok(source), Ok(file)) if source == file)
}

#[cfg(test)]
mod tests {
    use cvbake::error::Kind;

    use super::*;

    #[test]
    fn outputs() {
        for name in [
            "disk.ext4",
            "disk",
            "disk.img",
            "./-",
            "a.qcow2/disk.ext4",
            "vhd",
            ".qcow2",
            "f.tar",
            "f.tar.gz",
            "f.tgz",
            "f.tar.zst",
        ] {
            assert!(check(Path::new(name)).is_ok(), "{name}");
        }
        for name in ["-", "x.tar.xz", "x.TGZ", "x.ext4.zst"] {
            let error = check(Path::new(name)).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{name}");
            assert!(error.hint().is_some(), "{name}");
        }
    }
}
