//! One repository of one registry: which scheme it speaks, who we are to it, and requests that
//! survive its bad days.

mod authorization;
mod call;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Url};

use super::auth::unexpected;
use super::config::Endpoint;
use super::credentials::Credentials;
use super::guard::{bare, is_loopback};
use super::http::{Content, Exchange, Http, Reply, Request};
use super::options::Options;
use super::problem::Problem;
use super::retry::{Attempts, Failure};
use crate::Observer;

pub(super) use self::call::{Answer, Call, To};

pub(super) struct Session<'s> {
    endpoint: Endpoint,
    options: Options,
    /// What a token is to be good for; the first is what it must be good for.
    scopes: Vec<String>,
    state: Mutex<State>,
    /// Whether the registry has ever answered.
    answered: AtomicBool,
    on: Observer<'s>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Connection>,
    /// What is sent as `Authorization`.
    authorization: Option<HeaderValue>,
    /// How often that has changed.
    generation: u64,
    /// Looked for when first needed.
    credentials: Option<Option<Credentials>>,
}

#[derive(Debug, Clone)]
struct Connection {
    http: Arc<Http>,
    /// The registry, without path.
    base: Url,
}

impl<'s> Session<'s> {
    pub(super) fn new(endpoint: Endpoint, options: Options, on: Observer<'s>) -> Session<'s> {
        let scopes = vec![format!("repository:{}:pull", endpoint.repository)];
        Session::with_scopes(endpoint, options, scopes, on)
    }

    /// One whose tokens are good for something else.
    pub(super) fn with_scopes(
        endpoint: Endpoint,
        options: Options,
        scopes: Vec<String>,
        on: Observer<'s>,
    ) -> Session<'s> {
        Session { endpoint, options, scopes, state: Mutex::default(), answered: AtomicBool::new(false), on }
    }

    /// The registry.
    pub(super) fn host(&self) -> &str {
        &self.endpoint.registry
    }

    /// The registry with the path in it.
    pub(super) fn repository(&self) -> String {
        format!("{}/{}", self.endpoint.registry, self.endpoint.repository)
    }

    /// The tag that an image has there.
    pub(super) fn tag(&self) -> Option<&str> {
        self.endpoint.tag.as_deref()
    }

    /// Waits before the next attempt, or says that there should be none.
    pub(super) fn failed(&self, attempts: &mut Attempts, failure: Failure) -> Result<(), Problem> {
        if self.answered.load(Ordering::Relaxed) {
            attempts.answered();
        }
        attempts.failed(&self.options, self.host(), failure, self.on)
    }

    /// Asks for something of the repository until there is an answer, with one of these statuses.
    pub(super) fn get(
        &self,
        path: &str,
        accept: &str,
        wanted: &'static str,
        attempts: &mut Attempts,
    ) -> Result<Reply, Problem> {
        loop {
            match self.try_get(path, accept, None, wanted) {
                Ok(reply) => return Ok(reply),
                Err(failure) => self.failed(attempts, failure)?,
            }
        }
    }

    /// The same at a URL of the registry's.
    pub(super) fn get_at(
        &self,
        url: &Url,
        accept: &str,
        wanted: &'static str,
        attempts: &mut Attempts,
    ) -> Result<Reply, Problem> {
        loop {
            match self.try_get_at(url.clone(), accept, None, wanted) {
                Ok(reply) => return Ok(reply),
                Err(failure) => self.failed(attempts, failure)?,
            }
        }
    }

    /// Where something of the repository is.
    pub(super) fn url(&self, path: &str) -> Result<Url, Problem> {
        let Connection { base, .. } = self.connection()?;
        let url = base.join(&format!("/v2/{}/{path}", self.endpoint.repository));
        url.map_err(|error| Problem::Malformed { what: "the reference", reason: error.to_string() })
    }

    /// Asks once; `from` is the first byte that is wanted of a blob.
    pub(super) fn try_get(
        &self,
        path: &str,
        accept: &str,
        from: Option<u64>,
        wanted: &'static str,
    ) -> Result<Reply, Failure> {
        self.try_get_at(self.url(path)?, accept, from, wanted)
    }

