//! The rules of all targets, one row each. `docs/targets.md` has the same table, with the source of
//! each rule.

use super::Target;
use crate::cli::bake::format::{Name, SubformatName};

/// A rule of a target.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) target: Target,
    /// What it is about.
    pub(super) subject: &'static str,
    pub(super) demand: Demand,
    pub(super) reason: &'static str,
}

/// What a rule demands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Demand {
    /// One of these formats; the first unless another one is asked for.
    Format(&'static [Name]),
    /// This subformat.
    Subformat(SubformatName),
    /// Sectors of so many bytes, where the format leaves the choice.
    SectorBytes(u32),
    /// A length that is a multiple of so many bytes.
    MultipleBytes(u64),
    /// At most so many bytes.
    MaxBytes(u64),
    /// An image with one of these paths.
    OneOf(&'static [&'static str]),
    /// This filesystem.
    Filesystem(&'static str),
    /// No hash tree.
    NoVerity,
    /// Something that every disk of cvbake has.
    Kept(&'static str),
    /// A disk that firmware boots; one that it doesn't is made as well, with a warning.
    Bootable,
    /// Something that the user has to do.
    ToDo(&'static str),
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl Demand {
    pub(super) fn words(self) -> String {
        match self {
            Demand::Format(names) => names.iter().map(|name| name.word()).collect::<Vec<_>>().join(" or "),
            Demand::Subformat(subformat) => subformat.word().to_owned(),
            Demand::SectorBytes(bytes) => format!("{bytes} bytes"),
            Demand::MultipleBytes(bytes) if bytes.is_multiple_of(MIB) => format!("a multiple of {} MiB", bytes / MIB),
            Demand::MultipleBytes(bytes) => format!("a multiple of {bytes} bytes"),
            Demand::MaxBytes(bytes) => format!("at most {} GiB", bytes / GIB),
            Demand::OneOf(paths) => paths.join(" or "),
            Demand::NoVerity => "none".to_owned(),
            Demand::Bootable => "--boot uefi".to_owned(),
            Demand::Filesystem(words) | Demand::Kept(words) | Demand::ToDo(words) => words.to_owned(),
        }
    }
}

const fn rule(target: Target, subject: &'static str, demand: Demand, reason: &'static str) -> Rule {
    Rule { target, subject, demand, reason }
}

pub(super) const RULES: &[Rule] = &[
    rule(Target::Wsl, "format", Demand::Format(&[Name::Vhdx, Name::Vhd]), "WSL imports .vhdx and .vhd files in place"),
    rule(Target::Wsl, "partitions", Demand::Kept("none"), "WSL mounts the whole disk as one ext4 filesystem"),
    rule(Target::Wsl, "filesystem", Demand::Filesystem("ext4"), "WSL mounts it as ext4 and writes to it"),
    rule(
        Target::Wsl,
        "default mount options",
        Demand::Kept("journal_data_ordered"),
        "WSL mounts with data=ordered, which Linux refuses without a journal unless the filesystem says the same",
    ),
    rule(
        Target::Wsl,
        "files",
        Demand::OneOf(&["/etc", "/bin/sh"]),
        "WSL takes a disk for a distribution only if it has one of them",
    ),
    rule(
        Target::Wsl,
        "dm-verity",
        Demand::NoVerity,
        "WSL writes to the filesystem and enlarges it, and no hash tree would match it any more",
    ),
    rule(
        Target::Wsl,
        "file",
        Demand::ToDo("fsutil sparse setflag FILE 0, once it is on Windows"),
        "Windows opens no virtual disk in a file that is marked as sparse",
    ),
    rule(Target::Azure, "format", Demand::Format(&[Name::Vhd]), "Azure does not support VHDX"),
    rule(Target::Azure, "subformat", Demand::Subformat(SubformatName::Fixed), "Azure supports only fixed VHD"),
    rule(
        Target::Azure,
        "length",
        Demand::MultipleBytes(MIB),
        "Azure takes only a virtual size that is a whole number of MiB",
    ),
    rule(Target::Azure, "largest length", Demand::MaxBytes(1023 * GIB), "Azure takes no larger VHD"),
    rule(
        Target::Azure,
        "boot",
        Demand::Bootable,
        "without a boot partition, Azure can attach the disk to a machine, and cannot boot from it",
    ),
    rule(Target::HyperV, "format", Demand::Format(&[Name::Vhdx]), "a machine of generation 2 takes no VHD"),
    rule(
        Target::HyperV,
        "boot",
        Demand::Bootable,
        "without a boot partition, Hyper-V can attach the disk to a machine of generation 2, and cannot boot from it",
    ),
    rule(
        Target::HyperV,
        "file",
        Demand::ToDo("fsutil sparse setflag FILE 0, once it is on Windows"),
        "Windows opens no virtual disk in a file that is marked as sparse",
    ),
    rule(Target::KubeVirt, "format", Demand::Format(&[Name::Qcow2, Name::Raw]), "a containerDisk is raw or qcow2"),
    rule(
        Target::KubeVirt,
        "container image",
        Demand::ToDo("put it into /disk/, owned by 107:107"),
        "KubeVirt looks there, and QEMU reads it as that user",
    ),
    rule(Target::Firecracker, "format", Demand::Format(&[Name::Raw]), "Firecracker takes a file for the disk itself"),
    rule(
        Target::Firecracker,
        "length",
        Demand::MultipleBytes(512),
        "a machine does not see what is behind the last whole sector",
    ),
    rule(
        Target::CloudHypervisor,
        "format",
        Demand::Format(&[Name::Raw, Name::Qcow2, Name::Vhdx]),
        "Cloud Hypervisor reads these",
    ),
    rule(
        Target::CloudHypervisor,
        "sector size",
        Demand::SectorBytes(512),
        "Cloud Hypervisor refuses a VHDX with other sectors",
    ),
    rule(
        Target::CloudHypervisor,
        "length",
        Demand::MultipleBytes(512),
        "a machine does not see what is behind the last whole sector",
    ),
    rule(Target::Qemu, "format", Demand::Format(&[Name::Qcow2, Name::Raw, Name::Vhd, Name::Vhdx]), "QEMU reads these"),
    rule(Target::Qemu, "sector size", Demand::SectorBytes(512), "QEMU refuses a VHDX with other sectors"),
    rule(Target::Qemu, "length", Demand::MultipleBytes(512), "QEMU counts a disk in sectors"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The page has the same rules in the same order, and a source for each.
    #[test]
    fn the_page_has_the_rules() {
        let page = include_str!("../../../../docs/targets.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
        let rows: Vec<Vec<&str>> = rows.map(|row| row.split(" | ").collect()).collect();
        let expected: Vec<Vec<String>> = RULES
            .iter()
            .map(|rule| {
                let Rule { target, subject, demand, reason } = rule;
                vec![format!("{}`", target.word()), (*subject).to_owned(), demand.words(), (*reason).to_owned()]
            })
            .collect();
        let found: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().take(4).map(|&cell| cell.to_owned()).collect()).collect();
        let lines: String = expected.iter().map(|row| format!("| `{} | SOURCE |\n", row.join(" | "))).collect();
        assert_eq!(found, expected, "docs/targets.md has other rules than the table:\n{lines}");
        for row in rows {
            let source = row.get(4).copied().unwrap_or_default();
            assert!(row.len() == 5 && source.contains("https://"), "{row:?} has no source");
        }
    }
}
