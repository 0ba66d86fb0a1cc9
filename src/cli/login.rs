//! `cvbake login`: who we are to a registry.

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;
use cvbake::error::Error;
use cvbake::event::Event;
use cvbake::fetch::{Account, Checked, Credentials, Logins};
use cvbake::text;
use cvbake::verify::shorten;

use super::prompt::Terminal;
use super::registry::{Secret, Trust};
use super::{environment, output};
use crate::ui::Ui;

/// The most that is read of standard input for a password: tokens have some kilobytes.
const MAX_PASSWORD: u64 = 64 << 10;

/// Stores who you are to a registry
///
/// The registry is asked first, and nothing is stored that it does not accept. The credentials go where podman login and
/// skopeo login put them, so that these programs find them, too; where the file names a credential helper, the helper gets
/// them.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake login [OPTIONS] [REGISTRY]")]
pub(super) struct Args {
    /// The registry, perhaps with a path, such as quay.io/team
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    registry: String,

    /// The name; asked for on the terminal if not given
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,

    /// The password; other users of this machine may see it
    #[arg(short, long, value_name = "PASSWORD", value_parser = Secret::read, conflicts_with = "password_stdin")]
    password: Option<Secret>,

    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,

    /// The file to write [default: $REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers/auth.json, or
    /// ~/.config/containers/auth.json]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    authfile: Option<PathBuf>,

    #[command(flatten)]
    trust: Trust,

    /// Print nothing but warnings and errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Error> {
    let account = Account::parse(&args.registry)?;
    let path = file(args.authfile.clone())?;
    // Whatever is wrong with it is said before a password is typed.
    let logins = Logins::open(&path)?;
    let (name, password) = ask(args, &account)?;
    if args.password.is_some() {
        let text = "other users of this machine may see a password on the command line; standard input keeps it to you";
        ui.on(&Event::Warning(text.to_owned()));
    }
    let options = args.trust.options();
    let credentials = Credentials::User { name: name.clone(), password: password.clone() };
    if account.check(&credentials, &options, &|event| ui.on(&event.into()))? == Checked::NotAsked {
        let text = format!("{} did not ask who you are, so nobody has checked the password", account.registry());
        ui.on(&Event::Warning(text));
    }
    logins.store(&account, &name, &password, &options)?;
    match args.quiet {
        true => Ok(()),
        false => output::lines(&format!("logged in to {} as {}\n", text::line(&account.name()), text::line(&name))),
    }
}

/// The file to be changed.
pub(super) fn file(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    given.or_else(environment::login_file).ok_or_else(|| Error::Usage {
        problem: "there is nowhere to keep credentials: there is no home directory".to_owned(),
        hint: Some("--authfile FILE says where".to_owned()),
    })
}

fn ask(args: &Args, account: &Account) -> Result<(String, String), Error> {
    let unasked = |what: &str| Error::Usage {
        problem: format!("nothing says the {what}, and there is no terminal to ask on"),
        hint: Some("--username NAME --password-stdin takes the password from standard input".to_owned()),
    };
    let unread = |source: io::Error| Error::Usage { problem: format!("cannot read the answer: {source}"), hint: None };
    let mut terminal = Terminal::open();
    let name = match &args.username {
        Some(name) => name.clone(),
        None => {
            let terminal = terminal.as_mut().ok_or_else(|| unasked("name"))?;
            terminal.ask(&format!("Username for {}", text::line(&account.name()))).map_err(unread)?
        }
    };
    if name.is_empty() || name.contains(':') {
        let problem = format!("{:?} is not a name: expected at least one character, and no colon", shorten(&name));
        return Err(Error::Usage { problem, hint: None });
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
        return Err(Error::Usage { problem: "the password is empty".to_owned(), hint: None });
    }
    Ok((name, password))
}

/// All of standard input, without the end of the line.
fn read_password() -> Result<String, Error> {
    let wrong = |problem: String| Error::Usage { problem, hint: None };
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_PASSWORD + 1).read_to_string(&mut text);
    read.map_err(|error| wrong(format!("cannot read the password from standard input: {error}")))?;
    if text.len() as u64 > MAX_PASSWORD {
        return Err(wrong(format!(
            "the password on standard input is too long: expected at most {MAX_PASSWORD} bytes"
        )));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
