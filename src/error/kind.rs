//! From an error to its kind.

use std::io::{Error as IoError, ErrorKind};
use std::path::Path;

use cvbake_fetch::Problem;

use super::causes::Cause;
use super::{Error, ExtractError};

/// What went wrong, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Anything not below.
    Other,
    /// The arguments are invalid.
    Usage,
    /// The source is not there, can't be read, or is of a kind not supported.
    Source,
    /// The image is malformed, hostile, not what its digests say, or not for the platform.
    Image,
    /// The image is fine, but does not fit the filesystem as asked for.
    Fit,
    /// The output can't be written.
    Output,
    /// The store can't be used.
    Store,
    /// A program that is needed is missing or failed.
    Program,
    /// A registry can't be reached, or does not do what registries do.
    Network,
    /// A disk is not what it was compared with.
    Differs,
    /// Nobody reads the stream that is the result.
    Unread,
}

/// The kind that the innermost of an error's causes has which has one; a full disk is one wherever
/// it was met, and the store's where the store met it.
pub(super) fn of(error: &Error) -> Kind {
    if error.causes().any(is_full_store) {
        return Kind::Store;
    }
    if error.causes().any(is_full) {
        return Kind::Output;
    }
    if error.causes().any(is_of_target) {
        return Kind::Output;
    }
    error.causes().filter_map(of_one).last().unwrap_or(Kind::Other)
}

