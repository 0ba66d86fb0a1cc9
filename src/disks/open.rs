//! A disk in a file of any format, and all that is behind it.
//!
//! Somebody has named the first file; what it says of others is the word of a file that anybody may
//! have made. So only relative paths are followed, those of raw files only downwards and over no
//! link, and only where somebody has said the format, or the name says it: the guest of a raw disk
//! can write whatever it likes at its beginning, also what makes it look like the child of any
//! file.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvbake_disk::{RawDisk, ReadAt, qcow2, vhd};
use cvbake_vhdx as vhdx;

use super::place::Place;
use crate::error::{ChainProblem, DiskReadError, Error};
use crate::format::FileFormat;

/// How a disk is opened.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// What its file is; found in its content if it is not said.
    pub format: Option<FileFormat>,
    /// The files that are behind it, instead of those that it and they name: the first is the
    /// parent of the disk, the second that of the first.
    pub parents: Vec<PathBuf>,
}

/// A disk that is open.
#[non_exhaustive]
pub struct OpenDisk {
    /// The files that it is made of: the one that was named, its parent, the parent of that.
    pub chain: Vec<ChainFile>,
    /// The disk, as a machine sees it. Its errors are [`DiskReadError`]s, which say in which file.
    pub disk: Arc<dyn ReadAt>,
}

/// A file of a disk.
#[derive(Debug)]
#[non_exhaustive]
pub struct ChainFile {
    /// What it is called, for messages.
    pub path: PathBuf,
    /// What it says of itself.
    pub info: FileInfo,
    /// How long it is.
    pub file_bytes: u64,
    /// How much of it is no hole.
    pub allocated_bytes: u64,
    /// Which file it is, by whatever name.
    pub(crate) identity: (u64, u64),
    pub(crate) file: File,
}

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileInfo {
    /// Nothing.
    Raw,
    /// The header of a qcow2 file.
    Qcow2(qcow2::Info),
    /// The footer and the header of a VHD file.
    Vhd(vhd::Info),
    /// The headers and the metadata of a VHDX file.
    Vhdx(vhdx::Info),
}

/// How many disks a chain may have. Each costs every read that it does not have itself.
pub(super) const MAX_CHAIN: usize = 64;

/// What `st_blocks` counts in, whatever the filesystem.
const ST_BLOCKS: u64 = 512;

/// The format whose files have names with this ending.
pub(super) fn format_of_ending(path: &Path) -> Option<FileFormat> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "qcow2" | "qcow" => Some(FileFormat::Qcow2),
        "vhd" | "avhd" | "vpc" => Some(FileFormat::Vhd),
        "vhdx" | "avhdx" => Some(FileFormat::Vhdx),
        _ => None,
    }
}

/// The format that a file's content says.
fn format_of_content(file: &File) -> io::Result<FileFormat> {
    let len = file.metadata()?.len();
    let mut first = [0; 8];
    let first = &mut first[..usize::try_from(len.min(8)).expect("at most 8")];
    file.read_exact_at(first, 0)?;
    Ok(match () {
        () if first == b"vhdxfile" => FileFormat::Vhdx,
        () if first.starts_with(b"QFI\xfb") => FileFormat::Qcow2,
        () if vhd::Info::is_vhd(file)? => FileFormat::Vhd,
        () => FileFormat::Raw,
    })
}

impl FileInfo {
    /// Which format it is.
    #[must_use]
    pub fn format(&self) -> FileFormat {
        match self {
            FileInfo::Raw => FileFormat::Raw,
            FileInfo::Qcow2(_) => FileFormat::Qcow2,
            FileInfo::Vhd(_) => FileFormat::Vhd,
            FileInfo::Vhdx(_) => FileFormat::Vhdx,
        }
    }

    /// Whether all that it does not have is on another disk.
    fn has_parent(&self) -> bool {
        match self {
            FileInfo::Raw => false,
            FileInfo::Qcow2(info) => info.backing.is_some(),
            FileInfo::Vhd(info) => info.parent.is_some(),
            FileInfo::Vhdx(info) => info.parent.is_some(),
        }
    }
}

impl OpenDisk {
    /// The file that was named.
    #[must_use]
    pub fn file(&self) -> &ChainFile {
        &self.chain[0]
    }
}

/// Opens a disk for reading, with all that is behind it.
///
/// # Errors
/// When one of the files is not as it should be, or is not the parent that it was.
pub fn open(path: &Path, options: &OpenOptions) -> Result<OpenDisk, Error> {
    of_chain(chain(path, options)?)
}

/// Opens a disk that was just made, and has no parent.
pub(crate) fn open_made(path: &Path, file: File, format: FileFormat) -> Result<OpenDisk, Error> {
    of_chain(vec![read_file(path, file, Some(format), None)?])
}

