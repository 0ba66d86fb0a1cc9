//! One repository of one registry: which scheme it speaks, who we are to it, and requests that
//! survive its bad days.

mod exchange;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Url};

use super::auth::{Challenge, TokenServer, basic, bearer, unexpected};
use super::config::Endpoint;
use super::credentials::Credentials;
use super::guard::{bare, is_loopback};
use super::http::{Http, Reply, Request, shown_text};
use super::options::Options;
use super::problem::Problem;
use super::retry::{Attempts, Failure};
use crate::Event;

pub(super) use self::exchange::{Answer, Call, To};

pub(super) struct Session<'s> {
    place: Endpoint,
    options: Options,
    /// What a token is to be good for; the first is what it must be good for.
    scopes: Vec<String>,
    state: Mutex<State>,
    /// Whether the registry has ever answered.
    answered: AtomicBool,
    on: &'s (dyn Fn(Event) + Sync),
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
    pub(super) fn new(place: Endpoint, options: Options, on: &'s (dyn Fn(Event) + Sync)) -> Session<'s> {
        let scopes = vec![format!("repository:{}:pull", place.repository)];
        Session::with_scopes(place, options, scopes, on)
    }

    /// One whose tokens are good for something else.
    pub(super) fn with_scopes(
        place: Endpoint,
        options: Options,
        scopes: Vec<String>,
        on: &'s (dyn Fn(Event) + Sync),
    ) -> Session<'s> {
        Session { place, options, scopes, state: Mutex::default(), answered: AtomicBool::new(false), on }
    }

    /// The registry.
    pub(super) fn host(&self) -> &str {
        &self.place.registry
    }

    /// The registry with the path in it.
    pub(super) fn repository(&self) -> String {
        format!("{}/{}", self.place.registry, self.place.repository)
    }

    /// The tag that an image has there.
    pub(super) fn tag(&self) -> Option<&str> {
        self.place.tag.as_deref()
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
        let url = base.join(&format!("/v2/{}/{path}", self.place.repository));
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

    /// Sends something, and once more with fresh authorization if the registry asks for it. `None`
    /// if it can't be sent twice: then there is fresh authorization now.
    fn authorized(
        &self,
        send: &mut dyn FnMut(Option<HeaderValue>) -> Option<Result<Reply, Problem>>,
    ) -> Result<Option<Reply>, Failure> {
        let (authorization, generation) = self.authorization();
        let reply = send(authorization).expect("it can be sent once")?;
        self.answered.store(true, Ordering::Relaxed);
        if reply.status() != 401 || !reply.own {
            return Ok(Some(reply));
        }
        let Some(fresh) = self.authorize(&Challenge::of(&reply)?, generation)? else { return Ok(Some(reply)) };
        drop(reply);
        Ok(send(Some(fresh)).transpose()?)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // What is in it is whole at any time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn authorization(&self) -> (Option<HeaderValue>, u64) {
        let state = self.state();
        (state.authorization.clone(), state.generation)
    }

    fn presented(&self) -> String {
        let state = self.state();
        let credentials = state.credentials.as_ref().and_then(Option::as_ref);
        match (credentials, &state.authorization) {
            (None, Some(_)) => "an anonymous token".to_owned(),
            _ => Credentials::describe(credentials),
        }
    }

    /// Meets a challenge; `None` if there is nothing to meet it with.
    fn authorize(&self, challenge: &Challenge, generation: u64) -> Result<Option<HeaderValue>, Problem> {
        // One thread does it; the others wait, and find it done.
        let state = &mut *self.state();
        if state.generation != generation {
            return Ok(state.authorization.clone());
        }
        let Some(Connection { http, base }) = state.connection.clone() else { return Ok(None) };
        if state.credentials.is_none() {
            let found = match &self.options.credentials {
                Some(given) => Some(given.clone()),
                None => Credentials::find(&self.options, &self.place.registry, &self.place.repository)?,
            };
            if self.options.credentials.is_some() {
                tracing::debug!("{}: using the credentials that were given", self.host());
            } else if found.is_none() {
                tracing::debug!("{}: there are no credentials for it", self.host());
            }
            state.credentials = Some(found);
        }
        let credentials = state.credentials.as_ref().and_then(Option::as_ref);
        let fresh = match (challenge, credentials) {
            (_, Some(Credentials::Registry(token))) => bearer(token)?,
            (Challenge::Basic, Some(Credentials::User { name, password })) => basic(name, password)?,
            (Challenge::Basic, _) => return Ok(None),
            (Challenge::Bearer { realm, service }, credentials) => {
                let (registry, options, service, on) = (&base, &self.options, service.as_deref(), self.on);
                // Who has given a token before.
                let known = state.generation > 0;
                let server = |scopes| TokenServer { http: &http, options, registry, scopes, realm, service, on, known };
                match server(&self.scopes).token(credentials) {
                    // Some want to know nothing of repositories that one can't read.
                    Err(problem) if problem.is_denied() && self.scopes.len() > 1 => {
                        server(&self.scopes[..1]).token(credentials)?
                    }
                    token => token?,
                }
            }
        };
        match challenge {
            Challenge::Basic => tracing::debug!("{} wants a password", self.host()),
            Challenge::Bearer { realm, .. } => {
                tracing::debug!("{} wants a token, which {} gives", self.host(), shown_text(realm));
            }
        }
        // The same again would be refused again.
        if state.authorization.as_ref() == Some(&fresh) {
            return Ok(None);
        }
        state.authorization = Some(fresh.clone());
        state.generation += 1;
        Ok(Some(fresh))
    }

    /// The connection, made when first needed: what is complete in the store needs none.
    fn connection(&self) -> Result<Connection, Problem> {
        let mut state = self.state();
        if let Some(connection) = &state.connection {
            return Ok(connection.clone());
        }
        let host = self.place.host();
        let malformed = |reason: String| Problem::Malformed { what: "the name of the registry", reason };
        let url = |scheme: &str| Url::parse(&format!("{scheme}://{host}/")).map_err(|e| malformed(e.to_string()));
        let secure = url("https")?;
        let name = secure.host_str().unwrap_or_default().to_owned();
        let (registry, insecure) = (&self.place.registry, self.place.insecure);
        let http = Arc::new(Http::new(secure.clone(), registry, insecure, &self.options)?);
        let base = if is_loopback(bare(&name)) {
            choose(&http, url("http")?, secure)?
        } else if self.place.insecure {
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
