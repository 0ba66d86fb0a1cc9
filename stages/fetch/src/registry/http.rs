//! HTTP, one request at a time from any thread: no answer is waited for longer than enough of it
//! arrives, no redirect is followed blindly, and credentials stay with the server they are for.

mod exchange;
mod log;
mod pace;
mod reply;
mod stream;

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, Url};
use tokio::runtime::Runtime;

use super::guard::{Guard, bare, is_loopback};
use super::options::Options;
use super::problem::{Problem, plain, shorten};
use super::proxy::Rules;
use super::tls::{Reading, Tls, about_certificates, unusable};

pub(super) use self::exchange::{Content, Exchange, upload_location};
pub(super) use self::reply::Reply;
pub(super) use self::stream::Stream;

use self::pace::Pace;

/// How many redirects lead from one request to its answer. Registries have one or two: to storage,
/// and from there to a network of caches.
const MAX_REDIRECTS: usize = 10;

/// How many times as long as one answer all of them may take, with the last: who leads somewhere
/// else is quick as a rule.
const REDIRECTS_TAKE: u32 = 2;

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
    fn method_of(&self) -> Method {
        if self.form.is_some() { Method::POST } else { self.method.clone() }
    }

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
        let (start, limit) = (Instant::now(), self.stall * REDIRECTS_TAKE);
        for _ in 0..=MAX_REDIRECTS {
            self.guard.check(&url)?;
            let left = limit.saturating_sub(start.elapsed());
            let reply = self.send_once(request, &url, own, left.min(self.stall)).map_err(|problem| match problem {
                Problem::Late { .. } if left < self.stall => Problem::Late { host: place(&request.url), limit },
                problem => problem,
            })?;
            let redirect = matches!(reply.status(), 301 | 302 | 303 | 307 | 308) && request.form.is_none();
            let Some(location) = reply.header(LOCATION.as_str()).filter(|_| redirect) else { return Ok(reply) };
            let next = follow(&url, location)?;
            own = own && next.origin() == url.origin();
            url = next;
        }
        let reason = format!("more than {MAX_REDIRECTS} redirects");
        Err(Problem::Redirect { host: place(&request.url), to: shown(&url), reason })
    }

    fn send_once(self: &Arc<Http>, request: &Request, url: &Url, own: bool, limit: Duration) -> Result<Reply, Problem> {
        let mut builder = self.client(url).request(request.method_of(), url.clone()).headers(request.headers.clone());
        if let Some(authorization) = request.authorization.as_ref().filter(|_| own) {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let Some(form) = &request.form {
            builder = builder.header("Content-Type", "application/x-www-form-urlencoded").body(form.clone());
        }
        let begun = self.asking(
            &request.method_of(),
            url,
            *url == request.url,
            &request.headers,
            request.authorization.as_ref().filter(|_| own),
        );
        let response = self.head(&place(url), limit, builder.send()).map_err(|problem| match problem {
            Problem::Transport { what, host, mut reason, connecting, foreign } => {
                if let Some(proxy) = self.proxies.of(url) {
                    reason = format!("{reason} (through the proxy {})", place(proxy));
                }
                Problem::Transport { what, host, reason, connecting, foreign }
            }
            problem => problem,
        });
        self.asked(url, begun, response).map(|response| self.reply(url, response, own))
    }

    /// Tells what is asked, and gives the time.
    fn asking(
        &self,
        method: &Method,
        url: &Url,
        made: bool,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
    ) -> Instant {
        tracing::trace!("{}", log::request(method, url, made, headers, authorization));
        Instant::now()
    }

    /// Tells what came of it.
    fn asked(&self, url: &Url, begun: Instant, came: Result<Response, Problem>) -> Result<Response, Problem> {
        let (host, waited) = (place(url), begun.elapsed().as_millis());
        match &came {
            Ok(response) => {
                tracing::trace!(
                    "{host} answered after {waited} ms: {}",
                    log::answer(response.status(), response.headers())
                );
            }
            Err(problem) => tracing::trace!("{host}: no answer after {waited} ms: {}", problem.line()),
        }
        came
    }

    /// An answer of which the head is there.
    fn reply(self: &Arc<Http>, url: &Url, response: Response, own: bool) -> Reply {
        // Behind a proxy, it is the proxy's address.
        if self.is_own(url) && self.proxies.of(url).is_none() {
            response.remote_addr().iter().for_each(|address| self.guard.answered_from(address.ip()));
        }
        Reply::new(Arc::clone(self), response, place(url), own)
    }

    /// Waits for the head of an answer: for all of it, so that one that comes byte by byte ends as
    /// well, and so that making the connection counts.
    fn head(
        &self,
        host: &str,
        limit: Duration,
        answer: impl Future<Output = Result<Response, reqwest::Error>>,
    ) -> Result<Response, Problem> {
        let head = self.wait(host, "cannot reach", limit, answer)?;
        head.ok_or_else(|| Problem::Late { host: host.to_owned(), limit })
    }

    /// Waits for something to happen; nothing, if that takes longer.
    fn wait<T>(
        &self,
        host: &str,
        what: &'static str,
        limit: Duration,
        future: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<Option<T>, Problem> {
        match self.runtime.block_on(async { tokio::time::timeout(limit, future).await }) {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(error)) => Err(explain(error, what, host.to_owned())),
            Err(_) => Ok(None),
        }
    }
}