fn of_chain(chain: Vec<ChainFile>) -> Result<OpenDisk, Error> {
    let mut disk: Option<Arc<dyn ReadAt>> = None;
    for one in chain.iter().rev() {
        let wrong = |source| read_format(one, None, source);
        let file = one.file.try_clone().map_err(|source| open_failed(&one.path, None, source))?;
        let inner: Arc<dyn ReadAt> = match &one.info {
            FileInfo::Raw => Arc::new(RawDisk::new(file).map_err(|source| open_failed(&one.path, None, source))?),
            FileInfo::Qcow2(info) => Arc::new(info.disk(file, disk.take()).map_err(wrong)?),
            FileInfo::Vhd(info) => Arc::new(info.disk(file, disk.take())),
            FileInfo::Vhdx(info) => Arc::new(info.disk(file, disk.take())),
        };
        disk = Some(Arc::new(Named { path: one.path.clone(), inner }));
    }
    Ok(OpenDisk { disk: disk.expect("a chain has a file"), chain })
}

/// The files that a disk is made of, when each is the parent that its child was made of.
pub(super) fn chain(path: &Path, options: &OpenOptions) -> Result<Vec<ChainFile>, Error> {
    let place = Place::named(path).map_err(|source| open_failed(path, None, source))?;
    let mut parents = options.parents.iter();
    let first = read(&place, options.format, None)?;
    let is_said = options.format.is_some() || format_of_ending(path) == Some(first.info.format());
    let mut seen = BTreeSet::from([first.identity]);
    let (mut chain, mut place) = (vec![first], place);
    loop {
        let child = chain.last().expect("a chain has a file");
        let named = parents.next();
        let wrong = |problem| Error::Chain { path: child.path.clone(), problem };
        if !child.info.has_parent() {
            return match named {
                Some(parent) => Err(wrong(ChainProblem::NoParent { parent: parent.clone() })),
                None => Ok(chain),
            };
        }
        let (next, format) = match named {
            Some(path) => {
                let next = Place::named(path).map_err(|source| open_failed(path, Some(&child.path), source))?;
                (next, own_format(&child.info))
            }
            None if chain.len() == 1 && !is_said => {
                return Err(wrong(ChainProblem::Unsaid { format: child.info.format() }));
            }
            None => (parent_place(child, &place)?, stated_format(child)?),
        };
        let parent = read(&next, format, Some(&child.path))?;
        let path = parent.path.clone();
        if !seen.insert(parent.identity) {
            return Err(wrong(ChainProblem::Circle { parent: path }));
        }
        if seen.len() > MAX_CHAIN {
            return Err(Error::Chain { path, problem: ChainProblem::TooLong { max: MAX_CHAIN } });
        }
        match (&child.info, &parent.info) {
            (FileInfo::Vhdx(child), FileInfo::Vhdx(parent)) => {
                let linkage = child.parent.as_ref().map(|locator| locator.parent_linkage);
                if linkage != Some(parent.data_write) {
                    return Err(wrong(ChainProblem::Changed { parent: path }));
                }
                if child.logical_sector_size != parent.logical_sector_size {
                    return Err(wrong(ChainProblem::Sectors { parent: path }));
                }
            }
            (FileInfo::Vhd(child), FileInfo::Vhd(parent)) => {
                // Its time stamp is that of the parent's file, which is another one in a copy.
                let linkage = child.parent.as_ref().map(|named| named.unique_id);
                if linkage != Some(parent.unique_id) {
                    return Err(wrong(ChainProblem::Other { parent: path }));
                }
            }
            _ => {}
        }
        chain.push(parent);
        place = next;
    }
}

/// The format that every parent of a disk has, if there is one.
fn own_format(info: &FileInfo) -> Option<FileFormat> {
    match info.format() {
        FileFormat::Raw | FileFormat::Qcow2 => None,
        same => Some(same),
    }
}

/// The format that a disk says its parent has.
fn stated_format(child: &ChainFile) -> Result<Option<FileFormat>, Error> {
    let FileInfo::Qcow2(info) = &child.info else { return Ok(own_format(&child.info)) };
    let Some(backing) = &info.backing else { return Ok(None) };
    let wrong = |problem| Error::Chain { path: child.path.clone(), problem };
    let name = String::from_utf8_lossy(&backing.name).into_owned();
    match backing.format.as_deref() {
        Some("raw") => Ok(Some(FileFormat::Raw)),
        Some("qcow2") => Ok(Some(FileFormat::Qcow2)),
        Some("vpc") => Ok(Some(FileFormat::Vhd)),
        Some("vhdx") => Ok(Some(FileFormat::Vhdx)),
        Some(format) => Err(wrong(ChainProblem::OtherFormat { name, format: format.to_owned() })),
        None => Err(wrong(ChainProblem::NoFormat { name })),
    }
}