/// Whether there was no room left, on the device or within a quota.
pub(super) fn is_full(cause: Cause<'_>) -> bool {
    #[cfg(feature = "mkfs")]
    if matches!(cause.downcast_ref(), Some(cvbake_ext4::mkfs::Error::Failed { output, .. }) if says_full(output)) {
        return true;
    }
    let kind = cause.downcast_ref::<IoError>().map(IoError::kind);
    matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

/// Whether it was the store that had no room.
pub(super) fn is_full_store(cause: Cause<'_>) -> bool {
    matches!(cause.downcast_ref(), Some(Error::FullStore { .. }))
        || cause.downcast_ref().is_some_and(cvbake_store::Error::is_full)
}

/// Whether something is not in the store, and may not be fetched.
pub(super) fn is_not_stored(cause: Cause<'_>) -> bool {
    matches!(cause.downcast_ref(), Some(cvbake_fetch::Error::NotStored { .. }))
        || matches!(cause.downcast_ref(), Some(Problem::NotStored))
}

/// Whether a registry says that what was sent is wrong.
pub(super) fn is_refusal(cause: Cause<'_>) -> bool {
    matches!(cause.downcast_ref(), Some(Problem::Status { status: 400..=428 | 430..=499, .. }))
}

/// Whether it is about the place that an image is exported to.
fn is_of_target(cause: Cause<'_>) -> bool {
    matches!(cause.downcast_ref(), Some(Error::Target { .. }))
}

/// The file that could not be written, or the directory that it is in.
pub(super) fn written(cause: Cause<'_>) -> Option<&Path> {
    if let Some(error) = cause.downcast_ref::<cvbake_disk::Error>() {
        return Some(error.path());
    }
    match cause.downcast_ref() {
        Some(cvbake_fetch::Error::Scratch { path, .. }) => return Some(path),
        Some(cvbake_fetch::Error::Write { place, .. }) => return Some(Path::new(place)),
        _ => {}
    }
    #[cfg(feature = "mkfs")]
    if let Some(cvbake_ext4::mkfs::Error::Io { path, .. }) = cause.downcast_ref() {
        return Some(path);
    }
    match cause.downcast_ref() {
        Some(Error::Scratch { path, .. }) => Some(path),
        _ => None,
    }
}

/// Whether something that is in the store can't be read.
pub(super) fn is_unreadable_store(cause: Cause<'_>) -> bool {
    matches!(cause.downcast_ref(), Some(cvbake_store::Error::Read { .. }))
}

/// Whether a program said so.
#[cfg(feature = "mkfs")]
fn says_full(output: &str) -> bool {
    ["No space left on device", "Disk quota exceeded"].iter().any(|text| output.contains(text))
}

/// The kind of an error by itself; none where only its cause can tell.
fn of_one(cause: Cause<'_>) -> Option<Kind> {
    if let Some(error) = cause.downcast_ref::<Error>() {
        return of_ours(error);
    }
    if let Some(error) = cause.downcast_ref::<cvbake_fetch::Error>() {
        return Some(of_fetch(error));
    }
    if let Some(problem) = cause.downcast_ref::<Problem>() {
        return of_problem(problem);
    }
    if let Some(error) = cause.downcast_ref::<cvbake_verify::Error>() {
        return Some(of_verify(error));
    }
    if let Some(error) = cause.downcast_ref::<cvbake_archive::Error>() {
        return match error {
            cvbake_archive::Error::Read { .. } => Some(Kind::Source),
            _ => Some(Kind::Image),
        };
    }
    if let Some(error) = cause.downcast_ref::<cvbake_unpack::Error>() {
        return match error {
            cvbake_unpack::Error::Read(_) => Some(Kind::Source),
            cvbake_unpack::Error::Pack(_) => Some(Kind::Output),
            _ => Some(Kind::Image),
        };
    }
    if let Some(error) = cause.downcast_ref::<cvbake_ext4::Error>() {
        return Some(of_ext4(error));
    }
    if let Some(error) = cause.downcast_ref::<cvbake_erofs::Error>() {
        return Some(of_erofs(error));
    }
    if let Some(error) = cause.downcast_ref::<cvbake_rootfs::Error>() {
        return match error {
            cvbake_rootfs::Error::Entry { .. } => Some(Kind::Image),
            _ => Some(Kind::Output),
        };
    }
    #[cfg(feature = "mkfs")]
    if let Some(error) = cause.downcast_ref::<cvbake_ext4::mkfs::Error>() {
        return of_mkfs(error);
    }
    if cause.is::<cvbake_disk::Error>() || cause.is::<cvbake_verity::Error>() {
        return Some(Kind::Output);
    }
    cause.downcast_ref().map(of_store)
}

fn of_ours(error: &Error) -> Option<Kind> {
    match error {
        Error::Partitions(_) | Error::Esp(cvbake_disk::fat::Error::NoRoom { .. }) => Some(Kind::Fit),
        Error::Boot(cvbake_boot::Error::CommandLine { .. }) | Error::Esp(_) | Error::HashTreePlace { .. } => {
            Some(Kind::Usage)
        }
        Error::Boot(cvbake_boot::Error::NoInit { .. }) => Some(Kind::Program),
        Error::Boot(_) | Error::StubMissing { .. } | Error::LoaderMissing { .. } | Error::KernelArchitecture { .. } => {
            Some(Kind::Source)
        }
        Error::CutsContent { .. }
        | Error::Lacks { .. }
        | Error::TooLarge(_)
        | Error::Vhdx(cvbake_vhdx::Error::TooLarge(_)) => Some(Kind::Fit),
        Error::Inside { .. } | Error::Compare { .. } => Some(Kind::Source),
        Error::Extract(ExtractError::Disk(_) | ExtractError::SecondName { .. }) => Some(Kind::Source),
        Error::Extract(_) | Error::Directory(_) => Some(Kind::Output),
        Error::NotProven { .. } => Some(Kind::Differs),
        Error::ReadDisk { .. }
        | Error::ReadFormat { .. }
        | Error::OpenDisk { .. }
        | Error::DiskContent(_)
        | Error::Overlaps { .. }
        | Error::Chain { .. } => Some(Kind::Source),
        Error::Vhdx(_)
        | Error::WindowsName { .. }
        | Error::NoParentOf { .. }
        | Error::BackingName { .. }
        | Error::ReplacesParent { .. }
        | Error::ReplacesInput { .. }
        | Error::Shrinks { .. }
        | Error::Partitioned { .. }
        | Error::TooLong { .. }
        | Error::Loses { .. }
        | Error::NotInRegistry
        | Error::NoTarget { .. }
        | Error::SeveralNames { .. }
        | Error::ImageName { .. }
        | Error::Unnamed { .. } => Some(Kind::Usage),
        Error::Read(_)
        | Error::NoSuchImage { .. }
        | Error::AmbiguousImage { .. }
        | Error::Incomplete { .. }
        | Error::PlatformNotStored { .. }
        | Error::NoManifest { .. }
        | Error::NoSuchPath { .. }
        | Error::Loop { .. } => Some(Kind::Source),
        Error::Unread => Some(Kind::Unread),
        Error::Scratch { .. } | Error::Tell { .. } => Some(Kind::Output),
        _ => None,
    }
}

fn of_fetch(error: &cvbake_fetch::Error) -> Kind {
    use cvbake_fetch::Error as E;
    match error {
        E::Source { .. } | E::Registrar { .. } => Kind::Usage,
        E::Logins { .. } => Kind::Other,
        E::Scratch { .. } | E::Write { .. } => Kind::Output,
        E::Document { .. }
        | E::Archive { .. }
        | E::NoBlob { .. }
        | E::Verify { .. }
        | E::NoLayer { .. }
        | E::NoMember { .. }
        | E::Member { .. }
        | E::TooManyMembers { .. }
        | E::NamesTooLong { .. } => Kind::Image,
        _ => Kind::Source,
    }
}

/// What a registry did, or what we would not do for it.
fn of_problem(problem: &Problem) -> Option<Kind> {
    match problem {
        // Their causes tell.
        Problem::GaveUp { .. }
        | Problem::Token { .. }
        | Problem::Store { .. }
        | Problem::Mirrors { .. }
        | Problem::Local { .. } => None,
        Problem::NotFound { .. }
        | Problem::NoSuchTag { .. }
        | Problem::NoSuchRepository { .. }
        | Problem::Denied { .. }
        | Problem::Credentials { .. }
        | Problem::Blocked { .. }
        | Problem::Certificates { .. }
        | Problem::Configured { .. }
        | Problem::NotStored => Some(Kind::Source),
        Problem::OtherDigest { .. } | Problem::Proxy { .. } | Problem::Malformed { what: "the digest", .. } => {
            Some(Kind::Usage)
        }
        Problem::Digest { .. } => Some(Kind::Image),
        _ => Some(Kind::Network),
    }
}

fn of_verify(error: &cvbake_verify::Error) -> Kind {
    use cvbake_verify::Error as E;
    match error {
        E::Read { .. } | E::Schema1 { .. } | E::NotAnImage { .. } | E::EncryptedLayer { .. } | E::Ambiguous { .. } => {
            Kind::Source
        }
        _ => Kind::Image,
    }
}

fn of_ext4(error: &cvbake_ext4::Error) -> Kind {
    use cvbake_ext4::Error as E;
    match error {
        E::Label { .. } | E::InodeRatio { .. } => Kind::Usage,
        E::TooSmall { .. }
        | E::TooLarge { .. }
        | E::TooFewInodes { .. }
        | E::TooManyInodes { .. }
        | E::FileSize { .. }
        | E::Links { .. }
        | E::DirectoryFull { .. }
        | E::XattrSpace { .. } => Kind::Fit,
        E::Write { .. } => Kind::Output,
        _ => Kind::Image,
    }
}

fn of_erofs(error: &cvbake_erofs::Error) -> Kind {
    use cvbake_erofs::Error as E;
    match error {
        E::Label { .. } => Kind::Usage,
        E::TooLarge { .. } | E::FileSize { .. } | E::XattrSpace { .. } => Kind::Fit,
        E::Write { .. } => Kind::Output,
        _ => Kind::Image,
    }
}

fn of_store(error: &cvbake_store::Error) -> Kind {
    use cvbake_store::Error as E;
    match error {
        // Not the store is at fault, but what was to go into it.
        E::Input { .. } | E::NewInput { .. } => Kind::Source,
        E::Digest { .. } => Kind::Image,
        _ => Kind::Store,
    }
}

#[cfg(feature = "mkfs")]
fn of_mkfs(error: &cvbake_ext4::mkfs::Error) -> Option<Kind> {
    use cvbake_ext4::mkfs::Error as E;
    match error {
        E::Plan(_) => None,
        E::CannotHold { .. } | E::CannotMake { .. } => Some(Kind::Fit),
        E::Stage { .. } | E::Content { .. } | E::Io { .. } => Some(Kind::Output),
        _ => Some(Kind::Program),
    }
}
