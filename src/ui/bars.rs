//! A bar on a terminal, for the stage that is under way.

use std::time::Duration;

use cvbake::event::{Event, LayerEvent, Stage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::plain::message_lines;
use super::progress::Progress;
use super::{Message, Reporter, write};

/// How often the bar moves by itself, to show that the program is alive.
const TICK: Duration = Duration::from_millis(100);

/// A bar on a terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    colours: bool,
}

impl Bar {
    pub(super) fn new(colours: bool) -> Bar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style("{spinner} {msg}"));
        bar.enable_steady_tick(TICK);
        Bar { bar, colours }
    }

    fn begin(&self, stage: Stage, progress: &Progress) {
        self.bar.reset();
        self.bar.set_message(match stage {
            Stage::Resolve => "looking at the image",
            Stage::Unpack => "unpacking",
            Stage::Merge => "merging the layers",
            Stage::Plan => "planning the filesystem",
            Stage::Write => "writing",
            Stage::Commit => "bringing the disk to stable storage",
        });
        let Some(total) = progress.total else {
            let bytes = if stage == Stage::Unpack { " {prefix}  {binary_bytes}  {binary_bytes_per_sec}" } else { "" };
            self.bar.set_style(style(&format!("{{spinner}} {{msg}}{bytes}")));
            return;
        };
        self.bar.set_length(total);
        self.bar.set_style(style(
            "{spinner} {msg:9} [{bar:30}] {binary_bytes} of {binary_total_bytes}  {prefix}  {binary_bytes_per_sec}",
        ));
        self.bar.set_prefix(layers(stage, progress));
    }
}

impl Reporter for Bar {
    fn event(&mut self, event: &Event, progress: &Progress) {
        match event {
            Event::Stage(stage) => self.begin(*stage, progress),
            Event::Note(text) => self.bar.suspend(|| write(&format!("cvbake: {text}\n"))),
            Event::Layer { event: LayerEvent::Finished { .. }, .. } => {
                self.bar.set_prefix(layers(Stage::Unpack, progress));
                self.bar.set_position(progress.bytes);
            }
            Event::Layer { event: LayerEvent::Read { .. }, .. } | Event::Wrote { .. } => {
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
        Stage::Unpack => format!("{} of {} layers", progress.layers_done, progress.layers),
        _ => String::new(),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are constants").progress_chars("=> ")
}
