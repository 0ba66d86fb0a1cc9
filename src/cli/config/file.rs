//! One configuration file: `key = value`, as TOML.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cvbake::text;
use cvbake::verify::shorten;
use rustix::fs::OFlags;
use toml::de::{DeTable, DeValue};

use super::path::resolve;
use super::{KEYS, Setting, Shape};
use crate::cli::environment;
use crate::failure::Failure;

/// More than any configuration.
const MAX_BYTES: u64 = 1 << 20;

/// What to do about a file that cannot be read.
const WHERE: &str =
    "--config FILE and $CVBAKE_CONFIG name another file; `cvbake config --help` says where it is otherwise";

const PATHS: &str =
    "a path starts with /, or with ~/ for the home directory; any other is relative to the directory of the file";

/// How much of a value a hint repeats.
const MAX_SHOWN: usize = 100;

/// The text of a file at a usual place; `None` if there is none, or none that this user can get at:
/// service users have the home directory of somebody else.
pub(super) fn read_if_any(path: &Path) -> Result<Option<String>, Failure> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        // Nobody has named it, so that nobody waits for what comes out of a pipe.
        Ok(metadata) if !metadata.is_file() => {
            Err(hinted(path, None, "expected a regular file".to_owned(), WHERE.to_owned()))
        }
        _ => read_with(path, OFlags::NONBLOCK),
    }
}

/// The text of a file that somebody has named; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, Failure> {
    read_with(path, OFlags::empty())
}

fn read_with(path: &Path, flags: OFlags) -> Result<Option<String>, Failure> {
    let unreadable = |what: String| hinted(path, None, what, WHERE.to_owned());
    let mut content = String::new();
    let opened = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| unreadable(text::plain(&error)))?,
    };
    file.take(MAX_BYTES + 1).read_to_string(&mut content).map_err(|error| unreadable(text::plain(&error)))?;
    if content.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!("expected at most {MAX_BYTES} bytes")));
    }
    Ok(Some(content))
}

/// Somebody names a file that isn't there.
pub(super) fn missing(path: &Path) -> Failure {
    hinted(path, None, "there is no such file".to_owned(), WHERE.to_owned())
}

fn problem(path: &Path, line: Option<usize>, what: String) -> Failure {
    hinted(path, line, what, "`cvbake config show --help` lists the keys".to_owned())
}

fn hinted(path: &Path, line: Option<usize>, what: String, hint: String) -> Failure {
    let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
    Failure::Usage { problem: format!("the configuration {}{line}: {what}", path.display()), hint: Some(hint) }
}

/// The line as it is most likely meant, if it is a key with a text that has no quotes: `size = 1G`.
fn quoted(line: &str) -> Option<String> {
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.split('#').next()?.trim());
    let key = KEYS.iter().find(|key| key.name == name)?;
    let is_bare = !value.is_empty() && !value.contains(['"', '\'', '[', ']', '{', '}', '\\']);
    let value: String = value.chars().take(MAX_SHOWN).collect();
    match key.shape {
        _ if !is_bare => None,
        Shape::Text | Shape::Path => Some(format!("{name} = \"{value}\"")),
        Shape::List => Some(format!("{name} = [\"{value}\"]")),
        Shape::Flag => None,
    }
}

