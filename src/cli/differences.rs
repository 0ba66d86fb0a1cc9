//! How differences between two trees are shown: by `cvbake verify` and `cvbake diff`.

use std::fmt::Write as _;

use clap::ValueEnum;
use cvbake::compare::{Differing, How};
use cvbake::tree::Field;
use serde::Serialize;

/// What a comparison leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Ignore {
    /// Modification, access and change times
    Times,
    /// Owners and groups
    Owner,
    /// Permission bits
    Mode,
    /// Extended attributes
    Xattr,
    /// The bytes of files
    Content,
}

impl Ignore {
    /// Whether a field is left out.
    fn covers(self, field: Field) -> bool {
        match self {
            Ignore::Times => matches!(field, Field::Mtime | Field::Atime | Field::Ctime),
            Ignore::Owner => field == Field::Owner,
            Ignore::Mode => field == Field::Mode,
            Ignore::Xattr => field == Field::Xattr,
            Ignore::Content => field == Field::Content,
        }
    }
}

/// Whether a comparison looks at a field.
pub(super) fn looks_at(ignored: &[Ignore], field: Field) -> bool {
    !ignored.iter().any(|ignore| ignore.covers(field))
}

/// A difference as a line: `-` only the first has the path, `+` only the second has it, `~` both
/// have it.
pub(super) fn put_line(text: &mut String, differing: &Differing) {
    let Differing { path, how } = differing;
    match how {
        How::Removed(line) => writeln!(text, "- {line}"),
        How::Added(line) => writeln!(text, "+ {line}"),
        How::Changed(changes) => {
            let changes =
                changes.iter().map(|change| format!(" {}: {} → {}", change.field.name(), change.old, change.new));
            writeln!(text, "~ {path}{}", changes.collect::<Vec<_>>().join(","))
        }
    }
    .expect("a string takes everything");
}

/// A difference in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    path: String,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Changed>,
}

#[derive(Debug, Serialize)]
struct Changed {
    field: &'static str,
    old: serde_json::Value,
    new: serde_json::Value,
}

impl From<Differing> for Difference {
    fn from(Differing { path, how }: Differing) -> Difference {
        let with_line = |change, line| Difference { path: path.clone(), change, line: Some(line), fields: Vec::new() };
        match how {
            How::Removed(line) => with_line("removed", line),
            How::Added(line) => with_line("added", line),
            How::Changed(changes) => {
                let changed = |change: cvbake::tree::Change| {
                    let cvbake::tree::Change { field, old, new } = change;
                    let value = |text: String| match text.parse::<u64>() {
                        Ok(size) if field == Field::Size => size.into(),
                        _ => text.into(),
                    };
                    Changed { field: field.name(), old: value(old), new: value(new) }
                };
                let fields = changes.into_iter().map(changed).collect();
                Difference { path, change: "changed", line: None, fields }
            }
        }
    }
}
