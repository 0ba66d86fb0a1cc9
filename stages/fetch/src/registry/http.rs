//! HTTP, one request at a time from any thread: no answer is waited for longer than enough of it
//! arrives, no redirect is followed blindly, and credentials stay with the server they are for.

mod failure;
mod log;
mod pace;
mod reply;
mod stream;
mod urls;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, Url};
use tokio::runtime::Runtime;

use super::guard::{Guard, bare, is_loopback};
use super::options::Options;
use super::problem::Problem;
use super::proxy::Rules;
use super::tls::{Reading, Tls};

pub(super) use self::reply::Reply;
pub(super) use self::stream::Stream;
pub(super) use self::urls::{has_user, place, shown, shown_text, upload_location};

use self::failure::{chain, explain};
use self::pace::Pace;
use self::urls::follow;

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

/// A request with a method of its own.
pub(super) struct Exchange<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// The value of `Authorization`, for the registry only.
    pub(super) authorization: Option<HeaderValue>,
    /// Whether the URL is the registry's own.
    pub(super) own: bool,
    pub(super) content: Content<'a>,
}

/// What is sent.
pub(super) enum Content<'a> {
    Bytes(Bytes),
    Stream(Stream<'a>),
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
                .proxy(reqwest::Proxy::custom(move |url| rules.proxy_for(url).cloned()))
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
                if let Some(proxy) = self.proxies.proxy_for(url) {
                    reason = format!("{reason} (through the proxy {})", place(proxy));
                }
                Problem::Transport { what, host, reason, connecting, foreign }
            }
            problem => problem,
        });
        self.asked(url, begun, response).map(|response| self.reply(url, response, own))
    }

    /// Sends it once. A redirect is an answer like others: what changes something is not repeated
    /// elsewhere.
    pub(super) fn exchange(self: &Arc<Http>, exchange: Exchange<'_>) -> Result<Reply, Problem> {
        let Exchange { method, url, headers, authorization, own, content } = exchange;
        self.guard.check(&url)?;
        let host = place(&url);
        let begun = self.asking(&method, &url, own, &headers, authorization.as_ref().filter(|_| own));
        let mut builder = self.client(&url).request(method, url.clone()).headers(headers);
        if let Some(authorization) = authorization.filter(|_| own) {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        let response = match content {
            Content::Bytes(bytes) => {
                let builder = builder.header(CONTENT_LENGTH, bytes.len()).body(bytes);
                self.head(&host, self.stall, builder.send())
            }
            Content::Stream(stream) => {
                let builder = builder.header(CONTENT_LENGTH, stream.bytes);
                stream::send(self, &host, builder, stream)
            }
        };
        self.asked(&url, begun, response).map(|response| self.reply(&url, response, own))
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
        if self.is_own(url) && self.proxies.proxy_for(url).is_none() {
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
