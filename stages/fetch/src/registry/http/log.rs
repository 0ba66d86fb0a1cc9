//! What is told of requests and answers: nothing of it is secret.
//!
//! A header says who we are, and so may any part of a URL behind its path: of both only what is
//! known to be harmless is told. Where somebody else sends us, the path may be signed as well, and
//! only the host is told.

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, StatusCode, Url};

use super::place;
use crate::registry::problem::shorten;

/// Parameters of the distribution protocol and of token servers, where we have put them.
const HARMLESS: [&str; 7] = ["digest", "from", "last", "mount", "n", "scope", "service"];

/// What stands in the place of a secret.
const HIDDEN: &str = "...";

/// A URL; `made` if it is one that we have made, and not one that we were sent to.
fn url(url: &Url, made: bool) -> String {
    let place = place(url);
    if !made {
        return format!("{}://{place}/{HIDDEN}", url.scheme());
    }
    let mut text = format!("{}://{place}{}", url.scheme(), shorten(url.path()));
    for (at, parameter) in url.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // A name alone may be the secret itself.
        let shown = match (HARMLESS.contains(&name), parameter.contains('=')) {
            (true, _) => format!("{name}={}", shorten(value)),
            (false, true) => format!("{}={HIDDEN}", shorten(name)),
            (false, false) => HIDDEN.to_owned(),
        };
        text.push(if at == 0 { '?' } else { '&' });
        text.push_str(&shown);
    }
    text
}

/// A request; `authorization` is what is sent.
pub(super) fn request(
    method: &Method,
    url: &Url,
    made: bool,
    headers: &HeaderMap,
    authorization: Option<&HeaderValue>,
) -> String {
    let mut parts = vec![format!("{method} {}", self::url(url, made))];
    for name in [RANGE, CONTENT_RANGE, CONTENT_TYPE] {
        if let Some(value) = headers.get(&name).and_then(|value| value.to_str().ok()) {
            parts.push(format!("{name}: {}", shorten(value)));
        }
    }
    if let Some(value) = authorization {
        // Its first word says of what kind it is.
        let text = value.to_str().unwrap_or_default();
        let kind = ["Basic", "Bearer"].into_iter().find(|kind| text.starts_with(&format!("{kind} ")));
        parts.push(format!("authorization: {} {HIDDEN}", kind.unwrap_or_default()));
    }
    parts.join(", ")
}

/// The head of an answer.
pub(super) fn answer(status: StatusCode, headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let length = text(CONTENT_LENGTH).map_or_else(|| "an unknown number of".to_owned(), shorten);
    let media_type = text(CONTENT_TYPE).map(|found| format!(" of {}", shorten(found))).unwrap_or_default();
    format!("{status}, {length} bytes{media_type}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let table = [
            (
                "https://a.example:5000/v2/x/tags/list?n=1000&last=b",
                true,
                "https://a.example:5000/v2/x/tags/list?n=1000&last=b",
            ),
            ("https://a.example/SECRET/tags/list?n=1000", false, "https://a.example/..."),
            ("https://u:SECRET@a.example/x", true, "https://a.example/x"),
            ("https://a.example/t?account=SECRET&scope=a:b", true, "https://a.example/t?account=...&scope=a:b"),
            ("https://a.example/u?_state=SECRET=&SECRET&=SECRET", true, "https://a.example/u?_state=...&...&=..."),
            ("https://u:SECRET@s3.example:81/SECRET?X-Amz-Signature=SECRET#SECRET", false, "https://s3.example:81/..."),
        ];
        for (text, own, expected) in table {
            assert_eq!(url(&Url::parse(text).unwrap(), own), expected);
        }
    }

    #[test]
    fn requests() {
        let at = Url::parse("https://a.example/x").unwrap();
        let headers = HeaderMap::from_iter([
            (RANGE, HeaderValue::from_static("bytes=5-")),
            (reqwest::header::COOKIE, HeaderValue::from_static("SECRET")),
        ]);
        let told = |value: Option<&'static str>| {
            request(&Method::GET, &at, true, &headers, value.map(HeaderValue::from_static).as_ref())
        };
        let all = "GET https://a.example/x, range: bytes=5-";
        assert_eq!(told(Some("Bearer SECRET")), format!("{all}, authorization: Bearer ..."));
        assert_eq!(told(Some("SECRET")), format!("{all}, authorization:  ..."));
        assert_eq!(told(None), all);
    }
}
