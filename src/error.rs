//! What a bake can end with: which object it was about, the exit status, and what the user can do.
//!
//! The stages say what is wrong; only here is it known how the user asked for it, so hints and exit codes are only here.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use cvbake_verify::{Digest, Layer};

/// Why a bake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something about one image.
    #[error("{reference}")]
    Image {
        /// The image, as it was asked for.
        reference: String,
        /// What.
        source: Box<Error>,
    },
    /// Something about one layer.
    #[error("layer {number}{}", digest.map(|digest| format!(" ({digest})")).unwrap_or_default())]
    Layer {
        /// Which, counted from 1.
        number: usize,
        /// Its digest, if something says it.
        digest: Option<Digest>,
        /// What.
        source: Box<Error>,
    },
    /// The source can't be opened or is none.
    #[error(transparent)]
    Fetch(#[from] cvbake_fetch::Error),
    /// The image is not as it says.
    #[error(transparent)]
    Verify(#[from] cvbake_verify::Error),
    /// A layer can't be unpacked, or not merged.
    #[error(transparent)]
    Unpack(#[from] cvbake_unpack::Error),
    /// A layer can't be read.
    #[error("cannot read the layer")]
    Read(#[from] ReadError),
    /// The files don't fit a filesystem, or it can't be written.
    #[error(transparent)]
    Ext4(#[from] cvbake_ext4::Error),
    /// The other engine failed.
    #[error(transparent)]
    Mkfs(#[from] cvbake_ext4::mkfs::Error),
    /// The output can't be made.
    #[error(transparent)]
    Disk(#[from] cvbake_disk::Error),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] cvbake_store::Error),
    /// A temporary file can't be used.
    #[error("cannot use the temporary file {}", path.display())]
    Scratch {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
}

/// Reading a layer failed: what the source, the decompression or a check had to say.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReadError(#[from] io::Error);

impl From<io::Error> for Error {
    fn from(source: io::Error) -> Error {
        Error::Read(ReadError(source))
    }
}

/// What went wrong, roughly: the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything not below.
    Other,
    /// The command line makes no sense.
    Usage,
    /// The source is not there, can't be read, or is of a kind not supported.
    Source,
    /// The image is malformed, hostile, or not what its digests say.
    Image,
    /// The image is fine, but does not fit the filesystem as asked for.
    Fit,
    /// The output can't be written.
    Output,
    /// The store can't be used.
    Store,
    /// A program that is needed is missing or failed.
    Program,
}

impl Kind {
    /// All kinds, with what a table for the user says of them.
    pub const ALL: [(Kind, &str); 8] = [
        (Kind::Other, "anything else"),
        (Kind::Usage, "the command line makes no sense"),
        (Kind::Source, "the source is not there, cannot be read, or is not supported"),
        (Kind::Image, "the image is malformed, hostile, or not what its digests say"),
        (Kind::Fit, "the image does not fit the filesystem as asked for"),
        (Kind::Output, "the disk cannot be written"),
        (Kind::Store, "the store cannot be used"),
        (Kind::Program, "a program that is needed is missing or failed"),
    ];

    /// The exit status.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Other => 1,
            Kind::Usage => 2,
            Kind::Source => 3,
            Kind::Image => 4,
            Kind::Fit => 5,
            Kind::Output => 6,
            Kind::Store => 7,
            Kind::Program => 8,
        }
    }
}

impl Error {
    pub(crate) fn layer(layer: &Layer, source: Error) -> Error {
        let digest = layer.digest().or(layer.diff_id());
        Error::Layer { number: layer.number(), digest, source: Box::new(source) }
    }

    /// Everything on one line: from the image down to the cause.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // A transparent error repeats the one it wraps.
            if !line.ends_with(&text) {
                write!(line, ": {text}").expect("a string takes everything");
            }
            cause = error.source();
        }
        line.replace(['\n', '\r'], " ")
    }
}
