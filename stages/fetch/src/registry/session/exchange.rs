//! Requests that change something in the repository.

use bytes::Bytes;
use reqwest::Method;

use super::*;
use crate::registry::http::{Content, Exchange};

/// Something to ask of the registry.
pub(in crate::registry) struct Call<'a> {
    pub(in crate::registry) method: Method,
    pub(in crate::registry) to: To,
    pub(in crate::registry) headers: HeaderMap,
    pub(in crate::registry) content: Content<'a>,
}

/// Where something is asked.
#[derive(Debug, Clone)]
pub(in crate::registry) enum To {
    /// Below the repository.
    Path(String),
    /// Where the registry says.
    Url(Url),
    /// The registry itself.
    Registry,
}

impl<'a> Call<'a> {
    /// One without content.
    pub(in crate::registry) fn new(method: Method, to: To) -> Call<'a> {
        Call { method, to, headers: HeaderMap::new(), content: Content::Bytes(Bytes::new()) }
    }

    pub(in crate::registry) fn header(mut self, name: &'static str, value: &str) -> Result<Call<'a>, Problem> {
        let value = HeaderValue::from_str(value)
            .map_err(|error| Problem::Malformed { what: "the value of a header", reason: error.to_string() })?;
        self.headers.insert(name, value);
        Ok(self)
    }

    pub(in crate::registry) fn content<'b>(self, content: Content<'b>) -> Call<'b> {
        let Call { method, to, headers, .. } = self;
        Call { method, to, headers, content }
    }
}

/// What came.
#[derive(Debug)]
pub(in crate::registry) enum Answer {
    Reply {
        reply: Box<Reply>,
        /// What was asked.
        url: Url,
    },
    /// There is fresh authorization now, but the content is gone with the request.
    Renewed,
}

impl Session<'_> {
    /// Asks once, and once more with fresh authorization if the registry wants that and the content
    /// is still there.
    pub(in crate::registry) fn exchange(&self, call: Call<'_>) -> Result<Answer, Failure> {
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

    /// Whether the registry wanted to know who we are, and was told.
    pub(in crate::registry) fn is_authorized(&self) -> bool {
        self.authorization().0.is_some()
    }

    /// Whether the repository has something, by a request for its head; `None` if it can't be asked
    /// so.
    pub(in crate::registry) fn head(&self, path: &str, accept: &str) -> Result<Option<Reply>, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("media types are header values"));
        let mut reply = self.request(Method::HEAD, self.url(path)?, headers)?;
        match reply.status() {
            200 => Ok(Some(reply)),
            404 | 405 | 501 => Ok(None),
            _ => Err(self.refusal(&mut reply, "200 or 404")),
        }
    }

    /// Nobody may with what is presented.
    pub(in crate::registry) fn denied(&self, status: u16, message: String) -> Problem {
        Problem::Denied { status, with: self.presented(), message }
    }

    /// What an answer with another status than wanted means for a push.
    pub(in crate::registry) fn refusal(&self, reply: &mut Reply, expected: &'static str) -> Failure {
        let host = reply.host.clone();
        match reply.status() {
            status @ (401 | 403) if reply.own => self.denied(status, reply.message()).into(),
            404 => Problem::NotFound { expected, message: reply.message() }.into(),
            status @ (405 | 501) => Problem::ReadOnly { host, status, message: reply.message() }.into(),
            413 => Problem::Oversize { host, message: reply.message() }.into(),
            _ => unexpected(reply, expected),
        }
    }
}
