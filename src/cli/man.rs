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

/// Print a manual page
///
/// To read one: cvbake man bake | man -l -
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Subcommand to print the page of, such as bake or image ls [default: the program as a whole]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    super::output::bytes(page(&args.command)?.as_bytes())
}

/// The page about a subcommand, or one below it.
fn page(words: &[String]) -> Result<String, Error> {
    let mut root = super::config::with_variables(Cli::command()).disable_help_subcommand(true);
    // Gives the subcommands their full names, such as `cvbake-image-ls`.
    root.build();
    let mut command = &root;
    for (at, word) in words.iter().enumerate() {
        command =
            below(command).find(|below| below.get_name() == word).ok_or_else(|| unknown(command, &words[..=at]))?;
    }
    let page = render(command).map_err(|source| Error::Tell { source })?;
    Ok(ascii(&page))
}

fn render(command: &Command) -> io::Result<String> {
    let man = Man::new(command.clone());
    // Without a date: a page is the same whenever it is printed. It must be there as an empty word, or the version stands in its place.
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let title = format!(".TH {name} 1 \"\" \"cvbake {}\" \"cvbake manual\"\n", env!("CARGO_PKG_VERSION"));
    let mut head = title.into_bytes();
    man.render_name_section(&mut head)?;
    man.render_synopsis_section(&mut head)?;
    let mut page = Page::after(String::from_utf8_lossy(&head).into_owned());
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
    // All commands have these in common, and only the longest help says so.
    if !own.contains("Exit status:") {
        page.appendix(&help::common());
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

fn unknown(command: &Command, words: &[String]) -> Error {
    let names: Vec<_> = below(command).map(Command::get_name).collect();
    let what = command.get_bin_name().unwrap_or("cvbake");
    Error::Usage {
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

/// Tells the first words of which there are pages: for completions only, for a wrong word is explained here.
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
            assert_eq!(error.kind().exit_code(), 2);
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
