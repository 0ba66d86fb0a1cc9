//! `cvbake bake`: one image becomes one disk.

mod archive;
mod boot;
mod filesystem;
pub(super) mod format;
pub(super) mod help;
pub(super) mod output;
pub(super) mod target;
mod verity;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{ValueEnum, ValueHint};
use cvbake::control::Control;
use cvbake::event::{Event, Observer};
use cvbake::fetch::{Pull, Source, TarSource};
use cvbake::store::{Error as StoreError, Event as StoreEvent, Store};
use cvbake::verify::Platform;
use cvbake::{ImageSource, Job, KeepPacks, Output, Verity};

use super::report::{DiskKind, Report};
use super::work::{self, Telling, allowed_jobs, nothing_written, want, watch};
use super::{environment, registry, source, store, values};
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Bake an image into a disk
///
/// The disk is a file with a single filesystem, ext4 or EROFS, and, without --boot uefi, no
/// partition table, raw or in another format. It keeps everything in the image: owners, modes,
/// times to the nanosecond, devices, hard links, extended attributes, capabilities and access
/// control lists.
/// This takes no root, no mount and no daemon. The same image and options give the same bytes, on
/// any machine and at any time.
///
/// An error is one line on standard error, followed by a line with a hint where there is a remedy.
/// The disk appears under its name when it is complete, or not at all.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake bake [OPTIONS] <SOURCE> -o <DISK>", after_long_help = help::after())]
pub(super) struct Args {
    /// Image to bake: a name in a registry, oci:DIR, oci-archive:FILE, docker-archive:FILE or
    /// tar:FILE
    #[arg(value_name = "SOURCE", long_help = help::source())]
    source: OsString,

    /// Write the disk to this file
    ///
    /// A name that ends in .tar, .tar.gz, .tgz or .tar.zst is written as an archive of the merged
    /// files instead, as cvbake image export does it, and dir:PATH as files in a new or an empty
    /// directory; --json prints the object of that command then. For dir:PATH, root gives files
    /// their owners, devices and attributes; other users get a record of these with each file, in
    /// user.containers.override_stat as podman writes it, and a warning that names what cannot be
    /// recorded.
    #[arg(short, long, value_name = "DISK", value_hint = ValueHint::FilePath, required_unless_present = "dry_run")]
    output: Option<PathBuf>,

    /// Replace an existing disk
    #[arg(short, long)]
    force: bool,

    /// Choose the image for this platform, os/arch[/variant]
    ///
    /// The default is Linux on this machine's processor; a source with only one image is then
    /// accepted whatever its platform.
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,

    #[command(flatten)]
    filesystem: filesystem::FilesystemArgs,

    /// Keep images and layers in this directory
    /// [default: $XDG_DATA_HOME/cvbake; for root /var/lib/cvbake]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = WORK)]
    store: Option<PathBuf>,

    /// Neither read nor write the store, whatever --store says
    #[arg(long, help_heading = WORK)]
    no_cache: bool,

    /// Choose whether to cache the unpacked content of layers
    ///
    /// The list of a layer's files is always cached: it is small, and saves parsing the layer
    /// again. Caching the content of the files, too, saves decompressing the layer again, but takes
    /// as much space as the files, unless the filesystem can share blocks.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, help_heading = WORK)]
    keep_packs: Keep,

    /// Choose whether to reuse disks from earlier bakes
    ///
    /// The store remembers where finished disks are. If one of the same image with the same options
    /// has not been modified, it is copied, sharing blocks where the filesystem can; if it is the
    /// one to be replaced, it is left as it is. A disk of another image provides the content of the
    /// layers that both images have, so that they need not be decompressed again. Disks that were
    /// baked with --sync never or before the machine was last started are not reused, and none are
    /// with --keep-packs always.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, help_heading = WORK)]
    reuse: Reusing,

    /// Shrink the store to this size afterwards, removing the least recently used images
    ///
    /// Images that running bakes use stay, and so does the image that was just baked. Imported
    /// images stay as well, because no registry gives them back, unless --prune-imported is given.
    /// cvbake store prune makes room at any time.
    #[arg(long, value_name = "SIZE", value_parser = values::store_size, help_heading = WORK)]
    max_store_size: Option<u64>,

    /// With --max-store-size, remove imported images, too, when nothing else is left to remove
    #[arg(long, help_heading = WORK)]
    prune_imported: bool,

    /// Set the number of threads [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = values::jobs, help_heading = WORK)]
    jobs: Option<NonZeroUsize>,

