//! What a disk is stored as: what is asked for, and what the name of the file says.

use std::path::Path;

use clap::ValueEnum;
use cvbake::Format;
use cvbake::disk::Subformat;
use cvbake::disk::qcow2::Compression;
use cvbake::vhdx;

use super::help;
use super::target::Target;
use crate::cli::values;
use crate::failure::Failure;

/// Where they are in the help.
pub(super) const HEADING: &str = "Disk format";

/// The options of formats.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = HEADING)]
pub(in crate::cli) struct FormatArgs {
    /// Set the format of the disk [default: by the ending of DISK, or
    /// the target, or raw]
    #[arg(long, value_enum, value_name = "FORMAT", ignore_case = true, hide_possible_values = true, long_help = help::format())]
    format: Option<Name>,

    /// Choose which blocks of the disk a vhd or vhdx file has [default: dynamic,
    /// or what the target takes]
    ///
    /// A dynamic file grows when a new block is written. Azure takes only fixed files of the format
    /// vhd. A fixed file is sparse, so blocks that hold nothing take no room on the host. It is
    /// baked faster, because cvbake unpacks layers to their place in it.
    #[arg(long, value_enum, value_name = "KIND")]
    subformat: Option<SubformatName>,

    /// Compress the clusters of a qcow2 file [default: store them as they are]
    ///
    /// For disks that are sent or stored. Every core compresses; zstd is faster than zlib and saves
    /// more, but needs QEMU 5.1 or later. What a machine writes to the disk is not compressed. The
    /// file is made of a finished disk, for which there must be room beside it meanwhile.
    #[arg(long, value_enum, value_name = "METHOD")]
    compress: Option<CompressionName>,

    /// Set the size of the blocks of a vhdx file, a power of two from 1M to 256M [default: 1M]
    ///
    /// Blocks of 1 MiB are what Microsoft advises for Linux. Hyper-V itself makes blocks of 32M:
    /// with them, a dynamic disk grows faster than its files.
    #[arg(long, value_name = "SIZE", value_parser = values::block_size)]
    vhdx_block_size: Option<u32>,

    /// Set the size of the sectors of a vhdx file, 512 or 4096 [default: 512]
    ///
    /// Cloud Hypervisor and QEMU read only sectors of 512 bytes.
    #[arg(long, value_name = "BYTES", value_parser = values::sector_size)]
    vhdx_sector_size: Option<u32>,
}

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Name {
    /// The filesystem and nothing else
    Raw,
    /// The format of QEMU, version 3
    Qcow2,
    /// The format of Virtual PC and Azure
    Vhd,
    /// The format of Hyper-V
    Vhdx,
}

/// Whether a file has all blocks of its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SubformatName {
    /// Store only the blocks that were written
    Dynamic,
    /// Store every block
    Fixed,
}

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CompressionName {
    /// Deflate, which every version of QEMU reads
    Zlib,
    /// Zstandard, which QEMU 5.1 and later read
    Zstd,
}

/// Formats that cvbake does not bake, by their endings; Hyper-V calls differencing disks `.avhdx`.
const OTHERS: [&str; 6] = ["qcow", "vmdk", "vdi", "avhd", "avhdx", "vhds"];

/// Endings of filesystems: a file of that name is one, and has nothing around it.
pub(super) const FILESYSTEMS: [&str; 14] = [
    "ext4", "erofs", "ext2", "ext3", "xfs", "btrfs", "squashfs", "sqfs", "f2fs", "fat", "vfat", "exfat", "ntfs", "zfs",
];

/// Endings of raw disks.
const RAW: [&str; 4] = ["raw", "img", "dd", "bin"];

fn ending_of(path: &Path) -> String {
    path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase()
}

impl FormatArgs {
    /// The format of a disk that is made of another one: unlike that of a bake, what is on it is
    /// there already, so a name can promise too much.
    pub(in crate::cli) fn of_conversion(&self, output: &Path) -> Result<Format, Failure> {
        let (ending, path) = (ending_of(output), output.display());
        let is_said = self.format.is_some();
        if FILESYSTEMS.contains(&ending.as_str()) && !is_said {
            return wrong(
                format!(
                    "{path}: the name says {ending}, and a conversion keeps the filesystem that is on the disk; expected the name of a format"
                ),
                "name it disk.raw, disk.qcow2, disk.vhd or disk.vhdx; --format raw writes a raw disk under any name",
            );
        }
        if matches!(ending.as_str(), "tar" | "tgz") || super::output::is_archive_ending(&ending) {
            return wrong(
                format!("{path}: a disk is no archive; expected the name of a disk"),
                "name it disk.raw, disk.qcow2, disk.vhd or disk.vhdx; `cvbake disk cp DISK:/ DIRECTORY` copies its files",
            );
        }
        let is_known = ending.is_empty() || RAW.contains(&ending.as_str()) || Name::from_str(&ending, false).is_ok();
        if !is_known && !is_said && !OTHERS.contains(&ending.as_str()) {
            return wrong(
                format!(
                    "{path}: the name says no format; expected an ending such as .raw, .qcow2, .vhd or .vhdx, or --format"
                ),
                "--format raw writes a raw disk under any name",
            );
        }
        self.format(Some(output), None)
    }

