//! What tests, scripts and demos run is there: part of every Debian, or in the list of
//! `scripts/setup`.
//!
//! A list that is kept by hand goes stale on the machine of whoever has everything installed, and
//! is found out on a fresh one.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What has the programs that every Debian has, however small (`apt-cache show` calls them
/// essential or required), and apt.
const ESSENTIAL: &[&str] = &["apt", "bash", "coreutils", "dash", "dpkg", "findutils", "grep", "mawk", "sed"];

/// The programs of these that scripts run.
const ESSENTIAL_PROGRAMS: &[&str] = &[
    "apt-cache",
    "apt-get",
    "awk",
    "basename",
    "bash",
    "cat",
    "chmod",
    "chown",
    "chroot",
    "cp",
    "cut",
    "date",
    "dirname",
    "dpkg",
    "dpkg-deb",
    "env",
    "find",
    "grep",
    "head",
    "install",
    "ln",
    "ls",
    "mkdir",
    "mktemp",
    "mv",
    "realpath",
    "rm",
    "sed",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "tail",
    "tee",
    "timeout",
    "touch",
    "tr",
    "true",
    "uname",
    "uniq",
    "wc",
];

/// What comes with Rust, and what scripts look for before they run it and do without, saying so.
const RUST: &[&str] = &["cargo", "rustc"];
const OPTIONAL: &[&str] = &["sudo", "systemctl"];

/// Words that the shell itself knows.
const SHELL: &[&str] = &[
    ":", "[[", "break", "case", "cd", "command", "continue", "do", "done", "echo", "elif", "else", "esac", "eval",
    "exec", "exit", "export", "fi", "for", "function", "if", "in", "local", "mapfile", "printf", "pwd", "read",
    "return", "set", "shift", "test", "then", "trap", "umask", "unset", "until", "wait", "while",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a directory whose names end so, without what is built.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if entry.is_dir() && name != "target" && !entry.join("Cargo.lock").exists() {
            found.extend(files(&entry, ending));
        } else if entry.is_file() && name.ends_with(ending) {
            found.push(entry);
        }
    }
    found
}

/// A list of `scripts/setup`, in the text behind `start`: program to package.
fn list_behind(start: &str) -> BTreeMap<String, String> {
    let setup = fs::read_to_string(root().join("scripts/setup")).unwrap();
    let mut list = BTreeMap::new();
    for part in setup.split(start).skip(1) {
        for line in part.lines().take_while(|line| *line != ")") {
            let line = line.split('#').next().unwrap();
            let (words, more) = line.split_once(')').map_or((line, true), |(words, _)| (words, false));
            for word in words.split_whitespace() {
                let (name, package) = word.split_once(':').unwrap_or_else(|| panic!("{word} is no program:package"));
                list.insert(name.to_owned(), package.to_owned());
            }
            if !more {
                break;
            }
        }
    }
    list
}

/// What `scripts/setup` installs for the tests.
fn listed() -> BTreeMap<String, String> {
    list_behind("\nneeded=(")
}

/// The string literals that follow `start`, with `between` in between.
fn literals<'t>(text: &'t str, start: &str, count: usize) -> Vec<Vec<&'t str>> {
    let mut found = Vec::new();
    for rest in text.split(start).skip(1) {
        let mut words = Vec::new();
        let mut rest = rest;
        while let Some((word, after)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            words.push(word);
            rest = after.strip_prefix(", ").unwrap_or("");
        }
        if words.len() >= count {
            found.push(words);
        }
    }
    found
}

