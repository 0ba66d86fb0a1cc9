//! How long each stage of a bake takes.

use std::time::{Duration, Instant};

use crate::event::{Event, Observer, Stage};

/// Measures the stages, and tells of each that begins.
pub(crate) struct Clock<'a> {
    on: Observer<'a>,
    stage: Stage,
    since: Instant,
    times: Vec<(Stage, Duration)>,
}

impl<'a> Clock<'a> {
    pub(crate) fn start(stage: Stage, on: Observer<'a>) -> Clock<'a> {
        on(Event::Stage(stage));
        Clock { on, stage, since: Instant::now(), times: Vec::new() }
    }

    pub(crate) fn next(&mut self, stage: Stage) {
        let now = Instant::now();
        self.times.push((self.stage, now - self.since));
        (self.stage, self.since) = (stage, now);
        (self.on)(Event::Stage(stage));
    }

    pub(crate) fn stop(mut self) -> Vec<(Stage, Duration)> {
        self.times.push((self.stage, self.since.elapsed()));
        self.times
    }
}