fn explain(error: reqwest::Error, what: &'static str, host: String) -> Problem {
    let error = error.without_url();
    let mut foreign = false;
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(Problem::Address { host, address, reason, registry }) = inner.downcast_ref() {
            return Problem::Address { host: host.clone(), address: *address, reason, registry: registry.clone() };
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

/// The innermost two causes: the outer ones are layers of the client. The first of them is left out
/// where it says nothing that the second one does not.
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
    let text = texts[inner..].join(": ");
    let said =
        ["tcp connect error: ", "error resolving DNS: ", "dns error: ", "failed to lookup address information: "];
    shorten(said.iter().fold(text.as_str(), |text, said| text.strip_prefix(said).unwrap_or(text)))
}

/// Where a redirect leads, if it may be followed.
fn follow(from: &Url, location: &str) -> Result<Url, Problem> {
    let refused = |to: String, reason: &str| Problem::Redirect { host: place(from), to, reason: reason.to_owned() };
    let to = from.join(location).map_err(|error| refused(shown_text(location), &error.to_string()))?;
    if !matches!(to.scheme(), "http" | "https") {
        return Err(refused(shown(&to), "expected http or https"));
    }
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(refused(shown(&to), "it leads from https to http"));
    }
    if has_user(&to) {
        return Err(refused(shown(&to), "it contains a user name"));
    }
    Ok(to)
}

/// Whether a URL says who somebody is, as nobody should to whom we say that ourselves.
pub(super) fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// The host and port of a URL, to be shown.
pub(super) fn place(url: &Url) -> String {
    let host = shorten(url.host_str().unwrap_or_default());
    url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

/// A URL without what may be secret or long.
pub(super) fn shown(url: &Url) -> String {
    shorten(&format!("{}://{}{}", url.scheme(), place(url), url.path()))
}

/// The same of a text that should be a URL and is none.
pub(super) fn shown_text(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = text.find("//").map_or(("", text), |slashes| text.split_at(slashes + 2));
    shorten(&format!("{scheme}{}", rest.rsplit('@').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Wherever a redirect leads, TLS stays, no password comes along, and what is refused is
        /// told in short.
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

    #[test]
    fn what_is_secret_of_a_url_is_not_shown() {
        let from = Url::parse("https://a.example/v2/x").unwrap();
        for (location, expected) in [
            ("https://[/x?sig=SECRET", "https://[/x"),
            ("https://a b/x#SECRET", "https://a b/x"),
            ("https://me:SECRET@[/", "https://[/"),
            ("//me:SEC/RET@[/?x", "//[/"),
            ("http://b.example/?SECRET", "http://b.example/"),
        ] {
            let Err(Problem::Redirect { to, reason, .. }) = follow(&from, location) else { panic!("{location}") };
            assert_eq!(to, expected);
            assert!(!reason.contains("SECRET"), "{reason}");
        }
    }
}
