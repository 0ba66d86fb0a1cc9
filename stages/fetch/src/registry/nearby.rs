//! What a repository has instead of a tag that it does not have: a registry only says that there is no such manifest.

use serde::Deserialize;

use super::problem::Problem;
use super::session::Session;

/// The most that is read of a list of tags. Repositories with thousands of tags have some 100 KiB.
const MAX_BYTES: u64 = 1 << 20;

/// How many tags are asked for: what is listed is near enough to the one that was meant, or it is not worth more requests.
const ASKED: usize = 1000;

/// How many of them are named.
const NAMED: usize = 6;

#[derive(Deserialize)]
struct List {
    tags: Option<Vec<String>>,
}

/// The same problem, and what there is instead, if the tag is what is missing and the registry tells. It is asked once.
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

/// Those that begin most like it, `latest`, and otherwise the last ones, which are the newest where tags are versions; in the order in
/// which the registry lists them.
fn near(tag: &str, tags: Vec<String>) -> Vec<String> {
    let common = |other: &str| tag.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let mut order: Vec<usize> = (0..tags.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse((common(&tags[at]), tags[at] == "latest", at)));
    order.truncate(NAMED);
    order.sort_unstable();
    order.into_iter().map(|at| tags[at].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_named() {
        let named = |tag: &str, tags: &[&str]| near(tag, tags.iter().map(|&tag| tag.to_owned()).collect());
        assert_eq!(named("v2", &[]), [""; 0]);
        assert_eq!(named("v2", &["v1", "latest"]), ["v1", "latest"]);
        let versions: Vec<String> = (1..=30).map(|minor| format!("3.{minor}")).collect();
        let mut all: Vec<&str> = versions.iter().map(String::as_str).collect();
        all.extend(["edge", "latest"]);
        assert_eq!(named("3.2O", &all), ["3.24", "3.25", "3.26", "3.27", "3.28", "3.29"]);
        assert_eq!(named("unstable", &all), ["3.27", "3.28", "3.29", "3.30", "edge", "latest"]);
        assert!(is_tag("v1.0-rc_2") && !is_tag("") && !is_tag("a\u{1b}b") && !is_tag(&"y".repeat(129)));
    }
}
