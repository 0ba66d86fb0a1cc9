//! Requests that change something.

use super::stream::{self, Stream};
use super::*;

/// A request with a method of its own.
pub(in crate::registry) struct Exchange<'a> {
    pub(in crate::registry) method: Method,
    pub(in crate::registry) url: Url,
    pub(in crate::registry) headers: HeaderMap,
    /// The value of `Authorization`, for the registry only.
    pub(in crate::registry) authorization: Option<HeaderValue>,
    /// Whether the URL is the registry's own.
    pub(in crate::registry) own: bool,
    pub(in crate::registry) content: Content<'a>,
}

/// What is sent.
pub(in crate::registry) enum Content<'a> {
    Bytes(Bytes),
    Stream(Stream<'a>),
}

impl Http {
    /// Sends it once. A redirect is an answer like others: what changes something is not repeated
    /// elsewhere.
    pub(in crate::registry) fn exchange(self: &Arc<Http>, exchange: Exchange<'_>) -> Result<Reply, Problem> {
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
}

/// Where an upload goes on, if it may go there.
pub(in crate::registry) fn upload_location(from: &Url, location: &str) -> Result<Url, Problem> {
    follow(from, location).map_err(|problem| match problem {
        Problem::Redirect { host, to, reason } => Problem::Location { host, to, reason },
        problem => problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let base = Url::parse("https://a.example/v2/x/blobs/uploads/").unwrap();
        for (location, expected) in [
            ("/v2/x/blobs/uploads/1?_state=a%2Fb%3D&n=", "https://a.example/v2/x/blobs/uploads/1?_state=a%2Fb%3D&n="),
            ("2?s", "https://a.example/v2/x/blobs/uploads/2?s"),
            ("https://b.example/u", "https://b.example/u"),
        ] {
            assert_eq!(upload_location(&base, location).unwrap().as_str(), expected);
        }
        for location in ["http://a.example/v2/x", "ftp://a.example/", "https://u:p@a.example/", "//"] {
            assert!(matches!(upload_location(&base, location), Err(Problem::Location { .. })), "{location}");
        }
    }
}
