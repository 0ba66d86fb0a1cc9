//! The hash tree of a disk: where it goes, and its making when the filesystem stands.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};

use cvbake_disk::{Draft, Filling};
use cvbake_verity::{BLOCK, Identity, Layout, RootHash};

use crate::control::Control;
use crate::error::Error;

/// Where the hash tree of a disk goes, by which dm-verity checks what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verity {
    /// Behind the filesystem, on the same disk.
    Append,
    /// Into a raw file beside the disk, with `.verity` behind its name.
    Beside,
    /// Into a partition behind that of the filesystem, for a disk that UEFI boots. As the
    /// Discoverable Partitions Specification has it, the root hash names both.
    Partition,
}

/// What is told of a hash tree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HashTree {
    /// Where it is.
    pub place: Verity,
    /// How many bytes it protects, from the start of the filesystem.
    pub data_bytes: u64,
    /// Where its superblock is, in bytes: on the disk, or in the file beside it.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

/// A hash tree, planned.
#[derive(Debug, Clone)]
pub(crate) struct Protection {
    place: Verity,
    identity: Identity,
    layout: Layout,
}

impl Protection {
    /// The tree of a filesystem of so many blocks.
    pub(crate) fn plan(place: Verity, blocks: u64, identity: Identity) -> Result<Protection, Error> {
        let layout = Layout::plan(blocks.saturating_mul(BLOCK))?;
        Ok(Protection { place, identity, layout })
    }

    /// How many bytes it protects.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.layout.data_blocks() * BLOCK
    }

    /// How many bytes the tree has, wherever it is.
    pub(crate) fn area_bytes(&self) -> u64 {
        self.layout.area_bytes()
    }

    /// Where in what is written of the disk the tree is, if it is on the disk: behind the
    /// filesystem, from wherever the container takes it.
    pub(crate) fn area(&self) -> Range<u64> {
        let end = self.data_bytes();
        match self.place {
            Verity::Append | Verity::Partition => end..end + self.layout.area_bytes(),
            Verity::Beside => end..end,
        }
    }

    /// How long the filesystem is with the tree, if that is right behind it.
    pub(crate) fn end(&self) -> u64 {
        if self.place == Verity::Append { self.area().end } else { self.data_bytes() }
    }

    /// The length of the partition for it, if it has one.
    pub(crate) fn partition_bytes(&self) -> Option<u64> {
        (self.place == Verity::Partition).then(|| self.layout.area_bytes())
    }

    /// What is told of it; `partition` is where the one for it begins.
    pub(crate) fn told(&self, partition: Option<u64>) -> HashTree {
        let offset = match self.place {
            Verity::Append => self.data_bytes(),
            Verity::Beside => 0,
            Verity::Partition => partition.expect("a disk with a partition for it"),
        };
        HashTree { place: self.place, data_bytes: self.data_bytes(), offset, bytes: self.layout.area_bytes() }
    }

    /// Hashes the filesystem on a disk that is whole but for this, and puts the tree where it goes:
    /// onto the disk, or into the file beside it.
    pub(crate) fn write(
        &self,
        disk: &Filling<'_>,
        beside: Option<&Draft>,
        jobs: NonZeroUsize,
        control: &Control,
    ) -> Result<RootHash, Error> {
        let data = disk.read_back(self.data_bytes());
        let go_on = |_| !control.is_cancelled();
        let written = match beside {
            Some(draft) => {
                draft.set_len(self.layout.area_bytes())?;
                self.layout.write(&self.identity, &data, &draft.raw(), 0, jobs, &go_on)
            }
            None => self.layout.write(&self.identity, &data, disk, self.data_bytes(), jobs, &go_on),
        };
        // What ends because it was asked to may fail in any way.
        control.check()?;
        Ok(written?)
    }
}

impl Verity {
    /// The file that the tree of a disk at this path goes into, if that is another one.
    #[must_use]
    pub fn path(self, disk: &Path) -> Option<PathBuf> {
        match self {
            Verity::Append | Verity::Partition => None,
            Verity::Beside => {
                let mut path = disk.as_os_str().to_owned();
                path.push(".verity");
                Some(path.into())
            }
        }
    }
}
