//! Bytes of an archive → entries: decompression and the tar grammar.
//!
//! ```text
//! bytes ─Decompressor→ tar stream ─tar::Reader→ headers and pieces of file content
//! ```
//!
//! ```
//! use std::io::Write as _;
//!
//! use cvbake_archive::{Compression, Compressor, Decompressor, tar};
//!
//! // Two blocks of zeros: an archive of nothing.
//! let mut out = Compressor::new(Vec::new(), Compression::Gzip)?;
//! out.write_all(&[0; 1024])?;
//! let layer = out.finish()?;
//! let mut entries = tar::Reader::new(Decompressor::new(&layer[..])?);
//! assert!(entries.next_entry()?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Both ends stream, and both are strict. A layer is what other tools make of it too: where a
//! lenient reader could be led to see another file than a strict one, there is an error that says
//! where, what was expected, and what was found. Nothing here interprets a path, an owner or a
//! link; they are handed out exactly as they stand in the archive.
//!
//! - [`Decompressor`] finds the compression by magic and reads every gzip member (with our own
//!   inflater, the crate `inflate`) and every zstd frame, with their checksums, up to the very end
//!   of the input.
//! - [`Compressor`] is the other direction, for what is exported.
//! - [`tar::Reader`] understands old V7, ustar, PAX, GNU and star headers and the four forms of GNU
//!   sparse files. File content is lent as slices of the input's own buffer.
//!
//! Memory is bounded by named limits, whatever an archive claims: [`compression::INPUT_BUFFER`],
//! [`compression::OUTPUT_BUFFER`], [`compression::ZSTD_WINDOW_LOG_MAX`], [`tar::MAX_RECORD_BODY`],
//! [`tar::MAX_EXTENTS`].

pub mod compression;
mod error;
pub mod tar;

pub use compression::{Compression, Compressor, Decompressor};
pub use error::{CompressionProblem, Error, Record, TarProblem};

/// Bytes that need not be text, as a single line of ASCII for a message.
fn escape(bytes: &[u8]) -> String {
    /// A message is for a person: a path of many kilobytes is cut.
    const SHOWN: usize = 512;
    match bytes.get(..SHOWN) {
        Some(start) if bytes.len() > SHOWN => format!("{}…", start.escape_ascii()),
        _ => bytes.escape_ascii().to_string(),
    }
}
