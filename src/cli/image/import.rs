//! `cvbake image import`: files become images in the store.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cvbake::fetch::Source;
use cvbake::images::{ImportJob, Imported, RunConfig};
use cvbake::text::line;
use cvbake::verify::Platform;
use indicatif::HumanCount;
use serde::Serialize;

use super::export::{Compress, image_source};
use crate::cli::work::{InStore, Telling, allowed_jobs, watch};
use crate::cli::{environment, values};
use crate::failure::Failure;
use crate::ui::Ui;

/// Import images from files into the store
///
/// cvbake bake NAME can then bake them without a network. Each layer is unpacked once on the way,
/// to make sure that the image can be baked. Images that have a manifest keep it, and their
/// digests. A name that belongs to another image is moved to this one, as with cvbake image tag.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake image import [OPTIONS] <SOURCE> [NAME]", after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Images to import: tar:FILE, tar:-, oci:DIR[:TAG], oci-archive:FILE[:TAG] or
    /// docker-archive:FILE[:NAME]
    ///
    /// tar: is a root filesystem, plain or compressed with gzip or zstd, and becomes an image with
    /// one layer. A file that ends in .tar, .tar.gz, .tgz or .tar.zst needs no tar: in front; an
    /// archive that docker save or podman save wrote is docker-archive:FILE.
    #[arg(value_name = "SOURCE")]
    source: OsString,

    /// Name for the image, such as team/app:v1
    /// [default: import all images that have names, under these]
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Import only the image for this platform, os/arch[/variant] [default: all]; for a root
    /// filesystem, set its platform [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,

    /// Choose how to compress layers that are not compressed
    #[arg(long, value_enum, value_name = "HOW", default_value = "gzip")]
    compress: Compress,

    /// Set the command to run: a JSON list of arguments, or a line for the shell
    #[arg(long, value_name = "COMMAND", value_parser = command, help_heading = ROOT)]
    cmd: Option<Words>,

    /// Set the entry point, which gets the command as its arguments; the form is that of --cmd
    #[arg(long, value_name = "COMMAND", value_parser = command, help_heading = ROOT)]
    entrypoint: Option<Words>,

    /// Set an environment variable (repeatable)
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = pair, help_heading = ROOT)]
    env: Vec<(String, String)>,

    /// Set the working directory of the command
    #[arg(short, long, value_name = "DIR", value_parser = absolute, help_heading = ROOT)]
    workdir: Option<String>,

    /// Set the user that runs the command: a name or a number, optionally with a group after a
    /// colon
    #[arg(short, long, value_name = "USER[:GROUP]", help_heading = ROOT)]
    user: Option<String>,

    /// Set a label (repeatable)
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = pair, help_heading = ROOT)]
    label: Vec<(String, String)>,

    /// Set the number of threads [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = values::jobs)]
    jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    store: InStore,

    #[command(flatten)]
    pub(super) telling: Telling,
}

const ROOT: &str = "Root filesystems";

const EXAMPLES: &str = "Examples:
  cvbake image import docker-archive:alpine.tar
  cvbake image import rootfs.tar.gz team/app:v1 --cmd /sbin/init
  tar -C rootfs -c . | cvbake image import tar:- team/app:v2";

/// The words of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Words(Vec<String>);

/// As in a Dockerfile: a JSON list of words, or else a line for the shell.
fn command(text: &str) -> Result<Words, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text)
            .map(Words)
            .map_err(|error| format!("expected a JSON list of strings: {error}"));
    }
    Ok(Words(["/bin/sh", "-c", text].map(str::to_owned).to_vec()))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("expected a path that begins with /".to_owned()) }
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let source = image_source(&args.source)?;
    args.check(&source)?;
    let created = environment::stated_epoch()?;
    let mut job = ImportJob::new(source, args.store.needed()?);
    job.name = args.name.clone();
    job.platform = args.platform.clone();
    job.run = args.run_config();
    job.compression = args.compress.how();
    job.created = created;
    job.jobs = allowed_jobs(args.jobs);
    let imported = cvbake::images::import(&job, watch(ui, None), &|event| ui.on(&event))?;
    ui.finish();
    args.telling.print(|| json(&imported), || text(&imported))
}

