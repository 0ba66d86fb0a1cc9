//! `cvbake bake`: one image becomes one disk.

mod help;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{ValueEnum, ValueHint};
use cvbake::cleanup::Cleanup;
use cvbake::error::Error;
use cvbake::event::Event;
use cvbake::ext4::{Inodes, Size, mkfs};
use cvbake::fetch::{Pull, Source};
use cvbake::store::{Error as StoreError, Event as StoreEvent, Store};
use cvbake::verify::Platform;
use cvbake::{Engine, Job, KeepPacks, Output};

use super::report::Report;
use super::work::{self, Telling, allowed_jobs, want, watch};
use super::{environment, registry, source, store, values};
use crate::ui::{Mode, Ui};

/// Bakes an image into a disk
///
/// The disk is one ext4 filesystem with everything that the image says: owners, modes, times to the nanosecond, devices,
/// hard links, extended attributes, capabilities and access control lists. It needs no root, no mount and no daemon. The
/// same image and options give the same bytes, whenever and wherever.
///
/// What goes wrong is one line on standard error, with a hint on a second one where something can be done about it.
/// Either the whole disk is there afterwards, or nothing.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake bake [OPTIONS] <SOURCE> -o <DISK>", after_long_help = help::after())]
pub(super) struct Args {
    /// The image: a name in a registry, oci:DIR, oci-archive:FILE, docker-archive:FILE or tar:FILE
    #[arg(value_name = "SOURCE", long_help = help::source())]
    source: OsString,

    /// The file that the disk becomes
    #[arg(short, long, value_name = "DISK", value_hint = ValueHint::FilePath, required_unless_present = "dry_run")]
    output: Option<PathBuf>,

    /// Replace the disk if it is there
    #[arg(short, long)]
    force: bool,

    /// The platform of the image, as os/arch[/variant]
    ///
    /// Without it, Linux on this machine's processor; then a source of only one image may also be for another.
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,

    /// How large the disk becomes: auto, min, +512M, 20G
    #[arg(long, default_value = "auto", value_parser = values::size, help_heading = FILESYSTEM, long_help = help::size())]
    size: Size,

    /// How many inodes the filesystem has: auto, a number, or 1/16K
    #[arg(long, default_value = "auto", value_parser = values::inodes, help_heading = FILESYSTEM, long_help = help::inodes())]
    inodes: Inodes,

    /// The filesystem's name, at most 16 bytes
    #[arg(long, default_value = "", hide_default_value = true, help_heading = FILESYSTEM)]
    #[arg(value_parser = OsStringValueParser::new().try_map(values::label))]
    label: std::vec::Vec<u8>,

    /// The filesystem's UUID; otherwise it follows from the image
    #[arg(long, value_parser = values::uuid, help_heading = FILESYSTEM)]
    uuid: Option<[u8; 16]>,

    /// The seed of the hashes in large directories, a UUID; otherwise it follows from the image
    #[arg(long, value_name = "UUID", value_parser = values::uuid, help_heading = FILESYSTEM)]
    hash_seed: Option<[u8; 16]>,

    /// Give the filesystem a journal (the default)
    #[arg(long, overrides_with = "no_journal", help_heading = FILESYSTEM)]
    journal: bool,

    /// Give the filesystem no journal
    #[arg(long, overrides_with = "journal", help_heading = FILESYSTEM)]
    no_journal: bool,

    /// What writes the filesystem
    #[arg(long, value_enum, default_value_t, help_heading = FILESYSTEM)]
    engine: EngineName,

    /// Where layers are kept for other bakes [default: $XDG_DATA_HOME/cvbake; for root /var/lib/cvbake]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = WORK)]
    store: Option<PathBuf>,

    /// Keep no layers, and use none that are kept, whatever --store says
    #[arg(long, help_heading = WORK)]
    no_cache: bool,

    /// Whether to keep the unpacked content of layers, too
    ///
    /// What is always kept is what a layer has in it, which is small, and saves parsing it again. The content as well saves
    /// inflating it again, and costs as much room as it has bytes, unless the filesystem can share blocks.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, help_heading = WORK)]
    keep_packs: Keep,

    /// Whether disks that were made before may be used again
    ///
    /// The store notes where disks stand. One of the same image and options that nobody has touched since is copied, which shares
    /// its blocks where the filesystem can, or stays if it is the one to be replaced. From one of another image comes the content of
    /// the layers that both have, as far as it has all that is wanted of them, so that they are not inflated again. Disks that were
    /// made with --sync never, or before the machine was started, don't count; with --keep-packs always none does.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, help_heading = WORK)]
    reuse: Reusing,

