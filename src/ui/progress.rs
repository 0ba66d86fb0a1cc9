//! How far a run is, how fast, and how long it will take: counted from its events, with the clock
//! of whoever counts.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use cvbake::event::{Event, Found, LayerEvent, Stage};

/// How long back the speed is measured.
const WINDOW: Duration = Duration::from_secs(15);

/// How often it is measured at most.
const SAMPLE: Duration = Duration::from_millis(250);

/// Before that a speed says nothing.
const SHORTEST: Duration = Duration::from_secs(1);

/// How far a run is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) stage: Option<Stage>,
    /// How many layers there are, and how many of them are unpacked or found.
    pub(super) layers: usize,
    pub(super) layers_done: usize,
    /// Of the bytes that the stage goes through, if it goes through bytes: how many it has done,
    /// and how many there are.
    pub(super) bytes: u64,
    pub(super) total: Option<u64>,
    /// The same for the stage that comes.
    next_total: Option<u64>,
    /// By layer, how many of its bytes are counted, and how many it has.
    read: HashMap<usize, Counted>,
    /// Of what is kept of interrupted downloads, how much has not come by yet.
    resumed: u64,
    /// How much of `bytes` took time: what was there already says nothing of the speed.
    moved: u64,
    /// When the stage began.
    began: Duration,
    /// When how much had moved, the oldest first.
    samples: VecDeque<(Duration, u64)>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    bytes: u64,
    size: Option<u64>,
}

impl Progress {
    /// Takes an event into account that happens `now`, which is counted from any moment.
    pub(super) fn count(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Stage(stage) => {
                self.stage = Some(*stage);
                (self.bytes, self.moved) = (0, 0);
                self.read.clear();
                self.samples.clear();
                self.samples.push_back((now, 0));
                self.began = now;
                self.total = self.next_total.take();
            }
            Event::Image { layers, bytes, .. } => {
                self.layers = *layers;
                self.next_total = *bytes;
            }
            Event::Layer { number, event } if self.goes_through_layers() => self.count_layer(*number, event),
            Event::Planned { content_bytes, .. } => self.next_total = Some(*content_bytes),
            Event::Amount { bytes } => self.next_total = Some(*bytes),
            Event::Resumed { bytes, .. } => self.resumed = self.resumed.saturating_add(*bytes),
            Event::Wrote { bytes } | Event::Checked { bytes } | Event::Sent { bytes } => self.add(*bytes, *bytes),
            Event::Spared { bytes } => self.add(*bytes, 0),
            _ => {}
        }
        self.sample(now);
    }

    fn goes_through_layers(&self) -> bool {
        matches!(self.stage, Some(Stage::Pull | Stage::Unpack | Stage::Compress))
    }

    fn count_layer(&mut self, number: usize, event: &LayerEvent) {
        let known = self.read.get(&number).copied().unwrap_or_default();
        match event {
            // One that starts a second time came from a registry that sent something else.
            LayerEvent::Started { bytes } => {
                self.bytes = self.bytes.saturating_sub(known.bytes);
                self.read.insert(number, Counted { bytes: 0, size: *bytes });
            }
            LayerEvent::Read { bytes } => {
                let kept = self.resumed.min(*bytes);
                self.resumed -= kept;
                // Some are read twice: to be checked, and to be unpacked.
                let left = known.size.map_or(*bytes, |size| size.saturating_sub(known.bytes).min(*bytes));
                self.read.insert(number, Counted { bytes: known.bytes.saturating_add(left), ..known });
                self.add(left, bytes - kept);
            }
            LayerEvent::Finished { found, bytes, .. } => {
                self.layers_done += 1;
                // What is not read is only claimed.
                let size = bytes.filter(|_| *found != Found::Nothing);
                let left = size.map_or(0, |size| size.saturating_sub(known.bytes));
                self.read
                    .insert(number, Counted { bytes: known.bytes.saturating_add(left), size: known.size.or(size) });
                self.add(left, 0);
            }
            _ => {}
        }
    }

    /// Some more are done; never more than there are.
    fn add(&mut self, bytes: u64, moved: u64) {
        let bytes = self.bytes.saturating_add(bytes);
        self.bytes = self.total.map_or(bytes, |total| bytes.min(total));
        self.moved = self.moved.saturating_add(moved);
    }

    fn sample(&mut self, now: Duration) {
        let last = self.samples.back().map_or(Duration::ZERO, |(at, _)| *at);
        if now.saturating_sub(last) < SAMPLE {
            return;
        }
        self.samples.push_back((now, self.moved));
        // One that is older than the window is kept, so that the window is full.
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// How many bytes a second, lately; none where that can't be told yet.
    pub(super) fn bytes_per_second(&self, now: Duration) -> Option<u64> {
        let (since, before) = *self.samples.front()?;
        let elapsed = now.saturating_sub(since);
        if elapsed < SHORTEST || self.moved == 0 {
            return None;
        }
        let milliseconds = elapsed.as_millis().max(1);
        u64::try_from(u128::from(self.moved - before) * 1000 / milliseconds).ok()
    }

    /// How long the stage will take, if it goes on like this.
    pub(super) fn left(&self, now: Duration) -> Option<Duration> {
        let bytes = self.total?.checked_sub(self.bytes).filter(|bytes| *bytes > 0)?;
        let speed = self.bytes_per_second(now).filter(|speed| *speed > 0)?;
        Some(Duration::from_secs(bytes.div_ceil(speed)))
    }

    /// For how long the stage has been under way.
    pub(super) fn elapsed(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began)
    }

    /// What the stage does, in words.
    pub(super) fn doing(&self) -> &'static str {
        match self.stage {
            None | Some(Stage::Resolve) => "looking up the image",
            Some(Stage::Pull) => "pulling",
            Some(Stage::Compress | Stage::CompressDisk) => "compressing",
            Some(Stage::Push) => "pushing",
            Some(Stage::Unpack) => "unpacking",
            Some(Stage::Merge) => "merging the layers",
            Some(Stage::Plan) => "planning the filesystem",
            Some(Stage::Write) => "writing the disk",
            Some(Stage::Export) => "exporting",
            Some(Stage::Commit) => "finishing the disk",
            Some(Stage::Check) => "checking the store",
            Some(Stage::Compare) => "comparing",
            Some(stage) => stage.name(),
        }
    }
}

