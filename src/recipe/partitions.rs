//! The disk around the root filesystem: its partitions, what is on the boot partition, and what
//! the kernel is told.

use std::ops::Range;

use cvbake_disk::gpt::{self, Partition, Placed, Table};
use cvbake_disk::{Container, Run};

use super::Recipe;
use crate::boot::by::BootBy;
use crate::boot::prepared::Prepared;
use crate::error::Error;
use crate::report::{BootReport, PartitionReport};

/// Which partition is the boot partition, and which the root filesystem. The latter is last, so
/// that it can grow.
const ESP: usize = 0;
const ROOT: usize = 1;

impl<'j> Recipe<'j> {
    /// The partitions, if the disk has some, around a filesystem of this length.
    pub(super) fn table(&self, len_bytes: u64) -> Result<Option<(&'j Prepared, Table)>, Error> {
        let Some(boot) = self.boot.filter(|boot| boot.by == BootBy::Uefi) else { return Ok(None) };
        let partition = |kind, purpose: &str, name: &str, flags| Partition {
            kind,
            guid: self.derived(purpose),
            flags,
            name: name.to_owned(),
        };
        let esp = partition(gpt::kind::ESP, "ESP", "esp", gpt::flag::NO_AUTO);
        let root = partition(boot.root_kind(), ROOT_PURPOSE, "root", gpt::flag::GROW_FILE_SYSTEM);
        let partitions = vec![(esp, boot.esp_bytes), (root, len_bytes)];
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
    pub(super) fn partitioned(&self, boot: &Prepared, table: &Table, len_bytes: u64) -> Result<Container, Error> {
        let (esp, root) = (&table.partitions[ESP], &table.partitions[ROOT]);
        let (guid, identity) = (root.partition.guid, self.derived("ESP filesystem"));
        let mut pieces = boot.esp(guid, identity, table.sector_size, self.epoch)?;
        pieces.iter_mut().for_each(|piece| piece.offset += esp.range.start);
        pieces.extend(table.pieces());
        let run = Run { from: 0, to: root.range.start, len: len_bytes };
        Ok(Container::new(table.len_bytes, vec![run], pieces))
    }

    /// What the kernel is told.
    pub(crate) fn command_line(&self, boot: &Prepared) -> String {
        boot.command_line(match boot.by {
            BootBy::Uefi => self.derived(ROOT_PURPOSE),
            BootBy::Direct => self.uuid(),
        })
    }

    /// What is told of how a disk is booted, and how long it is: around a filesystem of this
    /// length.
    pub(crate) fn booted(&self, len_bytes: u64) -> Result<Option<(BootReport, u64)>, Error> {
        let Some(boot) = self.boot else { return Ok(None) };
        let table = self.table(len_bytes)?.map(|(_, table)| table);
        let command_line = self.command_line(boot);
        let told = |Placed { partition, range }: &Placed| PartitionReport {
            name: partition.name.clone(),
            kind: partition.kind,
            guid: partition.guid,
            offset: range.start,
            bytes: range.end - range.start,
        };
        let report = BootReport {
            by: boot.by,
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
