//! What to do about a registry.

use cvbake_fetch::Problem;

use super::NOT_STORED;

/// What is done with a registry, beside getting something from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Push,
    Login,
}

/// Advice about a problem; `registry` is whom it is about.
pub(super) fn of_problem(problem: &Problem, registry: Option<&str>) -> Option<String> {
    match problem {
        Problem::Denied { .. } => {
            let registry = registry?;
            Some(format!(
                "log in with `cvbake login {registry}`, or use --authfile or --creds; \
                 without rights to an image many registries say this, too, if there is none of that name"
            ))
        }
        Problem::NotFound { .. } => Some("check the name and the tag".to_owned()),
        Problem::Untrusted { host, .. } => Some(format!(
            "--cert-dir DIR, or {host} in ~/.config/containers/certs.d, holds who vouches for it as *.crt, and what it wants to see \
             as *.cert and *.key; --insecure trusts anybody"
        )),
        Problem::Certificates { .. } => {
            Some("replace or remove it: a file that is broken changes nobody's trust silently".to_owned())
        }
        Problem::Proxy { .. } => {
            Some("HTTPS_PROXY, HTTP_PROXY and ALL_PROXY say so; NO_PROXY lists what is reached without".to_owned())
        }
        Problem::Blocked { .. } => Some(
            "registries.conf and the files in registries.conf.d say so; --registries-conf FILE uses another".to_owned(),
        ),
        Problem::NotStored => Some(NOT_STORED.to_owned()),
        Problem::Configured { .. } => Some(
            "correct [[registry]] or [aliases] in registries.conf or registries.conf.d; --registries-conf FILE uses another"
                .to_owned(),
        ),
        Problem::Credentials { reason, .. } if reason.starts_with("docker-credential-") => Some(
            "install or repair that program, or take its name out of credsStore and credHelpers; --authfile FILE uses another file, \
             --creds USER:PASSWORD none"
                .to_owned(),
        ),
        Problem::Credentials { .. } => Some(
            "repair or remove the file; --authfile FILE uses another, --creds USER:PASSWORD none".to_owned(),
        ),
        Problem::OtherDigest { .. } => {
            Some("leave the digest out of the name, or push the image that has it".to_owned())
        }
        Problem::Malformed { what: "the digest", .. } => {
            Some("expected is what registries give: sha256: and 64 hexadecimal digits, or sha512: and 128".to_owned())
        }
        Problem::Address { .. } | Problem::Realm { .. } | Problem::Redirect { .. } | Problem::Location { .. } => Some(
            "tell who runs the registry: it must lead neither to what only you can reach, nor in circles, nor from https to http"
                .to_owned(),
        ),
        Problem::ContentType { .. }
        | Problem::Encoding { .. }
        | Problem::Length { .. }
        | Problem::Digest { .. }
        | Problem::HeaderDigest { .. }
        | Problem::TooLarge { .. } => Some(
            "the registry, or a proxy on the way to it, does not give out what it should: try from another network or a mirror, \
             and tell who runs it"
                .to_owned(),
        ),
        Problem::Transport { connecting: true, reason, .. } if speaks_of_tls(reason) => {
            Some("--insecure accepts a registry that has no TLS, or a certificate that nobody vouches for".to_owned())
        }
        Problem::Transport { .. }
        | Problem::Stalled { .. }
        | Problem::Slow { .. }
        | Problem::Late { .. }
        | Problem::Cut { .. }
        | Problem::Wait { .. }
        | Problem::Status { status: 429 | 500.., .. } => {
            Some("try again later: what was downloaded is kept; --pull never uses what is in the store".to_owned())
        }
        Problem::Status { .. } | Problem::Malformed { .. } => Some(
            "check the name: what answers there may be no registry, or a proxy before it; if it is one, tell who runs it"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Advice that is another than when something is fetched.
pub(super) fn of_writing(problem: &Problem, doing: Doing) -> Option<&'static str> {
    match (problem, doing) {
        (Problem::Denied { .. }, Doing::Login) => {
            Some("check the name and the password; some registries want an access token instead of it")
        }
        (Problem::NotFound { .. }, Doing::Login) => Some("check the name of the registry"),
        (Problem::NotFound { .. }, Doing::Push) => {
            Some("check the name: some registries want a repository to be made before anything is pushed to it")
        }
        (Problem::NotStored, _) => Some(NOT_STORED),
        (Problem::Oversize { .. }, _) => Some("--chunk-size 16M sends blobs in smaller pieces"),
        (Problem::ReadOnly { .. }, _) => Some("push to another registry: caches and mirrors only give"),
        (Problem::Transport { connecting: true, .. }, _) => None,
        (
            Problem::Transport { .. }
            | Problem::Stalled { .. }
            | Problem::Slow { .. }
            | Problem::Late { .. }
            | Problem::Wait { .. }
            | Problem::UploadLost { .. }
            | Problem::OutOfStep { .. }
            | Problem::Garbled { .. }
            | Problem::Status { status: 429 | 500.., .. },
            doing,
        ) => Some(match doing {
            Doing::Push => "try again later: whole blobs that have arrived are not sent again",
            Doing::Login => "check the name of the registry, or try again later",
        }),
        (
            Problem::Status { .. } | Problem::Malformed { .. } | Problem::ContentType { .. } | Problem::TooLarge { .. },
            Doing::Login,
        ) => Some("check the name of the registry: what answers there may be something else"),
        (Problem::Status { .. }, Doing::Push) => Some(
            "some registries take only certain kinds of images or names: the message has what this one says about it",
        ),
        _ => None,
    }
}

/// Whether it is about TLS, as far as a text can tell.
pub(super) fn speaks_of_tls(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["certificate", "tls", "invalidcontenttype", "corrupt message"].iter().any(|word| reason.contains(word))
}
