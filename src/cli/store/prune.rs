//! `cvbake store prune`: what was not used for long goes, or what there is no room for.

use std::time::Duration;

use cvbake::event::Observer;
use cvbake::store::Rules;

use super::gc::How;
use super::{unused_for, usual_rules};
use crate::cli::values;
use crate::cli::work::InStore;
use crate::failure::Failure;

/// Remove images that have not been used for long, or until the store is small enough
///
/// This first removes what cvbake store gc removes, then images with everything that no other image
/// needs, the least recently used first. Pulling, baking, pushing and exporting an image count as
/// using it. With --keep-size, imported images, which no registry gives back, are removed when
/// nothing else is left to remove. With --older-than, imported images are treated like all others:
/// export those that exist nowhere else.
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
    /// Remove images and layers that have not been used for this long: 30m, 12h, 7d, 2w
    #[arg(long, value_name = "AGE", value_parser = values::age)]
    older_than: Option<Duration>,

    /// Remove the least recently used images until the store has at most this size: 500M, 20G
    #[arg(long, value_name = "SIZE", value_parser = values::store_size)]
    keep_size: Option<u64>,
}

pub(super) fn run(args: &Args, on: Observer<'_>) -> Result<(), Failure> {
    let mut rules = Rules { keep_bytes: args.limits.keep_size, ..usual_rules() };
    if let Some(age) = args.limits.older_than {
        rules.images = unused_for(age);
        rules.layers = unused_for(age.min(super::KEEP_UNUSED));
    }
    args.how.remove(&args.store.open(on)?, &rules, on)
}
