//! What the environment says: defaults that the command line can override.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cvbake::fetch::{Certificates, Proxies, RegistriesFiles};
use etcetera::BaseStrategy;

use super::values;
use crate::failure::Failure;

/// The time of what the image gives no time: `SOURCE_DATE_EPOCH`, or 0.
pub(super) fn epoch() -> Result<i64, Failure> {
    env::var_os("SOURCE_DATE_EPOCH").map_or(Ok(0), |text| parse_epoch(&text))
}

/// `SOURCE_DATE_EPOCH`, if it is set.
pub(super) fn stated_epoch() -> Result<Option<i64>, Failure> {
    env::var_os("SOURCE_DATE_EPOCH").map(|text| parse_epoch(&text)).transpose()
}

fn parse_epoch(text: &OsStr) -> Result<i64, Failure> {
    text.to_str().and_then(values::epoch).ok_or_else(|| Failure::Usage {
        problem: format!("SOURCE_DATE_EPOCH is {text:?}, expected a number of seconds since 1970"),
        hint: Some("unset it, or set it to what `date +%s` prints".to_owned()),
    })
}

/// Where the store is, if nobody says: `/var/lib/cvbake` for root, else `cvbake` in the user's data
/// directory, if there is one.
pub(super) fn store() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some("/var/lib/cvbake".into());
    }
    let directories = etcetera::base_strategy::Xdg::new().ok()?;
    Some(directories.data_dir().join("cvbake"))
}

