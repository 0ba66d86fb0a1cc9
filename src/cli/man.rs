//! `cvbake man`: the manual pages.

mod page;

use std::fmt::Write as _;
use std::io;

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use cvbake::error::Error;

use self::page::Page;
use super::Cli;
use super::bake::help;
use crate::failure::Failure;

/// Print a manual page
///
/// To read one: cvbake man bake | man -l -
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Subcommand whose page to print, such as bake or image ls [default: the program as a whole]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::output::bytes(page(&args.command)?.as_bytes())
}

/// The page about a subcommand, or one below it.
fn page(words: &[String]) -> Result<String, Failure> {
    let mut root = super::config::with_variables(Cli::command()).disable_help_subcommand(true);
    // Gives the subcommands their full names, such as `cvbake-image-ls`.
    root.build();
    if let Some(named) = named(&root, &full_name(words)) {
        return render(named).map(|page| ascii(&page)).map_err(|source| Error::Tell { source }.into());
    }
    let mut command = &root;
    for (at, word) in words.iter().enumerate() {
        command =
            below(command).find(|below| below.get_name() == word).ok_or_else(|| unknown(command, &words[..=at]))?;
    }
    Err(unknown(command, words))
}

/// The name of the page of these words: `cvbake-image-ls` for `image ls`, and for itself, as other
/// pages refer to it.
fn full_name(words: &[String]) -> String {
    let name = words.join("-");
    match name.as_str() {
        "" | "cvbake" => "cvbake".to_owned(),
        _ if name.starts_with("cvbake-") => name,
        _ => format!("cvbake-{name}"),
    }
}

/// The command whose page has this name, among one and those below it.
fn named<'c>(command: &'c Command, name: &str) -> Option<&'c Command> {
    let own = command.get_display_name().unwrap_or_else(|| command.get_name());
    if own == name {
        return Some(command);
    }
    below(command).find_map(|below| named(below, name))
}

fn render(command: &Command) -> io::Result<String> {
    let man = Man::new(command.clone());
    // Without a date: a page is the same whenever it is printed. It must be there as an empty word,
    // or the version stands in its place.
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let title = format!(".TH {name} 1 \"\" \"cvbake {}\" \"cvbake manual\"\n", env!("CARGO_PKG_VERSION"));
    let mut head = title.into_bytes();
    man.render_name_section(&mut head)?;
    let mut page = Page::after(String::from_utf8_lossy(&head).into_owned());
    page.synopsis(&command.clone().render_usage().to_string());
    page.section("Description");
    let summary = command.get_about().map(ToString::to_string).unwrap_or_default();
    let about = command.get_long_about().map_or_else(|| summary.clone(), ToString::to_string);
    // The section before has it.
    let more = about.strip_prefix(&summary).map(str::trim_start).filter(|more| !more.is_empty());
    page.text(more.unwrap_or(&about), false);
    let mut commands = Vec::new();
    if command.has_subcommands() {
        man.render_subcommands_section(&mut commands)?;
    }
    let mut page = Page::after(page.finish() + &String::from_utf8_lossy(&commands).replace("SUBCOMMANDS", "COMMANDS"));
    page.options(command);
    let own = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string).unwrap_or_default();
    if !own.is_empty() {
        page.appendix(&own);
    }
    // All commands have these in common, as far as they read the variables, and only the longest
    // help says so.
    if !own.contains("Exit status:") {
        let has = |option: &str| command.get_arguments().any(|arg| arg.get_long() == Some(option));
        page.appendix(&help::common_of(&|option| command.get_name() == "cvbake" || has(option)));
    }
    if command.get_name() != "cvbake" {
        page.section("See also");
        page.text("cvbake(1)", false);
    }
    Ok(page.finish())
}

/// The subcommands that have pages: all but those that print help.
fn below(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| below.get_name() != "help")
}

fn unknown(command: &Command, words: &[String]) -> Failure {
    let names: Vec<_> = below(command).map(Command::get_name).collect();
    let what = command.get_bin_name().unwrap_or("cvbake");
    Failure::Usage {
        problem: format!("there is no subcommand {:?}", words.join(" ")),
        hint: Some(match names.as_slice() {
            [] => format!("{what} has no subcommands"),
            names => format!("{what} has {}", names.join(", ")),
        }),
    }
}

/// The same page without the characters that formatters read as several of another encoding.
fn ascii(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    for character in page.chars() {
        match character {
            character if character.is_ascii() => text.push(character),
            other => write!(text, "\\[u{:04X}]", u32::from(other)).expect("a string takes everything"),
        }
    }
    text
}

