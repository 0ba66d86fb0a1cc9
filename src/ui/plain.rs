//! Lines for logs: one for each thing worth knowing, and a sign of life now and then.

use std::time::Duration;

use cvbake::event::{Event, Found, LayerEvent, Stage};
use cvbake::text;
use indicatif::{BinaryBytes, HumanCount};

use super::progress::{Every, Progress};
use super::{Message, Reporter, TICK, write};

/// After how long a log gets a sign of life: there is a line every 10 seconds, and time is looked
/// at once in a [`TICK`].
const SIGN_OF_LIFE: Duration = Duration::from_secs(10).saturating_sub(TICK);

/// Lines for logs, or for errors only.
pub(super) struct Plain {
    progress: bool,
    colours: bool,
    alive: Every,
    /// Where they go.
    write: Box<dyn FnMut(&str) + Send>,
}

impl Plain {
    pub(super) fn new(progress: bool, colours: bool) -> Plain {
        Plain { progress, colours, alive: Every::new(SIGN_OF_LIFE), write: Box::new(write) }
    }
}

impl Reporter for Plain {
    fn event(&mut self, event: &Event, progress: &Progress, now: Duration) {
        if !self.progress {
            return;
        }
        match line(event, progress) {
            Some(line) => {
                (self.write)(&format!("cvbake: {line}\n"));
                self.alive.done(now);
            }
            None => self.tick(progress, now),
        }
    }

    fn tick(&mut self, progress: &Progress, now: Duration) {
        if self.progress && self.alive.is_due(now) {
            (self.write)(&format!("cvbake: {}\n", still(progress, now)));
        }
    }

    fn say(&mut self, message: &Message<'_>) {
        (self.write)(&message_lines(message, self.colours));
    }
}

/// A sign of life: what the stage does, and how far it is, or at least for how long it has been
/// doing that.
fn still(progress: &Progress, now: Duration) -> String {
    let mut amounts = amounts(progress, now, &percent(progress));
    if amounts.is_empty() {
        amounts.push(format!("{} so far", duration(progress.elapsed(now))));
    }
    format!("{}: {}", progress.doing(), amounts.join(", "))
}

/// How far the stage is, how fast it goes, and how long it will take, as far as that is known;
/// `share` follows the first.
pub(super) fn amounts(progress: &Progress, now: Duration, share: &str) -> Vec<String> {
    let done = BinaryBytes(progress.bytes);
    let amount = match progress.total {
        Some(total) => Some(format!("{done} of {}{share}", BinaryBytes(total))),
        None => (progress.bytes > 0).then(|| done.to_string()),
    };
    let speed = progress.bytes_per_second(now).map(|speed| format!("{}/s", BinaryBytes(speed)));
    let left = progress.left(now).map(|left| format!("{} left", duration(left)));
    [amount, speed, left].into_iter().flatten().collect()
}

fn percent(progress: &Progress) -> String {
    let share = |total: u64| (u128::from(progress.bytes) * 100).checked_div(u128::from(total));
    progress.total.and_then(share).map(|percent| format!(" ({percent}%)")).unwrap_or_default()
}

/// As exactly as anybody wants to know it.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes @ 10.., _) => format!("{minutes} min"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// What a log says about an event, if it is worth a line.
fn line(event: &Event, progress: &Progress) -> Option<String> {
    match event {
        Event::Image { digest, layers, bytes } => {
            let digest = digest.map(|digest| format!(" {digest}")).unwrap_or_default();
            let layers = counted(*layers, "layer", "layers");
            let bytes = bytes.map(|bytes| format!(", {}", BinaryBytes(bytes))).unwrap_or_default();
            Some(format!("image{digest}: {layers}{bytes}"))
        }
        Event::Layer { number, event: LayerEvent::Finished { found, entries, .. } } => {
            let how = match found {
                Found::Blob => ", already in the store",
                Found::Index => ", list of files cached",
                Found::Content => ", cached",
                Found::Disk => ", content taken from an earlier disk",
                _ => "",
            };
            // Not "of so many": it has its number in the image, and a layer that the image has
            // twice is worked on once.
            Some(format!("layer {number}: {}{how}", counted(*entries, "entry", "entries")))
        }
        Event::Planned { disk_bytes, content_bytes } => {
            let (disk, content) = (rounded_up(*disk_bytes), BinaryBytes(*content_bytes));
            Some(format!("planned a disk of {disk} with {content} of content"))
        }
        Event::Stage(Stage::Write) => Some("writing the disk".to_owned()),
        Event::Stage(Stage::Commit) => Some("finishing the disk".to_owned()),
        Event::Waiting { host, wait, problem } => Some(format!("{}; {}", text::message(problem), waiting(host, *wait))),
        Event::Stage(Stage::Compare) => Some("comparing the disk with the image".to_owned()),
        Event::Stage(Stage::CompressDisk) => Some("compressing the disk".to_owned()),
        Event::Stage(Stage::Compress) => Some("compressing layers".to_owned()),
        Event::Stage(Stage::Check) => Some(format!("checking {}", BinaryBytes(progress.total.unwrap_or(0)))),
        Event::Note(note) | Event::Resumed { message: note, .. } => Some(text::message(note)),
        _ => None,
    }
}

