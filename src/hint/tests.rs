//! What each error advises, by its kind.

mod format;
mod image;
mod registry;
mod source;

use std::io;
use std::path::PathBuf;

use cvbake::disk::Error as Disk;
use cvbake::ext4::mkfs::Error as Mkfs;
use cvbake::fetch::Error as Fetch;
use cvbake::store::Error as Store;
use cvbake::verify::{Algorithm, Digest};

use super::*;

fn os(errno: Errno) -> io::Error {
    errno.into()
}

fn path() -> PathBuf {
    "/p".into()
}

fn text() -> String {
    "x".to_owned()
}

fn digest() -> Digest {
    Digest::for_bytes(Algorithm::Sha256, b"")
}

/// An error about an image, as it was asked for.
fn about(reference: &str, error: impl Into<Error>) -> Error {
    Error::Image { reference: reference.to_owned(), source: Box::new(error.into()) }
}

/// The same about an image in a layout.
fn image(error: impl Into<Error>) -> Error {
    about("oci:d:t", error)
}

fn in_layer(error: impl Into<Error>) -> Error {
    image(Error::Layer { number: 1, digest: None, source: Box::new(error.into()) })
}

/// An error that came through the readers of a layer.
fn through_a_reader(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let archive = cvbake::archive::Error::Read { offset: 512, source: io::Error::other(error) };
    in_layer(cvbake::unpack::Error::from(archive))
}

fn target(error: impl Into<Error>) -> Error {
    Error::Target { target: text(), source: Box::new(error.into()) }
}

fn full_store(error: impl Into<Error>) -> Error {
    Error::FullStore { source: Box::new(error.into()) }
}

fn scratch(errno: Errno) -> Error {
    Error::Scratch { path: path(), source: os(errno) }
}

fn written(errno: Errno) -> Disk {
    Disk::Write { path: path(), offset: 0, len: 1, source: os(errno) }
}

fn exported(errno: Errno) -> Error {
    Fetch::Write { place: text(), source: os(errno) }.into()
}

fn failed(output: &str) -> Mkfs {
    Mkfs::Failed { program: path(), status: text(), output: output.to_owned() }
}

fn of_registry(object: &str, problem: Problem) -> Fetch {
    let (registry, repository, object) = ("r.example".to_owned(), text(), object.to_owned());
    Fetch::Registry { registry, repository, object, source: Box::new(problem) }
}

fn absent(object: &str) -> Fetch {
    of_registry(object, Problem::NotFound { expected: "200", message: text() })
}

fn unreachable(object: &str, host: &str) -> Fetch {
    let (host, reason) = (host.to_owned(), text());
    of_registry(
        object,
        Problem::Transport { what: "cannot connect to", host, reason, connecting: true, foreign: false },
    )
}

fn push(problem: Problem) -> Error {
    let (registry, repository, object) = ("r.example".to_owned(), text(), text());
    image(Fetch::Push { registry, repository, object, source: Box::new(problem) })
}

fn login(problem: Problem) -> Error {
    Fetch::Login { registry: "r.example".to_owned(), source: Box::new(problem) }.into()
}

/// Each error is of that kind, and advises what has this in it; nothing if it is empty.
fn assert_advised(table: Vec<(Error, Kind, &str)>) {
    for (error, kind, hint) in table {
        assert_eq!(error.kind(), kind, "{error:?}");
        match of(&error) {
            Some(given) => assert!(!hint.is_empty() && given.contains(hint), "{error:?}: {given}"),
            None => assert_eq!(hint, "", "{error:?}"),
        }
        assert!(!error.line().contains("--"), "flags are for hints: {}", error.line());
    }
}