/// Tells the first words of which there are pages: for completions only, for a wrong word is
/// explained here.
pub(super) fn with_words(command: Command) -> Command {
    let names: Vec<String> = below(&command).map(|below| below.get_name().to_owned()).collect();
    command
        .mut_subcommand("man", |man| man.mut_arg("command", |arg| arg.value_parser(PossibleValuesParser::new(names))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of all subcommands, those of the program itself, which are none, first.
    fn all(command: &Command, words: &[String], found: &mut Vec<Vec<String>>) {
        found.push(words.to_vec());
        for below in command.get_subcommands() {
            all(below, &[words, &[below.get_name().to_owned()]].concat(), found);
        }
    }

    #[test]
    fn there_is_a_page_for_each_subcommand() {
        let mut found = Vec::new();
        all(&Cli::command(), &[], &mut found);
        assert!(found.iter().any(|words| words.join(" ") == "store check"), "{found:?}");
        for words in found {
            let page = page(&words).unwrap_or_else(|error| panic!("{words:?}: {}", error.line()));
            let name = [&["cvbake".to_owned()], words.as_slice()].concat().join("-");
            assert!(page.lines().any(|line| line.starts_with(&format!(".TH {name} "))), "{words:?}: {page}");
            assert!(page.is_ascii() && !page.contains("help(1)"), "{words:?}: {page}");
            assert!(!page.contains("EXTRA"), "{words:?}: {page}");
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "EXIT STATUS"] {
                let is_section = |line: &str| line == format!(".SH \"{section}\"") || line == format!(".SH {section}");
                assert_eq!(page.lines().filter(|line| is_section(line)).count(), 1, "{words:?} {section}: {page}");
            }
            let title = format!(".TH {name} 1 \"\" \"cvbake {}\" \"cvbake manual\"", env!("CARGO_PKG_VERSION"));
            assert!(page.lines().any(|line| line == title), "{words:?}: {page}");
        }
    }

    fn of(words: &str) -> String {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        page(&words).unwrap_or_else(|error| panic!("{words:?}: {}", error.line()))
    }

    #[test]
    fn pages_have_several_names() {
        for (words, others) in [
            ("bake", &["cvbake-bake", "cvbake bake"][..]),
            ("image ls", &["cvbake-image-ls", "image-ls", "cvbake image ls", "cvbake-image ls"]),
            ("pull-and-build", &["cvbake-pull-and-build"]),
            ("", &["cvbake"]),
        ] {
            for other in others {
                assert!(of(other) == of(words), "{other} and {words}");
            }
        }
    }

    #[test]
    fn synopses() {
        for (words, expected) in [
            ("", "\\fBcvbake\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR"),
            ("bake", "\\fBcvbake bake\\fR [\\fIOPTIONS\\fR] \\fISOURCE\\fR \\fB\\-o\\fR \\fIDISK\\fR"),
            ("image", "\\fBcvbake image\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR"),
            ("image ls", "\\fBcvbake image ls\\fR [\\fIOPTIONS\\fR] [\\fIPATTERN\\fR]"),
            ("image rm", "\\fBcvbake image rm\\fR [\\fIOPTIONS\\fR] \\fINAME\\fR..."),
            ("man", "\\fBcvbake man\\fR [\\fIOPTIONS\\fR] [\\fICOMMAND\\fR]..."),
        ] {
            let page = of(words);
            let found = page.lines().skip_while(|line| *line != ".SH \"SYNOPSIS\"").nth(1);
            assert_eq!(found, Some(expected), "{words}");
        }
    }

    /// Each page has the variables that its command reads.
    #[test]
    fn variables() {
        let all = ["SOURCE_DATE_EPOCH", "XDG_DATA_HOME", "REGISTRY_AUTH_FILE", "NETRC", "SSL_CERT_FILE", "NO_COLOR"];
        for (words, expected) in [
            ("", &all[..]),
            ("bake", &all),
            ("pull", &all[1..]),
            ("login", &["REGISTRY_AUTH_FILE", "SSL_CERT_FILE", "NO_COLOR"]),
            ("image ls", &["XDG_DATA_HOME", "NO_COLOR"]),
            ("image import", &["SOURCE_DATE_EPOCH", "XDG_DATA_HOME", "NO_COLOR"]),
            ("man", &["NO_COLOR"]),
        ] {
            let page = of(words);
            let (_, list) = page.split_once(".SH \"ENVIRONMENT\"").expect("every page has one");
            let (list, _) = list.split_once(".SH ").expect("another follows");
            let found: Vec<&str> = all.into_iter().filter(|variable| list.contains(variable)).collect();
            assert_eq!(found, expected, "{words}");
        }
    }

    #[test]
    fn words_that_name_no_subcommand() {
        let table: [(&[&str], &str, &str); 4] = [
            (&["bale"], "\"bale\"", "pull, push,"),
            (&["image", "bale"], "\"image bale\"", "cvbake image has ls, inspect,"),
            (&["bake", "x", "y"], "\"bake x\"", "no subcommands"),
            (&["help"], "\"help\"", "bake"),
        ];
        for (words, problem, hint) in table {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            let error = page(&words).unwrap_err();
            assert!(error.line().contains(problem), "{}", error.line());
            assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
            assert_eq!(error.exit_status(), 2);
        }
    }

    #[test]
    fn characters() {
        assert_eq!(ascii("a@sha256:\u{2026} \\- \u{1f600}"), "a@sha256:\\[u2026] \\- \\[u1F600]");
    }

    #[test]
    fn words_are_completed() {
        let command = with_words(Cli::command());
        let man = command.find_subcommand("man").expect("the subcommand this is about");
        let argument = man.get_arguments().find(|argument| argument.get_id() == "command").expect("its argument");
        let values: Vec<_> = argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        assert!(["image", "man"].iter().all(|name| values.contains(&(*name).to_owned())), "{values:?}");
    }
}
