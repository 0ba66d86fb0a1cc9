//! `cvbake man`: the manual pages.

use std::fmt::Write as _;

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use cvbake::error::Error;

use super::Cli;

/// Prints a manual page
///
/// To read it: cvbake man bake | man -l -
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The subcommand that the page is about, such as bake or image ls; the program as a whole, if none is given
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
    let mut page = Vec::new();
    Man::new(command.clone()).manual("cvbake manual").render(&mut page).map_err(|source| Error::Tell { source })?;
    Ok(ascii(&String::from_utf8_lossy(&page)))
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
