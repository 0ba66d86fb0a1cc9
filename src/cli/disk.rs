//! `cvbake disk`: disks that are there.

mod check;
mod child;
mod convert;
mod resize;
mod source;

use std::sync::Arc;

use super::environment;
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Convert, resize and check disks, and make disks of existing disks
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Convert(Box<convert::Args>),
    Resize(resize::Args),
    Check(check::Args),
    Child(child::Args),
}

impl Args {
    pub(super) fn mode(&self) -> Mode {
        match &self.command {
            Command::Convert(args) => args.mode(),
            Command::Resize(args) => args.mode(),
            Command::Check(_) | Command::Child(_) => Mode::None { colours: environment::colours() },
        }
    }
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    match &args.command {
        Command::Convert(args) => convert::run(args, ui),
        Command::Resize(args) => resize::run(args, ui),
        Command::Check(args) => check::run(args),
        Command::Child(args) => child::run(args, ui),
    }
}
