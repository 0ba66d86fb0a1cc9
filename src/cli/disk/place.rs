//! `DISK:PATH`, a file on a disk: what several commands take.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use cvbake::disks::OpenOptions;
use cvbake::error::FilesystemError;
use cvbake::inside::{Disk, Filesystem, Node};
use cvbake::text::line;
use cvbake::tree::escape;
use cvbake::tree::read::Follow;

use crate::cli::source;
use crate::failure::Failure;
use crate::ui::Ui;

/// What every command that takes one says of it.
pub(in crate::cli) const SYNTAX: &str = "Files on a disk are named DISK:PATH, where DISK is the file with the disk. On a disk with partitions, \
     DISK:PATH is on the root partition, by its type, or on the only one with a filesystem that cvbake reads, ext4 or EROFS; DISK:2:PATH is on \
     partition 2. A PATH that begins with a digit and could be a partition begins with / instead: DISK:/2.";

/// A file on a disk, or a filesystem on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct DiskPath {
    pub(in crate::cli) disk: PathBuf,
    pub(in crate::cli) partition: Option<usize>,
    /// None if nothing is said.
    pub(in crate::cli) path: Option<Vec<u8>>,
    text: OsString,
}

/// A disk that was opened, and the file that is meant.
pub(in crate::cli) struct Opened {
    pub(in crate::cli) disk: Disk,
    pub(in crate::cli) filesystem: Filesystem,
}

impl DiskPath {
    /// Where the name of the disk ends: at the first colon before which there is a file.
    pub(in crate::cli) fn parse(text: &OsStr) -> DiskPath {
        DiskPath::parse_by(text, &|path| std::fs::metadata(path).is_ok_and(|meta| !meta.is_dir()))
    }

    fn parse_by(text: &OsStr, is_file: &dyn Fn(&OsStr) -> bool) -> DiskPath {
        let bytes = text.as_bytes();
        let colons = || (0..bytes.len()).filter(|&at| bytes[at] == b':');
        let whole = Some(bytes.len()).filter(|_| is_file(text));
        let there = || colons().find(|&at| is_file(OsStr::from_bytes(&bytes[..at])));
        // Where nothing is there, the error names what is in front of the path.
        let before_path = || colons().find(|&at| bytes.get(at + 1) == Some(&b'/')).or_else(|| colons().next());
        let end = whole.or_else(there).or_else(before_path).unwrap_or(bytes.len());
        let disk = PathBuf::from(OsString::from_vec(bytes[..end].to_vec()));
        let rest = bytes.get(end + 1..);
        let (partition, path) = match rest {
            None => (None, None),
            Some(rest) => {
                let (number, path) = match rest.iter().position(|&byte| byte == b':') {
                    Some(at) => (&rest[..at], Some(&rest[at + 1..])),
                    None => (rest, None),
                };
                let digits =
                    std::str::from_utf8(number).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                match digits.and_then(|digits| digits.parse().ok()) {
                    Some(number) => (Some(number), path.map(<[u8]>::to_vec)),
                    None => (None, Some(rest.to_vec())),
                }
            }
        };
        DiskPath { disk, partition, path, text: text.to_owned() }
    }

    /// The path, the root where none is given.
    pub(in crate::cli) fn path(&self) -> &[u8] {
        self.path.as_deref().unwrap_or(b"/")
    }

    /// As it was given.
    pub(in crate::cli) fn shown(&self) -> String {
        line(&self.text.to_string_lossy())
    }

    /// Opens the disk, and warns of what is not as it should be, though it can be read.
    pub(in crate::cli) fn open(&self, ui: &Ui) -> Result<Opened, Failure> {
        self.open_as(&OpenOptions::default(), ui)
    }

