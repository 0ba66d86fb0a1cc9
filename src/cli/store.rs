//! `cvbake store`: what is kept between runs.

mod check;
mod gc;
mod prune;
mod removal;
mod stats;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cvbake::event::{Event, Finding, Observer};
use cvbake::store::{Imported, Removal, Rules, Store, Unused};
use cvbake::verify::Digest;
use indicatif::BinaryBytes;
use serde::Serialize;

use super::environment;
use super::work::InStore;
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Inspect, clean up and verify the local store
///
/// The store holds blobs as they came from registries, lists of the files in layers, unpacked
/// layers, and names of images. These commands leave alone whatever running bakes use. Everything
/// but imported images can be fetched or unpacked again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Stats(stats::Args),
    Gc(gc::Args),
    Prune(prune::Args),
    Check(check::Args),
}

/// How long things are kept that no name leads to, by default: layers of archives and other
/// layouts, whose next version may come tomorrow, and imported images, which nobody gives back.
const KEEP_UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl InStore {
    fn open(&self, on: Observer<'_>) -> Result<Store, Failure> {
        let path = self.needed()?;
        Store::open_existing(&path, &|event| on(event.into()))?.ok_or(Failure::NoStore { path })
    }
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let on = |event: Event| ui.on(&event);
    match &args.command {
        Command::Stats(args) => stats::run(args, &on),
        Command::Gc(args) => gc::run(args, &on),
        Command::Prune(args) => prune::run(args, &on),
        Command::Check(args) => check::run(args, ui),
    }
}

impl Args {
    pub(super) fn mode(&self) -> Mode {
        match &self.command {
            Command::Check(args) => args.mode(),
            Command::Stats(_) | Command::Gc(_) | Command::Prune(_) => Mode::None { colours: environment::colours() },
        }
    }
}

/// What is removed of all that nothing needs, unless more is asked for.
fn usual_rules() -> Rules {
    let unused = unused_for(KEEP_UNUSED);
    Rules { layers: unused, anonymous: unused, partials: Unused::Goes, ..Rules::default() }
}

/// What was not used for so long.
fn unused_for(age: Duration) -> Unused {
    Unused::Since(environment::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH))
}

/// How large the store may be after a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) bytes: u64,
    /// Whether imported images go as well, when nothing else is left.
    pub(super) with_imported: bool,
}

/// What went so that the store is small enough.
#[derive(Debug, Serialize)]
pub(super) struct Pruned {
    images: Vec<String>,
    imported: Vec<String>,
    bytes: u64,
}

impl Pruned {
    /// The images that went, for people; nothing if there are none.
    pub(super) fn words(&self) -> Option<String> {
        (!self.images.is_empty()).then(|| format!("from the store: {}", removal::names(&self.images)))
    }
}

impl Limit {
    /// Removes what was used least recently until the store is no larger than that. What the run
    /// that just ended has used stays; that run has succeeded whatever comes of this.
    pub(super) fn keep(self, path: &Path, used: impl IntoIterator<Item = Digest>, on: Observer<'_>) -> Option<Pruned> {
        let imported = if self.with_imported { Imported::Last } else { Imported::Stay };
        let Removal { images, imported, bytes, .. } = limit(path, self.bytes, imported, used, on)?;
        Some(Pruned { images, imported, bytes })
    }
}

fn limit(
    path: &Path,
    keep_bytes: u64,
    imported: Imported,
    used: impl IntoIterator<Item = Digest>,
    on: Observer<'_>,
) -> Option<Removal> {
    let tell = |event: cvbake::store::Event| on(event.into());
    let tidy = || -> Result<_, Failure> {
        let store = Store::open(path, &tell)?;
        let _pin = store.pin(used)?;
        let exclusive = store.lock_exclusive(&tell)?;
        let removal = exclusive.plan_room(keep_bytes, imported, &tell)?;
        // What nothing needs may stay as long as there is room.
        let larger = removal.bytes + removal.left_bytes > keep_bytes;
        if larger {
            exclusive.remove(&removal)?;
        }
        Ok(larger.then_some(removal))
    };
    let max = BinaryBytes(keep_bytes);
    match tidy() {
        Ok(None) => None,
        Ok(Some(removal)) => {
            let left = BinaryBytes(removal.left_bytes);
            let names = match &removal.images[..] {
                [] => String::new(),
                images => format!(" ({})", removal::names(images)),
            };
            on(Event::Note(format!("the store was larger than {max}: removed {}{names}", removal::words(&removal))));
            if removal.left_bytes > keep_bytes {
                on(match &removal.spared[..] {
                    [] => Event::Warning(format!("the store still has {left}, more than {max}: all of it is in use")),
                    images => Event::Finding(Finding::Spared {
                        problem: format!("the store still has {left}, more than {max}"),
                        images: removal::names(images),
                    }),
                });
            }
            Some(removal)
        }
        Err(error) => {
            on(Event::Warning(format!("the store may be larger than {max}: {}", error.line())));
            None
        }
    }
}
