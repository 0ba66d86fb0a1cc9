//! The disk around the root filesystem: its partitions, what is on the boot partition, and what
//! the kernel is told.

use std::ops::Range;

use cvbake_disk::gpt::{self, Partition, Placed, Table};
use cvbake_disk::{Container, Run};
use cvbake_verity::{RootHash, partition_uuids};

use super::{Recipe, TREE_PURPOSE};
use crate::boot::by::BootBy;
use crate::boot::prepared::{Prepared, Root, RootCheck};
use crate::error::Error;
use crate::protection::{HashTree, Protection, Verity};
use crate::report::{BootReport, PartitionReport};

/// Which partition is the boot partition, which the root filesystem, and which has the hash tree of
/// that, if there is one.
///
/// The root filesystem is last if it can grow, which one with a hash tree can't. It is never behind
/// the tree: how long that is, nobody knows when the first layer is unpacked to its place.
const ESP: usize = 0;
const ROOT: usize = 1;
const TREE: usize = 2;

/// A root hash that is not known yet.
const UNKNOWN: RootHash = [0; 32];

impl<'j> Recipe<'j> {
    /// The partitions, if the disk has some, around a filesystem of this length, with one for a
    /// hash tree of that length.
    pub(super) fn table(
        &self,
        len_bytes: u64,
        tree_bytes: Option<u64>,
        root_hash: Option<&RootHash>,
    ) -> Result<Option<(&'j Prepared, Table)>, Error> {
        let Some(boot) = self.boot.filter(|boot| boot.by == BootBy::Uefi) else { return Ok(None) };
        let partition = |kind, purpose: &str, name: &str, flags| Partition {
            kind,
            guid: self.derived(purpose),
            flags,
            name: name.to_owned(),
        };
        let esp = partition(gpt::kind::ESP, "ESP", "esp", gpt::flag::NO_AUTO);
        let mut root = partition(boot.root_kind(), ROOT_PURPOSE, "root", gpt::flag::GROW_FILE_SYSTEM);
        let mut partitions = vec![(esp, boot.esp_bytes)];
        if let Some(tree_bytes) = tree_bytes {
            let (data, hashes) = partition_uuids(root_hash.unwrap_or(&UNKNOWN));
            (root.guid, root.flags) = (data, gpt::flag::READ_ONLY);
            let kind = boot.root_verity_kind();
            let name = "root-verity".to_owned();
            let tree = Partition { kind, guid: hashes, flags: gpt::flag::READ_ONLY, name };
            partitions.extend([(root, len_bytes), (tree, tree_bytes)]);
        } else {
            partitions.push((root, len_bytes));
        }
        let table = Table::plan(self.derived("disk"), self.format.sector_size(), partitions)?;
        // The place takes the disk, not the filesystem.
        self.demands.map_or(Ok(table.len_bytes), |demands| demands.disk_bytes(table.len_bytes))?;
        Ok(Some((boot, table)))
    }

    /// Where the root filesystem is.
    pub(super) fn root_of(table: &Table) -> Range<u64> {
        table.partitions[ROOT].range.clone()
    }

    /// The disk with these partitions.
    pub(super) fn partitioned(
        &self,
        boot: &Prepared,
        table: &Table,
        protection: Option<&Protection>,
        root_hash: Option<&RootHash>,
    ) -> Result<Container, Error> {
        let (esp, root) = (&table.partitions[ESP], &table.partitions[ROOT]);
        let mut run = Run { from: 0, to: root.range.start, len: root.range.end - root.range.start };
        let mut runs = Vec::new();
        if let (Some(protection), Some(tree)) = (protection, table.partitions.get(TREE)) {
            // Behind its last block, there is nothing of a filesystem.
            let area = protection.area();
            run.len = area.start;
            runs.push(Run { from: area.start, to: tree.range.start, len: area.end - area.start });
        }
        runs.push(run);
        let told = protection.map(|protection| protection.told(tree_start(table)));
        let at = self.root(boot, told.as_ref(), root_hash);
        let mut pieces = boot.esp(&at, self.derived("ESP filesystem"), table.sector_size, self.epoch)?;
        pieces.iter_mut().for_each(|piece| piece.offset += esp.range.start);
        pieces.extend(table.pieces());
        Ok(Container::new(table.len_bytes, runs, pieces))
    }

    /// What is told of a hash tree on a disk with a filesystem of this length, or beside it.
    pub(crate) fn hash_tree(&self, protection: &Protection, len_bytes: u64) -> Result<HashTree, Error> {
        let table = self.table(len_bytes, protection.partition_bytes(), None)?;
        Ok(protection.told(table.and_then(|(_, table)| tree_start(&table))))
    }

    /// Where the kernel finds the root filesystem.
    fn root(&self, boot: &Prepared, tree: Option<&HashTree>, root_hash: Option<&RootHash>) -> Root {
        let check = |tree: &HashTree| RootCheck {
            place: tree.place,
            root_hash: *root_hash.unwrap_or(&UNKNOWN),
            tree: self.derived(TREE_PURPOSE),
            offset: tree.offset,
        };
        let identity = match boot.by {
            BootBy::Uefi => self.derived(ROOT_PURPOSE),
            BootBy::Direct => self.uuid(),
        };
        Root { identity, check: tree.map(check) }
    }

    /// What the kernel is told.
    pub(crate) fn command_line(
        &self,
        boot: &Prepared,
        tree: Option<&HashTree>,
        root_hash: Option<&RootHash>,
    ) -> String {
        boot.command_line(&self.root(boot, tree, root_hash))
    }

    /// What is told of how a disk is booted, and how long it is: around a filesystem of this
    /// length, and with this hash tree.
    pub(crate) fn booted(
        &self,
        len_bytes: u64,
        tree: Option<&HashTree>,
        root_hash: Option<&RootHash>,
    ) -> Result<Option<(BootReport, u64)>, Error> {
        let Some(boot) = self.boot else { return Ok(None) };
        let tree_bytes = tree.filter(|tree| tree.place == Verity::Partition).map(|tree| tree.bytes);
        let table = self.table(len_bytes, tree_bytes, root_hash)?.map(|(_, table)| table);
        let command_line = self.command_line(boot, tree, root_hash);
        let is_known = tree.is_none() || root_hash.is_some();
        let told = |Placed { partition, range }: &Placed| PartitionReport {
            name: partition.name.clone(),
            kind: partition.kind,
            guid: partition.guid,
            offset: range.start,
            bytes: range.end - range.start,
        };
        let report = BootReport {
            by: boot.by,
            loader: boot.loader.as_ref().map(|loader| loader.name.clone()),
            measured: is_known.then(|| boot.prediction(&command_line)).flatten(),
            kernel: boot.kernel.version.clone(),
            modules: boot.initramfs.modules.clone(),
            command_line,
            partitions: table.iter().flat_map(|table| &table.partitions).map(told).collect(),
            directory: None,
        };
        Ok(Some((report, table.map_or(len_bytes, |table| table.len_bytes))))
    }
}

const ROOT_PURPOSE: &str = "root partition";

/// Where the partition of the hash tree begins, if there is one.
fn tree_start(table: &Table) -> Option<u64> {
    table.partitions.get(TREE).map(|placed| placed.range.start)
}