    /// An option that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--format", self.format.is_some()),
            ("--subformat", self.subformat.is_some()),
            ("--compress", self.compress.is_some()),
            ("--vhdx-block-size", self.vhdx_block_size.is_some()),
            ("--vhdx-sector-size", self.vhdx_sector_size.is_some()),
        ];
        given.iter().find(|(_, is_given)| *is_given).map(|(option, _)| *option)
    }

    /// The format of a disk at a path, if it has one, for a target, if there is one.
    pub(in crate::cli) fn format(&self, output: Option<&Path>, target: Option<Target>) -> Result<Format, Failure> {
        let ending = output.map(ending_of).unwrap_or_default();
        let path = output.unwrap_or(Path::new("")).display();
        if OTHERS.contains(&ending.as_str()) {
            return wrong(
                format!("{path}: the format {ending} is not supported; expected raw, qcow2, vhd or vhdx"),
                "name it disk.qcow2, disk.vhd, disk.vhdx or, for a bare filesystem, disk.ext4 or disk.erofs",
            );
        }
        let by_ending = Name::from_str(&ending, false).ok();
        let asked = self.format.or(by_ending);
        target.map_or(Ok(()), |target| target.check_format(asked, self.subformat, self.vhdx_sector_size))?;
        let name = asked.or(target.map(Target::format)).unwrap_or(Name::Raw);
        if let Some(by_ending) = by_ending.filter(|by_ending| *by_ending != name) {
            return wrong(
                format!("{path}: the name says {}, and --format says {}", by_ending.word(), name.word()),
                "leave out --format, or give the disk another name",
            );
        }
        let said = self.format.filter(|said| *said != Name::Raw && FILESYSTEMS.contains(&ending.as_str()));
        if let Some(said) = said {
            return wrong(
                format!(
                    "{path}: the name says {ending}, which is a filesystem and nothing else, and --format says {}",
                    said.word()
                ),
                "leave out --format, or name the disk by its format, such as disk.qcow2; --fs chooses the filesystem",
            );
        }
        let for_vhdx = [("--vhdx-block-size", self.vhdx_block_size), ("--vhdx-sector-size", self.vhdx_sector_size)];
        let unfit = for_vhdx.iter().find(|(_, value)| value.is_some() && name != Name::Vhdx).map(|(option, _)| *option);
        let unfit = unfit.or(self.subformat.filter(|_| !matches!(name, Name::Vhd | Name::Vhdx)).map(|_| "--subformat"));
        let unfit = unfit.or(self.compress.filter(|_| name != Name::Qcow2).map(|_| "--compress"));
        if let Some(option) = unfit {
            let formats = match option {
                "--subformat" => "vhd and vhdx",
                "--compress" => "qcow2",
                _ => "vhdx",
            };
            return wrong(
                format!("{option} is for {formats}, and this disk is {}", name.word()),
                "leave it out, or choose the format with --format or the ending of the name",
            );
        }
        let subformat = match self.subformat.or(target.and_then(Target::subformat)) {
            Some(SubformatName::Fixed) => Subformat::Fixed,
            Some(SubformatName::Dynamic) | None => Subformat::Dynamic,
        };
        let default = vhdx::Options::default();
        Ok(match name {
            Name::Raw => Format::Raw,
            Name::Qcow2 => Format::Qcow2(self.compress.map(CompressionName::compression)),
            Name::Vhd => Format::Vhd(subformat),
            Name::Vhdx => Format::Vhdx(vhdx::Options {
                subformat,
                block_size: self.vhdx_block_size.unwrap_or(default.block_size),
                logical_sector_size: self.vhdx_sector_size.unwrap_or(default.logical_sector_size),
            }),
        })
    }
}

impl CompressionName {
    fn compression(self) -> Compression {
        match self {
            CompressionName::Zlib => Compression::Zlib,
            CompressionName::Zstd => Compression::Zstd,
        }
    }
}

impl SubformatName {
    pub(super) fn word(self) -> &'static str {
        match self {
            SubformatName::Dynamic => "dynamic",
            SubformatName::Fixed => "fixed",
        }
    }
}

