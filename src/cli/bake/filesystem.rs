//! Which filesystem is on a disk: what is asked for, and what the name of the file says.

use std::path::Path;

use clap::ValueEnum;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cvbake::ext4::{Inodes, Size, mkfs};
use cvbake::{Engine, Erofs, Ext4, Filesystem};

use super::format::FILESYSTEMS;
use super::help;
use crate::cli::{environment, values};
use crate::failure::Failure;

/// The options of filesystems.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filesystem")]
pub(in crate::cli) struct FilesystemArgs {
    /// Choose the filesystem [default: by the ending of DISK, or ext4]
    #[arg(long, value_enum, value_name = "FS", ignore_case = true, hide_possible_values = true, long_help = help::filesystem())]
    fs: Option<Name>,

    /// Set the size of the disk: auto, min, +512M, 20G
    #[arg(long, default_value = "auto", value_parser = values::size, long_help = help::size())]
    pub(super) size: Size,

    /// Set the number of inodes: auto, a number, or 1/16K
    #[arg(long, default_value = "auto", value_parser = values::inodes, long_help = help::inodes())]
    inodes: Inodes,

    /// Set the filesystem label, at most 16 bytes; for erofs 15
    #[arg(long, default_value = "", hide_default_value = true)]
    #[arg(value_parser = OsStringValueParser::new().try_map(values::label))]
    label: std::vec::Vec<u8>,

    /// Set the filesystem UUID [default: derived from the image]
    #[arg(long, value_parser = values::uuid)]
    uuid: Option<[u8; 16]>,

    /// Set the seed of the directory hashes, a UUID [default: derived from the image]
    #[arg(long, value_name = "UUID", value_parser = values::uuid)]
    hash_seed: Option<[u8; 16]>,

    /// Create a journal (the default)
    #[arg(long, overrides_with = "no_journal")]
    journal: bool,

    /// Create no journal
    #[arg(long, overrides_with = "journal")]
    no_journal: bool,

    /// Choose the engine that writes the filesystem
    #[arg(long, value_enum, default_value_t)]
    engine: EngineName,
}

/// A filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The one that can be written to
    Ext4,
    /// The one that is only read
    Erofs,
}

/// What writes the filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum EngineName {
    /// Use cvbake itself
    #[default]
    Native,
    /// Use the programs of e2fsprogs, which are much slower
    Mkfs,
}

impl FilesystemArgs {
    /// The word for what writes the filesystem.
    pub(super) fn engine_word(&self) -> &'static str {
        match self.engine {
            EngineName::Native => "native",
            EngineName::Mkfs => "mkfs",
        }
    }

    /// The filesystem of a disk at a path, if it has one, which may have a hash tree.
    pub(super) fn filesystem(&self, output: Option<&Path>, is_verified: bool) -> Result<Filesystem, Failure> {
        let ending = output.and_then(Path::extension).and_then(|ending| ending.to_str());
        let by_ending = ending.and_then(|ending| Name::from_str(ending, true).ok());
        let unwritten = ending.map(str::to_ascii_lowercase).filter(|ending| FILESYSTEMS.contains(&ending.as_str()));
        if let Some(ending) = unwritten.filter(|_| by_ending.is_none()) {
            let path = output.unwrap_or(Path::new("")).display();
            let names: Vec<&str> = Name::value_variants().iter().map(|name| name.word()).collect();
            return wrong(
                format!(
                    "{path}: the name says {ending}, expected a filesystem that is written: {}",
                    names.join(" or ")
                ),
                "name it disk.ext4 or disk.erofs, or disk.img",
            );
        }
        let name = self.fs.or(by_ending).unwrap_or(Name::Ext4);
        if let Some(by_ending) = by_ending.filter(|by_ending| *by_ending != name) {
            let path = output.unwrap_or(Path::new("")).display();
            return wrong(
                format!("{path}: the name says {}, and --fs says {}", by_ending.word(), name.word()),
                "leave out --fs, or give the disk another name",
            );
        }
        let (label, uuid) = (self.label.clone(), self.uuid);
        if name == Name::Erofs {
            if let Some(option) = self.for_ext4_only() {
                return wrong(
                    format!("{option} is for ext4, and this disk is erofs"),
                    "leave it out: an EROFS disk is never written to, and has no room but for its files",
                );
            }
            return Ok(Filesystem::Erofs(Erofs { label, uuid }));
        }
        Ok(Filesystem::Ext4(Ext4 {
            engine: self.engine()?,
            // A disk that nobody writes to needs no room, nor what keeps writing safe.
            size: if is_verified && self.size == Size::Auto { Size::Min } else { self.size },
            inodes: self.inodes,
            label,
            uuid,
            hash_seed: self.hash_seed,
            // A file or a variable may have set the one, and an argument the other.
            journal: self.journal || !(self.no_journal || is_verified),
        }))
    }

    /// An option that was given and that only ext4 has.
    fn for_ext4_only(&self) -> Option<&'static str> {
        let given = [
            ("--size", self.size != Size::default()),
            ("--inodes", self.inodes != Inodes::default()),
            ("--hash-seed", self.hash_seed.is_some()),
            ("--journal", self.journal),
            ("--no-journal", self.no_journal),
            ("--engine mkfs", self.engine == EngineName::Mkfs),
        ];
        given.iter().find(|(_, is_given)| *is_given).map(|(option, _)| *option)
    }

    /// An option that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [("--fs", self.fs.is_some()), ("--label", !self.label.is_empty()), ("--uuid", self.uuid.is_some())];
        self.for_ext4_only().or_else(|| given.iter().find(|(_, is_given)| *is_given).map(|(option, _)| *option))
    }

    fn engine(&self) -> Result<Engine, Failure> {
        Ok(match self.engine {
            EngineName::Native => Engine::Native,
            EngineName::Mkfs => Engine::Mkfs(mkfs::Programs::find(&environment::search_path())?),
        })
    }
}

