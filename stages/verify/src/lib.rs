//! Blobs → an image that can be believed.

mod digest;
mod error;
mod reader;

pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error::Error;
pub use reader::{CheckedReader, HashingReader};

/// How much of a text that came from outside is shown in an error.
const SHOWN_CHARS: usize = 160;

/// A text from outside, cut to what an error message should hold.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