/// Where a disk says that its parent is.
fn parent_place(child: &ChainFile, place: &Place) -> Result<Place, Error> {
    let wrong = |problem| Error::Chain { path: child.path.clone(), problem };
    let windows = |relative: Option<&str>| {
        let relative = relative.ok_or_else(|| wrong(ChainProblem::NoRelativePath))?;
        // To Windows, both are no part of a name; here, a name with a slash could be any file.
        if relative.contains(['/', '\0']) {
            return Err(wrong(ChainProblem::NoPath { relative: relative.to_owned() }));
        }
        Ok(place.beside(relative.split('\\').map(OsStr::new), true))
    };
    let found = match &child.info {
        FileInfo::Vhdx(info) => windows(info.parent.as_ref().and_then(|parent| parent.relative_path.as_deref()))?,
        FileInfo::Vhd(info) => windows(info.parent.as_ref().and_then(|parent| parent.relative_path.as_deref()))?,
        FileInfo::Qcow2(info) => {
            let name = info.backing.as_ref().map(|backing| &backing.name[..]).unwrap_or_default();
            let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
            if name.starts_with(b"/") || first.contains(&b':') || name.contains(&0) {
                return Err(wrong(ChainProblem::Elsewhere { name: String::from_utf8_lossy(name).into_owned() }));
            }
            let mut names = name.split(|byte| *byte == b'/').map(OsStr::from_bytes);
            // Of a raw file nothing tells whether it was ever meant to be a disk.
            let is_raw = info.backing.as_ref().is_some_and(|backing| backing.format.as_deref() == Some("raw"));
            if is_raw && names.clone().any(|name| name == "..") {
                return Err(wrong(ChainProblem::AnyFile { name: String::from_utf8_lossy(name).into_owned() }));
            }
            place.beside(&mut names, !is_raw)
        }
        FileInfo::Raw => return Err(wrong(ChainProblem::NoRelativePath)),
    };
    found.map_err(|(path, source)| open_failed(&path, Some(&child.path), source))
}

/// The file that was named, and what it is: nothing of it was read but what says that.
pub(super) fn first(path: &Path, options: &OpenOptions) -> Result<(FileFormat, File), Error> {
    let failed = |source| open_failed(path, None, source);
    let file = Place::named(path).and_then(|place| place.open()).map_err(failed)?;
    let format = options.format.map_or_else(|| format_of_content(&file), Ok).map_err(failed)?;
    Ok((format, file))
}

/// Opens a file and reads what it says of itself.
fn read(place: &Place, format: Option<FileFormat>, child: Option<&Path>) -> Result<ChainFile, Error> {
    let failed = |source| open_failed(place.path(), child, source);
    read_file(place.path(), place.open().map_err(failed)?, format, child)
}

/// The same of a file that is open.
fn read_file(path: &Path, file: File, format: Option<FileFormat>, child: Option<&Path>) -> Result<ChainFile, Error> {
    let failed = |source| open_failed(path, child, source);
    let metadata = file.metadata().map_err(failed)?;
    let format = format.map_or_else(|| format_of_content(&file), Ok).map_err(failed)?;
    let mut one = ChainFile {
        path: path.to_owned(),
        info: FileInfo::Raw,
        file_bytes: metadata.len(),
        allocated_bytes: metadata.blocks().saturating_mul(ST_BLOCKS),
        identity: (metadata.dev(), metadata.ino()),
        file,
    };
    one.info = match format {
        FileFormat::Raw => FileInfo::Raw,
        FileFormat::Qcow2 => {
            FileInfo::Qcow2(qcow2::Info::read(&one.file).map_err(|source| wrong_format(path, child, format, source))?)
        }
        FileFormat::Vhd => {
            FileInfo::Vhd(vhd::Info::read(&one.file).map_err(|source| wrong_format(path, child, format, source))?)
        }
        FileFormat::Vhdx => FileInfo::Vhdx(vhdx::Info::read(&one.file).map_err(|source| Error::ReadDisk {
            path: path.to_owned(),
            child: child.map(Path::to_owned),
            source,
        })?),
    };
    Ok(one)
}

fn wrong_format(path: &Path, child: Option<&Path>, format: FileFormat, source: cvbake_disk::FormatError) -> Error {
    Error::ReadFormat { path: path.to_owned(), child: child.map(Path::to_owned), format, source: Box::new(source) }
}

fn read_format(one: &ChainFile, child: Option<&Path>, source: cvbake_disk::FormatError) -> Error {
    Error::ReadFormat {
        path: one.path.clone(),
        child: child.map(Path::to_owned),
        format: one.info.format(),
        source: Box::new(source),
    }
}

fn open_failed(path: &Path, child: Option<&Path>, source: io::Error) -> Error {
    Error::OpenDisk { path: path.to_owned(), child: child.map(Path::to_owned), source }
}

/// A disk whose errors say which file they are about.
struct Named {
    path: PathBuf,
    inner: Arc<dyn ReadAt>,
}

impl Named {
    fn name(&self, source: io::Error) -> io::Error {
        match source.get_ref().is_some_and(|inner| inner.is::<DiskReadError>()) {
            // About a parent.
            true => source,
            false => io::Error::new(source.kind(), DiskReadError { path: self.path.clone(), source }),
        }
    }
}

impl ReadAt for Named {
    fn len_bytes(&self) -> u64 {
        self.inner.len_bytes()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, bytes).map_err(|source| self.name(source))
    }

    fn next_content(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.inner.next_content(offset).map_err(|source| self.name(source))
    }
}