    /// The same, as somebody says that it is.
    pub(in crate::cli) fn open_as(&self, options: &OpenOptions, ui: &Ui) -> Result<Opened, Failure> {
        use cvbake::event::Event;
        self.is_no_image()?;
        let disk = Disk::open_as(&self.disk, options)?;
        let shown = line(&self.disk.display().to_string());
        if let Some(damage) = disk.table_damage() {
            let text = format!("{shown}: the partition table at the beginning is damaged ({damage}); its copy is used");
            ui.on(&Event::Warning(text));
        }
        let filesystem = disk.filesystem(self.partition)?;
        if let Filesystem::Ext4(ext4) = &filesystem {
            if ext4.info().needs_recovery {
                let text = "was not unmounted: what is only in its journal is not seen".to_owned();
                ui.on(&Event::Warning(format!("{shown} {text}")));
            }
            if ext4.info().has_errors {
                ui.on(&Event::Warning(format!("{shown}: Linux has marked the filesystem as damaged")));
            }
        }
        Ok(Opened { disk, filesystem })
    }

    /// Whether there is a file that could be the disk.
    pub(in crate::cli) fn is_there(&self) -> bool {
        std::fs::metadata(&self.disk).is_ok_and(|meta| !meta.is_dir())
    }

    /// Refuses what names an image, unless there is a file of that name.
    fn is_no_image(&self) -> Result<(), Failure> {
        let text = self.text.to_string_lossy();
        if !source::has_transport(&text) || self.disk.exists() {
            return Ok(());
        }
        let image = line(&text);
        Err(Failure::Usage {
            problem: format!("{image}: expected a disk, found the name of an image"),
            hint: Some(format!(
                "`cvbake verify DISK --against {image}` compares a disk with it; `cvbake tree {image}` and `cvbake image inspect {image}` show it"
            )),
        })
    }

    /// Refuses a path where a whole disk is meant.
    pub(in crate::cli) fn whole(text: &OsStr) -> Result<DiskPath, Failure> {
        let parsed = DiskPath::parse(text);
        parsed.is_no_image()?;
        match &parsed.path {
            None => Ok(parsed),
            Some(path) => Err(Failure::Usage {
                problem: format!("{}: expected a disk, found the path {} on one", parsed.shown(), escape(path)),
                hint: Some("name the file with the disk only, or DISK:N for partition N".to_owned()),
            }),
        }
    }
}

impl Opened {
    /// The file at a path.
    pub(in crate::cli) fn lookup(&self, path: &[u8], follow: Follow) -> Result<Node, Failure> {
        Ok(self.filesystem.lookup(path, follow).map_err(|error| self.disk.unreadable(error))?)
    }

    /// An error about the filesystem.
    pub(in crate::cli) fn wrong(&self, error: FilesystemError) -> Failure {
        self.disk.unreadable(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_disk_ends() {
        let files = ["a.ext4", "odd:name.raw", "b:2"];
        let is_file = |path: &OsStr| files.iter().any(|file| OsStr::new(file) == path);
        for (text, disk, partition, path) in [
            ("a.ext4", "a.ext4", None, None),
            ("a.ext4:/etc", "a.ext4", None, Some("/etc")),
            ("a.ext4:etc/passwd", "a.ext4", None, Some("etc/passwd")),
            ("a.ext4:2", "a.ext4", Some(2), None),
            ("a.ext4:2:/x:/y", "a.ext4", Some(2), Some("/x:/y")),
            ("a.ext4:/2", "a.ext4", None, Some("/2")),
            ("a.ext4:", "a.ext4", None, Some("")),
            ("odd:name.raw:/x", "odd:name.raw", None, Some("/x")),
            ("b:2", "b:2", None, None),
            ("b:2:2:x", "b:2", Some(2), Some("x")),
            ("none.ext4:/x", "none.ext4", None, Some("/x")),
            ("none", "none", None, None),
        ] {
            let found = DiskPath::parse_by(OsStr::new(text), &is_file);
            let found_path = found.path.as_deref().map(|path| std::str::from_utf8(path).unwrap().to_owned());
            assert_eq!(
                (found.disk.to_str(), found.partition, found_path.as_deref()),
                (Some(disk), partition, path),
                "{text}"
            );
        }
    }
}
