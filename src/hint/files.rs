//! What can be done about files of disks, and of directories that images become.

use std::io::ErrorKind;

use cvbake::error::{Cause, DirectoryError, ExtractError, InsideProblem};
use rustix::io::Errno;

pub(super) fn of(cause: Cause<'_>) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref() {
        return of_directory(error);
    }
    let is_compressed = match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(InsideProblem::Filesystem(error)), _) | (_, Some(ExtractError::Disk(error))) => error.is_compressed(),
        _ => false,
    };
    is_compressed.then_some(COMPRESSED)
}

const COMPRESSED: &str = "`fsck.erofs --extract=DIR DISK` (Debian: erofs-utils) reads compressed files";

/// Of a directory that does not come to be.
fn of_directory(error: &DirectoryError) -> Option<&'static str> {
    let hint = match error {
        DirectoryError::Occupied { .. } => {
            "remove it, or choose another name; nothing in it is replaced, not with --force either"
        }
        DirectoryError::Busy { .. } => "wait for it, or choose another name",
        DirectoryError::File { source, .. } if source.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
            "the filesystem has no extended attributes, in which owners are recorded: choose a directory on another one"
        }
        DirectoryError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            "devices and owners need root outside of containers; as an ordinary user, cvbake records them"
        }
        _ => return None,
    };
    Some(hint)
}
