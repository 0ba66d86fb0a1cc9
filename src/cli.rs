//! The command line: one file per subcommand, each an `Args` whose comments are the help, and one function.
//!
//! Here, and only here, flags have names and the environment is read.

mod bake;
mod completions;
mod environment;
mod man;
mod report;
mod usage;
mod values;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use cvbake::error::Error;

use crate::interrupt;
use crate::ui::{Mode, Ui};

/// Turns any OCI image into a disk, in userspace and without root
#[derive(Debug, Parser)]
#[command(name = "cvbake", version, max_term_width = 100, disable_help_subcommand = true, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Bake(Box<bake::Args>),
    Completions(completions::Args),
    Man(man::Args),
}

/// Everything from the arguments to the exit status.
pub(crate) fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(Cli { command }) => command,
        Err(error) => return usage::explain(&error),
    };
    let ui = Arc::new(Ui::new(command.mode()));
    let result = match command {
        Command::Bake(args) => bake::run(&args, &ui),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    ui.finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A signal takes from under the work what it stands on: then that is no news.
            interrupt::settle(&ui);
            ui.fail(&error);
            error.kind().exit_code().into()
        }
    }
}

impl Command {
    fn mode(&self) -> Mode {
        match self {
            Command::Bake(args) => args.mode(),
            Command::Completions(_) | Command::Man(_) => Mode::None { colours: environment::colours() },
        }
    }
}

/// Writes to standard output. Nobody reading it is no error.
fn print(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|source| Error::Tell { source }),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