impl Name {
    fn word(self) -> &'static str {
        match self {
            Name::Ext4 => "ext4",
            Name::Erofs => "erofs",
        }
    }
}

fn wrong<T>(problem: String, hint: &str) -> Result<T, Failure> {
    Err(Failure::Usage { problem, hint: Some(hint.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(fs: Option<Name>) -> FilesystemArgs {
        FilesystemArgs {
            fs,
            size: Size::default(),
            inodes: Inodes::default(),
            label: Vec::new(),
            uuid: None,
            hash_seed: None,
            journal: false,
            no_journal: false,
            engine: EngineName::Native,
        }
    }

    fn chosen(args: &FilesystemArgs, output: &str) -> Result<&'static str, String> {
        let filesystem = args.filesystem(Some(Path::new(output)), false);
        filesystem.map(|filesystem| filesystem.name()).map_err(|error| error.line())
    }

    #[test]
    fn the_name_decides_unless_an_option_does() {
        for (output, fs, expected) in [
            ("disk", None, "ext4"),
            ("disk.img", None, "ext4"),
            ("erofs", None, "ext4"),
            ("disk.erofs", None, "erofs"),
            ("disk.EROFS", Some(Name::Erofs), "erofs"),
            ("disk.vhdx", Some(Name::Erofs), "erofs"),
            ("disk.ext4", Some(Name::Ext4), "ext4"),
        ] {
            assert_eq!(chosen(&args(fs), output), Ok(expected), "{output}");
        }
        let says = |fs, output| chosen(&args(Some(fs)), output).unwrap_err();
        assert_eq!(says(Name::Ext4, "d.erofs"), "d.erofs: the name says erofs, and --fs says ext4");
        assert_eq!(says(Name::Erofs, "d.ext4"), "d.ext4: the name says ext4, and --fs says erofs");
    }

    #[test]
    fn options_of_ext4_are_for_ext4() {
        let none = || args(None);
        for (args, option) in [
            (FilesystemArgs { size: Size::Min, ..none() }, "--size"),
            (FilesystemArgs { inodes: Inodes::Count(1), ..none() }, "--inodes"),
            (FilesystemArgs { hash_seed: Some([0; 16]), ..none() }, "--hash-seed"),
            (FilesystemArgs { journal: true, ..none() }, "--journal"),
            (FilesystemArgs { no_journal: true, ..none() }, "--no-journal"),
            (FilesystemArgs { engine: EngineName::Mkfs, ..none() }, "--engine mkfs"),
        ] {
            let expected = format!("{option} is for ext4, and this disk is erofs");
            assert_eq!(chosen(&args, "d.erofs"), Err(expected));
        }
    }
}
