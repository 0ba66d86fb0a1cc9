//! How to talk to registries, as whoever calls wants it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::config::RegistriesFiles;
use super::credentials::Credentials;
use super::proxy::Proxies;
use super::tls::Certificates;

/// When to ask the registry what a name points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pull {
    /// Each time; blobs that are in the store are not fetched again.
    Always,
    /// When the store does not know.
    #[default]
    Missing,
    /// Never, and nothing is fetched.
    Never,
}

/// How to talk to registries.
#[derive(Clone, Debug)]
pub struct Options {
    /// When to ask what a name points to.
    pub pull: Pull,
    /// Where it is written which registries stand for a name.
    pub registries: RegistriesFiles,
    /// Which registries may be spoken to without TLS, or without knowing who vouches for them.
    pub insecure: Insecure,
    /// Who we are to the registry that is asked for, instead of what the files say; mirrors are not
    /// told.
    pub credentials: Option<Credentials>,
    /// Files in the form of Docker's `config.json`; the first that knows the registry counts.
    pub credential_files: Vec<PathBuf>,
    /// A `.netrc`, which is looked into last.
    pub netrc: Option<PathBuf>,
    /// Who vouches for registries, and what we show them.
    pub certificates: Certificates,
    /// What is asked through a proxy.
    pub proxies: Proxies,
    /// How long a credential helper may take.
    pub helper_timeout: Duration,
    /// The directory of the credential helpers, if they are not to be looked for as all programs
    /// are.
    pub helper_path: Option<PathBuf>,
    /// How many blobs are received or sent at once.
    pub connections: NonZeroUsize,
    /// How long a server may be silent, or bring next to nothing; and so may another process that
    /// gets the same.
    pub stall: Duration,
    /// How many attempts in a row may fail.
    pub attempts: u32,
    /// How long to wait after the first failed attempt, about.
    pub first_wait: Duration,
    /// The longest to wait between attempts, even if the server asks for more.
    pub longest_wait: Duration,
}

/// Registries that may be without TLS when they don't speak it, or have a certificate that nobody
/// vouches for. Those on this machine may always be without TLS.
#[derive(Clone, Debug, Default)]
pub struct Insecure {
    /// The one that is asked for.
    pub asked: bool,
    /// These, as `host` or `host:port`.
    pub hosts: Vec<String>,
}

/// Of small blobs over a line with a long round trip each costs one or more of those: 61 over 50 ms
/// take 2.3 s with two, 1.1 s with six, as skopeo has them, 0.9 s with eight, and hardly less with
/// more. Large ones fill the line with fewer.
pub const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(8).expect("not zero");

impl Default for Options {
    fn default() -> Options {
        Options {
            pull: Pull::default(),
            registries: RegistriesFiles::default(),
            insecure: Insecure::default(),
            credentials: None,
            credential_files: Vec::new(),
            netrc: None,
            certificates: Certificates::default(),
            proxies: Proxies::default(),
            helper_timeout: Duration::from_secs(30),
            helper_path: None,
            connections: CONNECTIONS,
            stall: Duration::from_secs(30),
            attempts: 6,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
        }
    }
}
