//! What to do about a registry.

use cvbake::fetch::Problem;

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
        // Somebody is known by name, so logging in has been thought of.
        Problem::Denied { with, .. } if with.starts_with("the credentials of user") => {
            let registry = registry?;
            Some(format!(
                "check the user name and the password; `cvbake login {registry}` stores new ones; --creds USER:PASSWORD uses others; \
                 the user may also lack rights to this repository, or there is none of that name"
            ))
        }
        Problem::Denied { .. } => {
            let registry = registry?;
            Some(format!(
                "log in with `cvbake login {registry}`; --authfile or --creds uses other credentials; \
                 many registries answer like this, too, when there is no image of that name"
            ))
        }
        Problem::NotFound { .. } => Some("check the name, and the tag or digest".to_owned()),
        Problem::NoSuchTag { .. } => Some("check the tag".to_owned()),
        Problem::NoSuchRepository { .. } => Some("check the name of the repository".to_owned()),
        Problem::Untrusted { host, .. } => Some(format!(
            "put the certificate of its authority as *.crt, and a client certificate as *.cert with its *.key, into \
             ~/.config/containers/certs.d/{host}; --cert-dir DIR names another directory; --insecure accepts any certificate"
        )),
        Problem::Certificates { reason, .. } if reason.starts_with("there is no such") => {
            Some("check the path: --cert-dir DIR or $SSL_CERT_DIR names the directory with certificates".to_owned())
        }
        // It cannot be the file of --cert-dir, which is found by listing the directory.
        Problem::Certificates { reason, .. } if reason.starts_with("No such file") => {
            Some("check the path: $SSL_CERT_FILE names the file with certificate authorities".to_owned())
        }
        // `there is no key FILE for it`
        Problem::Certificates { reason, .. } if reason.starts_with("there is no") => {
            Some("add it, or remove its partner: a client certificate is a *.cert and a *.key of the same name".to_owned())
        }
        Problem::Certificates { .. } => {
            Some("replace or remove it: a broken file is not silently ignored".to_owned())
        }
        Problem::Proxy { .. } => {
            Some("it is set by HTTPS_PROXY, HTTP_PROXY or ALL_PROXY; NO_PROXY lists hosts that are reached without it".to_owned())
        }
        Problem::Blocked { .. } => Some(
            "registries.conf or a file in registries.conf.d blocks it; --registries-conf FILE uses another file".to_owned(),
        ),
        Problem::NotStored => Some(NOT_STORED.to_owned()),
        Problem::Configured { .. } => Some(
            "correct [[registry]] or [aliases] in registries.conf or registries.conf.d; --registries-conf FILE uses another file"
                .to_owned(),
        ),
        Problem::Credentials { reason, .. } if reason.starts_with("docker-credential-") => Some(
            "install or repair that program, or remove its name from credsStore and credHelpers; --authfile FILE uses another file; \
             --creds USER:PASSWORD needs no file"
                .to_owned(),
        ),
        Problem::Credentials { .. } => Some(
            "repair or remove the file; --authfile FILE uses another file; --creds USER:PASSWORD needs no file".to_owned(),
        ),
        Problem::OtherDigest { .. } => {
            Some("leave the digest out of the name, or push the image that has it".to_owned())
        }
        Problem::Malformed { what: "the digest", .. } => {
            Some("a digest is sha256: and 64 hexadecimal digits, or sha512: and 128".to_owned())
        }
        Problem::Address { .. } | Problem::Realm { .. } | Problem::Redirect { .. } | Problem::Location { .. } => Some(
            "tell whoever runs the registry: it must not lead to addresses in private networks, in circles, or from https to http"
                .to_owned(),
        ),
        Problem::ContentType { .. }
        | Problem::Encoding { .. }
        | Problem::Length { .. }
        | Problem::Digest { .. }
        | Problem::HeaderDigest { .. }
        | Problem::TooLarge { .. } => Some(
            "the registry, or a proxy on the way to it, sends something other than what was asked for: try from another network or a mirror, \
             and tell whoever runs it"
                .to_owned(),
        ),
        Problem::Transport { connecting: true, reason, .. } if speaks_of_tls(reason) => {
            Some("--insecure allows plain HTTP, and certificates that cannot be verified".to_owned())
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
            "check the name: what answers there may be no registry, or a proxy in front of it; if it is one, tell whoever runs it"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Advice that is another than when something is fetched.
pub(super) fn of_writing(problem: &Problem, doing: Doing) -> Option<&'static str> {
    match (problem, doing) {
        (Problem::Denied { .. }, Doing::Login) => {
            Some("check the name and the password; some registries want an access token instead of a password")
        }
        (Problem::NotFound { .. }, Doing::Login) => Some("check the name of the registry"),
        (Problem::NotFound { .. }, Doing::Push) => {
            Some("check the name: some registries want a repository to be created before the first push")
        }
        (Problem::NotStored, _) => Some(NOT_STORED),
        (Problem::Oversize { .. }, _) => Some("--chunk-size 16M sends blobs in smaller pieces"),
        (Problem::ReadOnly { .. }, _) => Some("push to another registry: caches and mirrors are read-only"),
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
            Doing::Push => "try again later: blobs that have arrived are not sent again",
            Doing::Login => "check the name of the registry, or try again later",
        }),
        (
            Problem::Status { .. } | Problem::Malformed { .. } | Problem::ContentType { .. } | Problem::TooLarge { .. },
            Doing::Login,
        ) => Some("check the name of the registry: what answers there may be something else"),
        (Problem::Status { .. }, Doing::Push) => Some(
            "some registries accept only certain kinds of images or names: the message is what this one says about it",
        ),
        _ => None,
    }
}

/// Whether it is about TLS, as far as a text can tell.
pub(super) fn speaks_of_tls(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["certificate", "tls", "invalidcontenttype", "corrupt message"].iter().any(|word| reason.contains(word))
}