    /// How large the store may be afterwards: images that were used least recently go
    ///
    /// What running bakes use stays, and so does the image that was just baked. Imported images stay as well, unless
    /// --prune-imported is given: no registry gives them back. cvbake store prune makes room at any time.
    #[arg(long, value_name = "SIZE", value_parser = values::store_size, help_heading = WORK)]
    max_store_size: Option<u64>,

    /// With --max-store-size: imported images go, too, when nothing else is left
    #[arg(long, help_heading = WORK)]
    prune_imported: bool,

    /// How many threads work at once [default: as many as there are processors]
    #[arg(short, long, value_name = "N", value_parser = values::jobs, help_heading = WORK)]
    jobs: Option<NonZeroUsize>,

    /// Say what would be baked, and make nothing
    #[arg(short = 'n', long, help_heading = WORK)]
    dry_run: bool,

    #[command(flatten)]
    registry: registry::Args,

    /// Whether the disk is on stable storage in the end
    ///
    /// With never, the kernel writes it when it likes, and cvbake need not wait; after a crash of the machine, not of cvbake,
    /// the disk may be there and have anything in it. What came into the store may be damaged then, too, but that is found out, and
    /// it is fetched again.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, help_heading = work::OUTPUT)]
    sync: SyncDisk,

    /// Hash the disk: the result says its SHA-256
    #[arg(long, help_heading = work::OUTPUT)]
    digest: bool,

    #[command(flatten)]
    telling: Telling,
}

const FILESYSTEM: &str = "Filesystem";
const WORK: &str = "Work";

/// When to use a disk again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Reusing {
    /// Where it is still there
    #[default]
    Auto,
    /// Make every disk anew
    Never,
}

/// When to bring a disk to stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum SyncDisk {
    /// Before it gets its name
    #[default]
    Always,
    /// As the kernel likes
    Never,
}

/// What writes the filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum EngineName {
    /// This program
    #[default]
    Native,
    /// The programs of e2fsprogs; slower by far
    Mkfs,
}

/// Whether to keep content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Keep {
    /// Where it costs no room: where the store's filesystem can share blocks with the disk
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Endings of formats that are something else than a bare filesystem.
const OTHER_FORMATS: [&str; 7] = ["qcow2", "qcow", "vhdx", "vhd", "vmdk", "vdi", "tar"];

