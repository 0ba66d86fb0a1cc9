//! The command line: one file per subcommand, each an `Args` whose comments are the help, and one
//! function.
//!
//! Here the environment is read and flags have names; beside it, only hints speak of these.

mod advice;
mod ask;
mod bake;
mod completions;
mod config;
mod diff;
mod differences;
mod disk;
mod environment;
mod explain;
mod image;
mod inspect;
mod login;
mod logout;
mod man;
mod output;
mod prompt;
mod pull;
mod push;
#[cfg(test)]
mod reference;
mod registry;
mod report;
mod source;
mod store;
mod tags;
mod tree;
mod usage;
mod values;
mod verify;
mod work;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _};
use cvbake::error::Kind;

use self::advice::Options;
use self::config::Settings;
use crate::interrupt;
use crate::ui::{Mode, Ui, show_trace};

/// Turn OCI images into ext4 disks, in userspace and without root
#[derive(Debug, clap::Parser)]
#[command(name = "cvbake", version, max_term_width = 100, args_override_self = true)]
#[command(arg = config::option())]
struct Cli {
    /// Print each step on standard error; with -vv, also the requests to registries and their
    /// answers, without secrets
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = work::OUTPUT)]
    verbose: u8,

    #[command(subcommand)]
    command: Command,
}

/// What `pull-and-build` bakes.
const NAME: &str = "Name of the image, such as alpine:3.20 or localhost:5000/a/b@sha256:…";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Fetch an image from a registry and bake it into a disk
    ///
    /// Blobs that are fetched are kept in the store, and those in the store are not fetched again.
    /// A layer is unpacked while it arrives. Everything else is as with cvbake bake.
    #[command(override_usage = "cvbake pull-and-build [OPTIONS] <REF> -o <DISK>")]
    #[command(mut_arg("source", |arg| arg.value_name("REF").help(NAME).long_help(NAME)))]
    PullAndBuild(Box<bake::Args>),
    Bake(Box<bake::Args>),
    Tree(Box<tree::Args>),
    Explain(Box<explain::Args>),
    Pull(Box<pull::Args>),
    Push(Box<push::Args>),
    Tags(Box<tags::Args>),
    Login(Box<login::Args>),
    Logout(logout::Args),
    Verify(Box<verify::Args>),
    Diff(diff::Args),
    Inspect(Box<inspect::Args>),
    Disk(disk::Args),
    Image(image::Args),
    Store(store::Args),
    Config(config::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Everything from the arguments to the exit status.
pub(crate) fn main() -> ExitCode {
    if let Some(status) = completions::answer() {
        return status;
    }
    let Parsed { cli: Cli { verbose, command }, options, origins, settings } = match parse() {
        Ok(parsed) => parsed,
        Err(status) => return status,
    };
    let ui = Ui::start(command.mode(), Some(Box::new(move |hint: &str| options.fit_all(hint, &origins))));
    show_trace(verbose, &ui);
    settings.trace();
    let result = match command {
        Command::PullAndBuild(args) => bake::run_registry(&args, &ui),
        Command::Bake(args) => bake::run(&args, &ui),
        Command::Tree(args) => tree::run(&args, &ui),
        Command::Explain(args) => explain::run(&args, &ui),
        Command::Pull(args) => pull::run(&args, &ui),
        Command::Push(args) => push::run(&args, &ui),
        Command::Tags(args) => tags::run(&args, &ui),
        Command::Login(args) => login::run(&args, &ui),
        Command::Logout(args) => logout::run(&args),
        Command::Verify(args) => verify::run(&args, &ui),
        Command::Diff(args) => diff::run(&args, &ui),
        Command::Inspect(args) => inspect::run(&args, &ui),
        Command::Disk(args) => disk::run(&args, &ui),
        Command::Image(args) => image::run(&args, &ui),
        Command::Store(args) => store::run(&args, &ui),
        Command::Config(args) => config::run(&args, &settings),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    ui.finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A signal takes from under the work what it stands on: then that is no news.
            interrupt::settle(&ui);
            // Nor is that nobody reads on.
            if error.kind() != Kind::Unread {
                ui.fail(&error);
            }
            error.exit_status().into()
        }
    }
}

/// What was asked for.
struct Parsed {
    cli: Cli,
    /// What the command has.
    options: Options,
    /// The options whose values are configured, and where.
    origins: Vec<(String, String)>,
    settings: Settings,
}

/// What the arguments say, on top of what is configured; or the exit status, where that is said
/// already.
fn parse() -> Result<Parsed, ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let parse = |command: clap::Command| {
        let matches = command.clone().try_get_matches_from(&args)?;
        let options = Options::of(&command, &words(&matches)).with_store(store(&matches));
        Ok::<_, clap::Error>((Cli::from_arg_matches(&matches)?, options, matches))
    };
    let settings = Settings::load(&args).or_else(|error| match parse(Cli::command()) {
        // Who asks for help gets it, whatever the configuration says.
        Err(help) if usage::is_help(&help) => Err(usage::explain(&help, &args, None)),
        Ok((Cli { command: Command::Man(_) | Command::Completions(_), .. }, ..)) => Ok(Settings::default()),
        _ => Err(usage::fail(&error)),
    })?;
    match parse(settings.apply(Cli::command())) {
        Ok((cli, options, matches)) => {
            let subcommands = std::iter::successors(matches.subcommand(), |(_, matches)| matches.subcommand());
            let origins = subcommands.last().map(|(name, matches)| settings.origins(name, matches));
            Ok(Parsed { cli, options, origins: origins.unwrap_or_default(), settings })
        }
        Err(error) if usage::is_help(&error) => {
            // With what is built in as the defaults: what is set instead is what
            // `cvbake config show` is for.
            let with_variables = parse(config::with_variables(Cli::command())).err();
            Err(usage::explain(&with_variables.unwrap_or(error), &args, None))
        }
        Err(error) => Err(usage::explain(&error, &args, settings.origin(&error, &args))),
    }
}

/// The subcommand that was asked for, with those above it.
fn words(matches: &clap::ArgMatches) -> Vec<String> {
    let below = std::iter::successors(matches.subcommand(), |(_, matches)| matches.subcommand());
    below.map(|(name, _)| name.to_owned()).collect()
}

/// The store that the command line names; one that is set otherwise holds for other commands, too.
fn store(matches: &clap::ArgMatches) -> Option<PathBuf> {
    let last = std::iter::successors(Some(matches), |matches| Some(matches.subcommand()?.1)).last()?;
    let store = last.try_get_one::<PathBuf>("store").ok().flatten()?;
    (last.value_source("store") == Some(ValueSource::CommandLine)).then(|| store.clone())
}

impl Command {
    fn mode(&self) -> Mode {
        match self {
            Command::Bake(args) | Command::PullAndBuild(args) => args.mode(),
            Command::Pull(args) => args.mode(),
            Command::Push(args) => args.mode(),
            Command::Store(args) => args.mode(),
            Command::Image(args) => args.mode(),
            Command::Tree(_) | Command::Explain(_) => ask::mode(),
            Command::Inspect(args) => args.mode(),
            Command::Verify(args) => args.mode(),
            Command::Disk(args) => args.mode(),
            Command::Diff(_)
            | Command::Tags(_)
            | Command::Login(_)
            | Command::Logout(_)
            | Command::Config(_)
            | Command::Completions(_)
            | Command::Man(_) => Mode::None { colours: environment::colours() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