impl Args {
    /// Refuses what makes no sense before anything is done.
    fn check(&self, source: &Source) -> Result<(), Failure> {
        let wrong = |problem: String, hint: &str| Err(Failure::Usage { problem, hint: Some(hint.to_owned()) });
        match source {
            Source::Tar(_) if self.name.is_none() => wrong(
                format!("{source} is a root filesystem, which has no name"),
                "give it one after the source, such as team/app:v1; an archive of an image is given as docker-archive:FILE or \
                 oci-archive:FILE",
            ),
            Source::Tar(_) => Ok(()),
            Source::Registry(_) => wrong(
                format!("{source} is the name of an image in a registry, expected files"),
                "`cvbake pull` fetches images from registries",
            ),
            _ if self.run_config() != RunConfig::default() => wrong(
                format!("{source} has a configuration: options such as --cmd are for root filesystems"),
                "a root filesystem is given as tar:FILE",
            ),
            _ => Ok(()),
        }
    }

    fn run_config(&self) -> RunConfig {
        let words = |words: &Option<Words>| words.clone().map_or_else(Vec::new, |words| words.0);
        RunConfig {
            entrypoint: words(&self.entrypoint),
            cmd: words(&self.cmd),
            env: last_of_each(&self.env).into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
            workdir: self.workdir.clone(),
            user: self.user.clone(),
            labels: last_of_each(&self.label),
        }
    }
}

/// The last value that each name has, in the order in which the names come first.
fn last_of_each(pairs: &[(String, String)]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, value) in pairs {
        match found.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1.clone_from(value),
            None => found.push((name.clone(), value.clone())),
        }
    }
    found
}

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    images: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    image: String,
    names: &'a [String],
    platforms: &'a [String],
    layers: usize,
    present_layers: usize,
}

fn json(imported: &[Imported]) -> String {
    let item = |image: &'_ Imported| image.digest.to_string();
    let images = imported
        .iter()
        .map(|image| Item {
            image: item(image),
            names: &image.names,
            platforms: &image.platforms,
            layers: image.layers,
            present_layers: image.present_layers,
        })
        .collect();
    format!("{}\n", serde_json::to_string(&Report { images }).expect("texts and lists of them"))
}

fn text(imported: &[Imported]) -> String {
    let mut text = String::new();
    let mut put = |row: String| writeln!(text, "{row}").expect("a string takes everything");
    for image in imported {
        put(format!("Imported {}", line(&image.names.join(", "))));
        let platforms = match &image.platforms[..] {
            [] => String::new(),
            platforms => format!(" ({})", line(&platforms.join(", "))),
        };
        put(format!("  image   {}{platforms}", image.digest));
        let present = match image.present_layers {
            0 => String::new(),
            present => format!(" ({} already in the store)", HumanCount(present as u64)),
        };
        put(format!("  layers  {}{present}", HumanCount(image.layers as u64)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let words = |words: &[&str]| Ok(Words(words.iter().map(|&word| word.to_owned()).collect()));
        assert_eq!(command(r#"["/bin/a", "b c"]"#), words(&["/bin/a", "b c"]));
        assert_eq!(command("exec a $B"), words(&["/bin/sh", "-c", "exec a $B"]));
        assert_eq!(command("[]"), words(&[]));
        for wrong in ["[", "[1]", r#"["a"] b"#] {
            assert!(command(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pairs() {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        assert_eq!(pair("A=b=c"), Ok(owned(("A", "b=c"))));
        assert_eq!(pair("A="), Ok(owned(("A", ""))));
        assert!(pair("A").is_err() && pair("=b").is_err());
        let pairs = [("a", "1"), ("b", "2"), ("a", "3")].map(owned);
        assert_eq!(last_of_each(&pairs), [("a", "3"), ("b", "2")].map(owned));
    }
}