    /// Show what would be baked, and write nothing
    #[arg(short = 'n', long, help_heading = WORK)]
    dry_run: bool,

    /// Make the disk as the place takes it where it is to be used
    ///
    /// This sets the format and whatever else that place demands, and refuses options that it would
    /// not take. --dry-run shows what is set; docs/targets.md says why.
    #[arg(long, value_enum, value_name = "TARGET", help_heading = format::HEADING)]
    target: Option<target::Target>,

    #[command(flatten)]
    boot: boot::BootArgs,

    #[command(flatten)]
    format: format::FormatArgs,

    /// Add a hash tree, by which dm-verity checks all that is read: auto (the default), append,
    /// beside, partition
    ///
    /// With append, the tree is behind the filesystem on the same disk; with beside, in the file
    /// DISK.verity; with partition, in a partition of a disk for --boot uefi. auto means partition
    /// with --boot uefi, where firmware and systemd look for it, and append otherwise, because one
    /// file is enough. The root hash is printed; with --boot, it is on the kernel's command line,
    /// and changes to the root filesystem are kept in memory. Nobody can write to such a disk, so
    /// without other options it is as small as possible and has no journal.
    #[arg(long, value_enum, value_name = "WHERE", num_args = 0..=1, require_equals = true, default_missing_value = "auto")]
    #[arg(hide_possible_values = true, help_heading = "Filesystem")]
    verity: Option<verity::Name>,

    #[command(flatten)]
    registry: registry::Args,

    /// Choose whether to wait until the disk is on stable storage
    ///
    /// With never, cvbake returns while the kernel is still writing. If the machine, not cvbake,
    /// crashes before that is done, the disk may have any content. Entries of the store may be
    /// damaged then, too, but this is detected, and they are fetched again.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, help_heading = work::OUTPUT)]
    sync: SyncDisk,

    /// Report the SHA-256 of the disk
    #[arg(long, help_heading = work::OUTPUT)]
    digest: bool,

    /// Read the finished disk back and compare it with the image before it gets its name
    ///
    /// Every path, attribute and byte is compared, as by cvbake verify. The layers are unpacked
    /// once more for that, so the bake takes about twice as long.
    #[arg(long, help_heading = work::OUTPUT)]
    verify: bool,

    #[command(flatten)]
    telling: Telling,
}

const WORK: &str = "Cache and threads";

/// When to use a disk again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Reusing {
    /// Reuse disks that still exist and have not been modified
    #[default]
    Auto,
    /// Bake every disk from its layers
    Never,
}

/// When to bring a disk to stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum SyncDisk {
    /// Wait until the data is on stable storage
    #[default]
    Always,
    /// Return before the data is on stable storage
    Never,
}

/// Whether to keep content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Keep {
    /// Cache it where it takes no space, because the disk can share its blocks
    #[default]
    Auto,
    /// Cache it wherever it is
    Always,
    /// Cache only the list of files
    Never,
}

/// `cvbake pull-and-build`: as `bake`, but what is given is a name in a registry and nothing else.
pub(super) fn run_registry(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    bake(registry::reference(&args.source)?.into(), args, ui)
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    bake(source::image(&args.source)?, args, ui)
}

fn bake(source: ImageSource, args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let output = args.output.as_deref().map(output::check).transpose()?;
    let beside = output.zip(args.hash_tree()).and_then(|(output, verity)| verity.path(output));
    let mut outputs = output.map(Path::to_owned).into_iter().chain(beside);
    if let Some(output) = outputs.find(|output| output::is_file_of(&source, output)) {
        return Err(Failure::Usage {
            problem: format!("{} is the source: the disk would replace it", output.display()),
            hint: Some("write the disk to another file".to_owned()),
        });
    }
    if let Some((path, target)) = output.and_then(|path| Some((path, archive::target(path)?))) {
        return archive::write(source, target, path, args, ui);
    }
    if args.verify && matches!(source, ImageSource::At(Source::Tar(TarSource::Stdin))) {
        return Err(Failure::Usage {
            problem: "--verify reads the image a second time, and standard input can be read only once".to_owned(),
            hint: Some("write the archive to a file first; `cvbake verify` compares the disk later".to_owned()),
        });
    }
    let mut job = args.job(source, &|event| ui.on(&event))?;
    job.filesystem = args.filesystem.filesystem(output, args.verity.is_some())?;
    job.boot = args.boot.boot(&job.source)?;
    args.boot.check(args.target)?;
    args.verity.map_or(Ok(()), |verity| verity.check(args.boot.is_uefi()))?;
    job.format = args.format.format(output, args.target)?;
    if let Some(target) = args.target {
        target.check_filesystem(&job.filesystem)?;
        target.check_disk(args.filesystem.size, args.verity.is_some())?;
        job.demands = Some(target.demands());
        if let Some(reason) = target.bootable().filter(|_| !args.boot.is_uefi()) {
            ui.on(&Event::Warning(format!("the disk will not boot: {reason}")));
        }
    }
    let outcome = output.filter(|_| !args.dry_run).map(nothing_written);
    let report = args.bake(&job, output, watch(ui, outcome), &|event| ui.on(&event))?;
    ui.finish();
    args.telling.print(|| report.json(), || report.text())
}