/// The keys of a file with their values.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<(&'static str, Setting)>, Failure> {
    let line = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let at = line(error.span().map_or(0, |span| span.start));
        let what = format!("not TOML: {}", error.message());
        match text.lines().nth(at - 1).and_then(quoted) {
            Some(meant) => hinted(path, Some(at), what, format!("put the value in quotes: {meant}")),
            None => problem(path, Some(at), what),
        }
    })?;
    let mut settings = Vec::new();
    for (name, value) in table.get_ref() {
        let at = line(name.span().start);
        let wrong = |what: String| problem(path, Some(at), what);
        let name = name.get_ref();
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            let near = KEYS.iter().find(|key| key.name.replace('-', "") == name.replace(['-', '_'], "").to_lowercase());
            let near = near.map(|key| format!(", expected {}", key.name)).unwrap_or_default();
            return Err(wrong(format!("there is no key {:?}{near}", shorten(name))));
        };
        let one = |value: &DeValue<'_>| match value {
            DeValue::String(text) => Some(text.clone().into_owned()),
            DeValue::Integer(number) => Some(number.to_string()),
            _ => None,
        };
        let (values, expected) = match (key.shape, value.get_ref()) {
            (Shape::Text | Shape::Path, value) => (one(value).map(|value| vec![value]), "a text or a number"),
            (Shape::Flag, DeValue::Boolean(value)) => (Some(vec![value.to_string()]), ""),
            (Shape::Flag, _) => (None, "true or false, without quotes"),
            (Shape::List, DeValue::Array(values)) => {
                (values.iter().map(|value| one(value.get_ref())).collect(), "a list of texts")
            }
            (Shape::List, _) => (None, "a list of texts"),
        };
        let values = values.ok_or_else(|| wrong(format!("{name} has the wrong kind of value, expected {expected}")))?;
        let dir = path.parent().unwrap_or(Path::new(""));
        let value = |text: String| match key.shape {
            Shape::Path => resolve(text.as_ref(), dir, environment::home().as_deref())
                .map_err(|problem| hinted(path, Some(at), format!("{name}: {problem}"), PATHS.to_owned())),
            _ => Ok(text.into()),
        };
        let values = values.into_iter().map(value).collect::<Result<_, _>>()?;
        settings.push((key.name, Setting { values, path: path.to_owned(), line: at }));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Keys that there are, with the line where they stand, or one short line that says where
        /// it goes wrong.
        #[test]
        fn whatever_a_file_says(
            any in "\\PC{0,300}",
            lines in proptest::collection::vec("(size|jobs|no-journal|insecure|x{1,2000}|\"\u{202e}\")( ?= ?(true|1|\"a\"|\\[\"a\"\\]|\u{9b})?)?", 0..5),
        ) {
            for text in [any, lines.join("\n")] {
                let count = text.matches('\n').count() + 1;
                match parse(Path::new("c.toml"), &text) {
                    Ok(settings) => for (key, setting) in settings {
                        prop_assert!(KEYS.iter().any(|known| known.name == key), "{}", key);
                        prop_assert!((1..=count).contains(&setting.line), "line {} of {}", setting.line, count);
                    },
                    Err(error) => {
                        let line = error.line();
                        prop_assert!(line.starts_with("the configuration c.toml, line "), "{}", line);
                        prop_assert!(line.len() < 4000 && cvbake::text::line(&line) == line, "{}", line);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            ("size = ", "the configuration c.toml, line 1: not TOML: "),
            ("\n\nsizes = \"min\"", "line 3: there is no key \"sizes\""),
            ("no_journal = true", "line 1: there is no key \"no_journal\", expected no-journal"),
            (
                "jobs = 2\nno-journal = \"yes\"",
                "line 2: no-journal has the wrong kind of value, expected true or false, without quotes",
            ),
            ("insecure = \"a\"", "expected a list of texts"),
            ("insecure = [1, true]", "expected a list of texts"),
            ("store = 1.5", "expected a text or a number"),
            ("store = \"~other/x\"", "line 1: store: ~other/x begins with the home directory of another user"),
            ("[bake]\nsize = \"min\"", "there is no key \"bake\""),
        ];
        for (text, expected) in table {
            let error = parse(Path::new("c.toml"), text).unwrap_err();
            assert!(error.line().contains(expected), "{}", error.line());
            assert_eq!(error.exit_status(), 2);
        }
        assert_eq!(parse(Path::new("c.toml"), "# nothing\n").unwrap(), []);
        for (text, hint) in [
            ("size = 1G", "put the value in quotes: size = \"1G\""),
            ("jobs = 1\nsize=+512M # more\n", "put the value in quotes: size = \"+512M\""),
            ("store = /var/store", "put the value in quotes: store = \"/var/store\""),
            ("insecure = localhost:5000", "put the value in quotes: insecure = [\"localhost:5000\"]"),
            ("size = ", "`cvbake config show --help` lists the keys"),
            ("size = \"1G", "`cvbake config show --help` lists the keys"),
            ("sise = 1G", "`cvbake config show --help` lists the keys"),
        ] {
            assert_eq!(parse(Path::new("c.toml"), text).unwrap_err().hint().as_deref(), Some(hint), "{text}");
        }
    }

    /// A file means the same wherever cvbake is started.
    #[test]
    fn paths_start_at_the_file() {
        let text = "store = \"a/b\"\nauthfile = \"/c\"\nplatform = \"d/e\"\n";
        let found = parse(Path::new("/etc/cvbake/config.toml"), text).unwrap();
        let value = |name: &str| found.iter().find(|(key, _)| *key == name).map(|(_, setting)| setting.values.clone());
        assert_eq!(value("store"), Some(vec!["/etc/cvbake/a/b".into()]));
        assert_eq!(value("authfile"), Some(vec!["/c".into()]));
        assert_eq!(value("platform"), Some(vec!["d/e".into()]));
    }

    #[test]
    fn a_pipe_at_a_usual_place_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        assert!(read_if_any(&path).unwrap().is_none());
        for error in [missing(&path), read(dir.path()).unwrap_err()] {
            assert!(error.hint().unwrap().starts_with("--config FILE"), "{:?}", error.hint());
            assert!(!error.line().contains("os error"), "{}", error.line());
        }
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let error = read_if_any(&path).unwrap_err();
        assert!(error.line().contains("config.toml: expected a regular file"), "{}", error.line());
    }
}
