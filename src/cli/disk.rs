//! `cvbake disk`: disks that are there.

mod cat;
mod check;
mod child;
mod convert;
mod cp;
mod ls;
pub(super) mod place;
mod resize;
pub(super) mod source;
mod tree;

use std::sync::Arc;

use super::environment;
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Look into existing disks, check, convert and resize them, and make disks from them
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Ls(ls::Args),
    Cat(cat::Args),
    Cp(cp::Args),
    Tree(tree::Args),
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
            Command::Ls(_)
            | Command::Cat(_)
            | Command::Cp(_)
            | Command::Tree(_)
            | Command::Check(_)
            | Command::Child(_) => Mode::None { colours: environment::colours() },
        }
    }
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    match &args.command {
        Command::Ls(args) => ls::run(args, ui),
        Command::Cat(args) => cat::run(args, ui),
        Command::Cp(args) => cp::run(args, ui),
        Command::Tree(args) => tree::run(args, ui),
        Command::Convert(args) => convert::run(args, ui),
        Command::Resize(args) => resize::run(args, ui),
        Command::Check(args) => check::run(args),
        Command::Child(args) => child::run(args, ui),
    }
}
