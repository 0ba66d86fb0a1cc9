//! `cvbake image export`: an image of the store, or of anywhere, becomes a file or directory for
//! other programs.

mod target;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use clap::ValueEnum;
use cvbake::ImageSource;
use cvbake::archive::Compression;
use cvbake::fetch::{Pull, Source, TarSource};
use cvbake::images::{ExportJob, Exported, NotKept, Target};
use cvbake::text::line;
use cvbake::verify::Platform;
use indicatif::BinaryBytes;
use serde::Serialize;

pub(in crate::cli) use self::target::{compression_by_name, directory};
use self::target::{file_of, format_of, unsupported};
use crate::cli::work::{InStore, Telling, allowed_jobs, nothing_written, want, watch};
use crate::cli::{environment, registry, source, values};
use crate::failure::Failure;
use crate::ui::Ui;

/// Write an image for other programs
///
/// Manifests, configurations and layers are written byte for byte. A file appears under its name
/// when it is complete, and an image is added to a directory when all of it is there.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake image export [OPTIONS] <NAME> <DEST>", after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Image to export: a name, the end of a name, a digest or the beginning of one, or any source
    /// that cvbake bake accepts
    #[arg(value_name = "NAME")]
    name: OsString,

    /// Destination: oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], tar:FILE,
    /// tar:- or dir:PATH [default TAG and NAME: the name of the image in full]
    ///
    /// oci: adds the image to a directory in the OCI image layout, replacing an image with the
    /// same tag. docker-archive: writes an archive for docker load and podman load. tar: writes
    /// the merged root filesystem, with all attributes of all files; tar:- writes it to standard
    /// output; if its reader stops early, the exit status is 141 and nothing is printed. dir:
    /// writes the files of the root filesystem into a new or an empty directory: root gives them
    /// owners, devices and all attributes; for other users, user.containers.override_stat records
    /// these, as podman does, and a warning says what cannot be recorded. A file that ends in
    /// .tar, .tar.gz, .tgz or .tar.zst needs no tar: in front; note that image.tar is the root
    /// filesystem only, without the configuration that says how to run it, and
    /// docker-archive:image.tar is an image.
    #[arg(value_name = "DEST")]
    target: OsString,

    /// Choose the image for this platform, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM", conflicts_with = "all")]
    platform: Option<Platform>,

    /// Export all platforms, and everything else in the index (only to oci: and oci-archive:)
    #[arg(long)]
    all: bool,

    /// Choose how to compress the file
    /// [default: gzip for .gz and .tgz, zstd for .zst and .tzst, otherwise none]
    #[arg(long, value_enum, value_name = "HOW")]
    compress: Option<Compress>,

    /// Replace an existing file
    #[arg(short, long)]
    force: bool,

    /// Set the number of threads [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = values::jobs)]
    jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    store: InStore,

    #[command(flatten)]
    pub(super) telling: Telling,

    #[command(flatten)]
    registry: registry::Args,
}

const EXAMPLES: &str = "Examples:
  cvbake image export alpine:3.20 docker-archive:alpine.tar:alpine:3.20
  cvbake image export alpine oci:layout:3.20
  cvbake image export alpine tar:- | tar -tv
  cvbake image export alpine dir:rootfs";

/// How to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Compress {
    /// Leave uncompressed
    None,
    /// Compress with gzip
    Gzip,
    /// Compress with Zstandard
    Zstd,
}

impl Compress {
    pub(super) fn how(self) -> Compression {
        match self {
            Compress::None => Compression::None,
            Compress::Gzip => Compression::Gzip,
            Compress::Zstd => Compression::Zstd,
        }
    }
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let target = target::parse(&args.target)?;
    args.check(&target)?;
    let compression = args.compress.map_or_else(|| compression_by_name(&target), Compress::how);
    let mut job = ExportJob::new(image(&args.name)?, target);
    job.registry = args.registry.options(Pull::Missing)?;
    job.want = want(args.platform.as_ref());
    job.all = args.all;
    job.compression = compression;
    job.replace = args.force;
    job.epoch = environment::epoch()?;
    job.store = args.store.path();
    job.temporary = environment::temporary();
    job.jobs = allowed_jobs(args.jobs);
    let control = watch(ui, file_of(&job.target).map(nothing_written));
    let exported = cvbake::images::export(&job, &mut io::stdout().lock(), control, &|event| ui.on(&event))?;
    ui.finish();
    if let Target::Tar { path: None } = job.target {
        return Ok(());
    }
    let target = args.target.to_string_lossy();
    let format = format_of(&job.target);
    args.telling.print(|| json(&exported, &target, format), || text(&exported, &target, format))
}

