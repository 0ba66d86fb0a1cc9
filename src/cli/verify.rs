//! `cvbake verify`: whether a disk is what an image bakes to.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cvbake::compare::Against;
use cvbake::fetch::Pull;
use cvbake::verify::Platform;
use serde::Serialize;

use super::differences::{Difference, Ignore, looks_at, put_line};
use super::disk::place::DiskPath;
use super::work::{InStore, Telling, allowed_jobs, want, watch};
use super::{bake, environment, registry, source, values};
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Compare a disk with the image it was baked from
///
/// Every path, every attribute and every byte on the disk is compared with what the layers of the
/// image unpack to. Each difference is a line on standard output: - is missing on the disk, + is on
/// the disk only, ~ differs, with the image's value first. The exit status is 10 if there are
/// differences. The disk must be baked with the same --platform and SOURCE_DATE_EPOCH; size, label
/// and UUID may be any. An empty /lost+found is no difference.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake verify [OPTIONS] <DISK> --against <SOURCE>")]
pub(super) struct Args {
    /// Disk to compare; DISK:2 is partition 2 of it
    #[arg(value_name = "DISK")]
    disk: OsString,

    /// Image to compare it with: a name in a registry, oci:DIR, oci-archive:FILE,
    /// docker-archive:FILE or tar:FILE
    #[arg(long, value_name = "SOURCE", long_help = bake::help::source())]
    against: OsString,

    /// Choose the image for this platform, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,

    /// Leave these out of the comparison
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    ignore: Vec<Ignore>,

    /// Set the number of threads [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = values::jobs)]
    jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    store: InStore,

    #[command(flatten)]
    telling: Telling,

    #[command(flatten)]
    registry: registry::Args,
}

/// The JSON object.
#[derive(Debug, Serialize)]
struct Report {
    disk: String,
    reference: String,
    image: Option<String>,
    platform: Option<String>,
    files: usize,
    has_its_uuid: bool,
    differing: u64,
    differences: Vec<Difference>,
}

impl Args {
    pub(super) fn mode(&self) -> Mode {
        self.telling.mode()
    }
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let place = DiskPath::whole(&args.disk)?;
    let mut against = Against::new(source::image(&args.against)?);
    against.registry = args.registry.options(Pull::Missing)?;
    against.want = want(args.platform.as_ref());
    against.epoch = environment::epoch()?;
    against.store = args.store.path();
    against.temporary = environment::temporary();
    against.jobs = allowed_jobs(args.jobs);
    let control = watch(ui, None);
    let opened = place.open(ui)?;
    let files = opened.disk.files(&opened.filesystem)?;
    let (mut differences, mut text) = (Vec::new(), String::new());
    let looks_at = |field| looks_at(&args.ignore, field);
    let verified =
        cvbake::compare::verify(&against, &files, &looks_at, control, &|event| ui.on(&event), &mut |differing| {
            match args.telling.json {
                true => differences.push(differing.into()),
                false => put_line(&mut text, &differing),
            }
        })?;
    ui.finish();
    let (disk, count) = (place.shown(), verified.compared.differing);
    let report = Report {
        disk: disk.clone(),
        reference: verified.reference.clone(),
        image: verified.image.map(|digest| digest.to_string()),
        platform: verified.platform,
        files: verified.compared.files,
        has_its_uuid: verified.has_its_uuid,
        differing: count,
        differences,
    };
    let same = || format!("{disk} is what {} bakes to: {} files\n", verified.reference, verified.compared.files);
    args.telling.print(
        || format!("{}\n", serde_json::to_string(&report).expect("texts and numbers")),
        || if count == 0 { same() } else { text },
    )?;
    match count {
        0 => Ok(()),
        count => Err(Failure::Differs { old: disk, new: verified.reference, count }),
    }
}
