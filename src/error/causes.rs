//! From an error down to its causes, and all of them on one line.

use std::error::Error as StdError;
use std::io;
use std::iter;
use std::sync::Arc;

use super::Error;
use crate::text;

/// An error of any type.
pub type Cause<'a> = &'a (dyn StdError + 'static);

/// What [`Error::causes`] gives.
pub(super) fn causes(error: &Error) -> impl Iterator<Item = Cause<'_>> {
    iter::successors(Some(error as Cause<'_>), |&cause| next(cause))
}

fn next(cause: Cause<'_>) -> Option<Cause<'_>> {
    if let Some(error) = cause.downcast_ref::<Error>() {
        return match error {
            Error::Image { source, .. }
            | Error::Layer { source, .. }
            | Error::Entry { source, .. }
            | Error::FullStore { source }
            | Error::Target { source, .. }
            | Error::Partly { source }
            | Error::ListsAbsent { source, .. } => Some(&**source),
            Error::Fetch(error) => Some(error),
            Error::Verify(error) => Some(error),
            Error::Unpack(error) => Some(error),
            Error::Read(error) => Some(peel(&error.0)),
            Error::Ext4(error) => Some(error),
            Error::Erofs(error) => Some(error),
            #[cfg(feature = "mkfs")]
            Error::Mkfs(error) => Some(error),
            Error::Rootfs(error) => Some(error),
            Error::Disk(error) => Some(error),
            Error::Store(error) => Some(error),
            Error::ReadDisk { source, .. } => Some(source),
            Error::Inside { problem, .. } => Some(problem),
            Error::Extract(error) => Some(error),
            Error::Directory(error) => Some(error),
            Error::Compare { problem, .. } => Some(problem),
            Error::ReadFormat { source, .. } => Some(&**source),
            Error::DiskContent(error) => Some(error),
            Error::Scratch { source, .. } | Error::Tell { source } | Error::OpenDisk { source, .. } => {
                Some(peel(source))
            }
            Error::TooLarge(error) => Some(error),
            Error::Vhdx(error) => Some(error),
            Error::Boot(error) => Some(error),
            Error::ModuleArchive { source, .. } => Some(source),
            Error::Esp(error) => Some(error),
            Error::Partitions(error) => Some(error),
            Error::Verity(error) => Some(error),
            Error::NotInRegistry
            | Error::NoTarget { .. }
            | Error::Lacks { .. }
            | Error::Chain { .. }
            | Error::WindowsName { .. }
            | Error::NoParentOf { .. }
            | Error::BackingName { .. }
            | Error::StubMissing { .. }
            | Error::LoaderMissing { .. }
            | Error::HashTreePlace { .. }
            | Error::KernelArchitecture { .. }
            | Error::ReplacesParent { .. }
            | Error::ReplacesInput { .. }
            | Error::Overlaps { .. }
            | Error::Shrinks { .. }
            | Error::CutsContent { .. }
            | Error::Partitioned { .. }
            | Error::TooLong { .. }
            | Error::Loses { .. }
            | Error::NoSuchImage { .. }
            | Error::AmbiguousImage { .. }
            | Error::NoManifest { .. }
            | Error::NoSuchPath { .. }
            | Error::Loop { .. }
            | Error::Incomplete { .. }
            | Error::PlatformNotStored { .. }
            | Error::SeveralNames { .. }
            | Error::InUse { .. }
            | Error::ImageName { .. }
            | Error::Unnamed { .. }
            | Error::NotProven { .. }
            | Error::Unread
            | Error::Cancelled => None,
        };
    }
    #[cfg(feature = "mkfs")]
    if let Some(cvbake_ext4::mkfs::Error::Plan(error)) = cause.downcast_ref() {
        return Some(error);
    }
    if let Some(cvbake_verity::Error::Write(error)) = cause.downcast_ref() {
        return Some(error);
    }
    if let Some(cvbake_unpack::Error::Archive(error)) = cause.downcast_ref() {
        return Some(error);
    }
    if let Some(cvbake_fetch::Error::Verify { source }) = cause.downcast_ref() {
        return Some(&**source);
    }
    cause.source().map(peel)
}

/// The error itself, without what merely carries it.
fn peel(cause: Cause<'_>) -> Cause<'_> {
    let io = cause.downcast_ref::<io::Error>().or_else(|| cause.downcast_ref::<Arc<io::Error>>().map(|io| &**io));
    if let Some(io) = io {
        return io.get_ref().map_or(io, |inner| peel(inner));
    }
    if let Some(boxed) = cause.downcast_ref::<Box<cvbake_verify::Error>>() {
        return &**boxed;
    }
    if let Some(boxed) = cause.downcast_ref::<Box<cvbake_fetch::Problem>>() {
        return &**boxed;
    }
    if let Some(boxed) = cause.downcast_ref::<Box<cvbake_store::Error>>() {
        return &**boxed;
    }
    cause
}

/// An error and its causes on one line.
pub(super) fn line(error: &Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut image: Option<&str> = None;
    for cause in error.causes() {
        let text = words(cause);
        let mut new = text.as_str();
        if let Some(reference) = image {
            if parts.len() == 1 && says_all_of(cause, reference) {
                parts.pop();
            }
            new = without_place(new, reference);
        }
        if let Some(Error::Image { reference, .. }) = cause.downcast_ref() {
            image = Some(reference);
        }
        for part in &parts {
            // A stage that does not know what stands before it names the same object again:
            // `layer 2: …` after `layer 2 (sha256:…)`.
            for said in [part.as_str(), part.split(" (").next().unwrap_or_default()] {
                new = new.strip_prefix(said).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(new);
            }
        }
        if !new.is_empty() && !parts.last().is_some_and(|last| last == new || last.ends_with(&format!(": {new}"))) {
            parts.push(new.to_owned());
        }
    }
    text::message(&parts.join(": "))
}

fn words(cause: Cause<'_>) -> String {
    cause.downcast_ref::<io::Error>().map_or_else(|| cause.to_string(), text::plain)
}

/// Whether an error names everything that a reference does: then the reference before it would say
/// it twice.
fn says_all_of(cause: Cause<'_>, reference: &str) -> bool {
    let error = match cause.downcast_ref() {
        Some(Error::Fetch(error)) => Some(error),
        _ => cause.downcast_ref(),
    };
    match error {
        Some(cvbake_fetch::Error::Registry { object, .. }) => object.starts_with("manifest"),
        Some(cvbake_fetch::Error::Push { .. }) => true,
        Some(cvbake_fetch::Error::Open { path, .. }) => is_place(&path.display().to_string(), reference),
        _ => false,
    }
}

/// What is said about a place, without the place if that is the one in the reference.
fn without_place<'t>(text: &'t str, reference: &str) -> &'t str {
    let (place, rest) = text.split_once(": ").unwrap_or((text, ""));
    if is_place(place, reference) { rest } else { text }
}

/// Whether a reference such as `oci:DIR:TAG` is about the place `DIR`.
fn is_place(place: &str, reference: &str) -> bool {
    let rest = reference.split_once(':').and_then(|(_, rest)| rest.strip_prefix(place));
    !place.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_full() -> io::Error {
        io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())
    }

    #[test]
    fn lines() {
        let scratch = || Error::Scratch { path: "/s/pack-1".into(), source: disk_full() };
        let layer = |source: Error| Error::Layer { number: 2, digest: None, source: Box::new(source) };
        let image = |source: Error| Error::image("oci:d:t".to_owned(), source);
        let digest = cvbake_verify::Digest::for_bytes(cvbake_verify::Algorithm::Sha256, b"");
        let found = || Box::new(cvbake_verify::Digest::for_bytes(cvbake_verify::Algorithm::Sha256, b"x"));
        let diff_id = || cvbake_verify::Error::DiffId { number: 2, expected: digest.into(), found: found() };
        let empty = |place: &str| cvbake_fetch::Error::Empty { place: place.to_owned() };
        let registry = |object: &str| {
            Error::Fetch(cvbake_fetch::Error::Registry {
                registry: "docker.io".to_owned(),
                repository: "a/b".to_owned(),
                object: object.to_owned(),
                source: Box::new(cvbake_fetch::Problem::NotStored),
            })
        };
        let table = [
            (scratch(), "cannot use the temporary file /s/pack-1: No space left on device".to_owned()),
            (
                image(layer(io::Error::other(scratch()).into())),
                "oci:d:t: layer 2: cannot read the layer: cannot use the temporary file /s/pack-1: No space left on device"
                    .to_owned(),
            ),
            (
                image(Error::Layer { number: 2, digest: Some(digest), source: Box::new(diff_id().into()) }),
                format!(
                    "oci:d:t: layer 2 ({digest}): unpacks to something else: expected diff_id {digest}, found {}",
                    found()
                ),
            ),
            (
                image(cvbake_verify::Error::Missing { object: "oci:d:t".to_owned(), field: "os".to_owned() }.into()),
                "oci:d:t: os is missing".to_owned(),
            ),
            (
                image(Error::Fetch(cvbake_fetch::Error::Document {
                    place: "d".to_owned(),
                    source: Box::new(cvbake_verify::Error::SchemaVersion { object: "index.json".to_owned(), found: 1 }),
                })),
                "oci:d:t: index.json: expected schemaVersion 2, found 1".to_owned(),
            ),
            (
                Error::image("tar:/d/x".to_owned(), layer(io::Error::other(empty("/d/x")).into())),
                "tar:/d/x: layer 2: cannot read the layer: is empty, expected a tar archive".to_owned(),
            ),
            (image(empty("elsewhere").into()), "oci:d:t: elsewhere: is empty, expected a tar archive".to_owned()),
            (
                image(cvbake_fetch::Error::Open { path: "d".into(), source: disk_full() }.into()),
                "cannot open d: No space left on device".to_owned(),
            ),
            (
                image(cvbake_fetch::Error::Open { path: "d/e".into(), source: disk_full() }.into()),
                "oci:d:t: cannot open d/e: No space left on device".to_owned(),
            ),
            (
                Error::image("docker://a/b:v1".to_owned(), registry("manifest v1")),
                "cannot fetch manifest v1 of a/b from docker.io: not in the store, and it must not be fetched"
                    .to_owned(),
            ),
            (
                Error::image("docker://a/b:v1".to_owned(), registry("blob x")),
                "docker://a/b:v1: cannot fetch blob x of a/b from docker.io: not in the store, and it must not be \
                 fetched"
                    .to_owned(),
            ),
            (
                cvbake_disk::Error::Exists { path: "a\nb\u{1b}[2J\u{202e}".into() }.into(),
                "a b\\u{1b}[2J\\u{202e} exists already".to_owned(),
            ),
        ];
        for (error, line) in table {
            assert_eq!(error.line(), line);
        }
    }

    #[test]
    fn every_type_on_the_way_is_seen() {
        let inner = cvbake_verify::Error::SchemaVersion { object: "x".to_owned(), found: 1 };
        let read = cvbake_verify::Error::Read { object: "y".to_owned(), source: Arc::new(io::Error::other(inner)) };
        let archive = cvbake_archive::Error::Read { offset: 0, source: io::Error::other(read) };
        let error = Error::from(cvbake_unpack::Error::from(archive));
        let found: Vec<_> = error.causes().map(|cause| cause.is::<cvbake_verify::Error>()).collect();
        assert_eq!(found, [false, false, false, true, true]);
    }
}
