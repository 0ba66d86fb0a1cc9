//! `cvbake completions`: what shells complete.

use clap::CommandFactory as _;
use clap_complete::Shell;
use cvbake::error::Error;

use super::Cli;

/// Print completions for a shell
///
/// For bash: cvbake completions bash > ~/.local/share/bash-completion/completions/cvbake
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Shell to print completions for
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::man::with_words(Cli::command()), "cvbake", &mut script);
    super::output::bytes(&script)
}