impl Args {
    pub(super) fn mode(&self) -> Mode {
        self.telling.mode()
    }

    /// Where the hash tree goes, if there is to be one.
    fn hash_tree(&self) -> Option<Verity> {
        self.verity.map(|verity| verity.place(self.boot.is_uefi()))
    }

    fn bake(&self, job: &Job, output: Option<&Path>, control: &Control, on: Observer<'_>) -> Result<Report, Failure> {
        let kind = DiskKind::of(job, self.target, self.filesystem.engine_word());
        let sync = self.sync == SyncDisk::Always;
        let output = output.map(|path| {
            let mut output = Output::new(path);
            (output.replace, output.digest, output.sync) = (self.force, self.digest, sync);
            output.verify = self.verify;
            output
        });
        match output {
            Some(output) if !self.dry_run => {
                let baked = cvbake::bake(job, &output, control, on)?;
                let mut report = Report::baked(&baked, kind);
                if let (Some(store), Some(bytes)) = (&job.store, self.max_store_size) {
                    let layers = baked.plan.layers.iter().flat_map(|layer| [layer.digest, Some(layer.diff_id)]);
                    let used = layers.chain([Some(baked.plan.image)]).flatten();
                    let limit = store::Limit { bytes, with_imported: self.prune_imported };
                    report.pruned = limit.keep(store, used, on);
                }
                Ok(report)
            }
            output => {
                let path = output.as_ref().map(|output| output.path.display().to_string());
                let plan = cvbake::plan(job, output.as_ref(), control, on)?;
                Ok(Report::planned(&plan, path, kind))
            }
        }
    }

    fn job(&self, source: ImageSource, on: Observer<'_>) -> Result<Job, Failure> {
        let mut job = Job::new(source);
        job.registry = self.registry.options(Pull::Missing)?;
        job.want = want(self.platform.as_ref());
        job.verity = self.hash_tree();
        job.epoch = environment::epoch()?;
        job.store = self.store(on)?;
        let is_named = !matches!(job.source, ImageSource::At(ref source) if !matches!(source, Source::Registry(_)));
        if job.store.is_none() && job.registry.pull == Pull::Never && is_named {
            return Err(Failure::Usage {
                problem: "there is nowhere to take the image from: --pull never uses only the store, and there is none"
                    .to_owned(),
                hint: Some(
                    "leave out --no-cache to use the store; --pull missing asks the registry; --store DIR names a store"
                        .to_owned(),
                ),
            });
        }
        job.temporary = environment::temporary();
        job.keep_packs = match self.keep_packs {
            Keep::Auto => KeepPacks::Auto,
            Keep::Always => KeepPacks::Always,
            Keep::Never => KeepPacks::Never,
        };
        job.reuse = self.reuse == Reusing::Auto;
        job.jobs = allowed_jobs(self.jobs);
        Ok(job)
    }

    /// The store that was asked for, or the default one. Where the user has no place of their own
    /// for the latter, as service users have none, the bake does without.
    fn store(&self, on: Observer<'_>) -> Result<Option<PathBuf>, Failure> {
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
            Some(Err(error)) if is_no_place(&error) => Failure::from(error).line(),
            Some(_) => return Ok(dir),
            None => "there is no home directory".to_owned(),
        };
        if self.keep_packs == Keep::Always {
            let hint = Some("--store DIR names another directory".to_owned());
            return Err(Failure::Usage { problem: format!("there is no store to keep content in: {problem}"), hint });
        }
        on(Event::Warning(format!("layers are not cached for other bakes: {problem}")));
        Ok(None)
    }
}

/// Whether a store can't be there for this user.
pub(super) fn is_no_place(error: &StoreError) -> bool {
    use std::io::ErrorKind as Io;
    match error {
        StoreError::Foreign { .. } => true,
        StoreError::Create { source, .. } | StoreError::Read { source, .. } => {
            matches!(source.kind(), Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::NotFound)
        }
        _ => false,
    }
}