#[test]
fn what_tests_run_is_listed() {
    let listed = listed();
    let mut seen = 0;
    for dir in ["tests", "stages", "src", "fuzz"] {
        for file in files(&root().join(dir), ".rs").into_iter().filter(|file| !file.ends_with(file!())) {
            let text = fs::read_to_string(&file).unwrap();
            // A call that names what it runs in another way than by a literal is one of the helpers
            // themselves.
            for start in ["tool(", "as_user("] {
                for words in literals(&text, start, 2) {
                    seen += 1;
                    let [name, package] = words[..2] else { unreachable!("at least two") };
                    let known =
                        listed.get(name).is_some_and(|listed| listed == package) || ESSENTIAL.contains(&package);
                    assert!(known, "{}: {name}:{package} is not in the list of scripts/setup", file.display());
                }
            }
            for name in literals(&text, "Command::new(", 1)
                .into_iter()
                .chain(literals(&text, "duct::cmd(", 1))
                .map(|words| words[0])
            {
                seen += 1;
                let known = listed.contains_key(name) || ESSENTIAL_PROGRAMS.contains(&name);
                assert!(known || name.contains('/'), "{}: {name} is not in the list of scripts/setup", file.display());
            }
        }
    }
    assert!(seen > 40, "{seen} programs found: has the helper another name now?");
}

/// The programs that a Python script runs: first in a list that is run, or whose second word is an
/// option.
fn python_programs(script: &str) -> BTreeSet<&str> {
    let lists = script.match_indices('[').filter_map(|(at, _)| {
        let inside = script[at + 1..].trim_start().strip_prefix('"')?;
        let (name, rest) = inside.split_once('"')?;
        let is_run = ["run(", "Popen(", "check_output(", "check_call("].iter().any(|call| script[..at].ends_with(call));
        (is_run || rest.starts_with(", \"-")).then_some(name)
    });
    lists.filter(|name| !name.starts_with('-') && !name.contains(['/', ' '])).collect()
}

#[test]
fn what_python_runs_is_listed() {
    let base = listed();
    let mut bench = base.clone();
    bench.extend(list_behind("needed+=("));
    let mut seen = BTreeSet::new();
    let mut scripts = files(&root().join("benches/compare/python"), ".py");
    scripts.extend(["scripts/stress", "scripts/pages"].map(|script| root().join(script)));
    for path in scripts {
        let text = fs::read_to_string(&path).unwrap();
        // What these need is asked for by an argument; the tests use the others.
        let is_bench = ["images.py", "series.py", "pages"].iter().any(|name| path.ends_with(name));
        let listed = if is_bench { &bench } else { &base };
        for name in python_programs(&text) {
            let known = listed.contains_key(name) || [ESSENTIAL_PROGRAMS, RUST].iter().any(|list| list.contains(&name));
            assert!(known, "{}: {name} is not in the list of scripts/setup", path.display());
            seen.insert(name.to_owned());
        }
    }
    for name in ["e2fsck", "zstd", "cargo"] {
        assert!(seen.contains(name), "{name} is run by a script: {seen:?}");
    }
}

/// The words of a shell script that are in the place of a command.
///
/// Not the shell's grammar, but enough of it for scripts that are written for people: quotes,
/// comments, substitutions.
fn commands(script: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = script.chars().peekable();
    let (mut word, mut first, mut quote) = (String::new(), true, None);
    // What is around a substitution: whether a word stood first, and the quote.
    let mut outer: Vec<(bool, Option<char>)> = Vec::new();
    let (mut before, mut subshells) = ('\n', 0);
    while let Some(next) = rest.next() {
        let ended = match (quote, next) {
            (Some('\''), '\'') | (Some('"'), '"') => {
                quote = None;
                before = next;
                continue;
            }
            (Some('\''), _) => false,
            (_, '\\') => {
                rest.next();
                before = ' ';
                continue;
            }
            (_, '$') if rest.peek() == Some(&'(') => {
                rest.next();
                if rest.peek() == Some(&'(') {
                    skip_arithmetic(&mut rest);
                    word.push('0');
                    continue;
                }
                outer.push((first, quote.take()));
                (word, first, before) = (String::new(), true, '(');
                continue;
            }
            (Some('"'), _) => false,
            (_, '\'' | '"') => {
                quote = Some(next);
                word.push('\'');
                before = next;
                continue;
            }
            (_, '#') if before.is_whitespace() => {
                while rest.peek().is_some_and(|end| *end != '\n') {
                    rest.next();
                }
                continue;
            }
            (None, ')') if !outer.is_empty() => {
                note(&mut found, &word, first);
                (first, quote) = outer.pop().unwrap();
                word = "'".to_owned();
                before = ')';
                continue;
            }
            (None, '(') if rest.peek() == Some(&'(') => {
                skip_arithmetic(&mut rest);
                (word, before) = (String::new(), ' ');
                continue;
            }
            (None, '(') if before == '=' => {
                // An array.
                while rest.next().is_some_and(|end| end != ')') {}
                continue;
            }
            (None, ')') if subshells == 0 => {
                // The end of a pattern, of those of `case`.
                (word, first, before) = (String::new(), true, next);
                continue;
            }
            (None, '(' | ')') => {
                subshells = if next == '(' { subshells + 1 } else { subshells - 1 };
                true
            }
            (_, '\n' | ';' | '|' | '&' | '{' | '}') => {
                // Redirections, patterns and functions have these, too.
                let part = matches!(before, '>' | '<') || matches!(next, '{' | '}') && !before.is_whitespace();
                !part
            }
            (None, ' ' | '\t') => {
                if !word.is_empty() {
                    first = note(&mut found, &word, first);
                }
                word.clear();
                before = next;
                continue;
            }
            _ => false,
        };
        if ended {
            note(&mut found, &word, first);
            word.clear();
            first = true;
        } else if quote.is_none() {
            word.push(next);
        }
        before = next;
    }
    found
}

