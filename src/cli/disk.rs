//! `cvbake disk`: disks that are there.

mod cat;
mod child;
mod cp;
mod ls;
pub(super) mod place;
mod tree;

use std::sync::Arc;

use crate::failure::Failure;
use crate::ui::Ui;

/// Look into existing disks, and make disks from them
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
    Child(child::Args),
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    match &args.command {
        Command::Ls(args) => ls::run(args, ui),
        Command::Cat(args) => cat::run(args, ui),
        Command::Cp(args) => cp::run(args, ui),
        Command::Tree(args) => tree::run(args, ui),
        Command::Child(args) => child::run(args, ui),
    }
}
