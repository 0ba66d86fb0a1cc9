//! HTTP, one request at a time from any thread: no answer is waited for longer than something arrives, no redirect is followed blindly,
//! and credentials stay with the server they are for.

mod exchange;
mod stream;

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url};
use tokio::runtime::Runtime;

use super::guard::{Guard, bare, is_loopback};
use super::options::Options;
use super::problem::{Problem, plain, shorten};
use super::proxy::Rules;
use super::tls::{Reading, Tls, about_certificates, unusable};

pub(super) use self::exchange::{Content, Exchange, upload_location};
pub(super) use self::stream::Stream;

/// How many redirects lead from one request to its answer. Registries have one or two: to storage, and from there to a network of caches.
const MAX_REDIRECTS: usize = 10;

/// The most that is read of an answer that says why something failed.
const MAX_ERROR_BYTES: u64 = 64 << 10;

/// How long making a connection may take, if silence may not take even less.
const CONNECT: Duration = Duration::from_secs(10);

const USER_AGENT: &str = concat!("cvbake/", env!("CARGO_PKG_VERSION"));

/// A client for one registry and whatever it leads to.
pub(super) struct Http {
    /// Where the registry is, with TLS.
    base: Url,
    /// For the registry itself: with what we show to it, and what it may show to us.
    own: Client,
    /// For where it leads.
    other: Client,
    runtime: Runtime,
    guard: Guard,
    proxies: Arc<Rules>,
    stall: Duration,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// What is asked of a server.
#[derive(Debug)]
pub(super) struct Request {
    /// What is asked, if there is no form: something that changes nothing.
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// The value of `Authorization`, which is sent to no other server.
    pub(super) authorization: Option<HeaderValue>,
    /// A form to be posted.
    pub(super) form: Option<String>,
}

impl Request {
    pub(super) fn get(url: Url) -> Request {
        Request { method: Method::GET, url, headers: HeaderMap::new(), authorization: None, form: None }
    }
}

impl Http {
    /// A client for a registry: `base` is where it is with TLS, `registry` what references call it.
    pub(super) fn new(base: Url, registry: &str, insecure: bool, options: &Options) -> Result<Http, Problem> {
        let setup = |reason: String| Problem::Setup { reason };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cvbake-fetch")
            .enable_all()
            .build()
            .map_err(|error| setup(error.to_string()))?;
        let proxies = Arc::new(Rules::new(&options.proxies)?);
        let guard = Guard::new(bare(base.host_str().unwrap_or_default()), proxies.hosts());
        // On this machine registries rarely have TLS, and are asked without it first.
        let rarely = is_loopback(bare(base.host_str().unwrap_or_default()));
        let reading = if rarely { Reading::WhenNeeded } else { Reading::Now };
        let tls = Tls::load(&options.certificates, registry, reading)?;
        let client = |own: bool| {
            let rules = Arc::clone(&proxies);
            let builder = Client::builder()
                .user_agent(USER_AGENT)
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .proxy(reqwest::Proxy::custom(move |url| rules.of(url).cloned()))
                .connect_timeout(CONNECT.min(options.stall))
                .dns_resolver(Arc::new(guard.clone()))
                .tls_backend_preconfigured(tls.config(own, insecure)?);
            builder.build().map_err(|error| setup(chain(&error)))
        };
        let own = client(true)?;
        let other = if insecure || tls.has_identity() { client(false)? } else { own.clone() };
        Ok(Http { base, own, other, runtime, guard, proxies, stall: options.stall })
    }

    /// Whether a URL is one of the registry itself, with TLS or without.
    fn is_own(&self, url: &Url) -> bool {
        url.host_str() == self.base.host_str() && url.port() == self.base.port()
    }

    fn client(&self, url: &Url) -> &Client {
        if self.is_own(url) { &self.own } else { &self.other }
    }

    /// Sends a request and waits for the head of the answer, whatever its status.
    pub(super) fn send(self: &Arc<Http>, request: &Request) -> Result<Reply, Problem> {
        let mut url = request.url.clone();
        let mut own = true;
        for _ in 0..=MAX_REDIRECTS {
            self.guard.check(&url)?;
            let reply = self.send_once(request, &url, own)?;
            let redirect = matches!(reply.status(), 301 | 302 | 303 | 307 | 308) && request.form.is_none();
            let Some(location) = reply.header(LOCATION.as_str()).filter(|_| redirect) else { return Ok(reply) };
            let next = follow(&url, location)?;
            own = own && next.origin() == url.origin();
            url = next;
        }
        let reason = format!("more than {MAX_REDIRECTS} redirects");
        Err(Problem::Redirect { host: place(&request.url), to: shown(&url), reason })
    }

