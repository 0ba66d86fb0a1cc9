//! Differencing disks.
//!
//! A differencing VHDX has nothing but what is written to it. It says where its parent is, and what
//! the parent calls its content: whoever opens it refuses a parent that was changed meanwhile. So a
//! baked disk can be the parent of as many machines as one likes, and stay as it is.
//!
//! A qcow2 with a backing file is the same for QEMU, but knows of its parent only the name and the
//! format: nobody notices that a parent was changed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use cvbake_disk::qcow2::Backing;
use cvbake_disk::{Container, Draft};
use cvbake_vhdx::{Identity, Info, Locator, Options};

use super::open::{ChainFile, FileInfo, OpenOptions, chain, format_of_ending};
use crate::control::Control;
use crate::error::{ChainProblem, Error};
use crate::format::FileFormat;
use crate::identity::uuid;

/// What a differencing disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ChildFormat {
    /// A VHDX, of a VHDX.
    #[default]
    Vhdx,
    /// A qcow2, of a qcow2 or a raw disk.
    Qcow2,
}

/// A differencing disk to make.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChildJob {
    /// The disk that has everything: a VHDX of any kind for a VHDX, a qcow2 or a raw disk for a
    /// qcow2.
    pub parent: PathBuf,
    /// What the parent's file is, for a qcow2; found in its content and its name if it is not said.
    pub parent_format: Option<FileFormat>,
    /// What the new disk is.
    pub format: ChildFormat,
    /// Where the new disk goes.
    pub path: PathBuf,
    /// Whether a file that is there is replaced.
    pub replace: bool,
    /// Of a VHDX: where the parent is on a machine with Windows, if that is known:
    /// `\\?\C:\disks\parent.vhdx`.
    pub absolute_win32_path: Option<String>,
    /// Of a VHDX: how many bytes of the disk a block has; as many as the parent's if none are
    /// given.
    pub block_size: Option<u32>,
}

impl ChildJob {
    /// A differencing VHDX beside or away from its parent, with the parent's block size.
    #[must_use]
    pub fn new(parent: impl Into<PathBuf>, path: impl Into<PathBuf>) -> ChildJob {
        ChildJob {
            parent: parent.into(),
            parent_format: None,
            format: ChildFormat::Vhdx,
            path: path.into(),
            replace: false,
            absolute_win32_path: None,
            block_size: None,
        }
    }
}

/// A differencing disk that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Child {
    /// How long the disk is.
    pub disk_bytes: u64,
    /// How long its file is.
    pub file_bytes: u64,
    /// Where the parent is, seen from the child.
    pub relative_path: String,
    /// What the parent's file is.
    pub parent_format: FileFormat,
    /// What the parent calls its content, if the child knows that: a VHDX does.
    pub parent_linkage: Option<[u8; 16]>,
}

/// How long a path is that Windows has, in UTF-16.
const MAX_PATH: usize = 32767;

/// Makes a differencing disk.
///
/// # Errors
/// When the parent or one of its own parents is not as it should be, or the disk can't be written.
pub fn child(job: &ChildJob, control: &Control) -> Result<Child, Error> {
    let draft = control.during(|| Draft::create(&job.path, job.replace), |draft| Some(draft.temporary()))?;
    let (container, child) = match job.format {
        ChildFormat::Vhdx => vhdx(job)?,
        ChildFormat::Qcow2 => qcow2(job)?,
    };
    container.begin(&draft)?.finish()?;
    control.commit(|| draft.commit())?;
    Ok(child)
}

/// A VHDX of a VHDX.
fn vhdx(job: &ChildJob) -> Result<(Container, Child), Error> {
    let parent = match parent(job, Some(FileFormat::Vhdx))?.info {
        FileInfo::Vhdx(info) => info,
        _ => unreachable!("it was read as a VHDX"),
    };
    let relative_path = windows_path(&job.path, &job.parent)?;
    if let Some(path) = job.absolute_win32_path.as_ref().filter(|path| path.encode_utf16().count() > MAX_PATH) {
        return Err(Error::WindowsName { path: path.into() });
    }
    let locator = Locator {
        parent_linkage: parent.data_write,
        relative_path: Some(relative_path.clone()),
        absolute_win32_path: job.absolute_win32_path.clone(),
    };
    let identity = Identity {
        file_write: named("file", &parent, &job.path),
        data_write: named("content", &parent, &job.path),
        virtual_disk: named("disk", &parent, &job.path),
    };
    let options = Options {
        block_size: job.block_size.unwrap_or(parent.block_size),
        logical_sector_size: parent.logical_sector_size,
        ..Options::default()
    };
    let container = options.plan_child(&parent, &locator, &identity)?;
    let child = Child {
        disk_bytes: parent.virtual_disk_size,
        file_bytes: container.len_bytes(),
        relative_path,
        parent_format: FileFormat::Vhdx,
        parent_linkage: Some(parent.data_write),
    };
    Ok((container, child))
}