/// `cvbake pull-and-build`: as `bake`, but what is given is a name in a registry and nothing else.
pub(super) fn run_registry(args: &Args, ui: &Arc<Ui>) -> Result<(), Error> {
    bake(registry::reference(&args.source)?, args, ui)
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Error> {
    bake(source::parse(&args.source)?, args, ui)
}

fn bake(source: Source, args: &Args, ui: &Arc<Ui>) -> Result<(), Error> {
    let output = args.output.as_deref().map(check_output).transpose()?;
    let job = args.job(source, &|event| ui.on(&event))?;
    let report = args.bake(&job, output, watch(ui), &|event| ui.on(&event))?;
    ui.finish();
    args.telling.print(|| report.json(), || report.text())
}

impl Args {
    pub(super) fn mode(&self) -> Mode {
        self.telling.mode()
    }

    fn bake(
        &self,
        job: &Job,
        output: Option<&Path>,
        cleanup: &Cleanup,
        on: &(dyn Fn(Event) + Sync),
    ) -> Result<Report, Error> {
        let engine = match self.engine {
            EngineName::Native => "native",
            EngineName::Mkfs => "mkfs",
        };
        match output {
            Some(path) if !self.dry_run => {
                let sync = self.sync == SyncDisk::Always;
                let output = Output { path: path.to_owned(), replace: self.force, digest: self.digest, sync };
                let baked = cvbake::bake(job, &output, cleanup, on)?;
                let mut report = Report::baked(&baked, engine);
                if let (Some(store), Some(bytes)) = (&job.store, self.max_store_size) {
                    let layers = baked.plan.layers.iter().flat_map(|layer| [layer.digest, Some(layer.diff_id)]);
                    let used = layers.chain([Some(baked.plan.image)]).flatten();
                    let limit = store::Limit { bytes, with_imported: self.prune_imported };
                    report.pruned = limit.keep(store, used, on);
                }
                Ok(report)
            }
            output => {
                let path = output.map(|path| path.display().to_string());
                Ok(Report::planned(&cvbake::plan(job, cleanup, on)?, path, engine))
            }
        }
    }

    fn job(&self, source: Source, on: &(dyn Fn(Event) + Sync)) -> Result<Job, Error> {
        Ok(Job {
            source,
            registry: self.registry.options(Pull::Missing)?,
            want: want(self.platform.as_ref()),
            engine: self.engine()?,
            size: self.size,
            inodes: self.inodes,
            label: self.label.clone(),
            uuid: self.uuid,
            hash_seed: self.hash_seed,
            // A file or a variable may have set the one, and an argument the other.
            journal: self.journal || !self.no_journal,
            epoch: environment::epoch()?,
            store: self.store(on)?,
            temporary: environment::temporary(),
            keep_packs: match self.keep_packs {
                Keep::Auto => KeepPacks::Auto,
                Keep::Always => KeepPacks::Always,
                Keep::Never => KeepPacks::Never,
            },
            reuse: self.reuse == Reusing::Auto,
            jobs: allowed_jobs(self.jobs),
        })
    }

    /// The store that was asked for, or the default one. Where the user has no place of their own for the latter, as
    /// service users have none, the bake does without.
    fn store(&self, on: &(dyn Fn(Event) + Sync)) -> Result<Option<PathBuf>, Error> {
        if self.no_cache {
            return Ok(None);
        }
        if self.store.is_some() {
            return Ok(self.store.clone());
        }
        let dir = environment::store();
        let tell = |event: StoreEvent| on(event.into());
        let open = |dir: &Path| match self.dry_run {
            true => Store::open_existing(dir, &tell).map(drop),
            false => Store::open(dir, &tell).map(drop),
        };
        let problem = match dir.as_deref().map(open) {
            Some(Err(error)) if is_no_place(&error) => Error::from(error).line(),
            Some(_) => return Ok(dir),
            None => "there is no home directory".to_owned(),
        };
        if self.keep_packs == Keep::Always {
            let hint = Some("--store DIR says where".to_owned());
            return Err(Error::Usage { problem: format!("there is no store to keep packs in: {problem}"), hint });
        }
        on(Event::Warning(format!("no layers are kept for other bakes: {problem}")));
        Ok(None)
    }

    fn engine(&self) -> Result<Engine, Error> {
        Ok(match self.engine {
            EngineName::Native => Engine::Native,
            EngineName::Mkfs => Engine::Mkfs(mkfs::Programs::find(&environment::search_path())?),
        })
    }
}

/// Whether a store can't be there for this user.
fn is_no_place(error: &StoreError) -> bool {
    use std::io::ErrorKind as Io;
    match error {
        StoreError::Foreign { .. } => true,
        StoreError::Create { source, .. } | StoreError::Read { source, .. } => {
            matches!(source.kind(), Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::NotFound)
        }
        _ => false,
    }
}

/// Refuses outputs that would not be what their name says.
fn check_output(path: &Path) -> Result<&Path, Error> {
    let wrong = |problem: String, hint: &str| Err(Error::Usage { problem, hint: Some(hint.to_owned()) });
    if path.as_os_str().as_bytes() == b"-" {
        return wrong(
            "writing the disk to standard output is not supported: it is written at random positions".to_owned(),
            "bake into a file, such as -o disk.ext4, and copy that; a file called - is ./-",
        );
    }
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    if OTHER_FORMATS.contains(&ending.as_str()) {
        return wrong(
            format!(
                "{}: the format {ending} is not supported yet, expected a name for an ext4 filesystem",
                path.display()
            ),
            "call it disk.ext4 or disk.img; qemu-img convert -f raw makes other formats of it",
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use cvbake::error::Kind;

    use super::*;

    #[test]
    fn outputs() {
        for name in ["disk.ext4", "disk", "disk.img", "./-", "a.qcow2/disk.ext4", "vhd", ".qcow2"] {
            assert!(check_output(Path::new(name)).is_ok(), "{name}");
        }
        for name in ["-", "disk.qcow2", "disk.VHDX", "disk.vhd", "disk.tar"] {
            let error = check_output(Path::new(name)).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{name}");
            assert!(error.hint().is_some(), "{name}");
        }
    }
}
