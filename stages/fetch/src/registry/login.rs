//! Who we are to a registry, checked and written down: in the file that `docker`, `podman` and
//! `skopeo` read, or by the program that it names.
//!
//! Decisions:
//! - Nothing is written down that the registry does not accept. One that asks for nothing accepts
//!   anything.
//! - What else is in the file stays as it is. A file with something that can't be read as JSON is
//!   not touched.
//! - The file appears whole, for its owner only (mode 0600). A link is followed, as Docker does:
//!   where it leads, the file is replaced.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::credentials::{self, HUB, plain};
use super::helper::run_helper;
use super::http::Reply;
use super::problem::Problem;
use super::push::endpoint;
use super::retry::Attempts;
use super::session::{Answer, Call, Session, To};
use super::{Credentials, Options};
use crate::{Error, Observer, reference};

/// A registry, or a part of one, that one can be known to: `quay.io`, `localhost:5000`,
/// `quay.io/team`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    registry: String,
    /// With a slash in front; or empty.
    path: String,
}

/// Whether credentials are good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// The registry takes them.
    Accepted,
    /// The registry did not ask for any.
    NotAsked,
}

impl Account {
    /// Reads a name; `https://` and slashes around it are left out, and Docker Hub is `docker.io`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Account, Error> {
        let wrong = || Error::Registrar { text: text.to_owned() };
        let name = plain(text.trim());
        // Written in the file, it has to be found there again.
        if plain(name) != name {
            return Err(wrong());
        }
        let (registry, path) = name.split_at(name.find('/').unwrap_or(name.len()));
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if !registry.bytes().all(allowed) || registry.starts_with('-') || !has_port_of_its_own(registry) {
            return Err(wrong());
        }
        // In the name of an image, anything else would be a part of Docker Hub, and so would the
        // password go there.
        if !registry.contains(['.', ':']) && registry != "localhost" {
            return Err(wrong());
        }
        if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte)) || path.contains("//") {
            return Err(wrong());
        }
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => "docker.io",
            other => other,
        };
        Ok(Account { registry: registry.to_owned(), path: path.to_owned() })
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The whole name, as it stands in the file.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}{}", self.registry, self.path)
    }

    /// What a helper and Docker call it.
    fn server(&self) -> String {
        if self.registry == "docker.io" && self.path.is_empty() { HUB.to_owned() } else { self.name() }
    }

    /// Whether an entry is its.
    fn is(&self, written: &str) -> bool {
        let hub = matches!(plain(written), "index.docker.io" | "registry-1.docker.io");
        plain(written) == self.name() || hub && self.name() == "docker.io"
    }

    /// Asks the registry whether it knows somebody with these credentials; `options` say how to
    /// talk to it.
    ///
    /// # Errors
    /// When it does not, or can't be asked.
    pub fn check(&self, credentials: &Credentials, options: &Options, on: Observer<'_>) -> Result<Checked, Error> {
        let failed = |problem| Error::Login { registry: self.registry.clone(), source: Box::new(problem) };
        let options = Options { credentials: Some(credentials.clone()), ..options.clone() };
        let name = reference::parse(&format!("{}/any", self.registry))
            .map_err(|_| Error::Registrar { text: self.registry.clone() })?;
        let endpoint = endpoint(&name, &options, on)?.map_err(failed)?;
        self.try_check(&Session::with_scopes(endpoint, options, Vec::new(), on)).map_err(failed)
    }

    fn try_check(&self, session: &Session<'_>) -> Result<Checked, Problem> {
        let mut attempts = Attempts::new();
        loop {
            let failure = match session.exchange(Call::new(Method::GET, To::Registry)) {
                Ok(Answer::Reply { mut reply, .. }) => match reply.status() {
                    200 if session.is_authorized() => return Ok(Checked::Accepted),
                    200 => return is_of_registry(&mut reply).map(|()| Checked::NotAsked),
                    _ => session.refusal(&mut reply, "200"),
                },
                Ok(Answer::Renewed) => unreachable!("there is no content that could be gone"),
                Err(failure) => failure,
            };
            session.failed(&mut attempts, failure)?;
        }
    }
}

/// Refuses an answer that no registry gives: one that asks nobody for a password would be believed
/// to be a registry otherwise, and so would any other server that has something at every path.
fn is_of_registry(reply: &mut Reply) -> Result<(), Problem> {
    /// The body of a registry is `{}`, if there is one.
    const MAX_BYTES: u64 = 64 << 10;
    if reply.header("Docker-Distribution-Api-Version").is_some_and(|version| version.starts_with("registry/2")) {
        return Ok(());
    }
    if let Some(found) = reply.content_type().filter(|found| found == "text/html") {
        return Err(Problem::ContentType { host: reply.host.clone(), found, expected: "what a registry answers" });
    }
    let body = reply.body(MAX_BYTES)?;
    if !body.trim_ascii().is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
        let reason = "expected JSON, as registries send it".to_owned();
        return Err(Problem::Malformed { what: "the answer with status 200", reason });
    }
    Ok(())
}

/// Whether the colons of a host are those of an address in brackets, or stand before a port: the
/// host of `docker://quay.io` is not `docker:`.
fn has_port_of_its_own(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':').filter(|_| !registry.ends_with(']')) {
        Some((host, port)) => (host, port),
        None => (registry, "0"),
    };
    let is_address = host.starts_with('[') && host.ends_with(']');
    let is_host = !host.is_empty() && (is_address || !host.contains([':', '[', ']']));
    is_host && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// A file of credentials, to be changed.
#[derive(Debug)]
pub struct Logins {
    path: PathBuf,
    config: Map<String, Value>,
}

