//! `cvbake store gc`: what nothing needs goes.

use cvbake::event::Observer;
use cvbake::store::{Rules, Store, Unused};

use super::{removal, usual_rules};
use crate::cli::output;
use crate::cli::work::InStore;
use crate::failure::Failure;

/// Remove images without a name, and data that no image needs
///
/// This removes images without a name, blobs that belong to no image, and interrupted downloads
/// that no process continues. Two things are removed only if they have not been used for 30 days:
/// imported images without a name, which no registry gives back, and cached layers that belong to
/// no image in the store, such as those of archives and of image layouts.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake store gc [OPTIONS]")]
pub(super) struct Args {
    /// Also remove imported images without a name and cached layers that were used lately, and
    /// images whose names are lost
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    store: InStore,

    #[command(flatten)]
    how: How,
}

/// Whether to do it, and what to tell.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// Show what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    /// Print only warnings and errors, and the result if --json asks for it
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args, on: Observer<'_>) -> Result<(), Failure> {
    let mut rules = usual_rules();
    if args.all {
        rules = Rules { layers: Unused::Goes, anonymous: Unused::Goes, even_if_lost: true, ..rules };
    }
    args.how.remove(&args.store.open(on)?, &rules, on)
}

impl How {
    /// Removes what may go by the rules, and tells.
    pub(super) fn remove(&self, store: &Store, rules: &Rules, on: Observer<'_>) -> Result<(), Failure> {
        let tell = |event: cvbake::store::Event| on(event.into());
        let exclusive = store.lock_exclusive(&tell)?;
        let removal = exclusive.plan(rules, &tell)?;
        if !self.dry_run {
            exclusive.remove(&removal)?;
        }
        drop(exclusive);
        match (self.json, self.quiet) {
            (true, _) => output::json(&removal::json(&removal, self.dry_run)),
            (false, true) => Ok(()),
            (false, false) => output::lines(&removal::text(&removal, self.dry_run)),
        }
    }
}