    fn send_once(self: &Arc<Http>, request: &Request, url: &Url, own: bool) -> Result<Reply, Problem> {
        let method = if request.form.is_some() { Method::POST } else { request.method.clone() };
        let mut builder = self.client(url).request(method, url.clone()).headers(request.headers.clone());
        if let Some(authorization) = request.authorization.as_ref().filter(|_| own) {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let Some(form) = &request.form {
            builder = builder.header("Content-Type", "application/x-www-form-urlencoded").body(form.clone());
        }
        let host = place(url);
        let response = self.wait(&host, "cannot reach", builder.send()).map_err(|problem| match problem {
            Problem::Transport { what, host, mut reason, connecting, foreign } => {
                if let Some(proxy) = self.proxies.of(url) {
                    reason = format!("{reason} (through the proxy {})", place(proxy));
                }
                Problem::Transport { what, host, reason, connecting, foreign }
            }
            problem => problem,
        })?;
        Ok(Reply { http: Arc::clone(self), response, host, own })
    }

    /// Waits for the next thing to arrive.
    fn wait<T>(
        &self,
        host: &str,
        what: &'static str,
        future: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<T, Problem> {
        let (host, limit) = (host.to_owned(), self.stall);
        match self.runtime.block_on(async { tokio::time::timeout(limit, future).await }) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(explain(error, what, host)),
            Err(_) => Err(Problem::Stalled { host, limit }),
        }
    }
}

fn explain(error: reqwest::Error, what: &'static str, host: String) -> Problem {
    let error = error.without_url();
    let mut foreign = false;
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(Problem::Address { host, address, registry }) = inner.downcast_ref() {
            return Problem::Address { host: host.clone(), address: *address, registry: registry.clone() };
        }
        let tls = peel(inner).downcast_ref();
        if let Some(problem) = tls.and_then(unusable) {
            return problem;
        }
        if let Some(reason) = tls.and_then(about_certificates) {
            return Problem::Untrusted { host, reason };
        }
        foreign |= inner.downcast_ref().is_some_and(hyper::Error::is_parse);
        cause = inner.source();
    }
    let connecting = error.is_connect();
    let what = if connecting || what != "cannot reach" { what } else { "no answer from" };
    Problem::Transport { what, host, reason: chain(&error), connecting, foreign }
}

/// What input and output errors are made of, which is not among their causes.
fn peel<'e>(mut error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    while let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = inner;
    }
    error
}

/// The innermost two causes: the outer ones are layers of the client.
fn chain(error: &reqwest::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = plain(&inner.to_string()).to_owned();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        cause = inner.source();
    }
    let inner = texts.len().saturating_sub(2).max(usize::from(texts.len() > 1));
    shorten(&texts[inner..].join(": "))
}

/// Where a redirect leads, if it may be followed.
fn follow(from: &Url, location: &str) -> Result<Url, Problem> {
    let refused = |to: String, reason: &str| Problem::Redirect { host: place(from), to, reason: reason.to_owned() };
    let to = from.join(location).map_err(|error| refused(shorten(location), &error.to_string()))?;
    if !matches!(to.scheme(), "http" | "https") {
        return Err(refused(shown(&to), "expected http or https"));
    }
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(refused(shown(&to), "it leads from https to http"));
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Err(refused(shown(&to), "it contains a user name"));
    }
    Ok(to)
}

/// The host and port of a URL.
pub(super) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A URL without what may be secret or long.
pub(super) fn shown(url: &Url) -> String {
    shorten(&format!("{}://{}{}", url.scheme(), place(url), url.path()))
}

/// An answer: its head, and then its body as it comes.
#[derive(Debug)]
pub(super) struct Reply {
    http: Arc<Http>,
    response: Response,
    /// Who answered.
    pub(super) host: String,
    /// Whether that is the server that was asked.
    pub(super) own: bool,
}

