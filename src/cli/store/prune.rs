//! `cvbake store prune`: what was not used for long goes, or what there is no room for.

use std::time::Duration;

use cvbake::error::Error;
use cvbake::event::Event;
use cvbake::store::Rules;

use super::gc::How;
use super::{unused_for, usual_rules};
use crate::cli::values;
use crate::cli::work::InStore;

/// Removes images that were not used for long, or until the store is small enough
///
/// First goes what cvbake store gc removes, then images with all that no other one needs, those that were used least
/// recently first. An image is used when it is pulled or baked. With --keep-size imported images, which no registry gives back,
/// go when nothing else is left; with --older-than they are no exception: export those that are nowhere else.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "cvbake store prune [OPTIONS] --older-than <AGE>\n       cvbake store prune [OPTIONS] --keep-size <SIZE>"
)]
pub(super) struct Args {
    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    store: InStore,

    #[command(flatten)]
    how: How,
}

/// What may stay.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Limits {
    /// Remove images and layers that were not used for so long: 30m, 12h, 7d, 2w
    #[arg(long, value_name = "AGE", value_parser = values::age)]
    older_than: Option<Duration>,

    /// Remove what was used least recently until no more than this is left: 500M, 20G
    #[arg(long, value_name = "SIZE", value_parser = values::store_size)]
    keep_size: Option<u64>,
}

pub(super) fn run(args: &Args, on: &(dyn Fn(Event) + Sync)) -> Result<(), Error> {
    let mut rules = Rules { keep_bytes: args.limits.keep_size, ..usual_rules() };
    if let Some(age) = args.limits.older_than {
        rules.images = unused_for(age);
        rules.layers = unused_for(age.min(super::KEEP_LAYERS));
    }
    args.how.remove(&args.store.open(on)?, &rules, on)
}