/// Something that is done not more often than once in a while.
#[derive(Debug)]
pub(super) struct Every {
    interval: Duration,
    last: Duration,
}

impl Every {
    pub(super) fn new(interval: Duration) -> Every {
        Every { interval, last: Duration::ZERO }
    }

    /// Whether it is time.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let due = now.saturating_sub(self.last) >= self.interval;
        if due {
            self.last = now;
        }
        due
    }

    /// It is done, whether it was time or not.
    pub(super) fn done(&mut self, now: Duration) {
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn layer(number: usize, event: LayerEvent) -> Event {
        Event::Layer { number, event }
    }

    /// Counts events without a clock.
    fn count(progress: &mut Progress, events: &[Event]) {
        events.iter().for_each(|event| progress.count(event, Duration::ZERO));
    }

    #[test]
    fn claims_of_any_size_can_be_counted() {
        let mut progress = Progress::default();
        let claimed = Some(i64::MAX as u64);
        count(&mut progress, &[Event::Stage(Stage::Unpack)]);
        for number in 1..=3 {
            let event = LayerEvent::Finished { found: Found::Index, entries: 1, bytes: claimed };
            count(&mut progress, &[layer(number, event)]);
        }
        assert_eq!(progress.bytes, u64::MAX);
        count(&mut progress, &[Event::Spared { bytes: 1 }, Event::Resumed { bytes: u64::MAX, message: String::new() }]);
        assert_eq!(progress.bytes, u64::MAX);
    }

    #[test]
    fn bytes_are_those_of_the_stage() {
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
            count(&mut progress, std::slice::from_ref(&event));
            assert_eq!((progress.bytes, progress.total), expected, "after {event:?}");
        }
        assert_eq!((progress.layers_done, progress.layers), (2, 2));
    }

    /// A layer of which the store has the index is read all the same, and one may be read twice.
    #[test]
    fn there_is_never_more_than_all() {
        let mut progress = Progress::default();
        count(
            &mut progress,
            &[Event::Image { digest: None, layers: 2, bytes: Some(300) }, Event::Stage(Stage::Unpack)],
        );
        let finished = |found, bytes| LayerEvent::Finished { found, entries: 1, bytes: Some(bytes) };
        for (number, size, found) in [(1, 200, Found::Index), (2, 100, Found::Nothing)] {
            count(&mut progress, &[layer(number, LayerEvent::Started { bytes: Some(size) })]);
            for _ in 0..2 {
                count(&mut progress, &[layer(number, LayerEvent::Read { bytes: size })]);
            }
            count(&mut progress, &[layer(number, finished(found, size))]);
        }
        assert_eq!((progress.bytes, progress.total), (300, Some(300)));
        count(&mut progress, &[Event::Amount { bytes: 10 }, Event::Stage(Stage::Check), Event::Checked { bytes: 25 }]);
        assert_eq!((progress.bytes, progress.total), (10, Some(10)));
    }

    #[test]
    fn speed_and_time_left() {
        let mut progress = Progress::default();
        count(&mut progress, &[Event::Image { digest: None, layers: 1, bytes: Some(100 * MIB) }]);
        progress.count(&Event::Stage(Stage::Pull), at(5000));
        progress.count(&layer(1, LayerEvent::Started { bytes: Some(100 * MIB) }), at(5000));
        assert_eq!((progress.bytes_per_second(at(5000)), progress.left(at(5000))), (None, None));
        for second in 1..=10 {
            progress.count(&layer(1, LayerEvent::Read { bytes: MIB }), at(5000 + second * 1000));
        }
        assert_eq!(progress.bytes_per_second(at(15_000)), Some(MIB));
        assert_eq!(progress.left(at(15_000)), Some(at(90_000)));
        assert_eq!(progress.elapsed(at(15_000)), at(10_000));
        // What was long ago does not count.
        for second in 11..=40 {
            progress.count(&layer(1, LayerEvent::Read { bytes: 2 * MIB }), at(5000 + second * 1000));
        }
        assert_eq!(progress.bytes_per_second(at(45_000)), Some(2 * MIB));
        assert_eq!(progress.left(at(45_000)), Some(at(15_000)));
        // Nothing comes any more.
        assert!(progress.bytes_per_second(at(105_000)).is_some_and(|speed| speed < MIB));
        progress.count(&layer(1, LayerEvent::Read { bytes: 30 * MIB }), at(106_000));
        assert_eq!((progress.bytes, progress.left(at(106_000))), (100 * MIB, None), "all is there");
    }

    #[test]
    fn what_was_there_already_is_no_speed() {
        let mut progress = Progress::default();
        count(&mut progress, &[Event::Image { digest: None, layers: 2, bytes: Some(100 * MIB) }]);
        progress.count(&Event::Stage(Stage::Pull), at(0));
        progress.count(&layer(1, LayerEvent::Started { bytes: Some(90 * MIB) }), at(0));
        progress.count(&Event::Resumed { bytes: 80 * MIB, message: String::new() }, at(0));
        for _ in 0..80 {
            progress.count(&layer(1, LayerEvent::Read { bytes: MIB }), at(500));
        }
        progress
            .count(&layer(2, LayerEvent::Finished { found: Found::Blob, entries: 0, bytes: Some(10 * MIB) }), at(600));
        assert_eq!((progress.bytes, progress.bytes_per_second(at(2000))), (90 * MIB, None));
        for second in 1..=4 {
            progress.count(&layer(1, LayerEvent::Read { bytes: MIB }), at(second * 1000));
        }
        assert_eq!(progress.bytes_per_second(at(4000)), Some(MIB));
        assert_eq!(progress.left(at(4000)), Some(at(6000)));
        // The same of a push, of which the registry has a part.
        progress.count(&Event::Amount { bytes: 50 * MIB }, at(9000));
        progress.count(&Event::Stage(Stage::Push), at(10_000));
        progress.count(&Event::Spared { bytes: 40 * MIB }, at(10_000));
        progress.count(&Event::Sent { bytes: 2 * MIB }, at(12_000));
        assert_eq!((progress.bytes_per_second(at(12_000)), progress.left(at(12_000))), (Some(MIB), Some(at(8000))));
    }
}
