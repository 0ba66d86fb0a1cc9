//! Who we are to a registry: the files that `docker login`, `podman login` and `skopeo login`
//! write, and the programs these name.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use super::guard::bare;
use super::helper::run_helper;
use super::netrc;
use super::options::Options;
use super::problem::{Problem, plain as plain_text, shorten};

/// The most that is read of a file of credentials, and of what a helper says.
const MAX_BYTES: u64 = 4 << 20;

/// What stands for Docker Hub in these files, for historical reasons.
pub(super) const HUB: &str = "https://index.docker.io/v1/";

/// Something that a registry or its token server may accept.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user.
    User {
        /// The name.
        name: String,
        /// The password, or what is used as one.
        password: String,
    },
    /// A token that is exchanged for others.
    Identity(String),
    /// A token for the registry itself.
    Registry(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Credentials::describe(Some(self)))
    }
}

impl Credentials {
    /// The first credentials for a repository of a registry that one of the files has which the
    /// options name, or a helper that such a file names; a file that does not exist has none.
    ///
    /// # Errors
    /// When a file or helper says something else than it should.
    pub fn find(options: &Options, registry: &str, repository: &str) -> Result<Option<Credentials>, Problem> {
        for path in &options.credential_files {
            if let Some(config) = read::<Config>(path)?
                && let Some(found) = config.find(path, options, registry, repository)?
            {
                Credentials::tell(&found, registry, path);
                return Ok(Some(found));
            }
        }
        let Some(path) = &options.netrc else { return Ok(None) };
        let found = in_netrc(path, registry)?;
        found.iter().for_each(|found| Credentials::tell(found, registry, path));
        Ok(found)
    }

    /// Tells which are used, and of which file.
    fn tell(found: &Credentials, registry: &str, path: &Path) {
        let what = Credentials::describe(Some(found));
        tracing::debug!("{registry}: using {what} of {}", path.display());
    }

    /// What error messages call them; never the secret.
    pub(super) fn describe(credentials: Option<&Credentials>) -> String {
        match credentials {
            None => "no credentials".to_owned(),
            Some(Credentials::User { name, .. }) => format!("the credentials of user {:?}", shorten(name)),
            Some(Credentials::Identity(_)) => "an identity token".to_owned(),
            Some(Credentials::Registry(_)) => "a registry token".to_owned(),
        }
    }

    fn user(name: String, password: String) -> Credentials {
        match name.as_str() {
            // Helpers mark identity tokens so.
            "<token>" => Credentials::Identity(password),
            _ => Credentials::User { name, password },
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    #[serde(deserialize_with = "or_null")]
    auths: BTreeMap<String, Option<Auth>>,
    #[serde(deserialize_with = "or_null")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_null")]
    creds_store: String,
}

/// Programs in Go write `null` for what is empty, and read it so.
fn or_null<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// What a `.netrc` has for a registry. It knows no ports, and nothing of what stands for Docker
/// Hub.
fn in_netrc(path: &Path, registry: &str) -> Result<Option<Credentials>, Problem> {
    let Some(bytes) = read_file(path)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| problem(path, "expected UTF-8"))?;
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => registry,
    };
    let found = netrc::find(&text, bare(host));
    Ok(found.map(|(name, password)| Credentials::User { name, password }))
}

pub(super) fn problem(path: &Path, reason: impl fmt::Display) -> Problem {
    Problem::Credentials { path: path.to_owned(), reason: plain_text(&reason.to_string()).to_owned() }
}

/// A file of credentials, if there is one and something is in it.
pub(super) fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Problem> {
    let Some(bytes) = read_file(path)? else { return Ok(None) };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        // The message of the parser may quote what is in the file.
        problem(path, format!("it is not of the expected JSON form, line {}, column {}", error.line(), error.column()))
    })
}

/// What is in a file, if there is one.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>, Problem> {
    let file = match crate::file::open_regular(path) {
        Ok(file) => file,
        Err(crate::Error::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(crate::Error::Open { source, .. }) => return Err(problem(path, source)),
        Err(error) => return Err(problem(path, error)),
    };
    read_bounded(file).map(Some).map_err(|error| problem(path, error))
}