#[test]
fn images_and_room() {
    let full = "free some space";
    assert_advised(vec![
        (Error::NoSuchImage { name: text(), similar: Vec::new() }, Kind::Source, "cvbake image ls"),
        (Error::NoSuchImage { name: text(), similar: vec!["r/a:1".to_owned()] }, Kind::Source, "there is r/a:1"),
        (
            Error::AmbiguousImage { text: text(), found: vec![text()] },
            Kind::Source,
            "more of the name or of the digest",
        ),
        (full_store(scratch(Errno::NOSPC)), Kind::Store, "store prune"),
        (full_store(in_layer(written(Errno::DQUOT))), Kind::Store, "--store"),
        (written(Errno::ROFS).into(), Kind::Output, ""),
        // What would be wrong with a source is wrong with a target.
        (target(Fetch::NotALayout { place: text(), problem: text() }), Kind::Output, "export to a new or empty"),
        (target(written(Errno::NOSPC)), Kind::Output, full),
        (Error::NoManifest { name: text() }, Kind::Source, "cvbake image import"),
        (Error::NoSuchPath { path: text(), layers: Some(2) }, Kind::Source, "cvbake tree"),
        (Error::NoSuchPath { path: text(), layers: None }, Kind::Source, "cvbake explain"),
        (Error::Loop { path: text(), limit: 40 }, Kind::Source, ""),
        (Error::Incomplete { name: text() }, Kind::Source, "cvbake pull"),
        (Error::SeveralNames { digest: digest(), names: vec![text()] }, Kind::Usage, "--force"),
        (Error::InUse { name: text() }, Kind::Other, "--force"),
        (Error::ImageName { name: text() }, Kind::Usage, ""),
        (
            Error::Partly { source: Box::new(Fetch::NoBlob { place: text(), digest: digest() }.into()) },
            Kind::Image,
            "--platform",
        ),
        (Error::Unnamed { sources: Vec::new() }, Kind::Usage, "after the source"),
        (exported(Errno::IO), Kind::Output, "dmesg"),
        (exported(Errno::NOSPC), Kind::Output, full),
        (image(Fetch::Blob { digest: digest(), source: os(Errno::IO) }), Kind::Source, "dmesg"),
        (image(Fetch::NotStored { name: text(), digest: digest() }), Kind::Source, "cvbake pull"),
        (
            cvbake::rootfs::Error::Entry { path: text(), problem: cvbake::rootfs::Problem::Socket }.into(),
            Kind::Image,
            "",
        ),
        (cvbake::rootfs::Error::Write { source: os(Errno::NOSPC) }.into(), Kind::Output, full),
        (Error::Tell { source: os(Errno::NOSPC) }, Kind::Output, ""),
        (about("tar:x", Error::Tell { source: os(Errno::NOSPC) }), Kind::Output, ""),
        (about("x", Error::Unread), Kind::Unread, ""),
        (scratch(Errno::IO), Kind::Output, "dmesg"),
        (scratch(Errno::MFILE), Kind::Output, "ulimit -n"),
        // A full disk, wherever it is met.
        (scratch(Errno::NOSPC), Kind::Output, full),
        (Store::Write { path: path(), source: os(Errno::DQUOT) }.into(), Kind::Store, "`cvbake store gc` removes"),
        (
            through_a_reader(Store::Write { path: path(), source: os(Errno::NOSPC) }),
            Kind::Store,
            "--store DIR keeps it",
        ),
        (written(Errno::NOSPC).into(), Kind::Output, "-o writes the disk to another"),
        (exported(Errno::NOSPC), Kind::Output, "export to another"),
        (scratch(Errno::NOSPC), Kind::Output, "--store DIR keeps"),
        (in_layer(io::Error::other(written(Errno::NOSPC))), Kind::Output, full),
        (failed("Could not allocate block: No space left on device").into(), Kind::Output, full),
    ]);
}

#[test]
fn outputs_and_stores() {
    assert_advised(vec![
        (Disk::Exists { path: path() }.into(), Kind::Output, "--force"),
        (Disk::NoName { path: path() }.into(), Kind::Output, "-o disk.ext4"),
        (Disk::Open { path: path(), source: os(Errno::NOENT) }.into(), Kind::Output, "mkdir -p /p"),
        (Disk::Create { path: path(), source: os(Errno::ROFS) }.into(), Kind::Output, "write to"),
        (Disk::SetLen { path: path(), len: 1, source: os(Errno::FBIG) }.into(), Kind::Output, "--size"),
        (written(Errno::IO).into(), Kind::Output, "dmesg"),
        (Store::Read { path: path(), source: os(Errno::IO) }.into(), Kind::Store, "check --repair"),
        (Store::NotADirectory { path: path() }.into(), Kind::Store, "--no-cache"),
        (
            Store::Misplaced { path: path(), found: "a named pipe", expected: "a directory" }.into(),
            Kind::Store,
            "move /p away",
        ),
        (Store::Writable { path: path(), mode: 0o777 }.into(), Kind::Store, "--store DIR uses another"),
    ]);
}

/// Whoever follows advice about `/tmp` would break the machine.
#[test]
fn only_a_store_is_to_be_made_private() {
    let dir = tempfile::tempdir().unwrap();
    let hint = || of(&Store::Writable { path: dir.path().to_owned(), mode: 0o777 }.into()).unwrap();
    assert!(!hint().contains("chmod"), "{}", hint());
    std::fs::write(dir.path().join("oci-layout"), "{}").unwrap();
    assert!(hint().contains("chmod 700"), "{}", hint());
}
