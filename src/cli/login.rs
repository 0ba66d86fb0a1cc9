//! `cvbake login`: who we are to a registry.

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;
use cvbake::event::Event;
use cvbake::fetch::{Account, Checked, Credentials, Logins};
use cvbake::text;
use cvbake::verify::shorten;

use super::prompt::Terminal;
use super::registry::{Secret, Trust};
use super::{environment, output};
use crate::failure::Failure;
use crate::ui::Ui;

/// The most that is read of standard input for a password: tokens have some kilobytes.
const MAX_PASSWORD: u64 = 64 << 10;

/// Log in to a registry
///
/// The credentials are stored only if the registry accepts them; a registry that asks for none
/// accepts any, and a warning says so. They are stored where podman login and skopeo login store
/// them, so that these programs find them, too; if that file names a credential helper, the helper
/// stores them.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake login [OPTIONS] [REGISTRY]")]
pub(super) struct Args {
    /// Registry, optionally with a path, such as quay.io/team
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    registry: String,

    /// Log in as this user; without it, cvbake asks on the terminal
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,

    /// Use this password; other users of this machine may see it
    #[arg(short, long, value_name = "PASSWORD", value_parser = Secret::read, conflicts_with = "password_stdin")]
    password: Option<Secret>,

    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,

    /// Write to this file [default: $REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers/auth.json, or
    /// ~/.config/containers/auth.json]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    authfile: Option<PathBuf>,

    #[command(flatten)]
    trust: Trust,

    /// Print only warnings and errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let account = Account::parse(&args.registry)?;
    let path = file(args.authfile.clone())?;
    // Whatever is wrong with it is said before a password is typed.
    let logins = Logins::open(&path)?;
    let (name, password) = ask(args, &account)?;
    if args.password.is_some() {
        let text =
            "other users of this machine may see a password on the command line; --password-stdin keeps it private";
        ui.on(&Event::Warning(text.to_owned()));
    }
    let options = args.trust.options();
    let credentials = Credentials::User { name: name.clone(), password: password.clone() };
    if account.check(&credentials, &options, &|event| ui.on(&event.into()))? == Checked::NotAsked {
        let text = format!("{} did not ask for credentials, so the password has not been verified", account.registry());
        ui.on(&Event::Warning(text));
    }
    logins.store(&account, &name, &password, &options)?;
    match args.quiet {
        true => Ok(()),
        false => output::lines(&format!("Logged in to {} as {}\n", text::line(&account.name()), text::line(&name))),
    }
}

/// The file to be changed.
pub(super) fn file(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    given.or_else(environment::login_file).ok_or_else(|| Failure::Usage {
        problem: "there is no place to store credentials: there is no home directory".to_owned(),
        hint: Some("--authfile FILE names a file".to_owned()),
    })
}

fn ask(args: &Args, account: &Account) -> Result<(String, String), Failure> {
    let unasked = |what: &str| Failure::Usage {
        problem: format!("no {what} was given, and there is no terminal to ask for one"),
        hint: Some("--username NAME --password-stdin reads the password from standard input".to_owned()),
    };
    let unread = |source: io::Error| Failure::Usage {
        problem: format!("cannot read the answer: {}", text::plain(&source)),
        hint: None,
    };
    let mut terminal = Terminal::open();
    let name = match &args.username {
        Some(name) => name.clone(),
        None => {
            let terminal = terminal.as_mut().ok_or_else(|| unasked("user name"))?;
            terminal.ask(&format!("Username for {}", text::line(&account.name()))).map_err(unread)?
        }
    };
    if name.is_empty() || name.contains(':') {
        let problem = format!("{:?} is not a user name: expected at least one character, and no colon", shorten(&name));
        return Err(Failure::Usage { problem, hint: None });
    }
    let password = match &args.password {
        Some(Secret(password)) => password.clone(),
        None if args.password_stdin => read_password()?,
        None => {
            let terminal = terminal.as_mut().ok_or_else(|| unasked("password"))?;
            terminal.ask_secret("Password").map_err(unread)?
        }
    };
    if password.is_empty() {
        return Err(Failure::Usage { problem: "the password is empty".to_owned(), hint: None });
    }
    Ok((name, password))
}

/// All of standard input, without the end of the line.
fn read_password() -> Result<String, Failure> {
    let wrong = |problem: String| Failure::Usage { problem, hint: None };
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_PASSWORD + 1).read_to_string(&mut text);
    read.map_err(|error| wrong(format!("cannot read the password from standard input: {}", text::plain(&error))))?;
    if text.len() as u64 > MAX_PASSWORD {
        return Err(wrong(format!(
            "the password on standard input is too long: expected at most {MAX_PASSWORD} bytes"
        )));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
