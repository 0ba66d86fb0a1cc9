//! The directory of blobs, and what makes the store one that other programs know.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::dir::{Dir, PRIVATE_FILE};
use crate::error::Error;
use crate::files::{BLOBS, REPOSITORIES};

/// The file by which other programs know the directory as one with blobs in it.
const LAYOUT: &str = "oci-layout";
const LAYOUT_TEXT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The directory of blobs, made if there is none.
pub(crate) fn blobs_dir(root: &Dir) -> Result<Dir, Error> {
    // Before the first blob: blobs without it mean that it was lost.
    if !root.exists(BLOBS)? {
        root.subdir(REPOSITORIES)?;
    }
    let blobs = root.subdir(BLOBS)?;
    mark_layout(root)?;
    Ok(blobs)
}

fn mark_layout(root: &Dir) -> Result<(), Error> {
    let path = root.join(OsStr::new(LAYOUT));
    let options = File::options().write(true).create_new(true).mode(PRIVATE_FILE).to_owned();
    match options.open(&path).and_then(|mut file| file.write_all(LAYOUT_TEXT)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written.map_err(|source| Error::Write { path, source }),
    }
}
