//! Everything in the files of a disk that is not as its format has it.

use std::path::{Path, PathBuf};

use cvbake_disk::gpt::{ReadError, Table};
use cvbake_disk::{Faults, ReadAt, qcow2, vhd};

use super::open::{ChainFile, OpenOptions, chain, first, open};
use crate::error::Error;
use crate::format::FileFormat;

/// A disk that was looked at.
#[derive(Debug)]
#[non_exhaustive]
pub struct CheckedDisk {
    /// Its files: the one that was named, and its parents as far as they could be opened.
    pub files: Vec<CheckedFile>,
    /// Why the others could not.
    pub chain: Option<Error>,
}

/// A file that was looked at.
#[derive(Debug)]
#[non_exhaustive]
pub struct CheckedFile {
    /// What it is called.
    pub path: PathBuf,
    /// What it is.
    pub format: FileFormat,
    /// What was looked at. A raw disk has no headers of its own.
    pub checked: Vec<&'static str>,
    /// What is wrong with it.
    pub faults: Faults,
}

impl CheckedDisk {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.chain.is_none() && self.files.iter().all(|file| file.faults.is_empty())
    }

    /// How many things are wrong.
    #[must_use]
    pub fn faults(&self) -> u64 {
        let of_files = self.files.iter().map(|file| file.faults.list.len() as u64 + file.faults.more);
        of_files.sum::<u64>() + u64::from(self.chain.is_some())
    }
}

/// Looks at the headers and tables of a disk and of its parents, and at the partition table on the
/// disk, if it has one. A filesystem is not looked at.
///
/// # Errors
/// When a file can't be read. That one is not as it should be is no error, but what is told.
pub fn check(path: &Path, options: &OpenOptions) -> Result<CheckedDisk, Error> {
    let (format, file) = first(path, options)?;
    let faults = faults(format, &file).map_err(|source| Error::disk_content(path, source))?;
    let is_sound = faults.is_empty();
    let first = CheckedFile { path: path.to_owned(), format, checked: own_tables(format), faults };
    let mut disk = CheckedDisk { files: vec![first], chain: None };
    if !is_sound {
        return Ok(disk);
    }
    let path_of_disk = path;
    match chain(path, options) {
        Ok(chain) => {
            for ChainFile { path, info, file, .. } in chain.into_iter().skip(1) {
                let format = info.format();
                let faults = self::faults(format, &file).map_err(|source| Error::disk_content(&path, source))?;
                disk.files.push(CheckedFile { path, format, checked: own_tables(format), faults });
            }
            if disk.is_sound() {
                partitions(&*open(path_of_disk, options)?.disk, &mut disk.files[0])?;
            }
        }
        Err(error) => disk.chain = Some(error),
    }
    Ok(disk)
}

/// What a format has to look at.
fn own_tables(format: FileFormat) -> Vec<&'static str> {
    if format == FileFormat::Raw { Vec::new() } else { vec!["headers and tables"] }
}

/// Looks at both copies of the partition table on a disk.
fn partitions(disk: &dyn ReadAt, file: &mut CheckedFile) -> Result<(), Error> {
    const RULE: &str = "GPT";
    match Table::read(disk) {
        Ok(None) => return Ok(()),
        Ok(Some(found)) => {
            if let Some(damage) = found.damage {
                file.faults.add(RULE, format!("the partition table at the beginning: {damage}"));
            }
        }
        Err(ReadError::Read { source, .. }) => return Err(Error::disk_content(&file.path, source)),
        Err(error) => file.faults.add(RULE, error.to_string()),
    }
    file.checked.push("partition table");
    Ok(())
}

fn faults(format: FileFormat, file: &std::fs::File) -> std::io::Result<Faults> {
    match format {
        FileFormat::Raw => Ok(Faults::default()),
        FileFormat::Qcow2 => qcow2::check(file),
        FileFormat::Vhd => vhd::check(file),
        FileFormat::Vhdx => cvbake_vhdx::check(file),
    }
}
