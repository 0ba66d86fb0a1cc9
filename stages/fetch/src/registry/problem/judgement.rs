//! What a problem means for what is done next.

use super::Problem;

impl Problem {
    /// The problem and its causes on one line.
    pub(in crate::registry) fn line(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        text
    }

    /// Whether it is one of this machine or its configuration: no other registry would change it.
    pub(in crate::registry) fn is_ours(&self) -> bool {
        match self {
            Problem::Credentials { .. }
            | Problem::Certificates { .. }
            | Problem::Proxy { .. }
            | Problem::NotStored
            | Problem::Store { .. }
            | Problem::Setup { .. }
            | Problem::Blocked { .. }
            | Problem::Configured { .. } => true,
            Problem::GaveUp { source, .. } | Problem::Token { source, .. } => source.is_ours(),
            _ => false,
        }
    }

    /// Whether there may be such an image in another registry: this one has none, or says so to
    /// strangers.
    pub(in crate::registry) fn is_absence(&self) -> bool {
        match self {
            Problem::NotFound { .. } | Problem::NoSuchTag { .. } | Problem::NoSuchRepository { .. } => true,
            Problem::Denied { .. } | Problem::NotStored => true,
            Problem::Mirrors { source, .. } | Problem::Token { source, .. } => source.is_absence(),
            _ => false,
        }
    }

    /// Whether another attempt may go better.
    pub(in crate::registry) fn is_passing(&self) -> bool {
        match self {
            Problem::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Problem::Transport { .. } | Problem::Cut { .. } => true,
            Problem::Stalled { .. } | Problem::Slow { .. } | Problem::Late { .. } => true,
            Problem::UploadLost { .. } | Problem::OutOfStep { .. } | Problem::Garbled { .. } => true,
            Problem::Token { source, .. } => source.is_passing(),
            _ => false,
        }
    }

    /// Whether somebody said no.
    pub(in crate::registry) fn is_denied(&self) -> bool {
        match self {
            Problem::Denied { .. } => true,
            Problem::Token { source, .. } => source.is_denied(),
            _ => false,
        }
    }

    /// Whether nobody was reached.
    pub(in crate::registry) fn is_unreachable(&self) -> bool {
        match self {
            Problem::Transport { connecting, .. } => *connecting,
            Problem::Token { source, .. } => source.is_unreachable(),
            _ => false,
        }
    }
}
