//! What is inside of a disk: its partitions, its filesystem, and the files in that.

pub mod extract;
mod filesystem;
pub mod map;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvbake_disk::gpt::{Placed, Table, kind};
use cvbake_disk::{Part, ReadAt};
use cvbake_verity::{Found, partition_uuids};

use crate::disks::{ChainFile, OpenDisk, OpenOptions, open};
use crate::error::{Error, FilesystemError, InsideProblem};

pub use filesystem::{Entry, Files, Filesystem, Node};

/// A hash tree on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTree {
    /// The number of the partition that it is in; none of a disk without.
    pub partition: Option<usize>,
    /// Where in the partition, or on the disk, its superblock is.
    pub offset: u64,
    /// What it says of itself.
    pub found: Found,
}

/// A disk that is there, opened.
pub struct Disk {
    path: PathBuf,
    chain: Vec<ChainFile>,
    whole: Arc<dyn ReadAt>,
    partitions: Vec<Placed>,
    damage: Option<String>,
}

impl Disk {
    /// Opens a disk and reads its partition table, if it has one.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn open(path: &Path) -> Result<Disk, Error> {
        Disk::open_as(path, &OpenOptions::default())
    }

    /// The same, as somebody says that it is.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn open_as(path: &Path, options: &OpenOptions) -> Result<Disk, Error> {
        Disk::of(open(path, options)?)
    }

    /// The same of one that is open already.
    ///
    /// # Errors
    /// When its partition table can't be read.
    pub fn of(disk: OpenDisk) -> Result<Disk, Error> {
        let path = disk.file().path.clone();
        let (partitions, damage) = match Table::read(&*disk.disk) {
            Ok(None) => (Vec::new(), None),
            Ok(Some(found)) => (found.table.partitions, found.damage.map(|fault| fault.to_string())),
            Err(error) => return Err(inside(&path, InsideProblem::Table(Box::new(error)))),
        };
        Ok(Disk { path, chain: disk.chain, whole: disk.disk, partitions, damage })
    }

    /// The path by which it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that it is made of: itself first.
    #[must_use]
    pub fn chain(&self) -> &[ChainFile] {
        &self.chain
    }

    /// How long it is, as a machine sees it.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.whole.len_bytes()
    }

    /// Its partitions; none of a disk without a partition table.
    #[must_use]
    pub fn partitions(&self) -> &[Placed] {
        &self.partitions
    }

    /// What is wrong with the copy of the partition table at the beginning of the disk, if only
    /// the one at its end is whole.
    #[must_use]
    pub fn table_damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// A partition by its number, counted from 1, as a disk.
    #[must_use]
    pub fn partition(&self, number: usize) -> Option<Arc<dyn ReadAt>> {
        let placed = self.partitions.get(number.checked_sub(1)?)?;
        Some(Arc::new(Part::new(self.whole.clone(), placed.range.clone())))
    }

    /// The number of the partition that is meant where nobody says which: the root partition by its
    /// type, or the only one with a filesystem that cvbake reads. `None` of a disk without
    /// partitions.
    ///
    /// # Errors
    /// When none or several are possible.
    pub fn root_partition(&self) -> Result<Option<usize>, Error> {
        if self.partitions.is_empty() {
            return Ok(None);
        }
        let numbers = 1..=self.partitions.len();
        let is_root =
            |number: &usize| matches!(self.partitions[number - 1].partition.kind, kind::ROOT_X86_64 | kind::ROOT_ARM64);
        let roots: Vec<usize> = numbers.clone().filter(is_root).collect();
        if let [root] = roots[..] {
            return Ok(Some(root));
        }
        let is_known = |number: &usize| self.partition(*number).and_then(|part| Filesystem::name_of(&*part)).is_some();
        let found: Vec<usize> = numbers.filter(is_known).collect();
        match found[..] {
            [one] => Ok(Some(one)),
            _ => Err(inside(&self.path, InsideProblem::Meant { found })),
        }
    }

    /// The filesystem in a partition, or the one that is meant where nobody says which.
    ///
    /// # Errors
    /// When there is none, or it can't be read.
    pub fn filesystem(&self, partition: Option<usize>) -> Result<Filesystem, Error> {
        let number = match partition {
            Some(number) => Some(number),
            None => self.root_partition()?,
        };
        let disk = match number {
            None => self.whole.clone(),
            Some(wanted) => self.partition(wanted).ok_or_else(|| {
                inside(&self.path, InsideProblem::NoPartition { wanted, count: self.partitions.len() })
            })?,
        };
        Filesystem::open(disk).map_err(|error| self.unreadable(error))
    }

    /// What the hash tree of a filesystem says of itself, and where it is: in the partition for it,
    /// of a root partition, or behind the filesystem of a partition, or of a disk without. Whatever
    /// else is there is none.
    #[must_use]
    pub fn hash_tree(&self, partition: Option<usize>, filesystem: &Filesystem) -> Option<FoundTree> {
        let tree = partition.and_then(|number| self.tree_partition(number));
        if let Some(number) = tree {
            let found = cvbake_verity::find(&*self.partition(number)?, 0).ok()?;
            return Some(FoundTree { partition: tree, offset: 0, found });
        }
        let disk = partition.map_or_else(|| Some(self.whole.clone()), |number| self.partition(number))?;
        let offset = filesystem.hash_tree_at()?;
        Some(FoundTree { partition, offset, found: cvbake_verity::find(&*disk, offset).ok()? })
    }

    /// The partition with the hash tree of a root partition: the only one of its type, or of
    /// several the one that has the name which their root hash gives it.
    fn tree_partition(&self, root: usize) -> Option<usize> {
        let wanted = match self.partitions.get(root.checked_sub(1)?)?.partition.kind {
            kind::ROOT_X86_64 => kind::ROOT_VERITY_X86_64,
            kind::ROOT_ARM64 => kind::ROOT_VERITY_ARM64,
            _ => return None,
        };
        let numbers = (1..=self.partitions.len()).filter(|number| self.partitions[number - 1].partition.kind == wanted);
        let numbers: Vec<usize> = numbers.collect();
        let names = |number: &usize| {
            let found = self.partition(*number).and_then(|part| cvbake_verity::find(&*part, 0).ok());
            let guid = |number: usize| self.partitions[number - 1].partition.guid;
            let uuids = found.and_then(|found| found.root_hash).map(|hash| partition_uuids(&hash));
            uuids == Some((guid(root), guid(*number)))
        };
        match numbers[..] {
            [one] => Some(one),
            _ => numbers.into_iter().find(names),
        }
    }

    /// All files of a filesystem.
    ///
    /// # Errors
    /// When one of them can't be read.
    pub fn files(&self, filesystem: &Filesystem) -> Result<Files, Error> {
        filesystem.files().map_err(|error| self.unreadable(error))
    }

    /// An error about the filesystem of this disk.
    #[must_use]
    pub fn unreadable(&self, error: impl Into<FilesystemError>) -> Error {
        inside(&self.path, InsideProblem::Filesystem(error.into()))
    }
}

fn inside(path: &Path, problem: InsideProblem) -> Error {
    Error::Inside { disk: path.to_owned(), problem }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("path", &self.path).finish_non_exhaustive()
    }
}