/// What time it is.
#[expect(clippy::disallowed_methods, reason = "only what is kept depends on it, no disk")]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// Where credentials for registries are: `$REGISTRY_AUTH_FILE`, or else the files that
/// `podman login` and `skopeo login`, and then that `docker login` writes.
pub(super) fn credential_files() -> Vec<PathBuf> {
    if let Some(file) = set("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = etcetera::base_strategy::Xdg::new().ok();
    let docker = set("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.home_dir().join(".docker")));
    let podman = home.as_ref().map(|home| home.config_dir().join("containers/auth.json"));
    let session = Some(session_file()).filter(|file| may_be_ours(file));
    [session, podman, docker.map(|dir| dir.join("config.json"))].into_iter().flatten().collect()
}

/// Whether a file that nobody has named may have been stored for us. What root's podman makes below
/// `/run/containers`, nobody else can reach, and so nobody else has stored anything there.
fn may_be_ours(file: &Path) -> bool {
    file.symlink_metadata().map_or_else(|error| error.kind() != io::ErrorKind::PermissionDenied, |_| true)
}

/// Where credentials are written, so that they are the first to be found: `$REGISTRY_AUTH_FILE`, or
/// else podman's and skopeo's file. Where there is no directory for what lasts as long as a
/// session, they are kept longer, in the home directory.
pub(super) fn login_file() -> Option<PathBuf> {
    if let Some(file) = set("REGISTRY_AUTH_FILE") {
        return Some(file);
    }
    let session = session_file();
    if set("XDG_RUNTIME_DIR").is_some() || session.parent().is_some_and(Path::is_dir) {
        return Some(session);
    }
    Some(etcetera::base_strategy::Xdg::new().ok()?.config_dir().join("containers/auth.json"))
}

/// The file that lasts as long as a session, or until the machine is started again.
fn session_file() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    let dir = set("XDG_RUNTIME_DIR").map(|dir| dir.join("containers"));
    dir.unwrap_or_else(|| format!("/run/containers/{user}").into()).join("auth.json")
}

/// Where it is written which registries stand for a name: `given`, or
/// `$CONTAINERS_REGISTRIES_CONF`, or else the user's file, or else the system's; and the drop-ins
/// of both, unless `$CONTAINERS_REGISTRIES_CONF_DIR` says where they are. The user's own file hides
/// the system's drop-ins as well.
pub(super) fn registries_files(given: Option<PathBuf>) -> RegistriesFiles {
    let home = etcetera::base_strategy::Xdg::new().ok();
    let user = home.as_ref().map(|home| home.config_dir().join("containers/registries.conf"));
    let system = PathBuf::from("/etc/containers/registries.conf");
    let given = given.or_else(|| set("CONTAINERS_REGISTRIES_CONF"));
    let hidden = given.is_none() && user.as_ref().is_some_and(|path| path.exists());
    let drop_in = |path: &PathBuf| PathBuf::from(format!("{}.d", path.display()));
    let drop_ins = match set("CONTAINERS_REGISTRIES_CONF_DIR") {
        Some(dir) => vec![dir],
        None => [(!hidden).then_some(&system), user.as_ref()].into_iter().flatten().map(drop_in).collect(),
    };
    let cache = match rustix::process::geteuid().is_root() {
        true => Some(PathBuf::from("/var/cache")),
        false => home.as_ref().map(BaseStrategy::cache_dir),
    };
    let aliases = cache.map(|dir| dir.join("containers/short-name-aliases.conf"));
    RegistriesFiles { given, usual: user.into_iter().chain([system]).collect(), drop_ins, aliases }
}

/// The variable that names the only configuration file.
pub(super) const CONFIG: &str = "CVBAKE_CONFIG";

/// The configuration file, if the environment names one.
pub(super) fn config_file() -> Option<PathBuf> {
    set(CONFIG)
}

/// Where configuration files are otherwise, the more important ones later.
pub(super) fn usual_config_files() -> Vec<PathBuf> {
    let user = etcetera::base_strategy::Xdg::new().ok().map(|home| home.config_dir().join("cvbake/config.toml"));
    [Some("/etc/cvbake/config.toml".into()), user].into_iter().flatten().collect()
}

/// The user's home directory.
pub(super) fn home() -> Option<PathBuf> {
    Some(etcetera::base_strategy::Xdg::new().ok()?.home_dir().to_owned())
}

/// A variable that sets an option.
pub(super) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Where certificates for registries are: `given`, or else directories named after them in the
/// user's `certs.d`, the system's, and Docker's. `$SSL_CERT_FILE` and `$SSL_CERT_DIR` say who
/// vouches for all.
pub(super) fn certificates(given: Option<PathBuf>) -> Certificates {
    let user = etcetera::base_strategy::Xdg::new().ok().map(|home| home.config_dir().join("containers/certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    let dirs = set("SSL_CERT_DIR").unwrap_or_default();
    Certificates {
        given,
        usual: user.into_iter().chain(system).collect(),
        roots_file: set("SSL_CERT_FILE"),
        roots_dirs: env::split_paths(&dirs).filter(|dir| !dir.as_os_str().is_empty()).collect(),
    }
}

/// The proxies, in lower case or upper case as most programs read them.
pub(super) fn proxies() -> Proxies {
    let text = |value: PathBuf| value.to_string_lossy().into_owned();
    let either = |name: &str| set(name).or_else(|| set(&name.to_ascii_uppercase())).map(text);
    Proxies {
        http: either("http_proxy"),
        https: either("https_proxy"),
        all: either("all_proxy"),
        exceptions: either("no_proxy").unwrap_or_default(),
    }
}

/// The file with logins for all kinds of servers: `$NETRC`, or `~/.netrc`.
pub(super) fn netrc() -> Option<PathBuf> {
    let home = || Some(etcetera::base_strategy::Xdg::new().ok()?.home_dir().join(".netrc"));
    set("NETRC").or_else(home)
}

/// A path in a variable that is set to something.
fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Where temporary files go: `TMPDIR`, or `/tmp`.
pub(super) fn temporary() -> PathBuf {
    env::temp_dir()
}

/// Where programs are looked for.
pub(super) fn search_path() -> OsString {
    env::var_os("PATH").unwrap_or_default()
}

/// Whether standard error is a terminal on which a line can be drawn again.
pub(super) fn draws() -> bool {
    io::stderr().is_terminal() && env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Whether standard output is a terminal, and no file or pipe to a program.
pub(super) fn is_read_by_a_person() -> bool {
    io::stdout().is_terminal()
}

/// Whether the terminal on standard error is to be coloured (<https://no-color.org>).
pub(super) fn colours() -> bool {
    draws() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether what is drawn on standard output is to be coloured.
pub(super) fn colours_output() -> bool {
    let is_terminal =
        is_read_by_a_person() && env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    is_terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How many columns the terminal on standard output has, or else 80.
pub(super) fn width() -> usize {
    const USUAL: usize = 80;
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0).unwrap_or(USUAL)
}

/// Whether an option with a default, which may be from a configuration file as well, stands on the
/// command line.
pub(super) fn is_given(option: &str) -> bool {
    let is_it = |arg: std::ffi::OsString| arg.to_str().is_some_and(|arg| arg.split('=').next() == Some(option));
    std::env::args_os().skip(1).take_while(|arg| arg != "--").any(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_date_epoch() {
        assert_eq!(parse_epoch(OsStr::new("1700000000")).unwrap(), 1_700_000_000);
        let error = parse_epoch(OsStr::new("now")).unwrap_err();
        assert_eq!(error.line(), "SOURCE_DATE_EPOCH is \"now\", expected a number of seconds since 1970");
        assert_eq!(error.exit_status(), 2);
    }
}
