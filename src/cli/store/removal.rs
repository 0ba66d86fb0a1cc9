//! What is told of a removal.

use std::fmt::Write as _;

use cvbake::store::Removal;
use cvbake::text::line;
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    images: &'a [String],
    blobs: usize,
    layers: usize,
    partials: usize,
    bytes: u64,
    left_bytes: u64,
    dry_run: bool,
    /// Those of the images that no registry is known to give back.
    imported: &'a [String],
}

pub(super) fn json(removal: &Removal, dry_run: bool) -> String {
    let Removal { images, imported, blobs, layers, partials, bytes, left_bytes, .. } = removal;
    let (blobs, layers, partials) = (blobs.len(), layers.len(), partials.len());
    let (bytes, left_bytes) = (*bytes, *left_bytes);
    let report = Report { images, blobs, layers, partials, bytes, left_bytes, dry_run, imported };
    let object = serde_json::to_string(&report).expect("numbers, texts and lists of them");
    format!("{object}\n")
}

/// The images, a line each, and the sums.
pub(super) fn text(removal: &Removal, dry_run: bool) -> String {
    let mut text = String::new();
    for name in &removal.images {
        let how = if removal.imported.contains(name) { " (imported)" } else { "" };
        writeln!(text, "{}{how}", line(name)).expect("a string takes everything");
    }
    let verb = if dry_run { "Would remove" } else { "Removed" };
    let left = BinaryBytes(removal.left_bytes);
    writeln!(text, "{verb} {}; {left} left", words(removal)).expect("a string takes everything");
    text
}

/// The names of images, on one line; of many the first.
pub(super) fn names(names: &[String]) -> String {
    /// As many as somebody reads.
    const SHOWN: usize = 20;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| line(name)).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    shown.join(", ") + &more
}

/// How much of what, on one line.
pub(super) fn words(removal: &Removal) -> String {
    let kinds = [
        (removal.images.len(), "image", "images"),
        (removal.blobs.len(), "blob", "blobs"),
        (removal.layers.len(), "unpacked layer", "unpacked layers"),
        (removal.partials.len(), "partial download", "partial downloads"),
    ];
    let counted = kinds.iter().filter(|(count, ..)| *count > 0);
    let counted = counted
        .map(|(count, one, many)| format!("{} {}", HumanCount(*count as u64), if *count == 1 { one } else { many }));
    let counted: Vec<String> = counted.collect();
    match counted.is_empty() {
        true => "nothing".to_owned(),
        false => format!("{}: {}", counted.join(", "), BinaryBytes(removal.bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports() {
        let mut removal = Removal::default();
        assert_eq!(text(&removal, false), "Removed nothing; 0 B left\n");
        removal.images = vec!["docker.io/library/alpine:3.20".to_owned(), "docker.io/team/app:v1".to_owned()];
        removal.imported = vec!["docker.io/team/app:v1".to_owned()];
        removal.partials = vec!["a".to_owned(), "b".to_owned()];
        (removal.bytes, removal.left_bytes) = (2048, 1024);
        let expected = "docker.io/library/alpine:3.20\n\
                        docker.io/team/app:v1 (imported)\n\
                        Would remove 2 images, 2 partial downloads: 2.00 KiB; 1.00 KiB left\n";
        assert_eq!(text(&removal, true), expected);
        let expected = concat!(
            r#"{"images":["docker.io/library/alpine:3.20","docker.io/team/app:v1"],"blobs":0,"layers":0,"partials":2,"#,
            r#""bytes":2048,"left_bytes":1024,"dry_run":true,"imported":["docker.io/team/app:v1"]}"#,
            "\n"
        );
        assert_eq!(json(&removal, true), expected);
    }
}
