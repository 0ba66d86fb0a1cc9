//! What comes back.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use reqwest::{Response, StatusCode};

use super::Http;
use super::pace::Pace;
use crate::registry::problem::{Problem, shorten};

/// The most that is read of an answer that says why something failed.
const MAX_ERROR_BYTES: u64 = 64 << 10;

/// An answer: its head, and then its body as it comes.
#[derive(Debug)]
pub(in crate::registry) struct Reply {
    http: Arc<Http>,
    response: Response,
    /// Who answered.
    pub(in crate::registry) host: String,
    /// Whether that is the server that was asked.
    pub(in crate::registry) own: bool,
    pace: Pace,
}

impl Reply {
    pub(super) fn new(http: Arc<Http>, response: Response, host: String, own: bool) -> Reply {
        let pace = Pace::new(http.stall);
        Reply { http, response, host, own, pace }
    }

    pub(in crate::registry) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(in crate::registry) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// All values of a header.
    pub(in crate::registry) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.response.headers().get_all(name).into_iter().filter_map(|value| value.to_str().ok())
    }

    /// The media type of the body, without parameters.
    pub(in crate::registry) fn content_type(&self) -> Option<String> {
        let text = self.header("Content-Type")?.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        (!text.is_empty()).then_some(text)
    }

    pub(in crate::registry) fn content_length(&self) -> Option<u64> {
        self.header("Content-Length")?.parse().ok()
    }

    /// The next bytes of the body.
    pub(in crate::registry) fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        let start = Instant::now();
        let (host, left) = (&self.host, self.pace.left());
        let came = self.http.wait(host, "lost the connection to", left, self.response.chunk())?;
        let Some(chunk) = came else { return Err(self.pace.problem(host, "sent")) };
        self.pace.moved(start.elapsed(), chunk.as_ref().map_or(0, |bytes| bytes.len() as u64));
        Ok(chunk)
    }

    /// The whole body.
    pub(in crate::registry) fn body(&mut self, limit: u64) -> Result<Vec<u8>, Problem> {
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
    pub(in crate::registry) fn message(&mut self) -> String {
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
    pub(in crate::registry) fn wants_tls(&mut self) -> bool {
        let body = |reply: &mut Reply| reply.body(MAX_ERROR_BYTES).unwrap_or_default();
        self.response.status() == StatusCode::BAD_REQUEST && String::from_utf8_lossy(&body(self)).contains("HTTPS")
    }
}