/// What is being waited for.
pub(super) fn waiting(host: &str, wait: Duration) -> String {
    format!("trying {} again in {:.1} s", text::message(host), wait.as_secs_f64())
}

/// A number of things, in words.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", HumanCount(count as u64), if count == 1 { one } else { many })
}

/// The size of a disk: whoever asks for what is shown asks for enough.
pub(crate) fn rounded_up(bytes: u64) -> BinaryBytes {
    // Of the unit in which it is shown, two places.
    let unit = 1u128 << (10 * (bytes.max(1).ilog2() / 10));
    let hundredths = (100 * u128::from(bytes)).div_ceil(unit);
    BinaryBytes(u64::try_from((hundredths * unit).div_ceil(100)).unwrap_or(u64::MAX))
}

/// A message as it stands on a terminal or in a log.
pub(super) fn message_lines(message: &Message<'_>, colours: bool) -> String {
    let label = |word: &str, colour: &str| match colours {
        true => format!("cvbake: \x1b[1;{colour}m{word}:\x1b[0m"),
        false => format!("cvbake: {word}:"),
    };
    let hint_line = |hint: &Option<String>| {
        hint.as_ref().map(|hint| format!("{} {}\n", label("hint", "36"), text::message(hint))).unwrap_or_default()
    };
    match message {
        Message::Warning(warning) => format!("{} {}\n", label("warning", "33"), text::message(warning)),
        Message::Finding(finding, hint) => {
            format!("{} {finding}\n{}", label("warning", "33"), hint_line(hint))
        }
        Message::Error(error, hint) => {
            format!("{} {}\n{}", label("error", "31"), error.line(), hint_line(hint))
        }
        Message::Trace(text) => format!("cvbake: {}\n", text::message(text)),
        Message::Interrupted(None) => "cvbake: interrupted\n".to_owned(),
        Message::Interrupted(Some(outcome)) => format!("cvbake: interrupted; {}\n", text::message(outcome)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use cvbake::event::Finding;

    use super::*;
    use crate::failure::Failure;
    use crate::hint;

    fn exists() -> Failure {
        cvbake::disk::Error::Exists { path: "disk.ext4".into() }.into()
    }

    #[test]
    fn messages() {
        let plain = |message| message_lines(&message, false);
        let error = exists();
        assert_eq!(plain(Message::Warning("odd")), "cvbake: warning: odd\n");
        assert_eq!(
            plain(Message::Error(&error, error.hint())),
            "cvbake: error: disk.ext4 exists already\ncvbake: hint: --force replaces it\n"
        );
        let finding = Finding::NamesLost { path: "/s\n".into(), known: 2 };
        let hint = hint::of_finding(&finding);
        assert_eq!(
            plain(Message::Finding(&finding, hint)),
            "cvbake: warning: the names of 2 images are lost from /s , but not from index.json\n\
             cvbake: hint: `cvbake store check --repair` restores the names\n"
        );
        assert_eq!(plain(Message::Interrupted(None)), "cvbake: interrupted\n");
        assert_eq!(plain(Message::Interrupted(Some("x\ny"))), "cvbake: interrupted; x y\n");
        let coloured = message_lines(&Message::Warning("odd"), true);
        assert_eq!(coloured, "cvbake: \x1b[1;33mwarning:\x1b[0m odd\n");
    }

    #[test]
    fn what_is_quoted_stays_on_its_line() {
        const EVIL: &str = "a\u{1b}[2J\u{9b}\u{202e}\nb";
        const SHOWN: &str = "a\\u{1b}[2J\\u{9b}\\u{202e} b";
        let usage = Failure::Usage { problem: EVIL.to_owned(), hint: Some(EVIL.to_owned()) };
        let (warning, error) = (Message::Warning(EVIL), Message::Error(&usage, usage.hint()));
        assert_eq!(message_lines(&warning, false), format!("cvbake: warning: {SHOWN}\n"));
        assert_eq!(message_lines(&error, false), format!("cvbake: error: {SHOWN}\ncvbake: hint: {SHOWN}\n"));
        let wait = Duration::from_secs(1);
        let waiting = Event::Waiting { host: EVIL.to_owned(), wait, problem: EVIL.to_owned() };
        let expected = format!("{SHOWN}; trying {SHOWN} again in 1.0 s");
        assert_eq!(line(&waiting, &Progress::default()), Some(expected));
        assert_eq!(line(&Event::Note(EVIL.to_owned()), &Progress::default()).as_deref(), Some(SHOWN));
        let long = "x".repeat(1 << 20);
        assert!(message_lines(&Message::Warning(&long), false).len() < 4000);
    }

    /// However slowly something arrives, or nothing at all: the log has a line every ten seconds,
    /// and not many more.
    #[test]
    fn a_line_every_ten_seconds() {
        for drips in [true, false] {
            let lines = Arc::new(Mutex::new(Vec::new()));
            let mut plain = Plain::new(true, false);
            let written = Arc::clone(&lines);
            plain.write = Box::new(move |line| written.lock().unwrap().push(line.to_owned()));
            let mut progress = Progress::default();
            let mut times = vec![Duration::ZERO];
            let mut seen = |now: Duration| {
                if lines.lock().unwrap().drain(..).count() > 0 {
                    times.push(now);
                }
            };
            let image = Event::Image { digest: None, layers: 1, bytes: Some(1000) };
            for event in [Event::Stage(Stage::Pull), image] {
                progress.count(&event, Duration::ZERO);
                plain.event(&event, &progress, Duration::ZERO);
            }
            lines.lock().unwrap().clear();
            let end = Duration::from_secs(100);
            let mut now = Duration::ZERO;
            while now < end {
                // A little later each time, as threads are.
                now += TICK + Duration::from_millis(3);
                plain.tick(&progress, now);
                seen(now);
                let event = Event::Layer { number: 1, event: LayerEvent::Read { bytes: 1 } };
                if drips {
                    progress.count(&event, now);
                    plain.event(&event, &progress, now);
                    seen(now);
                }
            }
            times.push(end.max(now));
            let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(longest <= Duration::from_millis(10_050), "{drips}: {longest:?} without a line");
            assert!((11..=13).contains(&times.len()), "{drips}: {times:?}");
        }
    }

    #[test]
    fn signs_of_life() {
        let second = Duration::from_secs;
        let mut progress = Progress::default();
        progress.count(&Event::Stage(Stage::Merge), second(0));
        assert_eq!(still(&progress, second(75)), "merging the layers: 1 min 15 s so far");
        progress.count(&Event::Image { digest: None, layers: 1, bytes: Some(400 << 20) }, second(75));
        progress.count(&Event::Stage(Stage::Unpack), second(80));
        assert_eq!(still(&progress, second(80)), "unpacking: 0 B of 400.00 MiB (0%)");
        let read = LayerEvent::Read { bytes: 40 << 20 };
        progress.count(&Event::Layer { number: 1, event: read }, second(90));
        assert_eq!(
            still(&progress, second(90)),
            "unpacking: 40.00 MiB of 400.00 MiB (10%), 4.00 MiB/s, 1 min 30 s left"
        );
        progress.count(&Event::Stage(Stage::Export), second(100));
        progress.count(&Event::Wrote { bytes: 5 << 20 }, second(105));
        assert_eq!(still(&progress, second(105)), "exporting: 5.00 MiB, 1.00 MiB/s");
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (599, "9 min 59 s"),
            (601, "10 min"),
            (3600, "1 h"),
            (5400, "1 h 30 min"),
        ] {
            assert_eq!(duration(second(seconds)), text);
        }
    }

    #[test]
    fn sizes_of_disks() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (100 << 20, "100.00 MiB"),
            ((100 << 20) + 1, "100.01 MiB"),
            (4_247_552, "4.06 MiB"),
            ((1 << 30) - 1, "1.00 GiB"),
            (u64::MAX, "16.00 EiB"),
        ] {
            assert_eq!(rounded_up(bytes).to_string(), shown, "{bytes}");
        }
    }

    #[test]
    fn lines() {
        let progress = Progress::default();
        let finished = |found| LayerEvent::Finished { found, entries: 1, bytes: None };
        let table = [
            (Event::Image { digest: None, layers: 1, bytes: Some(2048) }, Some("image: 1 layer, 2.00 KiB")),
            (Event::Layer { number: 2, event: finished(Found::Nothing) }, Some("layer 2: 1 entry")),
            (Event::Layer { number: 2, event: finished(Found::Blob) }, Some("layer 2: 1 entry, already in the store")),
            (Event::Layer { number: 2, event: finished(Found::Index) }, Some("layer 2: 1 entry, list of files cached")),
            (Event::Layer { number: 2, event: LayerEvent::Read { bytes: 1 } }, None),
            (
                Event::Planned { disk_bytes: 1 << 30, content_bytes: 3 << 20 },
                Some("planned a disk of 1.00 GiB with 3.00 MiB of content"),
            ),
            (Event::Wrote { bytes: 1 }, None),
            (Event::Stage(Stage::Merge), None),
            (Event::Note("waiting".to_owned()), Some("waiting")),
            (Event::Resumed { bytes: 7, message: "resuming".to_owned() }, Some("resuming")),
            (
                Event::Waiting {
                    host: "a.example".to_owned(),
                    wait: Duration::from_millis(1250),
                    problem: "a.example sent nothing for 30 s".to_owned(),
                },
                Some("a.example sent nothing for 30 s; trying a.example again in 1.2 s"),
            ),
        ];
        for (event, expected) in table {
            assert_eq!(line(&event, &progress).as_deref(), expected, "{event:?}");
        }
    }
}
