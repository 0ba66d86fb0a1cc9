//! A disk becomes longer or shorter.
//!
//! A raw file gets another length, which is one system call. In other formats the tables change
//! with the length: the disk is written anew beside the old one, which it replaces when it is
//! whole. A run that is killed leaves the old disk.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cvbake_disk::gpt::Table;
use cvbake_disk::{Draft, Subformat, vhd};

use super::convert::Rewriting;
use super::open::{FileInfo, OpenDisk, OpenOptions, open};
use crate::control::Control;
use crate::error::Error;
use crate::event::Observer;
use crate::format::{FileFormat, Format};

/// A disk that is to be longer or shorter.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ResizeJob {
    /// The disk.
    pub path: PathBuf,
    /// What its file is; found in its content if it is not said.
    pub format: Option<FileFormat>,
    /// How long it is to be.
    pub size: NewSize,
    /// Whether it may become shorter, by what is zeros.
    pub shrink: bool,
    /// How many threads work at once.
    pub jobs: NonZeroUsize,
}

/// How long a disk is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewSize {
    /// So many bytes.
    Exact(u64),
    /// So many more than now.
    Extra(u64),
}

/// A disk that has another length.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resized {
    /// What its file is.
    pub format: FileFormat,
    /// How long the disk was.
    pub old_bytes: u64,
    /// How long it is.
    pub disk_bytes: u64,
    /// How long its file is.
    pub file_bytes: u64,
}

impl ResizeJob {
    /// A disk that gets another length, and does not become shorter.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, size: NewSize) -> ResizeJob {
        let jobs = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        ResizeJob { path: path.into(), format: None, size, shrink: false, jobs }
    }
}

/// Gives a disk another length. Whatever is on it is not changed: a filesystem has to be told.
///
/// # Errors
/// When the disk can't be read, would become shorter and may not, or has content where it would be
/// cut; or the new one can't be written.
pub fn resize(job: &ResizeJob, control: &Control, on: Observer<'_>) -> Result<Resized, Error> {
    let path = &job.path;
    let options = OpenOptions { format: job.format, ..OpenOptions::default() };
    let disk = open(path, &options)?;
    let old_bytes = disk.disk.len_bytes();
    let wanted = match job.size {
        NewSize::Exact(bytes) => Some(bytes),
        NewSize::Extra(bytes) => old_bytes.checked_add(bytes),
    };
    let max = u64::try_from(i64::MAX).expect("positive");
    let wanted = wanted.filter(|bytes| *bytes <= max).ok_or_else(|| Error::TooLong { path: path.clone() })?;
    let format = disk.file().info.format();
    let unit = match &disk.file().info {
        FileInfo::Raw => 1,
        FileInfo::Vhdx(info) => info.logical_sector_size.into(),
        _ => 512,
    };
    let disk_bytes = wanted.next_multiple_of(unit);
    if disk_bytes < old_bytes {
        if Table::read(&*disk.disk).is_ok_and(|found| found.is_some()) {
            return Err(Error::Partitioned { path: path.clone() });
        }
        if !job.shrink {
            return Err(Error::Shrinks { path: path.clone(), len_bytes: old_bytes });
        }
        check_zeros(&disk, disk_bytes)?;
    }
    if disk_bytes == old_bytes {
        let file_bytes = disk.file().file_bytes;
        return Ok(Resized { format, old_bytes, disk_bytes, file_bytes });
    }
    let file_bytes = match own_format(&disk)? {
        Format::Raw => {
            set_len(path, &disk, disk_bytes)?;
            disk_bytes
        }
        own => rewrite(job, &disk, own, disk_bytes, control, on)?,
    };
    Ok(Resized { format, old_bytes, disk_bytes, file_bytes })
}

/// The format in which the disk is written anew, with the options that it has.
fn own_format(disk: &OpenDisk) -> Result<Format, Error> {
    let file = disk.file();
    let loses = |what| Error::Loses { path: file.path.clone(), what };
    if disk.chain.len() > 1 {
        return Err(loses("a parent"));
    }
    match &file.info {
        FileInfo::Raw => Ok(Format::Raw),
        FileInfo::Qcow2(info) if info.snapshots > 0 => Err(loses("internal snapshots")),
        FileInfo::Qcow2(info) => {
            let is_compressed = info.is_compressed(&file.file);
            let is_compressed = is_compressed.map_err(|source| Error::disk_content(&file.path, source))?;
            Ok(Format::Qcow2(is_compressed.then_some(info.compression)))
        }
        FileInfo::Vhd(info) if info.kind == vhd::Kind::Fixed => Ok(Format::Vhd(Subformat::Fixed)),
        FileInfo::Vhd(_) => Ok(Format::Vhd(Subformat::Dynamic)),
        FileInfo::Vhdx(info) => Ok(Format::Vhdx(cvbake_vhdx::Options {
            subformat: if info.is_fixed { Subformat::Fixed } else { Subformat::Dynamic },
            block_size: info.block_size,
            logical_sector_size: info.logical_sector_size,
        })),
    }
}

/// Whether what would be cut off is zeros.
fn check_zeros(disk: &OpenDisk, from: u64) -> Result<(), Error> {
    const PIECE: u64 = 1 << 20;
    let path = &disk.file().path;
    let failed = |source| Error::disk_content(path, source);
    let mut at = from;
    while let Some(range) = disk.disk.next_content(at).map_err(failed)? {
        let len = (range.end - range.start).min(PIECE);
        let mut bytes = vec![0; usize::try_from(len).expect("at most a piece")];
        disk.disk.read_at(range.start, &mut bytes).map_err(failed)?;
        if let Some(within) = bytes.iter().position(|byte| *byte != 0) {
            return Err(Error::CutsContent { path: path.clone(), offset: range.start + within as u64 });
        }
        at = range.start + len;
    }
    Ok(())
}

/// Gives the file that was read another length.
fn set_len(path: &Path, disk: &OpenDisk, len: u64) -> Result<(), Error> {
    let failed = |source| Error::Disk(cvbake_disk::Error::SetLen { path: path.to_owned(), len, source });
    let file = File::options().write(true).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if (metadata.dev(), metadata.ino()) != disk.file().identity {
        return Err(cvbake_disk::Error::Swapped { path: path.to_owned() }.into());
    }
    file.set_len(len).and_then(|()| file.sync_all()).map_err(failed)
}

fn rewrite(
    job: &ResizeJob,
    disk: &OpenDisk,
    format: Format,
    disk_bytes: u64,
    control: &Control,
    on: Observer<'_>,
) -> Result<u64, Error> {
    let path = &job.path;
    let draft = control.during(|| Draft::create(path, true), |draft| Some(draft.temporary()))?;
    let rewriting = Rewriting { from: disk, format, jobs: job.jobs, control, on };
    let file_bytes = rewriting.write(&rewriting.survey(disk_bytes)?, disk_bytes, &draft)?;
    // Who could read the old one can read the new one.
    let failed = |source| Error::Disk(cvbake_disk::Error::Open { path: path.clone(), source });
    let permissions = disk.file().file.metadata().map_err(failed)?.permissions();
    draft.file().set_permissions(permissions).map_err(failed)?;
    control.commit(|| draft.commit())?;
    Ok(file_bytes)
}