impl Logins {
    /// Reads the file; none is an empty one.
    ///
    /// # Errors
    /// When it can't be read or is of another form.
    pub fn open(path: &Path) -> Result<Logins, Error> {
        let path = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() => {
                fs::canonicalize(path).map_err(|source| Error::Logins { path: path.to_owned(), source })?
            }
            _ => path.to_owned(),
        };
        let read = credentials::read::<Map<String, Value>>(&path);
        let config = read.map_err(|problem| failed(&path, problem))?.unwrap_or_default();
        for name in ["auths", "credHelpers"] {
            if config.get(name).is_some_and(|value| !value.is_object() && !value.is_null()) {
                return Err(failed(&path, credentials::problem(&path, format!("{name} is not an object"))));
            }
        }
        Ok(Logins { path, config })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a user's password: here, or with the helper that the file names.
    ///
    /// # Errors
    /// When the helper does not take it, or the file can't be written.
    pub fn store(mut self, account: &Account, name: &str, password: &str, options: &Options) -> Result<(), Error> {
        let value = match self.helper(account) {
            Some(helper) => {
                let input = json!({ "ServerURL": account.server(), "Username": name, "Secret": password }).to_string();
                run_helper(&self.path, &helper, "store", input.as_bytes(), options)
                    .map_err(|problem| failed(&self.path, problem))?;
                if self.config.get("credHelpers").is_some_and(|helpers| has(helpers, account)) {
                    return Ok(());
                }
                // Docker marks so what its store has.
                json!({})
            }
            None => json!({ "auth": STANDARD.encode(format!("{name}:{password}")) }),
        };
        let auths = self.config.entry("auths").or_insert_with(|| json!({}));
        if auths.is_null() {
            *auths = json!({});
        }
        let auths = auths.as_object_mut().expect("it was looked at");
        // An entry under another spelling would be found first.
        auths.retain(|written, _| !account.is(written));
        let docker = self.path.file_name().is_some_and(|name| name == "config.json");
        auths.insert(if docker { account.server() } else { account.name() }, value);
        self.write()
    }

    /// Forgets the credentials for a registry, here and with the helper that the file names.
    ///
    /// # Errors
    /// When there are none, the helper does not do it, or the file can't be written.
    pub fn erase(mut self, account: &Account, options: &Options) -> Result<(), Error> {
        let mut found = false;
        if let Some(helper) = self.helper(account) {
            let known = run_helper(&self.path, &helper, "get", account.server().as_bytes(), options)
                .map_err(|problem| failed(&self.path, problem))?;
            found = known.is_some();
            if found {
                run_helper(&self.path, &helper, "erase", account.server().as_bytes(), options)
                    .map_err(|problem| failed(&self.path, problem))?;
            }
        }
        let before = self.entries();
        if let Some(auths) = self.config.get_mut("auths").and_then(Value::as_object_mut) {
            auths.retain(|written, _| !account.is(written));
        }
        if self.entries() < before {
            return self.write();
        }
        if found {
            return Ok(());
        }
        Err(Error::NotLoggedIn { registry: account.name(), path: self.path })
    }

    /// Forgets all credentials that the file has, and those that it says a helper has: for how many
    /// registries.
    ///
    /// # Errors
    /// When a helper does not do it, or the file can't be written.
    pub fn erase_all(mut self, options: &Options) -> Result<usize, Error> {
        let keys = |name: &str| -> Vec<String> {
            let object = self.config.get(name).and_then(Value::as_object);
            object.map(|object| object.keys().cloned().collect()).unwrap_or_default()
        };
        let mut names = keys("auths");
        names.extend(keys("credHelpers"));
        names.sort();
        names.dedup();
        for account in names.iter().filter_map(|name| Account::parse(name).ok()) {
            if let Some(helper) = self.helper(&account) {
                run_helper(&self.path, &helper, "erase", account.server().as_bytes(), options)
                    .map_err(|problem| failed(&self.path, problem))?;
            }
        }
        if self.entries() > 0 {
            self.config.insert("auths".to_owned(), json!({}));
            self.write()?;
        }
        Ok(names.len())
    }

    fn entries(&self) -> usize {
        self.config.get("auths").and_then(Value::as_object).map_or(0, Map::len)
    }

    /// The helper that has, or is to have, the credentials for a registry.
    fn helper(&self, account: &Account) -> Option<String> {
        let helpers = self.config.get("credHelpers").and_then(Value::as_object);
        let own = helpers.and_then(|helpers| helpers.iter().find(|(written, _)| account.is(written)));
        let helper = own.map(|(_, helper)| helper).or_else(|| self.config.get("credsStore"))?.as_str()?;
        (!helper.is_empty()).then(|| helper.to_owned())
    }

    fn write(&self) -> Result<(), Error> {
        let failed = |source| Error::Logins { path: self.path.clone(), source };
        let mut text = Vec::new();
        let form = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, form);
        serde::Serialize::serialize(&self.config, &mut serializer).expect("it was JSON");
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let mut file = tempfile::Builder::new()
            .prefix(".cvbake-")
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(dir)
            .map_err(failed)?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(&self.path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn has(helpers: &Value, account: &Account) -> bool {
    helpers.as_object().is_some_and(|helpers| helpers.keys().any(|written| account.is(written)))
}

fn failed(path: &Path, problem: Problem) -> Error {
    match problem {
        Problem::Credentials { path, reason } => {
            // The number means nothing to most users.
            let reason = reason.split(" (os error ").next().unwrap_or_default().to_owned();
            Error::Logins { path, source: io::Error::other(reason) }
        }
        problem => Error::Logins { path: path.to_owned(), source: io::Error::other(problem.to_string()) },
    }
}

#[cfg(test)]
mod tests;
