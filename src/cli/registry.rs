//! What is said about registries, by every subcommand that may ask one.

use std::ffi::OsStr;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{ValueEnum, ValueHint};
use cvbake::fetch::{Credentials, Insecure, Options, Pull, Source};
use cvbake::text;

use super::work::allowed_connections;
use super::{environment, source, values};
use crate::failure::Failure;

const REGISTRY: &str = "Registry";

/// Options about registries.
#[derive(Debug, clap::Args)]
#[group(id = "registry")]
pub(super) struct Args {
    /// Choose when to ask the registry instead of the store
    /// [default: missing; for cvbake pull: always]
    #[arg(long, value_enum, value_name = "WHEN", help_heading = REGISTRY)]
    pull: Option<When>,

    #[command(flatten)]
    connections: Connections,

    #[command(flatten)]
    access: Access,
}

/// How much is under way at once.
#[derive(Debug, clap::Args)]
#[group(id = "under_way")]
pub(super) struct Connections {
    /// Set the number of blobs that are fetched or sent at once, whatever the number of threads
    /// [default: 8]
    #[arg(long, value_name = "N", value_parser = values::jobs, help_heading = REGISTRY)]
    connections: Option<NonZeroUsize>,
}

impl Connections {
    /// As many as were asked for, or as there are by default.
    pub(super) fn count(&self) -> NonZeroUsize {
        allowed_connections(self.connections)
    }
}

/// Options about who we are to registries, and how to talk to them.
#[derive(Debug, clap::Args)]
#[group(id = "access")]
pub(super) struct Access {
    /// Read credentials from this file, as docker login, podman login and skopeo login write it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = REGISTRY)]
    authfile: Option<PathBuf>,

    /// Use these credentials; other users of this machine may see them
    #[arg(long, value_name = "USER:PASSWORD", value_parser = Secret::read, help_heading = REGISTRY)]
    creds: Option<Secret>,

    #[command(flatten)]
    trust: Trust,
}

/// Options about how far to trust registries.
#[derive(Debug, clap::Args)]
#[group(id = "trust")]
pub(super) struct Trust {
    /// Allow plain HTTP and unverified TLS certificates for this registry, or only for HOST
    /// (repeatable); a registry on this machine may always use plain HTTP
    #[arg(long, value_name = "HOST[:PORT]", num_args = 0..=1, require_equals = true, default_missing_value = values::ASKED, value_parser = values::host, help_heading = REGISTRY)]
    insecure: Vec<String>,

    /// Read the configuration of registries and mirrors from this file
    /// [default: registries.conf in ~/.config/containers or /etc/containers]
    ///
    /// The format is version 2 of containers-registries.conf(5); files in registries.conf.d beside
    /// it are read as well. For a short name that several registries may have, the first registry
    /// that has it wins; with short-name-mode "enforcing" such a name is an error.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = REGISTRY)]
    registries_conf: Option<PathBuf>,

    /// Read TLS certificates from this directory: authorities from *.crt, client certificates from
    /// *.cert with *.key
    /// [default: certs.d/HOST in ~/.config/containers, /etc/containers or /etc/docker]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = REGISTRY)]
    cert_dir: Option<PathBuf>,
}

/// When to ask the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    /// Ask which image the name points to now, even if there is one in the store
    Always,
    /// Fetch only blobs that are not in the store; an image that is complete there needs no network
    Missing,
    /// Use only the store
    Never,
}

/// Something that no message shows.
#[derive(Clone)]
pub(super) struct Secret(pub(super) String);

impl Secret {
    pub(super) fn read(text: &str) -> Result<Secret, std::convert::Infallible> {
        Ok(Secret(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Args {
    /// Everything that a registry needs to be asked; `unless_told` is when, if nobody says.
    pub(super) fn options(&self, unless_told: Pull) -> Result<Options, Failure> {
        let pull = match self.pull {
            None => unless_told,
            Some(When::Always) => Pull::Always,
            Some(When::Missing) => Pull::Missing,
            Some(When::Never) => Pull::Never,
        };
        Ok(Options { connections: self.connections.count(), ..self.access.options(pull)? })
    }
}

impl Access {
    /// The same where nobody is asked when.
    pub(super) fn options(&self, pull: Pull) -> Result<Options, Failure> {
        Ok(Options {
            pull,
            netrc: environment::netrc(),
            credentials: self.creds.as_ref().map(credentials).transpose()?,
            credential_files: match &self.authfile {
                Some(path) => vec![existing(path)?],
                None => environment::credential_files(),
            },
            ..self.trust.options()
        })
    }
}

impl Trust {
    /// The same as nobody in particular.
    pub(super) fn options(&self) -> Options {
        Options {
            registries: environment::registries_files(self.registries_conf.clone()),
            certificates: environment::certificates(self.cert_dir.clone()),
            proxies: environment::proxies(),
            insecure: Insecure {
                asked: self.insecure.iter().any(|host| host == values::ASKED),
                hosts: self.insecure.iter().filter(|host| *host != values::ASKED).cloned().collect(),
            },
            ..Options::default()
        }
    }
}

/// A name in a registry, and nothing else.
pub(super) fn reference(text: &OsStr) -> Result<Source, Failure> {
    source::check(text, source::Takes::NamesOnly)?;
    match Source::parse(text)? {
        source @ Source::Registry(_) => Ok(source),
        source => Err(Failure::Usage {
            problem: format!("{source} is not the name of an image in a registry"),
            hint: Some(format!(
                "`cvbake bake {source} -o disk.ext4` bakes it, `cvbake image import {source}` imports it"
            )),
        }),
    }
}

fn credentials(Secret(text): &Secret) -> Result<Credentials, Failure> {
    let (name, password) = text.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(|| Failure::Usage {
        problem: "the value of --creds has no user name and colon, expected USER:PASSWORD".to_owned(),
        hint: Some("--authfile FILE keeps the password out of the command line".to_owned()),
    })?;
    Ok(Credentials::User { name: name.to_owned(), password: password.to_owned() })
}

/// A file that somebody names is there; those at the usual places need not be.
fn existing(path: &Path) -> Result<PathBuf, Failure> {
    match path.metadata() {
        Ok(_) => Ok(path.to_owned()),
        Err(error) => Err(Failure::Usage {
            problem: format!("cannot use the credentials in {}: {}", path.display(), text::plain(&error)),
            hint: Some("`cvbake login --authfile FILE REGISTRY` writes such a file".to_owned()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::read("user:hunter2").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
        let Credentials::User { name, password } = credentials(&secret).unwrap() else { panic!("a user") };
        assert_eq!((name.as_str(), password.as_str()), ("user", "hunter2"));
        for text in ["hunter2", ":hunter2", ""] {
            let error = credentials(&Secret(text.to_owned())).unwrap_err();
            assert!(!error.line().contains("hunter2"), "{}", error.line());
            assert_eq!(error.exit_status(), 2);
        }
    }
}
