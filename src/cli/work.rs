//! What subcommands have in common that work in a store, take their time, and have a result.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use clap::{ValueEnum, ValueHint};
use cvbake::control::Control;
use cvbake::event::Event;
use cvbake::fetch::CONNECTIONS;
use cvbake::store::Store;
use cvbake::verify::{Platform, Want};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::{environment, output};
use crate::failure::Failure;
use crate::interrupt;
use crate::ui::{Mode, Ui};

/// The heading of what is told.
pub(super) const OUTPUT: &str = "Output";

/// How a result and the way to it are told.
#[derive(Debug, clap::Args)]
pub(super) struct Telling {
    /// Print the result as one JSON object
    ///
    /// After an error nothing is printed on standard output; see standard error and the exit
    /// status.
    #[arg(long, help_heading = OUTPUT)]
    pub(super) json: bool,

    /// Choose how to show progress on standard error
    #[arg(long, value_enum, value_name = "HOW", default_value_t, help_heading = OUTPUT)]
    progress: Progress,

    /// Print only warnings and errors, and the result if --json asks for it
    #[arg(short, long, help_heading = OUTPUT)]
    pub(super) quiet: bool,
}

impl Telling {
    pub(super) fn mode(&self) -> Mode {
        self.progress.mode(self.quiet)
    }

    /// Prints a result in the form that was asked for.
    pub(super) fn print(&self, json: impl FnOnce() -> String, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match (self.json, self.quiet) {
            (true, _) => output::json(&json()),
            (false, true) => Ok(()),
            (false, false) => output::lines(&text()),
        }
    }
}

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Progress {
    /// A bar on a terminal, otherwise plain
    #[default]
    Auto,
    /// A line for each step, and one at least every 10 seconds
    Plain,
    /// A JSON object per line, also for warnings and errors
    Json,
    /// Only warnings and errors
    None,
}

impl Progress {
    fn mode(self, quiet: bool) -> Mode {
        let colours = environment::colours();
        match self {
            _ if quiet => Mode::None { colours },
            Progress::Auto if environment::draws() => Mode::Bar { colours },
            Progress::Auto | Progress::Plain => Mode::Plain,
            Progress::Json => Mode::Json,
            Progress::None => Mode::None { colours },
        }
    }
}

/// The store that is managed.
#[derive(Debug, clap::Args)]
pub(super) struct InStore {
    /// Use the store in this directory [default: $XDG_DATA_HOME/cvbake; for root /var/lib/cvbake]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    store: Option<PathBuf>,
}

impl InStore {
    /// The store that was named, or the default one.
    pub(super) fn needed(&self) -> Result<PathBuf, Failure> {
        self.path().ok_or_else(|| Failure::Usage {
            problem: "there is no store: there is no home directory".to_owned(),
            hint: Some("--store DIR names its directory".to_owned()),
        })
    }

    /// As [`InStore::needed`], for a command that uses what is there.
    pub(super) fn there(&self, ui: &Ui) -> Result<PathBuf, Failure> {
        self.warn_of_none(ui);
        self.needed()
    }

    /// Says that there is no store where one was named: a slip of the pen looks like an empty store
    /// otherwise. That there is none where the default one would be is no news before the first
    /// pull.
    pub(super) fn warn_of_none(&self, ui: &Ui) {
        let Some(path) = &self.store else { return };
        if let Ok(None) = Store::open_read_only(path) {
            ui.on(&Event::Warning(Failure::NoStore { path: path.clone() }.line()));
        }
    }

    /// The store that was named, or the default one, if there can be one.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.store.clone().or_else(environment::store)
    }
}

/// Signals end the work and leave nothing behind; `outcome` says what is as it was then, or kept.
pub(super) fn watch(ui: &Arc<Ui>, outcome: Option<String>) -> &'static Control {
    interrupt::watch(ui, outcome).unwrap_or_else(|error| {
        ui.on(&Event::Warning(format!(
            "cvbake cannot handle signals, and leaves temporary files when one ends it: {}",
            cvbake::text::plain(&error)
        )));
        interrupt::unwatched()
    })
}

/// What is told of an output that has its name only when it is whole.
pub(super) fn nothing_written(output: &Path) -> String {
    format!("nothing was written to {}", output.display())
}

/// The platform that was asked for, or this machine's.
pub(super) fn want(platform: Option<&Platform>) -> Want {
    match platform {
        Some(platform) => Want { platform: platform.clone(), explicit: true },
        None => Want::host(),
    }
}

/// As many threads as were asked for, or as there are processors, but no more than have files to
/// work with.
pub(super) fn allowed_jobs(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    allowed(asked.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN))
}

/// As many downloads and uploads as were asked for, or as there are by default, but no more than
/// have files to work with.
pub(super) fn allowed_connections(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    allowed(asked.unwrap_or(CONNECTIONS))
}

fn allowed(wanted: NonZeroUsize) -> NonZeroUsize {
    /// How many files are open whatever is done at once, and how many more for each thread, or for
    /// each layer that arrives.
    const FILES: u64 = 40;
    const FILES_PER_JOB: u64 = 8;
    let Some(files) = allow_open_files() else { return wanted };
    let possible = usize::try_from(files.saturating_sub(FILES) / FILES_PER_JOB).unwrap_or(usize::MAX);
    wanted.min(NonZeroUsize::new(possible).unwrap_or(NonZeroUsize::MIN))
}

/// Lifts the limit of open files as far as whoever set it allows, and says what it is, if there is
/// one. The usual one is low for the sake of programs that still use `select`, and the engine
/// `mkfs` has all layers open at once.
fn allow_open_files() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it stays as it is, most images still work, and the others end in an error that says why.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}
