//! `docs/cli.md`: the help of every command on one page, and proof that it still is.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};

use super::{Cli, config};

/// How to write the page anew.
const BLESS: &str = "CVBAKE_BLESS=1 cargo test --bin cvbake reference";

/// The width of the help in the page: a code block in a browser is about as wide.
const WIDTH: usize = 96;

/// Every command below one, depth first, those that only print help left out.
fn visit(command: &Command, words: &[String], found: &mut Vec<(Vec<String>, Command)>) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let words = [words, &[below.get_name().to_owned()]].concat();
        found.push((words.clone(), below.clone()));
        visit(below, &words, found);
    }
}

fn commands() -> Vec<(Vec<String>, Command)> {
    let mut root = config::with_variables(Cli::command()).term_width(WIDTH);
    root.build();
    let mut found = vec![(Vec::new(), root.clone())];
    visit(&root, &[], &mut found);
    found
}

fn title(words: &[String]) -> String {
    [&["cvbake".to_owned()], words].concat().join(" ")
}

fn page() -> String {
    let commands = commands();
    let mut text = format!(
        "# Commands\n\n\
         The help of every command, as `cvbake COMMAND --help` prints it. `-h` prints a shorter form; `cvbake man COMMAND` a manual \
         page.\n\n\
         <!-- Written by `{BLESS}`. Do not edit: edit the comments in src/cli. -->\n\n"
    );
    for (words, command) in &commands {
        let title = title(words);
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let indent = "  ".repeat(words.len().saturating_sub(1));
        text.push_str(&format!("{indent}- [`{title}`](#{}): {about}\n", title.replace(' ', "-")));
    }
    for (words, command) in commands {
        let help = command.clone().render_long_help().to_string();
        let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        text.push_str(&format!("\n## {}\n\n```text\n{}\n```\n", title(&words), help.join("\n")));
    }
    text
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

#[test]
fn the_page_says_what_the_help_says() {
    let path = docs().join("cli.md");
    let page = page();
    if std::env::var_os("CVBAKE_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let first = page.lines().zip(kept.lines()).find(|(new, old)| new != old);
    assert!(page == kept, "docs/cli.md differs from the help, first in {first:?}; to write it anew: {BLESS}");
}

#[test]
fn the_page_has_every_command_and_fits() {
    let page = page();
    for words in ["image ls", "store check", "config show", "pull-and-build"] {
        assert!(page.contains(&format!("\n## cvbake {words}\n")), "{words}");
    }
    let wide: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("## "))
        .filter(|line| line.chars().count() > WIDTH + 4)
        .collect();
    assert_eq!(wide, [""; 0], "lines that are wider than the page");
}

/// A command that prints JSON and has no schema, or the other way round.
#[test]
fn every_json_output_has_a_schema() {
    let prints_json = |command: &Command| command.get_arguments().any(|arg| arg.get_long() == Some("json"));
    let mut expected: Vec<String> = commands()
        .into_iter()
        .filter(|(words, command)| prints_json(command) || words.join(" ") == "image inspect")
        .map(|(words, _)| format!("{}.json", words.join("-")))
        .collect();
    // The lines of --progress json, and what several schemas have in common.
    expected.extend(["progress.json".to_owned(), "common.json".to_owned()]);
    expected.sort();
    let files = fs::read_dir(docs().join("schemas")).unwrap();
    let mut found: Vec<String> = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
    found.sort();
    assert_eq!(found, expected, "docs/schemas has one schema for each command with --json");
}

/// The documents that speak of the command line, and their texts.
fn documents() -> Vec<(String, String)> {
    let root = docs().join("..");
    let mut paths: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(|name| root.join(name)).into();
    let beside = fs::read_dir(docs()).unwrap().map(|file| file.unwrap().path());
    paths.extend(beside.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    let read = |path: &PathBuf| (path.display().to_string(), fs::read_to_string(path).unwrap());
    paths.iter().map(read).collect()
}

/// The lines of the blocks of a document that are for a shell.
fn shell_lines(text: &str) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(kind) => inside = !inside && matches!(kind, "sh" | "console"),
            None if inside => lines.push(line.strip_prefix("$ ").unwrap_or(line)),
            None => {}
        }
    }
    lines
}

#[test]
fn links_lead_somewhere() {
    for (path, text) in documents() {
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            let target = Path::new(&path).parent().unwrap().join(link);
            assert!(target.exists(), "{path}: {link}");
        }
    }
}

#[test]
fn commands_in_documents_are_understood() {
    let mut count = 0;
    for (path, text) in documents() {
        for line in shell_lines(&text) {
            for command in line.split(" #").next().unwrap_or_default().split(" && ").map(str::trim) {
                let words: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).collect();
                let words: Vec<&str> = words.into_iter().take_while(|word| !matches!(*word, "|" | ">")).collect();
                if words.first() != Some(&"cvbake") {
                    continue;
                }
                count += 1;
                let result = Cli::command().try_get_matches_from(&words);
                let error = result.err().filter(|error| error.use_stderr());
                assert!(
                    error.is_none(),
                    "{path}: {command}: {}",
                    error.map(|error| error.to_string()).unwrap_or_default()
                );
            }
        }
    }
    assert!(count > 15, "commands are found: {count}");
}

/// An option in `backticks` is one of ours, unless it stands behind the name of another program.
#[test]
fn options_in_documents_exist() {
    let mut known: Vec<String> = commands()
        .iter()
        .flat_map(|(_, command)| {
            command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect::<Vec<_>>()
        })
        .collect();
    known.sort();
    known.dedup();
    let others = [
        "cargo ",
        "scripts/",
        "umoci ",
        "qemu",
        "mkfs.",
        "fsck.",
        "e2fsck ",
        "docker ",
        "git ",
        "veritysetup ",
        "wsl ",
    ];
    for (path, text) in documents()
        .into_iter()
        .filter(|(path, _)| !["cli.md", "performance.md"].iter().any(|name| path.ends_with(name)))
    {
        let prose = text.split("```").step_by(2).collect::<String>();
        for code in prose.split('`').skip(1).step_by(2).filter(|code| !others.iter().any(|other| code.contains(other)))
        {
            let options = code.split([' ', '\n', '=', '|', '[', '\\']).filter_map(|word| word.strip_prefix("--"));
            for option in options.filter(|option| !option.is_empty()) {
                assert!(known.iter().any(|name| name == option), "{path}: --{option} in `{code}` is no option");
            }
        }
    }
}