impl Reply {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// All values of a header.
    pub(super) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.response.headers().get_all(name).into_iter().filter_map(|value| value.to_str().ok())
    }

    /// The media type of the body, without parameters.
    pub(super) fn content_type(&self) -> Option<String> {
        let text = self.header("Content-Type")?.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn content_length(&self) -> Option<u64> {
        self.header("Content-Length")?.parse().ok()
    }

    /// The next bytes of the body.
    pub(super) fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        self.http.wait(&self.host, "lost the connection to", self.response.chunk())
    }

    /// The whole body.
    pub(super) fn body(&mut self, limit: u64) -> Result<Vec<u8>, Problem> {
        let too_large = |host: &str| Problem::TooLarge { host: host.to_owned(), limit };
        if self.content_length().is_some_and(|length| length > limit) {
            return Err(too_large(&self.host));
        }
        let mut body = Vec::new();
        while let Some(bytes) = self.chunk()? {
            if (body.len() + bytes.len()) as u64 > limit {
                return Err(too_large(&self.host));
            }
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    /// What the server says about an error, if it says it in a way that can be shown.
    pub(super) fn message(&mut self) -> String {
        #[derive(serde::Deserialize)]
        struct Errors {
            errors: Option<Vec<Said>>,
            error: Option<serde_json::Value>,
            error_description: Option<String>,
            details: Option<serde_json::Value>,
            message: Option<String>,
        }
        #[derive(serde::Deserialize)]
        struct Said {
            code: Option<String>,
            message: Option<String>,
        }
        let Ok(body) = self.body(MAX_ERROR_BYTES) else { return String::new() };
        let text = |value: serde_json::Value| value.as_str().map(str::to_owned);
        let said = match serde_json::from_slice::<Errors>(&body) {
            Ok(Errors { errors: Some(errors), .. }) if !errors.is_empty() => {
                let Said { code, message } = &errors[0];
                [code.as_deref(), message.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(": ")
            }
            Ok(parsed) => parsed
                .error_description
                .or(parsed.message)
                .or_else(|| parsed.details.and_then(text))
                .or_else(|| parsed.error.and_then(text))
                .unwrap_or_default(),
            Err(_) if self.content_type().as_deref() == Some("text/plain") => {
                String::from_utf8_lossy(&body).into_owned()
            }
            Err(_) => String::new(),
        };
        shorten(&said)
    }

    /// Whether the server speaks TLS and was not spoken to so.
    pub(super) fn wants_tls(&mut self) -> bool {
        let body = |reply: &mut Reply| reply.body(MAX_ERROR_BYTES).unwrap_or_default();
        self.response.status() == StatusCode::BAD_REQUEST && String::from_utf8_lossy(&body(self)).contains("HTTPS")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Wherever a redirect leads, TLS stays, no password comes along, and what is refused is told in short.
        #[test]
        fn wherever_redirects_lead(any in "\\PC{0,400}", url in "(https?|ftp|file)?:?/{0,2}[a-z0-9@:.%?#/\\[\\]]{0,300}") {
            let from = Url::parse("https://a.example/v2/x").unwrap();
            for location in [any, url] {
                match follow(&from, &location) {
                    Ok(to) => {
                        prop_assert!(to.scheme() == "https" && to.host_str().is_some(), "{:?}: {}", location, to);
                        prop_assert!(to.username().is_empty() && to.password().is_none(), "{:?}: {}", location, to);
                    }
                    Err(problem) => prop_assert!(problem.line().len() < 4000, "{:?}", location),
                }
            }
        }
    }

    #[test]
    fn redirects() {
        let https = Url::parse("https://a.example/v2/x").unwrap();
        let http = Url::parse("http://localhost:5000/v2/x").unwrap();
        assert_eq!(follow(&https, "/b?c").unwrap().as_str(), "https://a.example/b?c");
        assert_eq!(follow(&http, "https://b.example/").unwrap().as_str(), "https://b.example/");
        for (from, to) in [
            (&https, "http://a.example/v2/x"),
            (&https, "file:///etc/passwd"),
            (&http, "ftp://a.example/"),
            (&https, "https://user:pw@a.example/"),
            (&https, "https://[/"),
        ] {
            assert!(matches!(follow(from, to), Err(Problem::Redirect { .. })), "{to}");
        }
    }
}
