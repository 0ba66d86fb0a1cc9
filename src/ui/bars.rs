//! A bar on a terminal, for the stage that is under way.

use std::time::Duration;

use cvbake::event::{Event, LayerEvent, Stage};
use cvbake::text;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::plain::{message_lines, waiting};
use super::progress::Progress;
use super::{Message, Reporter, write};

/// How often the bar moves by itself, to show that the program is alive.
const TICK: Duration = Duration::from_millis(100);

/// A bar on a terminal.
pub(super) struct Bar {
    /// That of the stage; each has its own, because one that changes its form shows every step of the change.
    bar: ProgressBar,
    /// What the stage does, in words.
    message: &'static str,
    /// Whether the bar says what is being waited for instead.
    waiting: bool,
    colours: bool,
}

impl Bar {
    pub(super) fn new(colours: bool) -> Bar {
        Bar { bar: ProgressBar::hidden(), message: "", waiting: false, colours }
    }

    fn begin(&mut self, stage: Stage, progress: &Progress) {
        self.bar.finish_and_clear();
        let template = match (stage, progress.total) {
            (Stage::Pull | Stage::Unpack | Stage::Export, None) => {
                "{spinner} {msg}  {prefix}{binary_bytes}  {binary_bytes_per_sec}"
            }
            (_, None) => "{spinner} {msg}",
            (_, Some(_)) => {
                "{spinner} {msg}  {wide_bar}  {prefix}{binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}"
            }
        };
        let bar = ProgressBar::with_draw_target(progress.total, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(template).expect("the templates are constants");
        bar.set_style(style.progress_chars("━╸─"));
        bar.set_prefix(layers(stage, progress));
        self.message = match stage {
            Stage::Resolve => "looking at the image",
            Stage::Pull => "pulling",
            Stage::Push => "pushing",
            Stage::Unpack => "unpacking",
            Stage::Merge => "merging the layers",
            Stage::Plan => "planning the filesystem",
            Stage::Write | Stage::Export => "writing",
            Stage::Commit => "finishing the disk",
            Stage::Check => "checking",
        };
        self.waiting = false;
        bar.set_message(self.message);
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.enable_steady_tick(TICK);
        self.bar = bar;
    }
}

impl Reporter for Bar {
    fn event(&mut self, event: &Event, progress: &Progress) {
        match event {
            Event::Stage(stage) => self.begin(*stage, progress),
            Event::Waiting { host, wait, .. } => {
                self.bar.set_message(waiting(host, *wait));
                self.waiting = true;
            }
            Event::Note(note) => self.bar.suspend(|| write(&format!("cvbake: {}\n", text::message(note)))),
            Event::Layer { event: LayerEvent::Finished { .. }, .. } => {
                self.bar.set_prefix(layers(Stage::Unpack, progress));
                self.bar.set_position(progress.bytes);
            }
            Event::Layer { event: LayerEvent::Read { .. }, .. }
            | Event::Wrote { .. }
            | Event::Checked { .. }
            | Event::Sent { .. }
            | Event::Spared { .. } => {
                if std::mem::take(&mut self.waiting) {
                    self.bar.set_message(self.message);
                }
                self.bar.set_position(progress.bytes);
            }
            _ => {}
        }
    }

    fn say(&mut self, message: &Message<'_>) {
        self.bar.suspend(|| write(&message_lines(message, self.colours)));
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn layers(stage: Stage, progress: &Progress) -> String {
    match stage {
        Stage::Unpack => format!("{}/{} layers  ", progress.layers_done, progress.layers),
        _ => String::new(),
    }
}
