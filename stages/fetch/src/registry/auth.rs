//! What a registry wants to see before it answers: the challenge of a 401, and tokens.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::credentials::Credentials;
use super::guard::{bare, is_loopback};
use super::http::{Http, Reply, Request, has_user, place, shown, shown_text};
use super::options::Options;
use super::problem::{Problem, shorten};
use super::retry::{Attempts, Failure, retry_after};
use crate::Observer;

/// The most that is read of a token server's answer. Tokens with many claims have some kilobytes.
const MAX_TOKEN_BYTES: u64 = 1 << 20;

/// What a server asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Challenge {
    /// A name and a password.
    Basic,
    /// A token.
    Bearer {
        /// Who gives it out, a URL.
        realm: String,
        /// What that is to be told about who wants to see it.
        service: Option<String>,
    },
}

impl Challenge {
    /// The challenges of one header `WWW-Authenticate`, of which only those that can be met:
    /// `scheme key=value, key="value", scheme …`.
    #[must_use]
    pub fn all(header: &str) -> Vec<Challenge> {
        parse(header)
    }

    /// The one to be met of those that an answer has: a token rather than a password.
    pub(super) fn from_reply(reply: &Reply) -> Result<Challenge, Problem> {
        let all: Vec<Challenge> = reply.headers("WWW-Authenticate").flat_map(Challenge::all).collect();
        let bearer = all.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        bearer.or(all.first()).cloned().ok_or_else(|| {
            let found: Vec<&str> = reply.headers("WWW-Authenticate").collect();
            let found = match found.is_empty() {
                true => "none".to_owned(),
                false => format!("{:?}", shorten(&found.join(", "))),
            };
            let reason =
                format!("expected a header WWW-Authenticate with Basic, or with Bearer and a realm, found {found}");
            Problem::Malformed { what: "the answer with status 401", reason }
        })
    }
}

fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let end = rest.find([' ', '=', ',', '\t']).unwrap_or(rest.len());
        let word = rest[..end].to_ascii_lowercase();
        let after = rest[end..].trim_start();
        if let Some(value) = after.strip_prefix('=') {
            let (value, after) = parse_value(value.trim_start());
            if let Some((_, parameters)) = challenges.last_mut() {
                parameters.push((word, value));
            }
            rest = after;
        } else {
            challenges.push((word, Vec::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    let known = challenges.into_iter().filter_map(|(scheme, parameters)| {
        let get = |name| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        match scheme.as_str() {
            "basic" => Some(Challenge::Basic),
            "bearer" => Some(Challenge::Bearer { realm: get("realm")?, service: get("service") }),
            _ => None,
        }
    });
    known.collect()
}

/// A token or a quoted string, and what comes after it.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// The value of `Authorization` for a user.
pub(super) fn basic(name: &str, password: &str) -> Result<HeaderValue, Problem> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
}

/// The value of `Authorization` with a token.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, Problem> {
    secret(&format!("Bearer {token}"))
}

fn secret(text: &str) -> Result<HeaderValue, Problem> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Problem::Malformed {
        what: "the token",
        reason: "it has characters in it that cannot be sent".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Who gives out tokens, for what.
pub(super) struct TokenServer<'a> {
    pub(super) http: &'a Arc<Http>,
    pub(super) options: &'a Options,
    /// Where the registry is.
    pub(super) registry: &'a Url,
    /// What a token is to be good for.
    pub(super) scopes: &'a [String],
    pub(super) realm: &'a str,
    pub(super) service: Option<&'a str>,
    /// Whether it has answered before.
    pub(super) known: bool,
    pub(super) on: Observer<'a>,
}

