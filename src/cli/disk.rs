//! `cvbake disk`: disks that are there.

mod child;

use std::sync::Arc;

use crate::failure::Failure;
use crate::ui::Ui;

/// Make disks from existing disks
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Child(child::Args),
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    match &args.command {
        Command::Child(args) => child::run(args, ui),
    }
}
