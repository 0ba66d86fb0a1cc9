//! What the program and its stages tell of their work, for who wants to know: `-v` what is done,
//! `-vv` what is asked and answered.
//!
//! The stages say it by `tracing`, and leave out what is secret. Only what is ours is shown: other
//! crates don't know our secrets.

use std::fmt::{Debug, Write as _};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::Ui;

/// Shows what is traced from here on; `verbose` is how often that was asked for.
pub(crate) fn show(verbose: u8, ui: &Arc<Ui>) {
    let most = match verbose {
        0 => return,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // There is no other: this is called once.
    let _ = tracing::subscriber::set_global_default(Shown { most, ui: Arc::clone(ui) });
}

struct Shown {
    most: LevelFilter,
    ui: Arc<Ui>,
}

impl Subscriber for Shown {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata.target()) && *metadata.level() <= self.most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.ui.trace(&text.0);
    }

    // Nobody of ours has spans.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Whether a module belongs to one of our crates.
fn is_ours(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or_default();
    name == "cvbake" || name.starts_with("cvbake_")
}

/// What an event says: its message, and behind it what else it has.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ours() {
        for (target, ours) in [
            ("cvbake", true),
            ("cvbake::layers", true),
            ("cvbake_fetch::registry::http", true),
            ("cvbakery", false),
            ("hyper_util::client", false),
            ("", false),
        ] {
            assert_eq!(is_ours(target), ours, "{target}");
        }
    }
}
