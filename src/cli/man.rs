//! `cvbake man`: the manual pages.

use clap::CommandFactory as _;
use clap_mangen::Man;
use cvbake::error::Error;

use super::Cli;

/// Prints a manual page
///
/// To read it: cvbake man bake | man -l -
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The subcommand that the page is about; the program as a whole, if none is given
    #[arg(value_parser = ["pull-and-build", "bake", "pull", "push", "login", "logout", "image", "store", "config", "completions", "man"])]
    command: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    let mut command = super::config::with_variables(Cli::command());
    // Gives the subcommands their full names, such as `cvbake-bake`.
    command.build();
    if let Some(name) = &args.command {
        command = command.find_subcommand(name).expect("the parser knows the subcommands").clone();
    }
    let mut page = Vec::new();
    Man::new(command).manual("cvbake manual").render(&mut page).map_err(|source| Error::Tell { source })?;
    super::print(&page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_subcommand() {
        let command = Cli::command();
        let names: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        let man = command.find_subcommand("man").expect("the subcommand this is about");
        let argument = man.get_arguments().find(|argument| argument.get_id() == "command").expect("its argument");
        let values: Vec<_> = argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        assert_eq!(values, names);
    }
}
