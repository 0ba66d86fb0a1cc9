//! What the errors of the client mean.

use std::error::Error as _;

use crate::registry::problem::{Problem, plain, shorten};
use crate::registry::tls::{about_certificates, unusable};

/// What failed, as far as the causes of an error tell.
pub(super) fn explain(error: reqwest::Error, what: &'static str, host: String) -> Problem {
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
pub(super) fn chain(error: &reqwest::Error) -> String {
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
