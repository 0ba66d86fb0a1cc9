//! `cvbake config show`.

use clap::{Arg, Command, CommandFactory as _};
use cvbake::text;
use serde::Serialize;

use super::{KEYS, Key, Settings, Shape};
use crate::cli::{Cli, output};
use crate::failure::Failure;

/// Show the configuration
///
/// Environment variables and configuration files set defaults for options. A key is the name of an
/// option without its dashes, and its variable is that name in capitals: --keep-packs always is
/// keep-packs = "always" in a file, and CVBAKE_KEEP_PACKS=always in the environment. The files are
/// cvbake/config.toml in $XDG_CONFIG_HOME or ~/.config and, with lower priority,
/// /etc/cvbake/config.toml; --config or $CVBAKE_CONFIG names a single file instead. In files and
/// variables, ~/ is the home directory; a relative path in a file starts at the directory of that
/// file.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Show every key, its value, and where the value comes from
    ///
    /// An invalid value is reported as an error, after the list.
    #[command(after_long_help = keys())]
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Print the result as a JSON list
    #[arg(long)]
    json: bool,
}

/// A key as it is shown.
#[derive(Serialize)]
struct Row {
    key: &'static str,
    variable: String,
    /// None where nothing is set and there is no default.
    value: Option<String>,
    from: String,
    /// What is wrong with it.
    problem: Option<String>,
}

/// Shows everything, and then fails if a value is wrong: as whatever uses it would.
pub(in crate::cli) fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let Subcommand::Show(ShowArgs { json }) = &args.command;
    let command = Cli::command();
    let (mut rows, mut first) = (Vec::new(), None);
    for key in KEYS {
        let problem = settings.problem(key);
        rows.push(row(key, settings, &command, problem.as_ref().map(Failure::line)));
        first = first.or(problem);
    }
    match json {
        true => output::json(&format!("{}\n", serde_json::to_string(&rows).expect("texts in a list")))?,
        false => output::lines(&table(&rows, settings))?,
    }
    first.map_or(Ok(()), Err)
}

fn row(key: &Key, settings: &Settings, command: &Command, problem: Option<String>) -> Row {
    let variable = key.variable();
    let (value, from) = match (settings.value(key), settings.place(key)) {
        (value @ Some(_), Some(_)) if settings.variables.contains_key(key.name) => (value, format!("${variable}")),
        (value @ Some(_), Some(place)) => (value, place),
        _ => ((key.built_in)().or_else(|| built_in(key, command)), "default".to_owned()),
    };
    Row { key: key.name, variable, value, from, problem }
}

/// The default that the option itself has.
fn built_in(key: &Key, command: &Command) -> Option<String> {
    if key.shape == Shape::Flag {
        return Some(false.to_string());
    }
    let arg = option(key, command)?;
    let value = arg.get_default_values().first()?;
    Some(value.to_string_lossy().into_owned())
}

/// The option of a key, of the first subcommand that has it.
fn option<'c>(key: &Key, command: &'c Command) -> Option<&'c Arg> {
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(key.name));
    own.or_else(|| command.get_subcommands().find_map(|below| option(key, below)))
}

fn table(rows: &[Row], settings: &Settings) -> String {
    let shown = |row: &Row| row.value.as_deref().map_or_else(|| "-".to_owned(), text::line);
    let width = |length: &dyn Fn(&Row) -> usize| rows.iter().map(length).max().unwrap_or(0);
    let (keys, values) = (width(&|row| row.key.len()), width(&|row| shown(row).chars().count()));
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let wrong = if row.problem.is_some() { " (wrong)" } else { "" };
            format!("{:keys$}  {:values$}  {}{wrong}", row.key, shown(row), text::line(&row.from))
        })
        .collect();
    for (path, there) in &settings.files {
        let there = if *there { "" } else { " (not there)" };
        lines.push(format!("file  {}{there}", text::line(&path.display().to_string())));
    }
    lines.join("\n") + "\n"
}

/// What the help says of the keys.
fn keys() -> String {
    let line = |key: &Key| {
        let example = match key.shape {
            Shape::Text | Shape::Path => "\"…\"",
            Shape::Flag => "true",
            Shape::List => "[\"…\", …]",
        };
        format!("  {:24}{}", format!("{} = {example}", key.name), key.variable())
    };
    let lines: Vec<String> = KEYS.iter().map(line).collect();
    format!("Keys and their variables:\n{}", lines.join("\n"))
}
