//! How far a bake is, counted from its events.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cvbake::event::{Event, Found, LayerEvent, Stage};

/// How far a bake is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) stage: Option<Stage>,
    /// How many layers there are, and how many of them are unpacked or found.
    pub(super) layers: usize,
    pub(super) layers_done: usize,
    /// Of the bytes that the stage goes through, if it goes through bytes: how many it has done, and how many there are.
    pub(super) bytes: u64,
    pub(super) total: Option<u64>,
    /// The same for the stage that comes.
    next_total: Option<u64>,
    /// By layer, how many of its bytes are counted.
    read: HashMap<usize, u64>,
}

impl Progress {
    /// Takes an event into account.
    pub(super) fn count(&mut self, event: &Event) {
        match event {
            Event::Stage(stage) => {
                self.stage = Some(*stage);
                self.bytes = 0;
                self.read.clear();
                self.total = self.next_total.take();
            }
            Event::Image { layers, bytes, .. } => {
                self.layers = *layers;
                self.next_total = *bytes;
            }
            Event::Layer { number, event } if matches!(self.stage, Some(Stage::Pull | Stage::Unpack)) => match event {
                // One that starts a second time came from a registry that sent something else.
                LayerEvent::Started { .. } => {
                    self.bytes = self.bytes.saturating_sub(self.read.insert(*number, 0).unwrap_or(0));
                }
                LayerEvent::Read { bytes } => {
                    self.bytes = self.bytes.saturating_add(*bytes);
                    *self.read.entry(*number).or_default() += bytes;
                }
                LayerEvent::Finished { found, bytes, .. } => {
                    self.layers_done += 1;
                    if *found != Found::Nothing {
                        // What is not read is only claimed.
                        self.bytes = self.bytes.saturating_add(bytes.unwrap_or(0));
                    }
                }
            },
            Event::Planned { content_bytes, .. } => self.next_total = Some(*content_bytes),
            Event::Amount { bytes } => self.next_total = Some(*bytes),
            Event::Wrote { bytes } | Event::Checked { bytes } | Event::Sent { bytes } | Event::Spared { bytes } => {
                self.bytes = self.bytes.saturating_add(*bytes);
            }
            _ => {}
        }
    }
}

/// Something that is done not more often than once in a while.
#[derive(Debug)]
pub(super) struct Every {
    interval: Duration,
    last: Instant,
}

impl Every {
    pub(super) fn new(interval: Duration) -> Every {
        Every { interval, last: Instant::now() }
    }

    /// Whether it is time.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.last.elapsed() >= self.interval;
        if due {
            self.last = Instant::now();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_any_size_can_be_counted() {
        let mut progress = Progress::default();
        let claimed = Some(i64::MAX as u64);
        progress.count(&Event::Stage(Stage::Unpack));
        for number in 1..=3 {
            let event = LayerEvent::Finished { found: Found::Index, entries: 1, bytes: claimed };
            progress.count(&Event::Layer { number, event });
        }
        assert_eq!(progress.bytes, u64::MAX);
        progress.count(&Event::Spared { bytes: 1 });
        assert_eq!(progress.bytes, u64::MAX);
    }

    #[test]
    fn bytes_are_those_of_the_stage() {
        let layer = |number, event| Event::Layer { number, event };
        let events = [
            (Event::Stage(Stage::Resolve), (0, None)),
            (Event::Image { digest: None, layers: 2, bytes: Some(300) }, (0, None)),
            (Event::Stage(Stage::Unpack), (0, Some(300))),
            (layer(1, LayerEvent::Started { bytes: Some(200) }), (0, Some(300))),
            (layer(1, LayerEvent::Read { bytes: 70 }), (70, Some(300))),
            (layer(1, LayerEvent::Started { bytes: Some(200) }), (0, Some(300))),
            (layer(1, LayerEvent::Read { bytes: 150 }), (150, Some(300))),
            (layer(2, LayerEvent::Finished { found: Found::Index, entries: 1, bytes: Some(100) }), (250, Some(300))),
            (layer(1, LayerEvent::Read { bytes: 50 }), (300, Some(300))),
            (layer(1, LayerEvent::Finished { found: Found::Nothing, entries: 1, bytes: Some(200) }), (300, Some(300))),
            (Event::Stage(Stage::Plan), (0, None)),
            (Event::Planned { disk_bytes: 9000, content_bytes: 4096 }, (0, None)),
            (Event::Stage(Stage::Write), (0, Some(4096))),
            (layer(2, LayerEvent::Read { bytes: 100 }), (0, Some(4096))),
            (Event::Wrote { bytes: 4096 }, (4096, Some(4096))),
            (Event::Stage(Stage::Commit), (0, None)),
        ];
        let mut progress = Progress::default();
        for (event, expected) in events {
            progress.count(&event);
            assert_eq!((progress.bytes, progress.total), expected, "after {event:?}");
        }
        assert_eq!((progress.layers_done, progress.layers), (2, 2));
    }
}
