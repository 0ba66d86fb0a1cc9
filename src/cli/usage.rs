//! What is wrong with a command line, in the form of all other errors.

mod foreign;
mod meant;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use cvbake::error::Error;
use cvbake::text;

use super::{Cli, environment};
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// What is said where nothing better is known.
const HELP: &str = "--help explains all options";

/// Prints the help or the version that was asked for, or says what is wrong; `origin` is where the
/// wrong value is from, if it is not from the command line.
pub(super) fn explain(error: &clap::Error, args: &[OsString], origin: Option<String>) -> ExitCode {
    if is_help(error) {
        return print(error);
    }
    fail(&wrong(error, args, origin))
}

/// What is wrong.
pub(super) fn wrong(error: &clap::Error, args: &[OsString], origin: Option<String>) -> Failure {
    let mut error = lower(&error.render().to_string(), meant::hint(error, args));
    if let (Failure::Usage { problem, .. }, Some(origin)) = (&mut error, origin) {
        problem.push_str(&format!(" (set by {origin})"));
    }
    error
}

/// Whether the help or the version was asked for, or nothing at all.
pub(super) fn is_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::MissingSubcommand
    )
}

/// Prints a help. Nobody reading it is no error.
fn print(error: &clap::Error) -> ExitCode {
    let help = text::lines(&error.render().to_string());
    let printed = match error.use_stderr() {
        true => io::stderr().lock().write_all(help.as_bytes()),
        false => io::stdout().lock().write_all(help.as_bytes()),
    };
    match printed {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => fail(&Error::Tell { source }.into()),
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX)),
    }
}

/// Says what is wrong before there is anything that could say how to say it.
pub(super) fn fail(error: &Failure) -> ExitCode {
    Ui::new(Mode::None { colours: environment::colours() }, None).fail(error);
    error.exit_status().into()
}

/// The parser's text has one or more lines about the problem, paragraphs of tips, and the usage.
/// `meant` is a better tip.
fn lower(said: &str, meant: Option<String>) -> Failure {
    let mut paragraphs = said.split("\n\n");
    let problem = joined(paragraphs.next().unwrap_or_default());
    let problem = problem.strip_prefix("error: ").unwrap_or(&problem).to_owned();
    // What is no option is hardly meant as the name of an image.
    let is_useful = |tip: &&str| !tip.starts_with("to pass ");
    let tip = paragraphs.find_map(|paragraph| {
        let tips = paragraph.trim_start().strip_prefix("tip: ")?;
        tips.split("\n  tip: ").find(is_useful).map(joined)
    });
    let hint = meant.or(tip).or_else(|| Some(HELP.to_owned()));
    Failure::Usage { problem, hint }
}

/// The subcommands that the arguments lead to, as far as that can be told without the parser.
fn subcommands(args: &[OsString]) -> Vec<String> {
    let mut command = Cli::command();
    let mut words = Vec::new();
    let mut args = args.iter().skip(1).filter_map(|arg| arg.to_str());
    while let Some(arg) = args.next() {
        if arg == "--config" {
            args.next();
        } else if let Some(below) = command.find_subcommand(arg) {
            words.push(below.get_name().to_owned());
            command = below.clone();
        }
    }
    words
}

/// Lines as one.
fn joined(lines: &str) -> String {
    lines.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn one_line_and_a_hint() {
        let help = HELP;
        let table: [(&[&str], &str, &str); 12] = [
            (
                &["bake", "oci:d"],
                "the following required arguments were not provided: --output <DISK>",
                "-o disk.ext4 writes the disk to that file",
            ),
            (&["bake", "oci:d", "disk.ext4"], "unexpected argument 'disk.ext4' found", "did you mean -o disk.ext4?"),
            (&["ls"], "unrecognized subcommand 'ls'", "`cvbake image ls` lists the images in the store"),
            (&["bake", "oci:d", "-o", ""], "a value is required for '--output <DISK>' but none was supplied", help),
            (
                &["bake", "oci:d", "-o", "x", "--forc"],
                "unexpected argument '--forc' found",
                "a similar argument exists: '--force'",
            ),
            (
                &["bake", "oci:d", "-o", "x", "--engine", "mkf"],
                "invalid value 'mkf' for '--engine <ENGINE>' [possible values: native, mkfs]",
                "a similar value exists: 'mkfs'",
            ),
            (
                &["bake", "oci:d", "-o", "x", "--jobs", "0"],
                "invalid value '0' for '--jobs <N>': expected a whole number, at least 1",
                help,
            ),
            // What the parser takes for --force, --jobs and --size.
            (
                &["pull", "x", "--tls-verify=false"],
                "unexpected argument '--tls-verify' found",
                "--insecure allows plain HTTP, and certificates that cannot be verified",
            ),
            (
                &["store", "stats", "--format", "json"],
                "unexpected argument '--format' found",
                "--json prints the result as JSON",
            ),
            (&["store", "gc", "--arch", "arm64"], "unexpected argument '--arch' found", help),
            (&["pull", "--no-cache", "x"], "unexpected argument '--no-cache' found", help),
            (&["bale"], "unrecognized subcommand 'bale'", "a similar subcommand exists: 'bake'"),
        ];
        for (args, line, hint) in table {
            let args = [&["cvbake"], args].concat();
            let error = Cli::try_parse_from(&args).expect_err("the arguments are wrong");
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            let error = lower(&error.render().to_string(), meant::hint(&error, &args));
            assert_eq!((error.line().as_str(), error.hint().as_deref()), (line, Some(hint)));
            assert_eq!(error.exit_status(), 2);
        }
    }
}
