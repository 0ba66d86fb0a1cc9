//! What a repository has instead of a tag that it does not have: a registry only says that there is
//! no such manifest.

use std::cmp::Reverse;

use serde::Deserialize;

use super::problem::Problem;
use super::session::Session;

/// The most that is read of a list of tags. Repositories with thousands of tags have some 100 KiB.
const MAX_BYTES: u64 = 1 << 20;

/// How many tags are asked for: what is listed is near enough to the one that was meant, or it is
/// not worth more requests.
const ASKED: usize = 1000;

/// How many of them are named.
const NAMED: usize = 6;

#[derive(Deserialize)]
struct List {
    tags: Option<Vec<String>>,
}

/// The same problem, and what there is instead, if the tag is what is missing and the registry
/// tells. It is asked once.
pub(super) fn instead_of(tag: &str, problem: Problem, session: &Session<'_>) -> Problem {
    match problem {
        Problem::NotFound { expected, message } => match list(session) {
            Listed::Tags(tags) if !tags.is_empty() => {
                let more = tags.len().saturating_sub(NAMED);
                Problem::NoSuchTag { message, tags: near(tag, tags), more }
            }
            Listed::NoRepository(message) => Problem::NoSuchRepository { message },
            Listed::Tags(_) | Listed::Unknown => Problem::NotFound { expected, message },
        },
        Problem::Mirrors { others, host, source } => {
            Problem::Mirrors { others, host, source: Box::new(instead_of(tag, *source, session)) }
        }
        problem => problem,
    }
}

enum Listed {
    Tags(Vec<String>),
    /// With what the registry says about it.
    NoRepository(String),
    Unknown,
}

fn list(session: &Session<'_>) -> Listed {
    let asked = session.try_get(&format!("tags/list?n={ASKED}"), "application/json", None, "200");
    let mut reply = match asked.map_err(|failure| failure.problem) {
        Ok(reply) => reply,
        // The code that the specification has for it: others say 404 because they list nothing.
        Err(Problem::NotFound { message, .. }) if message.starts_with("NAME_UNKNOWN") => {
            return Listed::NoRepository(message);
        }
        Err(_) => return Listed::Unknown,
    };
    let Ok(body) = reply.body(MAX_BYTES) else { return Listed::Unknown };
    match serde_json::from_slice(&body) {
        Ok(List { tags }) => Listed::Tags(tags.unwrap_or_default().into_iter().filter(|tag| is_tag(tag)).collect()),
        Err(_) => Listed::Unknown,
    }
}

/// Whether it is one by the grammar of the specification: nothing else is worth showing.
pub(super) fn is_tag(text: &str) -> bool {
    /// The longest that the specification allows.
    const MAX_LEN: usize = 128;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && text.len() <= MAX_LEN && text.bytes().all(is_part)
}

/// Those that are most likely meant, the likeliest first; of several that are equally likely the
/// last, which is the newest where tags are versions.
fn near(tag: &str, tags: Vec<String>) -> Vec<String> {
    let mut order: Vec<_> =
        tags.into_iter().enumerate().map(|(at, other)| (distance(tag, &other), Reverse(at), other)).collect();
    order.sort_unstable();
    order.truncate(NAMED);
    order.into_iter().map(|(.., tag)| tag).collect()
}

/// How far a tag is from the one that was asked for, by the way in which they are alike, the
/// closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    /// `V1` and `v1`, `v3.19` and `3.19`.
    Spelling,
    /// `3.20` and `3.20.1`, `3.20` and `3.20-slim`: by so many characters.
    Extended(usize),
    /// `v3` and `v2`: the same but for numbers, of which so many from the first that differs on,
    /// and that by so much.
    Number(usize, u64),
    /// `lastest` and `latest`: by so many letters.
    Typing(usize),
    /// They begin with the same letters, but for the last ones of the other.
    Beginning(Reverse<usize>),
    /// What is there most often, when nothing is like it.
    Latest,
    /// Not at all alike.
    Far,
}

