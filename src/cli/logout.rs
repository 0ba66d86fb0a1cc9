//! `cvbake logout`: credentials go.

use std::path::PathBuf;

use clap::ValueHint;
use cvbake::fetch::{Account, Logins, Options};
use cvbake::text;

use super::login::file;
use super::output;
use crate::failure::Failure;

/// Log out of a registry
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake logout [OPTIONS] [REGISTRY]")]
pub(super) struct Args {
    /// Registry, optionally with a path, such as quay.io/team
    #[arg(value_name = "REGISTRY", default_value = "docker.io", conflicts_with = "all")]
    registry: String,

    /// Log out of all registries in the file
    #[arg(short, long)]
    all: bool,

    /// Change this file [default: $REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers/auth.json, or
    /// ~/.config/containers/auth.json]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    authfile: Option<PathBuf>,

    /// Print only warnings and errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let logins = Logins::open(&file(args.authfile.clone())?)?;
    let options = Options::default();
    let said = if args.all {
        let path = text::line(&logins.path().display().to_string());
        match logins.erase_all(&options)? {
            0 => format!("No credentials in {path}\n"),
            1 => format!("Logged out of 1 registry in {path}\n"),
            count => format!("Logged out of {count} registries in {path}\n"),
        }
    } else {
        let account = Account::parse(&args.registry)?;
        logins.erase(&account, &options)?;
        format!("Logged out of {}\n", text::line(&account.name()))
    };
    if args.quiet { Ok(()) } else { output::lines(&said) }
}
