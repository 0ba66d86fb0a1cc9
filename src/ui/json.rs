//! A JSON object per line, for programs.

use std::time::Duration;

use cvbake::event::{Event, LayerEvent};
use cvbake::text;
use serde_json::{Value, json};

use super::progress::{Every, Progress};
use super::{Message, Reporter, write};

/// How often bytes are reported: enough for a smooth bar.
const INTERVAL: Duration = Duration::from_millis(100);

/// A JSON object per line.
pub(super) struct Json {
    bytes: Every,
}

impl Json {
    pub(super) fn new() -> Json {
        Json { bytes: Every::new(INTERVAL) }
    }
}

impl Reporter for Json {
    fn event(&mut self, event: &Event, progress: &Progress, now: Duration) {
        if let Some(value) = object(event) {
            put(&value);
        } else if self.bytes.is_due(now) {
            put(&bytes(progress, now));
        }
    }

    fn say(&mut self, message: &Message<'_>) {
        put(&message_object(message));
    }
}

fn put(value: &Value) {
    write(&line(value));
}

fn line(value: &Value) -> String {
    text::json(&value.to_string()) + "\n"
}

/// An event that is reported whenever it happens.
fn object(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Stage(stage) => json!({ "event": "stage", "stage": stage.name() }),
        Event::Image { digest, layers, bytes } => {
            let digest = digest.map(|digest| digest.to_string());
            json!({ "event": "image", "image": digest, "layers": layers, "bytes": bytes })
        }
        Event::Layer { number, event: LayerEvent::Started { bytes } } => {
            json!({ "event": "layer", "layer": number, "state": "started", "bytes": bytes })
        }
        Event::Layer { number, event: LayerEvent::Finished { found, entries, .. } } => {
            json!({ "event": "layer", "layer": number, "state": "finished", "entries": entries, "cached": found.name() })
        }
        Event::Planned { disk_bytes, content_bytes } => {
            json!({ "event": "planned", "bytes": disk_bytes, "content_bytes": content_bytes })
        }
        Event::Waiting { host, wait, problem } => {
            json!({ "event": "waiting", "host": host, "seconds": wait.as_secs_f64(), "message": problem })
        }
        Event::Amount { bytes } => json!({ "event": "amount", "bytes": bytes }),
        Event::Note(text) | Event::Resumed { message: text, .. } => json!({ "event": "note", "message": text }),
        _ => return None,
    })
}

/// How far the stage is.
fn bytes(progress: &Progress, now: Duration) -> Value {
    json!({
        "event": "bytes",
        "stage": progress.stage.map(|stage| stage.name()),
        "bytes": progress.bytes,
        "total": progress.total,
        "bytes_per_second": progress.bytes_per_second(now),
        "seconds_left": progress.left(now).map(|left| left.as_secs()),
    })
}

fn message_object(message: &Message<'_>) -> Value {
    match message {
        Message::Warning(text) => json!({ "event": "warning", "message": text }),
        Message::Finding(finding, hint) => {
            json!({ "event": "warning", "message": finding.to_string(), "hint": hint })
        }
        Message::Error(error, hint) => json!({
            "event": "error",
            "message": error.line(),
            "hint": hint,
            "exit_status": error.exit_status(),
        }),
        Message::Trace(text) => json!({ "event": "trace", "message": text }),
        Message::Interrupted(_) => json!({ "event": "interrupted" }),
    }
}

#[cfg(test)]
mod tests {
    use cvbake::event::{Found, Stage};

    use super::*;

    #[test]
    fn objects() {
        let finished = LayerEvent::Finished { found: Found::Content, entries: 7, bytes: None };
        let table = [
            (Event::Stage(Stage::Unpack), r#"{"event":"stage","stage":"unpack"}"#),
            (
                Event::Image { digest: None, layers: 1, bytes: Some(3) },
                r#"{"event":"image","image":null,"layers":1,"bytes":3}"#,
            ),
            (
                Event::Layer { number: 1, event: finished },
                r#"{"event":"layer","layer":1,"state":"finished","entries":7,"cached":"content"}"#,
            ),
            (
                Event::Waiting { host: "h".to_owned(), wait: Duration::from_millis(1500), problem: "p".to_owned() },
                r#"{"event":"waiting","host":"h","seconds":1.5,"message":"p"}"#,
            ),
        ];
        for (event, expected) in table {
            assert_eq!(object(&event).map(|value| value.to_string()).as_deref(), Some(expected));
        }
        let error: crate::failure::Failure = cvbake::disk::Error::Exists { path: "d".into() }.into();
        assert_eq!(
            message_object(&Message::Error(&error, error.hint())).to_string(),
            r#"{"event":"error","message":"d exists already","hint":"--force replaces it","exit_status":6}"#
        );
    }

    #[test]
    fn how_far_it_is() {
        let second = Duration::from_secs;
        let mut progress = Progress::default();
        progress.count(&Event::Amount { bytes: 100 }, second(0));
        progress.count(&Event::Stage(Stage::Check), second(0));
        progress.count(&Event::Checked { bytes: 20 }, second(2));
        assert_eq!(
            bytes(&progress, second(2)).to_string(),
            r#"{"event":"bytes","stage":"check","bytes":20,"total":100,"bytes_per_second":10,"seconds_left":8}"#
        );
        progress.count(&Event::Stage(Stage::Merge), second(3));
        assert_eq!(
            bytes(&progress, second(3)).to_string(),
            r#"{"event":"bytes","stage":"merge","bytes":0,"total":null,"bytes_per_second":null,"seconds_left":null}"#
        );
    }

    #[test]
    fn lines_are_for_terminals_too() {
        let value = message_object(&Message::Warning("a\u{202e}\u{9b}\u{e0001}\nb"));
        let line = line(&value);
        assert_eq!(line, "{\"event\":\"warning\",\"message\":\"a\\u202e\\u009b\\udb40\\udc01\\nb\"}\n");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }
}