fn distance(asked: &str, other: &str) -> Distance {
    let (asked, other) = (asked.to_ascii_lowercase(), other.to_ascii_lowercase());
    let bare = |tag: &str| match tag.strip_prefix('v') {
        Some(version) if version.starts_with(|first: char| first.is_ascii_digit()) => version.to_owned(),
        _ => tag.to_owned(),
    };
    if bare(&asked) == bare(&other) {
        return Distance::Spelling;
    }
    if is_extended(&asked, &other) || is_extended(&other, &asked) {
        return Distance::Extended(asked.len().abs_diff(other.len()));
    }
    let ((shape, ours), (other_shape, theirs)) = (numbers(&asked), numbers(&other));
    if shape == other_shape
        && let Some(at) = ours.iter().zip(&theirs).position(|(our, their)| our != their)
    {
        return Distance::Number(ours.len() - at, ours[at].abs_diff(theirs[at]));
    }
    let edits = edits(asked.as_bytes(), other.as_bytes());
    if edits <= (asked.len() / 4).max(1) && edits < other.len() {
        return Distance::Typing(edits);
    }
    match asked.bytes().zip(other.bytes()).take_while(|(ours, theirs)| ours == theirs).count() {
        0 if other == "latest" => Distance::Latest,
        0 => Distance::Far,
        common => Distance::Beginning(Reverse(common)),
    }
}

/// Whether a tag goes on where another ends, with another part of its name.
fn is_extended(short: &str, long: &str) -> bool {
    long.strip_prefix(short).is_some_and(|rest| rest.starts_with(['.', '-', '_', '+']))
}

/// A tag with its numbers blotted out, and them.
fn numbers(tag: &str) -> (String, Vec<u64>) {
    let (mut shape, mut numbers) = (String::new(), Vec::new());
    let mut rest = tag;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let behind = &rest[start..];
        let end = behind.find(|character: char| !character.is_ascii_digit()).unwrap_or(behind.len());
        shape.push_str(&rest[..start]);
        shape.push('#');
        // One that is too large is far from all others.
        numbers.push(behind[..end].parse().unwrap_or(u64::MAX));
        rest = &behind[end..];
    }
    (shape + rest, numbers)
}

/// How many bytes have to be changed, added or removed to make one of the other (Levenshtein).
fn edits(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, byte) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, another) in other.iter().enumerate() {
            let changed = diagonal + usize::from(byte != another);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        use Distance::{Beginning, Extended, Far, Latest, Number, Spelling, Typing};
        for (asked, other, expected) in [
            ("v3.19", "3.19", Spelling),
            ("Latest", "latest", Spelling),
            ("version", "ersion", Typing(1)),
            ("3.20", "3.20.1", Extended(2)),
            ("3.20-slim", "3.20", Extended(5)),
            ("3.2", "3.20", Number(1, 18)),
            ("v3", "v2", Number(1, 1)),
            ("3.20", "3.19", Number(1, 1)),
            ("3.20", "2.20", Number(2, 1)),
            ("1.25-alpine", "1.24-alpine", Number(1, 1)),
            ("99999999999999999999999", "1", Number(1, u64::MAX - 1)),
            ("lastest", "latest", Typing(1)),
            ("bookwrm-slim", "bookworm-slim", Typing(1)),
            ("3.2O", "3.2", Typing(1)),
            ("v3", "3.19", Far),
            ("v3", "latest", Latest),
            ("stable", "stretch", Beginning(Reverse(2))),
            ("a", "b", Far),
        ] {
            assert_eq!(distance(asked, other), expected, "{asked} {other}");
        }
        assert_eq!([edits(b"", b"ab"), edits(b"ab", b""), edits(b"kitten", b"sitting")], [2, 2, 3]);
    }

    #[test]
    fn the_nearest_are_named() {
        let named = |tag: &str, tags: &[&str]| near(tag, tags.iter().map(|&tag| tag.to_owned()).collect());
        assert_eq!(named("v2", &[]), [""; 0]);
        assert_eq!(named("v2", &["v1", "latest"]), ["v1", "latest"]);
        assert_eq!(named("v3", &["3.19", "latest", "v2"]), ["v2", "latest", "3.19"]);
        assert_eq!(named("v3", &["v2", "latest", "3.19", "v1"]), ["v2", "v1", "latest", "3.19"]);
        assert_eq!(named("3.21", &["3.19", "3.20", "3.20.1", "edge"])[..2], ["3.20", "3.19"]);
        let versions: Vec<String> = (1..=30).map(|minor| format!("3.{minor}")).collect();
        let mut all: Vec<&str> = versions.iter().map(String::as_str).collect();
        all.extend(["edge", "latest"]);
        assert_eq!(named("3.2O", &all), ["3.29", "3.28", "3.27", "3.26", "3.25", "3.24"]);
        assert_eq!(named("unstable", &all), ["latest", "edge", "3.30", "3.29", "3.28", "3.27"]);
        assert!(is_tag("v1.0-rc_2") && !is_tag("") && !is_tag("a\u{1b}b") && !is_tag(&"y".repeat(129)));
    }
}
