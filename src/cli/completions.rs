//! `cvbake completions`: what shells complete.
//!
//! ```text
//! TAB ─→ the shell's script ─→ CVBAKE_COMPLETE=SHELL cvbake -- WORD… ─→ candidates
//! ```
//! The scripts know nothing themselves: names of images are in the store, and change.

mod sources;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, complete};
use clap_complete::env::Shells;
use cvbake::error::Error;

use self::sources::{Kind, Sources};
use super::config::Settings;
use super::{Cli, environment, output};
use crate::failure::Failure;

/// Print a shell script that completes commands, image names and files
///
/// For bash: cvbake completions bash > ~/.local/share/bash-completion/completions/cvbake
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Shell to print completions for
    shell: Shell,
}

/// The variables by which a script asks: for which shell, and for which of the words.
const SHELL: &str = "CVBAKE_COMPLETE";
const INDEX: &str = "CVBAKE_COMPLETE_INDEX";

const NAME: &str = "cvbake";

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match args.shell {
        Shell::Bash => return output::bytes(include_bytes!("completions/completions.bash")),
        // The one that is generated puts a space behind `oci:`.
        Shell::Zsh => return output::bytes(include_bytes!("completions/completions.zsh")),
        _ => {}
    }
    let shells = Shells::builtins();
    let shell = shells.completer(&args.shell.to_string()).expect("there is one for each shell");
    let mut script = Vec::new();
    shell.write_registration(SHELL, NAME, NAME, NAME, &mut script).map_err(|source| Error::Tell { source })?;
    output::bytes(&script)
}

/// Answers a script, if it is one that asks.
pub(super) fn answer() -> Option<ExitCode> {
    let name = environment::variable(SHELL)?;
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    // Who asks for anything else gets nothing: there is nobody who would read why.
    let answered = candidates(&name, words).and_then(|candidates| output::bytes(&candidates).ok());
    Some(if answered.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn candidates(shell: &OsStr, words: Vec<OsString>) -> Option<Vec<u8>> {
    if words.is_empty() {
        return None;
    }
    let mut command = with_values(super::man::with_words(Cli::command()), &Sources { store: store(&words) });
    let here = std::env::current_dir().ok();
    let mut answer = Vec::new();
    if shell == "bash" || shell == "zsh" {
        let index = environment::variable(INDEX)?.to_str()?.parse().ok()?;
        for candidate in complete(&mut command, words, index, here.as_deref()).ok()? {
            let value = candidate.get_value();
            // zsh puts what it is given between quotes where that is needed, and takes any line.
            let is_fit = if shell == "bash" { is_plain(value) } else { !value.as_bytes().contains(&b'\n') };
            if !is_fit {
                continue;
            }
            answer.extend_from_slice(value.as_bytes());
            if let (true, Some(help)) = (shell == "zsh", candidate.get_help()) {
                let help = help.to_string();
                answer.push(b'\t');
                answer.extend_from_slice(help.lines().next().unwrap_or_default().as_bytes());
            }
            answer.push(b'\n');
        }
    } else {
        let shells = Shells::builtins();
        shells.completer(shell.to_str()?)?.write_complete(&mut command, words, here.as_deref(), &mut answer).ok()?;
    }
    Some(answer)
}

/// Whether bash takes a text for one word that means itself. It puts candidates on the command line
/// as they are: a file called `$(reboot)` would be run, and one with a space would be two words.
fn is_plain(text: &OsStr) -> bool {
    let known = |character: char| character.is_alphanumeric() || "._/:@+=,%-".contains(character);
    text.to_str().is_some_and(|text| text.chars().all(known))
}

/// The store that the words name, or that is configured.
fn store(words: &[OsString]) -> Option<PathBuf> {
    let mut by_words =
        words.iter().enumerate().filter_map(|(at, word)| match word.as_bytes().strip_prefix(b"--store") {
            Some(b"") => words.get(at + 1).map(PathBuf::from),
            Some(rest) => rest.strip_prefix(b"=").map(|path| OsStr::from_bytes(path).into()),
            None => None,
        });
    let configured = || Settings::load(words).ok()?.store();
    by_words.next_back().or_else(configured).or_else(environment::store)
}

/// The arguments that are images or places for them: the subcommand, the argument, and what it may
/// be.
const VALUES: [(&[&str], &str, Kind); 19] = [
    (&["pull-and-build"], "source", Kind::Name),
    (&["bake"], "source", Kind::Source),
    (&["tree"], "source", Kind::Source),
    (&["explain"], "source", Kind::Source),
    (&["inspect"], "disk", Kind::Source),
    (&["pull"], "reference", Kind::Name),
    (&["push"], "source", Kind::Source),
    (&["push"], "target", Kind::Name),
    (&["image", "ls"], "pattern", Kind::Name),
    (&["image", "inspect"], "names", Kind::Source),
    (&["image", "history"], "name", Kind::Source),
    (&["image", "df"], "source", Kind::Source),
    (&["image", "tag"], "name", Kind::Name),
    (&["image", "tag"], "new", Kind::Name),
    (&["image", "rm"], "names", Kind::Name),
    (&["image", "import"], "source", Kind::Place),
    (&["image", "import"], "name", Kind::Name),
    (&["image", "export"], "name", Kind::Source),
    (&["image", "export"], "target", Kind::Place),
];

fn with_values(command: Command, sources: &Sources) -> Command {
    VALUES.into_iter().fold(command, |command, (words, argument, kind)| {
        let sources = sources.clone();
        let completer = ArgValueCompleter::new(move |current: &OsStr| sources.candidates(kind, current));
        at(command, words, &|command| command.mut_arg(argument, |known| known.add(completer.clone())))
    })
}

/// Changes the subcommand that has these words.
fn at(command: Command, words: &[&str], change: &dyn Fn(Command) -> Command) -> Command {
    match words.split_first() {
        None => change(command),
        Some((first, rest)) => command.mut_subcommand(first, |below| at(below, rest, change)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_every_argument_that_is_completed() {
        for (words, argument, _) in VALUES {
            at(Cli::command(), words, &|command| {
                assert!(
                    command.get_arguments().any(|known| known.get_id().as_str() == argument),
                    "{words:?} {argument}"
                );
                command
            });
        }
    }

    #[test]
    fn the_store_that_is_meant() {
        let store = |words: &[&str]| store(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(store(&["cvbake", "--store", "/a", "x"]), Some("/a".into()));
        assert_eq!(store(&["cvbake", "--store=/a", "--store=/b"]), Some("/b".into()));
    }
}
