//! What to do about a filesystem that is full: by what was written, because that says which option
//! puts it elsewhere.

use cvbake::error::{Cause, Error};

const STORE: &str = "free some space: `cvbake store gc` removes what nothing needs, `cvbake store prune` also images that were not used for \
                     long; --store DIR keeps it elsewhere; --no-cache bakes without a store";
const DISK: &str = "free some space there; -o writes the disk to another filesystem";
const TARGET: &str = "free some space there, or export to another filesystem";
/// Of a bake without a store they are beside the disk.
const TEMPORARY: &str = "free some space there; --store DIR keeps the store and its temporary files elsewhere; without a store they are \
                         where -o puts the disk; without either TMPDIR says where";

/// The advice that the innermost of the causes has which writes something.
pub(super) fn of(causes: &[Cause<'_>], is_store: bool) -> &'static str {
    if is_store {
        return STORE;
    }
    causes.iter().rev().find_map(|&cause| one(cause)).unwrap_or(TEMPORARY)
}

fn one(cause: Cause<'_>) -> Option<&'static str> {
    if cause.is::<cvbake::disk::Error>() || cause.is::<cvbake::ext4::mkfs::Error>() {
        return Some(DISK);
    }
    if let Some(error) = cause.downcast_ref::<cvbake::fetch::Error>() {
        return match error {
            cvbake::fetch::Error::Write { .. } => Some(TARGET),
            cvbake::fetch::Error::Scratch { .. } => Some(TEMPORARY),
            _ => None,
        };
    }
    match cause.downcast_ref::<cvbake::rootfs::Error>() {
        Some(cvbake::rootfs::Error::Write { .. }) => return Some(TARGET),
        Some(_) => return None,
        None => {}
    }
    match cause.downcast_ref::<Error>() {
        Some(Error::Scratch { .. }) => Some(TEMPORARY),
        _ => None,
    }
}
