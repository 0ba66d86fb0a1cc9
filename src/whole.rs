//! A result that is a small file: whole under its name, or not there.

use std::path::Path;

use cvbake_disk::{Draft, Sink as _};

use crate::control::Control;
use crate::error::Error;

/// Writes a file, which must not be there yet, unless it may be replaced.
///
/// # Errors
/// When it can't be written, or something is there.
pub fn write_whole(path: &Path, replace: bool, bytes: &[u8], control: &Control) -> Result<(), Error> {
    let draft = control.during(|| Draft::create(path, replace), |draft| Some(draft.temporary()))?;
    draft.raw().write_at(0, bytes)?;
    draft.sync()?;
    control.commit(|| draft.commit())
}