impl Args {
    /// Refuses what makes no sense before anything is done.
    fn check(&self, target: &Target) -> Result<(), Failure> {
        let wrong = |problem: &str, hint: &str| {
            Err(Failure::Usage { problem: problem.to_owned(), hint: Some(hint.to_owned()) })
        };
        match target {
            Target::DockerArchive { .. } | Target::Tar { .. } | Target::Dir { .. } if self.all => wrong(
                "--all cannot be used here: the destination holds one platform only",
                "oci: and oci-archive: hold all platforms",
            ),
            Target::Dir { .. } if self.force => wrong(
                "--force cannot be used here: no directory is replaced",
                "remove the directory, or choose another name",
            ),
            Target::Oci { .. } | Target::Dir { .. } if self.compress.is_some() => {
                wrong("--compress cannot be used here: a directory is not compressed", "oci-archive: writes a file")
            }
            Target::Tar { path: None } if io::stdout().is_terminal() => {
                wrong("refusing to write an archive to a terminal", "tar:FILE writes a file; tar:- is for a pipe")
            }
            Target::Tar { path: None } if self.telling.json => {
                wrong("--json cannot be used here: the archive goes to standard output", "tar:FILE writes a file")
            }
            _ => match unsupported(target).filter(|_| self.compress.is_none()) {
                Some(ending) => wrong(
                    &format!(
                        "{}: no archive can be written as {ending}; expected a name that ends in .tar, .tar.gz or .tar.zst",
                        self.target.display()
                    ),
                    "give it another name; --compress none, gzip or zstd says how to write it under this one",
                ),
                None => Ok(()),
            },
        }
    }
}

/// Anything that can be baked, and a root filesystem without its transport.
fn image(text: &OsStr) -> Result<ImageSource, Failure> {
    root_filesystem(text).map_or_else(|| source::image(text), |source| Ok(source.into()))
}

/// The endings of files that are archives without anybody saying so.
const TAR_ENDINGS: [&[u8]; 5] = [b".tar", b".tar.gz", b".tgz", b".tar.zst", b".tzst"];

/// A source; a file with the ending of an archive is a root filesystem.
pub(super) fn image_source(text: &OsStr) -> Result<Source, Failure> {
    root_filesystem(text).map_or_else(|| source::parse(text), Ok)
}

/// Whether a name has the ending of an archive.
pub(in crate::cli) fn is_tar(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    TAR_ENDINGS.iter().any(|ending| bytes.len() > ending.len() && bytes.ends_with(ending))
}

fn root_filesystem(text: &OsStr) -> Option<Source> {
    let bytes = text.as_bytes();
    let transport = ["oci:", "oci-archive:", "docker-archive:", "tar:", "docker:"];
    let has_transport = transport.iter().any(|transport| bytes.starts_with(transport.as_bytes()));
    (is_tar(text) && !has_transport).then(|| Source::Tar(TarSource::File(text.into())))
}

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    image: Option<String>,
    reference: &'a str,
    platform: Option<&'a str>,
    target: &'a str,
    format: &'static str,
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_kept: Option<Vec<Lost<'a>>>,
}

/// What a directory does not have of an image.
#[derive(Serialize)]
struct Lost<'a> {
    what: &'a str,
    first: &'a str,
    files: u64,
}

pub(in crate::cli) fn json(exported: &Exported, target: &str, format: &'static str) -> String {
    let report = Report {
        image: exported.digest.map(|digest| digest.to_string()),
        reference: &exported.reference,
        platform: exported.platform.as_deref(),
        target,
        format,
        bytes: exported.bytes,
        not_kept: (format == "dir").then(|| exported.not_kept.iter().map(lost).collect()),
    };
    let object = serde_json::to_string(&report).expect("a number and texts");
    format!("{object}\n")
}

fn lost(lost: &NotKept) -> Lost<'_> {
    Lost { what: &lost.what, first: &lost.first, files: lost.files }
}

/// A few lines for people.
pub(in crate::cli) fn text(exported: &Exported, target: &str, format: &str) -> String {
    let mut text = format!("Exported {} → {}\n", line(&exported.reference), line(target));
    let mut put =
        |name: &str, value: &str| writeln!(text, "  {name:<8}{}", line(value)).expect("a string takes everything");
    if let Some(digest) = exported.digest {
        let platform = exported.platform.as_ref().map(|platform| format!(" ({platform})")).unwrap_or_default();
        put("image", &format!("{digest}{platform}"));
    }
    let meaning = if matches!(format, "tar" | "dir") { " (the root filesystem only)" } else { "" };
    put("format", &format!("{format}{meaning}"));
    if let Some(bytes) = exported.bytes {
        put("size", &BinaryBytes(bytes).to_string());
    }
    text
}
