//! Lines for logs: one for each thing worth knowing, and a sign of life now and then.

use std::time::Duration;

use cvbake::error::Error;
use cvbake::event::{Event, Found, LayerEvent, Stage};
use cvbake::text;
use indicatif::{BinaryBytes, HumanCount};

use super::progress::{Every, Progress};
use super::{Message, Reporter, write};

/// After how long a log gets a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Lines for logs, or for errors only.
pub(super) struct Plain {
    progress: bool,
    colours: bool,
    alive: Every,
}

impl Plain {
    pub(super) fn new(progress: bool, colours: bool) -> Plain {
        Plain { progress, colours, alive: Every::new(SIGN_OF_LIFE) }
    }
}

impl Reporter for Plain {
    fn event(&mut self, event: &Event, progress: &Progress) {
        if !self.progress {
            return;
        }
        if let Some(line) = line(event, progress) {
            write(&format!("cvbake: {line}\n"));
        } else if is_step(event) && self.alive.is_due() {
            let total = progress.total.map(|total| format!(" of {}", BinaryBytes(total))).unwrap_or_default();
            let stage = match progress.stage {
                Some(Stage::Write | Stage::Export) => "wrote",
                Some(Stage::Push) => "sent",
                _ => "read",
            };
            write(&format!("cvbake: {stage} {}{total}\n", BinaryBytes(progress.bytes)));
        }
    }

    fn say(&mut self, message: &Message<'_>) {
        write(&message_lines(message, self.colours));
    }
}

fn is_step(event: &Event) -> bool {
    let read = matches!(event, Event::Layer { event: LayerEvent::Read { .. }, .. });
    read || matches!(event, Event::Wrote { .. } | Event::Checked { .. } | Event::Sent { .. })
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
                Found::Nothing => "",
                Found::Blob => ", already there",
                Found::Index => ", parsed before",
                Found::Content => ", unpacked before",
                Found::Disk => ", on a disk made before",
            };
            Some(format!("layer {number} of {}: {}{how}", progress.layers, counted(*entries, "entry", "entries")))
        }
        Event::Planned { disk_bytes, content_bytes } => {
            Some(format!("disk of {}, {} of content", BinaryBytes(*disk_bytes), BinaryBytes(*content_bytes)))
        }
        Event::Stage(Stage::Write) => Some("writing the disk".to_owned()),
        Event::Stage(Stage::Commit) => Some("finishing the disk".to_owned()),
        Event::Waiting { host, wait, problem } => Some(format!("{}; {}", text::message(problem), waiting(host, *wait))),
        Event::Stage(Stage::Check) => Some(format!("reading {}", BinaryBytes(progress.total.unwrap_or(0)))),
        Event::Note(note) => Some(text::message(note)),
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

/// A message as it stands on a terminal or in a log.
pub(super) fn message_lines(message: &Message<'_>, colours: bool) -> String {
    let label = |word: &str, colour: &str| match colours {
        true => format!("cvbake: \x1b[1;{colour}m{word}:\x1b[0m"),
        false => format!("cvbake: {word}:"),
    };
    match message {
        Message::Warning(warning) => format!("{} {}\n", label("warning", "33"), text::message(warning)),
        Message::Finding(finding) => {
            let (warning, hint) = (label("warning", "33"), label("hint", "36"));
            format!("{warning} {finding}\n{hint} {}\n", text::message(&finding.hint()))
        }
        Message::Error(error) => error_lines(error, &label("error", "31"), &label("hint", "36")),
        Message::Trace(text) => format!("cvbake: {}\n", text::message(text)),
        Message::Interrupted => "cvbake: interrupted\n".to_owned(),
    }
}

fn error_lines(error: &Error, error_label: &str, hint_label: &str) -> String {
    let hint = error.hint().map(|hint| format!("{hint_label} {}\n", text::message(&hint))).unwrap_or_default();
    format!("{error_label} {}\n{hint}", error.line())
}

#[cfg(test)]
mod tests {
    use cvbake::event::Finding;

    use super::*;

    fn exists() -> Error {
        cvbake::disk::Error::Exists { path: "disk.ext4".into() }.into()
    }

    #[test]
    fn messages() {
        let plain = |message| message_lines(&message, false);
        let error = exists();
        assert_eq!(plain(Message::Warning("odd")), "cvbake: warning: odd\n");
        assert_eq!(
            plain(Message::Error(&error)),
            "cvbake: error: disk.ext4 exists already\ncvbake: hint: --force replaces it\n"
        );
        let finding = Finding::NamesLost { path: "/s\n".into(), known: 2 };
        assert_eq!(
            plain(Message::Finding(&finding)),
            "cvbake: warning: the names of 2 images are lost from /s , but not from index.json\n\
             cvbake: hint: `cvbake store check --repair` restores what is lost\n"
        );
        assert_eq!(plain(Message::Interrupted), "cvbake: interrupted\n");
        let coloured = message_lines(&Message::Warning("odd"), true);
        assert_eq!(coloured, "cvbake: \x1b[1;33mwarning:\x1b[0m odd\n");
    }

    #[test]
    fn what_is_quoted_stays_on_its_line() {
        const EVIL: &str = "a\u{1b}[2J\u{9b}\u{202e}\nb";
        const SHOWN: &str = "a\\u{1b}[2J\\u{9b}\\u{202e} b";
        let usage = Error::Usage { problem: EVIL.to_owned(), hint: Some(EVIL.to_owned()) };
        let (warning, error) = (Message::Warning(EVIL), Message::Error(&usage));
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

    #[test]
    fn lines() {
        let mut progress = Progress::default();
        progress.layers = 5;
        let finished = |found| LayerEvent::Finished { found, entries: 1, bytes: None };
        let table = [
            (Event::Image { digest: None, layers: 1, bytes: Some(2048) }, Some("image: 1 layer, 2.00 KiB")),
            (Event::Layer { number: 2, event: finished(Found::Nothing) }, Some("layer 2 of 5: 1 entry")),
            (Event::Layer { number: 2, event: finished(Found::Blob) }, Some("layer 2 of 5: 1 entry, already there")),
            (Event::Layer { number: 2, event: finished(Found::Index) }, Some("layer 2 of 5: 1 entry, parsed before")),
            (Event::Layer { number: 2, event: LayerEvent::Read { bytes: 1 } }, None),
            (
                Event::Planned { disk_bytes: 1 << 30, content_bytes: 3 << 20 },
                Some("disk of 1.00 GiB, 3.00 MiB of content"),
            ),
            (Event::Wrote { bytes: 1 }, None),
            (Event::Stage(Stage::Merge), None),
            (Event::Note("waiting".to_owned()), Some("waiting")),
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
