//! A bar on a terminal, for the stage that is under way.

use std::time::Duration;

use cvbake::event::{Event, LayerEvent, Stage};
use cvbake::text;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::plain::{amounts, message_lines, waiting};
use super::progress::{Every, Progress};
use super::{Message, Reporter, write};

/// How often the bar moves by itself, to show that the program is alive.
const TICK: Duration = Duration::from_millis(100);

/// A bar on a terminal.
pub(super) struct Bar {
    /// That of the stage; each has its own, because one that changes its form shows every step of
    /// the change.
    bar: ProgressBar,
    /// Whether the bar says what is being waited for instead.
    waiting: bool,
    /// How often the numbers change.
    numbers: Every,
    colours: bool,
}

impl Bar {
    pub(super) fn new(colours: bool) -> Bar {
        Bar { bar: ProgressBar::hidden(), waiting: false, numbers: Every::new(TICK), colours }
    }

    fn begin(&mut self, progress: &Progress, now: Duration) {
        self.bar.finish_and_clear();
        let template = match progress.total {
            None => "{spinner} {msg}  {prefix}",
            Some(_) => "{spinner} {msg}  {wide_bar}  {prefix}",
        };
        let bar = ProgressBar::with_draw_target(progress.total, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(template).expect("the templates are constants");
        bar.set_style(style.progress_chars("━╸─"));
        bar.set_prefix(numbers(progress, now));
        self.waiting = false;
        bar.set_message(message(progress));
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.enable_steady_tick(TICK);
        self.bar = bar;
    }

    fn update(&mut self, progress: &Progress, now: Duration) {
        self.numbers.done(now);
        if !self.waiting {
            self.bar.set_message(message(progress));
        }
        self.bar.set_prefix(numbers(progress, now));
        self.bar.set_position(progress.bytes);
    }
}

impl Reporter for Bar {
    fn event(&mut self, event: &Event, progress: &Progress, now: Duration) {
        match event {
            Event::Stage(_) => self.begin(progress, now),
            Event::Waiting { host, wait, .. } => {
                self.bar.set_message(waiting(host, *wait));
                self.waiting = true;
            }
            Event::Note(note) | Event::Resumed { message: note, .. } => {
                self.bar.suspend(|| write(&format!("cvbake: {}\n", text::message(note))));
            }
            Event::Layer { event: LayerEvent::Finished { .. }, .. } => self.update(progress, now),
            Event::Layer { event: LayerEvent::Read { .. }, .. }
            | Event::Wrote { .. }
            | Event::Checked { .. }
            | Event::Sent { .. }
            | Event::Spared { .. } => {
                let has_waited = std::mem::take(&mut self.waiting);
                if has_waited || self.numbers.is_due(now) {
                    self.update(progress, now);
                }
            }
            _ => {}
        }
    }

    fn tick(&mut self, progress: &Progress, now: Duration) {
        self.update(progress, now);
    }

    fn say(&mut self, message: &Message<'_>) {
        self.bar.suspend(|| write(&message_lines(message, self.colours)));
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What the stage does, and with how many layers it is done.
fn message(progress: &Progress) -> String {
    match progress.stage {
        Some(Stage::Unpack) => format!("{} {}/{}", progress.doing(), progress.layers_done, progress.layers),
        _ => progress.doing().to_owned(),
    }
}

/// What stands behind the bar, which shows the share itself, and needs some room.
fn numbers(progress: &Progress, now: Duration) -> String {
    amounts(progress, now, "").join("  ")
}
