//! What is asked of a registry, with content.

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Url};

use crate::registry::http::{Content, Reply};
use crate::registry::problem::Problem;

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