impl Name {
    pub(super) fn word(self) -> &'static str {
        match self {
            Name::Raw => "raw",
            Name::Qcow2 => "qcow2",
            Name::Vhd => "vhd",
            Name::Vhdx => "vhdx",
        }
    }
}

fn wrong<T>(problem: String, hint: &str) -> Result<T, Failure> {
    Err(Failure::Usage { problem, hint: Some(hint.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> FormatArgs {
        FormatArgs { format: None, subformat: None, compress: None, vhdx_block_size: None, vhdx_sector_size: None }
    }

    fn format(format: Option<Name>, subformat: Option<SubformatName>, output: &str) -> Result<Format, String> {
        let args = FormatArgs { format, subformat, ..none() };
        args.format(Some(Path::new(output)), None).map_err(|error| error.line())
    }

    #[test]
    fn the_name_decides_unless_an_option_does() {
        let (fixed, vhdx) = (Some(SubformatName::Fixed), vhdx::Options::default());
        for (output, name, subformat, expected) in [
            ("disk", None, None, Format::Raw),
            ("disk.ext4", None, None, Format::Raw),
            ("a.qcow2/disk", None, None, Format::Raw),
            (".qcow2", None, None, Format::Raw),
            ("disk.RAW", None, None, Format::Raw),
            ("disk.QCOW2", None, None, Format::Qcow2(None)),
            ("disk.img", Some(Name::Qcow2), None, Format::Qcow2(None)),
            ("disk.vhd", None, None, Format::Vhd(Subformat::Dynamic)),
            ("disk.vhd", Some(Name::Vhd), fixed, Format::Vhd(Subformat::Fixed)),
            ("disk.vhdx", None, None, Format::Vhdx(vhdx)),
            ("disk.vhdx", None, fixed, Format::Vhdx(vhdx::Options { subformat: Subformat::Fixed, ..vhdx })),
        ] {
            assert_eq!(format(name, subformat, output), Ok(expected), "{output}");
        }
    }

    #[test]
    fn a_conversion_writes_what_the_name_says() {
        let format = |name: &str, format: Option<Name>| {
            let args = FormatArgs { format, ..none() };
            args.of_conversion(Path::new(name)).map_err(|error| error.line())
        };
        for name in ["d.raw", "d.IMG", "d", "d.dd", "d.bin"] {
            assert_eq!(format(name, None), Ok(Format::Raw), "{name}");
        }
        assert_eq!(format("d.qcow2", None), Ok(Format::Qcow2(None)));
        assert_eq!(format("d.foo", Some(Name::Vhd)), Ok(Format::Vhd(Subformat::Dynamic)));
        assert_eq!(format("d.erofs", Some(Name::Raw)), Ok(Format::Raw));
        for (name, says) in [
            ("d.tar", "a disk is no archive"),
            ("d.iso", "a disk is no archive"),
            ("d.erofs", "keeps the filesystem that is on the disk"),
            ("d.xfs", "keeps the filesystem that is on the disk"),
            ("d.foo", "the name says no format"),
            ("d.vmdk", "the format vmdk is not supported"),
        ] {
            assert!(format(name, None).unwrap_err().contains(says), "{name}");
        }
        assert!(format("d.tar", Some(Name::Raw)).is_err());
    }

    #[test]
    fn what_does_not_go_together() {
        let says = |name, subformat, output| format(name, subformat, output).unwrap_err();
        assert_eq!(
            says(None, None, "d.vmdk"),
            "d.vmdk: the format vmdk is not supported; expected raw, qcow2, vhd or vhdx"
        );
        assert_eq!(
            says(Some(Name::Qcow2), None, "d.erofs"),
            "d.erofs: the name says erofs, which is a filesystem and nothing else, and --format says qcow2"
        );
        assert_eq!(says(Some(Name::Raw), None, "d.vhdx"), "d.vhdx: the name says vhdx, and --format says raw");
        let fixed = Some(SubformatName::Fixed);
        assert_eq!(says(None, fixed, "d.qcow2"), "--subformat is for vhd and vhdx, and this disk is qcow2");
        let blocks = FormatArgs { vhdx_block_size: Some(1 << 20), ..none() };
        let compressed = FormatArgs { compress: Some(CompressionName::Zstd), ..none() };
        let error = compressed.format(Some(Path::new("d.vhdx")), None).unwrap_err().line();
        assert_eq!(error, "--compress is for qcow2, and this disk is vhdx");
        assert_eq!(
            says(None, None, "d.avhdx"),
            "d.avhdx: the format avhdx is not supported; expected raw, qcow2, vhd or vhdx"
        );
        let error = blocks.format(Some(Path::new("d.vhd")), None).unwrap_err().line();
        assert_eq!(error, "--vhdx-block-size is for vhdx, and this disk is vhd");
    }
}
