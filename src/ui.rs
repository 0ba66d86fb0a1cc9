//! Events in, something to look at out: a bar on a terminal, plain lines, or JSON lines, on
//! standard error.
//!
//! Warnings, the error and its hint go through here too, so that they don't mix with a bar.

mod bars;
mod json;
mod plain;
mod progress;
mod trace;

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cvbake::event::{Event, Finding};

pub(crate) use self::plain::rounded_up;
use self::progress::Progress;
pub(crate) use self::trace::show as show_trace;
use crate::failure::Failure;
use crate::hint;

/// How often something may be shown without an event.
const TICK: Duration = Duration::from_secs(1);

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A bar that is drawn again and again.
    Bar {
        /// Whether words may have colours.
        colours: bool,
    },
    /// A line now and then.
    Plain,
    /// A JSON object per line and event.
    Json,
    /// Nothing but warnings and errors.
    None {
        /// Whether words may have colours.
        colours: bool,
    },
}

/// What makes a hint one for the command that runs: nothing may be left of it.
pub(crate) type Fit = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the user sees while the program works.
pub(crate) struct Ui {
    state: Mutex<State>,
    started: Instant,
    fit: Option<Fit>,
}

struct State {
    progress: Progress,
    reporter: Box<dyn Reporter + Send>,
    /// Whether the work is done, so that there is nothing to be said of how far it is.
    finished: bool,
    /// Whether the last word is said, though other threads go on for a moment.
    closed: bool,
}

/// One way to show things.
trait Reporter {
    /// Something happened; `progress` has it counted in. `now` is counted from the start.
    fn event(&mut self, event: &Event, progress: &Progress, now: Duration);

    /// Time has passed.
    fn tick(&mut self, _progress: &Progress, _now: Duration) {}

    /// Something has to be said.
    fn say(&mut self, message: &Message<'_>);

    /// Nothing more will happen.
    fn finish(&mut self) {}
}

/// Something that has to be said.
enum Message<'a> {
    Warning(&'a str),
    /// With what can be done about it.
    Finding(&'a Finding, Option<String>),
    Error(&'a Failure, Option<String>),
    /// What was asked for by `-v`.
    Trace(&'a str),
    /// With what became of the work, where that is known.
    Interrupted(Option<&'a str>),
}

impl Ui {
    pub(crate) fn new(mode: Mode, fit: Option<Fit>) -> Ui {
        let reporter: Box<dyn Reporter + Send> = match mode {
            Mode::Bar { colours } => Box::new(bars::Bar::new(colours)),
            Mode::Plain => Box::new(plain::Plain::new(true, false)),
            Mode::Json => Box::new(json::Json::new()),
            Mode::None { colours } => Box::new(plain::Plain::new(false, colours)),
        };
        let state = State { progress: Progress::default(), reporter, finished: false, closed: false };
        Ui { state: Mutex::new(state), started: Instant::now(), fit }
    }

    /// One that also shows that time passes, where nothing else does.
    pub(crate) fn start(mode: Mode, fit: Option<Fit>) -> Arc<Ui> {
        let ui = Arc::new(Ui::new(mode, fit));
        if let Mode::Bar { .. } | Mode::Plain = mode {
            let ui = Arc::downgrade(&ui);
            let ticks = move || {
                while let Some(ui) = ui.upgrade() {
                    ui.tick();
                    drop(ui);
                    thread::sleep(TICK);
                }
            };
            // Without it, fewer lines are shown.
            let _ = thread::Builder::new().name("progress".to_owned()).spawn(ticks);
        }
        ui
    }

    fn tick(&self) {
        let now = self.started.elapsed();
        self.with(|State { progress, reporter, finished, .. }| {
            if !*finished {
                reporter.tick(progress, now);
            }
        });
    }

    /// Shows an event.
    pub(crate) fn on(&self, event: &Event) {
        self.with(|State { progress, reporter, .. }| {
            let now = self.started.elapsed();
            progress.count(event, now);
            match event {
                Event::Warning(text) => reporter.say(&Message::Warning(text)),
                Event::Finding(finding) => reporter.say(&Message::Finding(finding, self.hint(finding))),
                event => reporter.event(event, progress, now),
            }
        });
    }

    /// What the user can do about a finding.
    pub(crate) fn hint(&self, finding: &Finding) -> Option<String> {
        let hint = hint::of_finding(finding)?;
        Some(self.fit.as_ref().and_then(|fit| fit(&hint)).unwrap_or(hint))
    }

    /// Leaves the screen to the result.
    pub(crate) fn finish(&self) {
        self.with(|state| {
            state.finished = true;
            state.reporter.finish();
        });
    }

    /// Says why the program fails.
    pub(crate) fn fail(&self, error: &Failure) {
        let hint = match &self.fit {
            Some(fit) => error.hint().and_then(|hint| fit(&hint)),
            None => error.hint(),
        };
        self.with(|state| state.reporter.say(&Message::Error(error, hint)));
    }

    /// Says what is done, for who wants to know.
    fn trace(&self, text: &str) {
        self.with(|state| state.reporter.say(&Message::Trace(text)));
    }

    /// Says that a signal ends the program.
    pub(crate) fn interrupted(&self, outcome: Option<&str>) {
        self.with(|state| {
            state.reporter.finish();
            state.reporter.say(&Message::Interrupted(outcome));
            state.closed = true;
        });
    }

    fn with(&self, act: impl FnOnce(&mut State)) {
        // What is shown may be wrong after a panic elsewhere, but not worse.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.closed {
            act(&mut state);
        }
    }
}

/// Writes whole lines to standard error at once. If that does not work there is nobody to tell.
fn write(lines: &str) {
    let _ = io::stderr().lock().write_all(lines.as_bytes());
}
