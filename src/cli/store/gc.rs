//! `cvbake store gc`: what nothing needs goes.

use cvbake::error::Error;
use cvbake::event::Event;
use cvbake::store::{Rules, Store, Unused};

use super::{removal, usual_rules};
use crate::cli::output;
use crate::cli::work::InStore;

/// Removes what nothing needs
///
/// That is: blobs of no image, beginnings of blobs that nobody goes on with, and what was read of layers that no image in
/// the store has, if it was not used for 30 days. Layers of archives and of image layouts elsewhere are of the last kind.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake store gc [OPTIONS]")]
pub(super) struct Args {
    /// Also what was read of layers of archives and other layouts lately, and images whose names are lost for good
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
    /// Say what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    /// Print nothing but warnings and errors
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
}

pub(super) fn run(args: &Args, on: &(dyn Fn(Event) + Sync)) -> Result<(), Error> {
    let mut rules = usual_rules();
    if args.all {
        rules = Rules { layers: Unused::Goes, even_if_lost: true, ..rules };
    }
    args.how.remove(&args.store.open(on)?, &rules, on)
}

impl How {
    /// Removes what may go by the rules, and tells.
    pub(super) fn remove(&self, store: &Store, rules: &Rules, on: &(dyn Fn(Event) + Sync)) -> Result<(), Error> {
        let tell = |event: cvbake::store::Event| on(event.into());
        let sweep = store.sweep(&tell)?;
        let removal = sweep.plan(rules, &tell)?;
        if !self.dry_run {
            sweep.remove(&removal)?;
        }
        drop(sweep);
        match (self.json, self.quiet) {
            (true, _) => output::json(&removal::json(&removal, self.dry_run)),
            (false, true) => Ok(()),
            (false, false) => output::lines(&removal::text(&removal, self.dry_run)),
        }
    }
}