pub(super) fn read_bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("expected at most {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

impl Config {
    fn find(
        &self,
        path: &Path,
        options: &Options,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credentials>, Problem> {
        let hub = registry == "docker.io";
        let key = if hub { HUB } else { registry };
        let helper = self.cred_helpers.get(registry).or_else(|| self.cred_helpers.get(key));
        if let Some(helper) = helper {
            return ask(path, helper, key, options);
        }
        for name in names(registry, repository) {
            let same = |written: &str| plain(written) == name;
            for auth in self.auths.iter().filter(|(written, _)| same(written)).filter_map(|(_, auth)| auth.as_ref()) {
                if let Some(found) = auth.credentials(path)? {
                    return Ok(Some(found));
                }
            }
        }
        match self.creds_store.as_str() {
            "" => Ok(None),
            helper => ask(path, helper, key, options),
        }
    }
}

/// What an entry stands under, without what Docker wrote around it in the past: whole URLs.
pub(super) fn plain(written: &str) -> &str {
    let written = written.strip_prefix("https://").or(written.strip_prefix("http://")).unwrap_or(written);
    let written = written.trim_end_matches('/');
    written.strip_suffix("/v1").or(written.strip_suffix("/v2")).unwrap_or(written)
}

/// What the credentials for a repository may stand under, the most specific first.
fn names(registry: &str, repository: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = format!("{registry}/{repository}");
    loop {
        names.push(name.clone());
        match name.rfind('/') {
            Some(end) => name.truncate(end),
            None => break,
        }
    }
    if registry == "docker.io" {
        names.extend(["index.docker.io", "registry-1.docker.io"].map(str::to_owned));
    }
    names
}

impl Auth {
    fn credentials(&self, path: &Path) -> Result<Option<Credentials>, Problem> {
        let malformed = || problem(path, "an entry's auth is not the Base64 of user:password");
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credentials::Identity(self.identitytoken.clone())));
        }
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credentials::Registry(self.registrytoken.clone())));
        }
        if !self.auth.is_empty() {
            let bytes = STANDARD.decode(self.auth.trim()).map_err(|_| malformed())?;
            let text = String::from_utf8(bytes).map_err(|_| malformed())?;
            let (name, password) = text.split_once(':').ok_or_else(malformed)?;
            // Some versions of Docker padded with NULs.
            let password = password.trim_end_matches('\0').to_owned();
            return Ok(Some(Credentials::user(name.to_owned(), password)));
        }
        let named = !self.username.is_empty();
        Ok(named.then(|| Credentials::user(self.username.clone(), self.password.clone())))
    }
}

/// Asks `docker-credential-<helper>`.
fn ask(path: &Path, helper: &str, server: &str, options: &Options) -> Result<Option<Credentials>, Problem> {
    tracing::debug!("asking docker-credential-{} for the credentials of {server}", shorten(helper));
    let Some(output) = run_helper(path, helper, "get", server.as_bytes(), options)? else { return Ok(None) };
    let Ok(Helped { username, secret }) = serde_json::from_slice(&output) else {
        let reason = format!("docker-credential-{helper}: expected JSON with Username and Secret");
        return Err(problem(path, reason));
    };
    Ok(Some(Credentials::user(username, secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    fn find_in(text: &str, registry: &str, repository: &str) -> Option<String> {
        let found = config(text).find(Path::new("auth.json"), &Options::default(), registry, repository).unwrap();
        found.map(|credentials| match credentials {
            Credentials::User { name, password } => format!("{name}:{password}"),
            Credentials::Identity(token) => format!("identity {token}"),
            Credentials::Registry(token) => format!("registry {token}"),
        })
    }

    #[test]
    fn entries() {
        // a:b, c:d:e, and one padded with NULs
        let text = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "YTpi"},
            "localhost:5000": {"auth": "YzpkOmU="},
            "quay.io": {"username": "u", "password": "p"},
            "quay.io/team": {"auth": "YTpi"},
            "quay.io/team/image": {"identitytoken": "t"},
            "ghcr.io": {},
            "gcr.io": {"registrytoken": "r"},
            "null.io": null
        }, "HttpHeaders": {"x": "y"}}"#;
        let table = [
            ("docker.io", "library/alpine", Some("a:b")),
            ("localhost:5000", "x", Some("c:d:e")),
            ("localhost:5001", "x", None),
            ("localhost", "x", None),
            ("quay.io", "x", Some("u:p")),
            ("quay.io", "team/x", Some("a:b")),
            ("quay.io", "team2/x", Some("u:p")),
            ("quay.io", "team/image", Some("identity t")),
            ("ghcr.io", "x/y", None),
            ("gcr.io", "x", Some("registry r")),
            ("null.io", "x", None),
        ];
        for (registry, repository, expected) in table {
            assert_eq!(find_in(text, registry, repository).as_deref(), expected, "{registry}/{repository}");
        }
        for text in ["{}", r#"{"auths":null,"credHelpers":null,"credsStore":null}"#] {
            assert_eq!(find_in(text, "a.io", "b"), None);
        }
    }

    #[test]
    fn malformed() {
        for auth in ["!", "YQ==", "/w=="] {
            let text = format!(r#"{{"auths":{{"a.io":{{"auth":"{auth}"}}}}}}"#);
            let error = config(&text).find(Path::new("auth.json"), &Options::default(), "a.io", "b").unwrap_err();
            assert!(matches!(error, Problem::Credentials { .. }), "{error}");
        }
        let error = config(r#"{"credsStore":"../../bin/sh"}"#).find(Path::new("f"), &Options::default(), "a.io", "b");
        assert!(error.unwrap_err().to_string().contains("not the name of a credential helper"));
        let debug = format!("{:?}", Credentials::user("me".to_owned(), "hidden".to_owned()));
        assert!(!debug.contains("hidden"));
    }
}