/// A qcow2 of a qcow2 or a raw disk.
fn qcow2(job: &ChildJob) -> Result<(Container, Child), Error> {
    let parent = parent(job, job.parent_format)?;
    let format = parent.info.format();
    let disk_bytes = match &parent.info {
        FileInfo::Raw => parent.file_bytes,
        FileInfo::Qcow2(info) => info.virtual_size,
        _ => return Err(Error::NoParentOf { path: job.parent.clone(), found: format, child: FileFormat::Qcow2 }),
    };
    // Whoever uses a raw disk can make it look like another format, and who opens the child
    // believes what it says of its parent.
    if job.parent_format.is_none() && format != FileFormat::Raw && format_of_ending(&job.parent) != Some(format) {
        return Err(Error::Chain { path: job.parent.clone(), problem: ChainProblem::Unclear { format } });
    }
    let name = backing_name(&job.path, &job.parent)?;
    let relative_path = String::from_utf8_lossy(&name).into_owned();
    let container = Container::qcow2_child(disk_bytes, &Backing { name, format: Some(format.name().to_owned()) })?;
    let file_bytes = container.len_bytes();
    Ok((container, Child { disk_bytes, file_bytes, relative_path, parent_format: format, parent_linkage: None }))
}

/// A UUID that is a function of the parent's content and the name of the child, so that two
/// children of one parent differ.
fn named(purpose: &str, parent: &Info, path: &Path) -> [u8; 16] {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    uuid(&format!("differencing {purpose}"), &[&parent.data_write[..], name].concat())
}

/// The parent, when all its own parents are there and as they were, and none of them is where the
/// child goes.
fn parent(job: &ChildJob, format: Option<FileFormat>) -> Result<ChainFile, Error> {
    let replaced = std::fs::metadata(&job.path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let options = OpenOptions { format, ..OpenOptions::default() };
    let mut chain = chain(&job.parent, &options)?;
    if let Some(replaced) = chain.iter().find(|file| replaced == Some(file.identity)) {
        return Err(Error::ReplacesParent { path: job.path.clone(), parent: replaced.path.clone() });
    }
    Ok(chain.swap_remove(0))
}

/// The names on the way from a disk to another one, and where that is.
fn way(from: &Path, to: &Path) -> Result<(Vec<OsString>, PathBuf), Error> {
    let whole = |path: &Path| {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = dir.canonicalize().map_err(|source| Error::Scratch { path: dir.to_owned(), source })?;
        Ok::<_, Error>(dir.join(path.file_name().unwrap_or_default()))
    };
    let (from, to) = (whole(from)?, whole(to)?);
    let dir: Vec<Component<'_>> = from.parent().unwrap_or(Path::new("/")).components().collect();
    let target: Vec<Component<'_>> = to.components().collect();
    let common = dir.iter().zip(&target).take_while(|(one, other)| one == other).count();
    let up = vec![OsStr::new(".."); dir.len() - common];
    let down = target[common..].iter().map(|part| part.as_os_str());
    Ok((up.into_iter().chain(down).map(OsStr::to_owned).collect(), to))
}

/// The way from a disk to another one, as QEMU follows it.
fn backing_name(from: &Path, to: &Path) -> Result<Vec<u8>, Error> {
    let (names, to) = way(from, to)?;
    let mut name = names.join(OsStr::new("/")).into_vec();
    // What is in front of a colon would be a protocol.
    if names.first().is_some_and(|first| first.as_bytes().contains(&b':')) {
        name.splice(..0, *b"./");
    }
    match name.len() {
        ..=Backing::MAX_NAME => Ok(name),
        len => Err(Error::BackingName { path: to, len }),
    }
}

/// The way from a disk to another one, as Windows writes it.
fn windows_path(from: &Path, to: &Path) -> Result<String, Error> {
    let (way, to) = way(from, to)?;
    let mut names = Vec::new();
    for name in &way {
        match name.to_str() {
            Some(name) if !name.contains(is_no_windows_character) => names.push(name),
            _ => return Err(Error::WindowsName { path: to.clone() }),
        }
    }
    let dot = if names.first() == Some(&"..") { "" } else { ".\\" };
    let path = format!("{dot}{}", names.join("\\"));
    match path.encode_utf16().count() {
        0..=MAX_PATH => Ok(path),
        _ => Err(Error::WindowsName { path: to }),
    }
}

/// Whether no name of Windows has it.
fn is_no_windows_character(character: char) -> bool {
    character.is_control() || r#"\/:*?"<>|"#.contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b/c"));
        std::fs::create_dir_all(&a).unwrap();
        std::fs::create_dir_all(&b).unwrap();
        let way = |from: &Path, to: &Path| windows_path(from, to).unwrap();
        assert_eq!(way(&a.join("x.vhdx"), &a.join("y.vhdx")), r".\y.vhdx");
        assert_eq!(way(&a.join("x.vhdx"), &b.join("y.vhdx")), r"..\b\c\y.vhdx");
        assert_eq!(way(&dir.path().join("x.vhdx"), &b.join("y.vhdx")), r".\b\c\y.vhdx");
        assert_eq!(way(&b.join("x.vhdx"), &dir.path().join("y.vhdx")), r"..\..\y.vhdx");
        for name in [r"back\slash", "con:", "what?", "a*", "tab\t", "<x>", "\"x\"", "a|b"] {
            assert!(windows_path(&a.join("x"), &a.join(name)).is_err(), "{name}");
        }
        let way = |from: &Path, to: &Path| String::from_utf8(backing_name(from, to).unwrap()).unwrap();
        assert_eq!(way(&a.join("x.qcow2"), &a.join("y.qcow2")), "y.qcow2");
        assert_eq!(way(&a.join("x.qcow2"), &b.join("y z:1")), "../b/c/y z:1");
        std::fs::create_dir(dir.path().join("a:b")).unwrap();
        for name in ["nbd:1", "json:{}", "a:b/c"] {
            assert_eq!(way(&dir.path().join("x"), &dir.path().join(name)), format!("./{name}"));
        }
        let long = vec!["d"; 512].join("/");
        assert!(backing_name(&a.join("x"), &a.join(long)).is_err());
    }
}