    fn try_get_at(&self, url: Url, accept: &str, from: Option<u64>, wanted: &'static str) -> Result<Reply, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("media types are header values"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(from) = from {
            headers.insert(RANGE, HeaderValue::from_str(&format!("bytes={from}-")).expect("digits"));
        }
        let mut reply = self.request(Method::GET, url, headers)?;
        match reply.status() {
            200 => Ok(reply),
            206 | 416 if from.is_some() => Ok(reply),
            404 => Err(Problem::NotFound { expected: wanted, message: reply.message() }.into()),
            status @ (401 | 403) if reply.own => {
                let (with, message) = (self.presented(), reply.message());
                Err(Problem::Denied { status, with, message }.into())
            }
            _ => Err(unexpected(&mut reply, wanted)),
        }
    }

    /// Sends a request that changes nothing.
    fn request(&self, method: Method, url: Url, headers: HeaderMap) -> Result<Reply, Failure> {
        let Connection { http, .. } = self.connection()?;
        let mut request = Request { method, url, headers, authorization: None, form: None };
        let reply = self.authorized(&mut |authorization| {
            request.authorization = authorization;
            Some(http.send(&request))
        })?;
        Ok(reply.expect("what has no content can be sent again"))
    }

    /// Asks once, and once more with fresh authorization if the registry wants that and the content
    /// is still there.
    pub(super) fn exchange(&self, call: Call<'_>) -> Result<Answer, Failure> {
        let Connection { http, base } = self.connection()?;
        let Call { method, to, headers, content } = call;
        let url = match to {
            To::Url(url) => url,
            To::Registry => base.join("/v2/").expect("a plain path"),
            To::Path(path) => self.url(&path)?,
        };
        let own = url.origin() == base.origin();
        let mut left = Some(content);
        let reply = self.authorized(&mut |authorization| {
            let content = left.take()?;
            if let Content::Bytes(bytes) = &content {
                left = Some(Content::Bytes(bytes.clone()));
            }
            let (method, url, headers) = (method.clone(), url.clone(), headers.clone());
            Some(http.exchange(Exchange { method, url, headers, authorization, own, content }))
        })?;
        Ok(match reply {
            Some(reply) => Answer::Reply { reply: Box::new(reply), url },
            None => Answer::Renewed,
        })
    }

    /// Whether the repository has something, by a request for its head; `None` if it can't be asked
    /// so.
    pub(super) fn head(&self, path: &str, accept: &str) -> Result<Option<Reply>, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("media types are header values"));
        let mut reply = self.request(Method::HEAD, self.url(path)?, headers)?;
        match reply.status() {
            200 => Ok(Some(reply)),
            404 | 405 | 501 => Ok(None),
            _ => Err(self.refusal(&mut reply, "200 or 404")),
        }
    }

    /// What an answer with another status than wanted means for a push.
    pub(super) fn refusal(&self, reply: &mut Reply, expected: &'static str) -> Failure {
        let host = reply.host.clone();
        match reply.status() {
            status @ (401 | 403) if reply.own => self.denied(status, reply.message()).into(),
            404 => Problem::NotFound { expected, message: reply.message() }.into(),
            status @ (405 | 501) => Problem::ReadOnly { host, status, message: reply.message() }.into(),
            413 => Problem::Oversize { host, message: reply.message() }.into(),
            _ => unexpected(reply, expected),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // What is in it is whole at any time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, made when first needed: what is complete in the store needs none.
    fn connection(&self) -> Result<Connection, Problem> {
        let mut state = self.state();
        if let Some(connection) = &state.connection {
            return Ok(connection.clone());
        }
        let host = self.endpoint.host();
        let malformed = |reason: String| Problem::Malformed { what: "the name of the registry", reason };
        let url = |scheme: &str| Url::parse(&format!("{scheme}://{host}/")).map_err(|e| malformed(e.to_string()));
        let secure = url("https")?;
        let name = secure.host_str().unwrap_or_default().to_owned();
        let (registry, insecure) = (&self.endpoint.registry, self.endpoint.insecure);
        let http = Arc::new(Http::new(secure.clone(), registry, insecure, &self.options)?);
        let base = if is_loopback(bare(&name)) {
            choose(&http, url("http")?, secure)?
        } else if self.endpoint.insecure {
            choose(&http, secure, url("http")?)?
        } else {
            secure
        };
        let connection = Connection { http, base };
        state.connection = Some(connection.clone());
        Ok(connection)
    }
}

/// Which of two schemes a registry speaks.
fn choose(http: &Arc<Http>, first: Url, second: Url) -> Result<Url, Problem> {
    let ping = |base: &Url| http.send(&Request::get(base.join("/v2/").expect("a plain path")));
    match ping(&first) {
        Ok(mut reply) => Ok(if reply.wants_tls() { second } else { first }),
        Err(Problem::Transport { foreign, .. }) => Ok(match ping(&second) {
            Ok(_) => second,
            // Ours, and nothing else will make them better.
            Err(problem @ Problem::Certificates { .. }) => return Err(problem),
            // It does speak TLS, and the request will say what is wrong with that.
            Err(Problem::Untrusted { .. }) => second,
            // So does who answers plain HTTP with something else, even if it only hangs up when it
            // does not like our certificate.
            Err(_) if foreign && second.scheme() == "https" => second,
            Err(_) => first,
        }),
        Err(problem @ (Problem::Address { .. } | Problem::Certificates { .. })) => Err(problem),
        // Whatever it is, the request itself will meet it, and try again.
        Err(_) => Ok(first),
    }
}

impl Endpoint {
    /// The registry as a URL has it.
    fn host(&self) -> &str {
        // Docker Hub's name is that of a web site.
        if self.registry == "docker.io" { "registry-1.docker.io" } else { &self.registry }
    }
}