#[derive(serde::Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl TokenServer<'_> {
    /// A token, as the value of `Authorization`.
    pub(super) fn token(&self, credentials: Option<&Credentials>) -> Result<HeaderValue, Problem> {
        let realm = self.check_realm()?;
        let mut attempts = Attempts::new();
        if self.known {
            attempts.answered();
        }
        loop {
            match self.ask(&realm, credentials) {
                Ok(value) => return Ok(value),
                Err(failure) => {
                    let failed = attempts.failed(self.options, &place(&realm), failure, self.on);
                    failed.map_err(|problem| match problem {
                        problem @ Problem::Address { .. } => {
                            Problem::Realm { realm: shown(&realm), reason: problem.to_string() }
                        }
                        problem => Problem::Token { realm: shown(&realm), source: Box::new(problem) },
                    })?;
                }
            }
        }
    }

    fn check_realm(&self) -> Result<Url, Problem> {
        let refused = |realm: String, reason: &str| Problem::Realm { realm, reason: reason.to_owned() };
        let realm = Url::parse(self.realm).map_err(|error| refused(shown_text(self.realm), &error.to_string()))?;
        // It would be sent in the place of ours.
        if has_user(&realm) {
            return Err(refused(shown(&realm), "it contains a user name"));
        }
        let host = realm.host_str().unwrap_or_default();
        match realm.scheme() {
            "https" => Ok(realm),
            "http" if self.registry.scheme() == "https" => Err(refused(shown(&realm), "it leads from https to http")),
            // Who accepts plain http for a registry does not for the rest of the world.
            "http" if Some(host) == self.registry.host_str() || is_loopback(bare(host)) => Ok(realm),
            "http" => Err(refused(shown(&realm), "expected https")),
            _ => Err(refused(shown(&realm), "expected https")),
        }
    }

    fn ask(&self, realm: &Url, credentials: Option<&Credentials>) -> Result<HeaderValue, Failure> {
        let mut request = Request::get(realm.clone());
        match credentials {
            Some(Credentials::Identity(token)) => {
                let mut form = Url::parse("form:").expect("a URL");
                form.query_pairs_mut()
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("service", self.service.unwrap_or_default())
                    .append_pair("client_id", "cvbake")
                    .append_pair("scope", &self.scopes.join(" "))
                    .append_pair("refresh_token", token);
                request.form = Some(form.query().unwrap_or_default().to_owned());
            }
            credentials => {
                let mut query = request.url.query_pairs_mut();
                if let Some(service) = self.service {
                    query.append_pair("service", service);
                }
                for scope in self.scopes {
                    query.append_pair("scope", scope);
                }
                drop(query);
                if let Some(Credentials::User { name, password }) = credentials {
                    request.url.query_pairs_mut().append_pair("account", name);
                    request.authorization = Some(basic(name, password)?);
                }
            }
        }
        let mut reply = self.http.send(&request)?;
        match reply.status() {
            200 => {}
            status @ (400 | 401 | 403) => {
                let (with, message) = (Credentials::describe(credentials), reply.message());
                return Err(Problem::Denied { status, with, message }.into());
            }
            _ => return Err(unexpected(&mut reply, "200")),
        }
        if reply.content_type().is_some_and(|found| found == "text/html") {
            let (host, found) = (reply.host.clone(), "text/html".to_owned());
            return Err(Problem::ContentType { host, found, expected: "a token as JSON" }.into());
        }
        let malformed = |reason: String| Problem::Malformed { what: "the token server's answer", reason };
        let body = reply.body(MAX_TOKEN_BYTES)?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            malformed(format!("it is not of the expected JSON form, line {line}, column {column}"))
        })?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        Ok(bearer(&token.ok_or_else(|| malformed("it has neither token nor access_token".to_owned()))?)?)
    }
}

/// The failure of an answer with a status that nobody wants.
pub(super) fn unexpected(reply: &mut Reply, expected: &'static str) -> Failure {
    let wait = reply.header("Retry-After").and_then(|text| retry_after(text, super::retry::now()));
    let (host, status) = (reply.host.clone(), reply.status());
    let wait = wait.filter(|_| matches!(status, 429 | 503));
    Failure { problem: Problem::Status { host, status, expected, message: reply.message() }, wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let bearer = |realm: &str, service: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        };
        let table = [
            ("Basic realm=\"x\"", vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                r#"Bearer realm="https://a/t",service="a b",scope="repository:x:pull,push""#,
                vec![bearer("https://a/t", Some("a b"))],
            ),
            (r#"BEARER realm=https://a/t , error="x\"y""#, vec![bearer("https://a/t", None)]),
            (r#"Negotiate, Basic realm="r", Bearer realm="z""#, vec![Challenge::Basic, bearer("z", None)]),
            ("Bearer service=\"s\"", vec![]),
            ("Digest a=\"b\"", vec![]),
            ("Bearer realm=\"open", vec![bearer("open", None)]),
            ("=,=,\"", vec![]),
            ("", vec![]),
        ];
        for (header, expected) in table {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    #[test]
    fn tokens_are_header_values() {
        assert!(bearer("a.b-c_d").is_ok());
        assert!(matches!(bearer("a\r\nX: y"), Err(Problem::Malformed { .. })));
    }
}