/// Skips what is in double parentheses: it names no commands.
fn skip_arithmetic(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while rest.next().is_some_and(|end| end != ')' || rest.peek() != Some(&')')) {}
    rest.next();
}

/// Takes a word; returns whether the next one is in the place of a command, too.
fn note(found: &mut BTreeSet<String>, word: &str, first: bool) -> bool {
    const BEFORE_COMMANDS: &[&str] =
        &["!", "do", "elif", "else", "exec", "if", "step", "then", "until", "while", "show"];
    if !first || word.is_empty() {
        return first;
    }
    let assignment =
        word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || "_+[]".contains(c)));
    let name = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c)) && !word.starts_with('-');
    if name && !assignment && !BEFORE_COMMANDS.contains(&word) {
        found.insert(word.to_owned());
    }
    assignment || BEFORE_COMMANDS.contains(&word)
}

#[test]
fn commands_are_found() {
    let script = "a=1 one 'x | no' \"$(two -x \"$(three)\")\" # no\nif ! four | five; then six; fi\nstep seven $((1 + 2)) >&2 || eight\n((no != (1))) || b=(no no)\ncase $x in\n  no) nine ;;\nesac\n(ten)\n";
    let found: Vec<String> = commands(script).into_iter().filter(|word| !SHELL.contains(&word.as_str())).collect();
    assert_eq!(found, ["eight", "five", "four", "nine", "one", "seven", "six", "ten", "three", "two"]);
}

#[test]
fn what_scripts_run_is_listed() {
    let mut listed = listed();
    // What only some scripts need is asked for by an argument.
    listed.extend(list_behind("needed+=("));
    let mut scripts: Vec<PathBuf> = files(&root().join("scripts"), "");
    scripts.push(root().join(".ci/run"));
    let mut seen = BTreeSet::new();
    for path in scripts {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("#!/usr/bin/env bash\n") {
            assert!(
                text.starts_with("#!/usr/bin/env python3\n") && listed.contains_key("python3"),
                "{}",
                path.display()
            );
            continue;
        }
        let functions: BTreeSet<&str> =
            text.lines().filter_map(|line| line.split_once("() {")).map(|(name, _)| name.trim()).collect();
        for command in commands(&text) {
            let name = command.as_str();
            let known = listed.contains_key(name)
                || functions.contains(name)
                || [ESSENTIAL_PROGRAMS, RUST, OPTIONAL, SHELL].iter().any(|list| list.contains(&name));
            assert!(known, "{}: {name} is not in the list of scripts/setup", path.display());
            seen.insert(command);
        }
    }
    for name in ["cargo", "gzip", "e2fsck", "python3", "apt-cache"] {
        assert!(seen.contains(name), "{name} is run by a script: {seen:?}");
    }
}
