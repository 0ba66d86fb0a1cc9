//! What each error ends with, and what it advises.

use std::io;
use std::path::PathBuf;

use super::*;

fn os(errno: rustix::io::Errno) -> io::Error {
    errno.into()
}

fn path() -> PathBuf {
    "/p".into()
}

fn text() -> String {
    "x".to_owned()
}

fn place() -> cvbake_ext4::Place {
    cvbake_ext4::Place { ino: cvbake_tree::Ino::ROOT, path: text() }
}

fn digest() -> Digest {
    Digest::for_bytes(cvbake_verify::Algorithm::Sha256, b"")
}

fn in_layer(error: Error) -> Error {
    Error::image("oci:d:t".to_owned(), Error::Layer { number: 1, digest: None, source: Box::new(error) })
}

/// An error that came through the readers of a layer.
fn through_a_reader(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let archive = cvbake_archive::Error::Read { offset: 512, source: io::Error::other(error) };
    in_layer(cvbake_unpack::Error::from(archive).into())
}

#[test]
fn kinds_and_hints() {
    use cvbake_archive::TarProblem;
    use cvbake_ext4::mkfs::Error as Mkfs;
    use cvbake_fetch::Problem;
    use rustix::io::Errno;
    use {cvbake_disk::Error as Disk, cvbake_ext4::Error as Ext4, cvbake_fetch::Error as Fetch};
    use {cvbake_store::Error as Store, cvbake_verify::Error as Verify};

    let large = Ext4::TooSmall { asked: 1, needed: (5 << 20) + 1 };
    let small = Ext4::TooSmall { asked: 1, needed: 70_000 };
    let available = || vec!["v1".to_owned(), "v2".to_owned()];
    let image = |error: Fetch| Error::image("oci:d:t".to_owned(), error.into());
    let failed = |output: &str| Mkfs::Failed { program: path(), status: text(), output: output.to_owned() };
    let written = |errno| Disk::Write { path: path(), offset: 0, len: 1, source: os(errno) };
    let wanted = cvbake_verify::Platform::new("linux", "arm64", "");
    let schema_1 = Box::new(Verify::Schema1 { object: text() });
    let (registry, repository, object) = (|| "r.example".to_owned(), text, text);
    let push = |problem: Problem| {
        let (registry, repository, object) = (registry(), repository(), object());
        image(Fetch::Push { registry, repository, object, source: Box::new(problem) })
    };
    let login = |problem: Problem| Error::from(Fetch::Login { registry: registry(), source: Box::new(problem) });
    let source = Box::new(Problem::NotStored);
    let not_stored = Fetch::Registry { registry: registry(), repository: text(), object: text(), source };
    let absent = |object: &str| {
        let source = Box::new(Problem::NotFound { expected: "200", message: text() });
        Fetch::Registry { registry: registry(), repository: text(), object: object.to_owned(), source }
    };
    let unreachable = |object: &str| {
        let source = Box::new(Problem::Transport {
            what: "cannot connect to",
            host: text(),
            reason: text(),
            connecting: true,
            foreign: false,
        });
        Fetch::Registry { registry: registry(), repository: text(), object: object.to_owned(), source }
    };
    let ambiguous = |object: &str| Verify::Ambiguous {
        object: object.to_owned(),
        platform: Box::new("linux/amd64".parse().unwrap()),
        first: Box::new(digest()),
        second: Box::new(digest()),
    };
    let not_tar = |found| TarProblem::NotTar { found };
    let no_archive = |reference: &str, problem| {
        let archive = cvbake_archive::Error::Tar { path: None, offset: 0, problem: Box::new(problem) };
        Error::image(reference.to_owned(), cvbake_unpack::Error::from(archive).into())
    };
    let not_a_layout = |reference: &str, problem: &str| {
        let error = Fetch::NotALayout { place: text(), problem: problem.to_owned() };
        Error::image(reference.to_owned(), error.into())
    };
    let here = |host: &str| {
        let (host, reason) = (host.to_owned(), text());
        let problem = Problem::Transport { what: "cannot reach", host, reason, connecting: true, foreign: false };
        let (registry, repository, object) = (registry(), repository(), "manifest v1".to_owned());
        image(Fetch::Registry { registry, repository, object, source: Box::new(problem) })
    };
    let cut_off = TarProblem::Truncated { inside: "a header", missing: 1 };
    let cut_off_data = cvbake_archive::Error::Compressed {
        compression: cvbake_archive::Compression::Gzip,
        offset: 1,
        problem: cvbake_archive::CompressionProblem::Truncated { inside: "x" },
    };
    let full = "free some space";
    let again = "fetch the image again";
    let table: Vec<(Error, Kind, &str)> = vec![
        (Error::Usage { problem: text(), hint: Some("do".to_owned()) }, Kind::Usage, "do"),
        (Error::NoSuchImage { name: text(), similar: Vec::new() }, Kind::Source, "cvbake image ls"),
        (Error::NoSuchImage { name: text(), similar: vec!["r/a:1".to_owned()] }, Kind::Source, "there is r/a:1"),
        (Error::NotInStore { name: text(), similar: Vec::new() }, Kind::Source, "docker://"),
        (
            Error::NotInStore { name: text(), similar: vec!["r/a:1".to_owned()] },
            Kind::Source,
            "there is r/a:1; docker://",
        ),
        (
            Error::AmbiguousImage { text: text(), found: vec![text()] },
            Kind::Source,
            "more of the name or of the digest",
        ),
        // The disk of what the store works on is full; that of the output is another one.
        (
            Error::image_in(Some(path().as_path()), &"oci:d", Error::scratch(&path().join("x"), os(Errno::NOSPC))),
            Kind::Store,
            "store prune",
        ),
        (
            Error::image_in(Some(path().as_path()), &"oci:d", in_layer(written(Errno::DQUOT).into())),
            Kind::Store,
            "--store",
        ),
        (
            Error::image_in(Some("/elsewhere".as_ref()), &"oci:d", written(Errno::NOSPC).into()),
            Kind::Output,
            "-o writes",
        ),
        (Error::image_in(Some(path().as_path()), &"oci:d", written(Errno::ROFS).into()), Kind::Output, ""),
        // What would be wrong with a source is wrong with a target.
        (
            Error::target(&path(), Fetch::NotALayout { place: text(), problem: text() }),
            Kind::Output,
            "export to a new or empty",
        ),
        (Error::target(&path(), written(Errno::NOSPC)), Kind::Output, full),
        (Error::NoManifest { name: text() }, Kind::Source, "cvbake image import"),
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
        (image(Fetch::Write { place: text(), source: os(Errno::IO) }), Kind::Output, "dmesg"),
        (image(Fetch::Write { place: text(), source: os(Errno::NOSPC) }), Kind::Output, full),
        (image(Fetch::Blob { digest: digest(), source: os(Errno::IO) }), Kind::Source, "dmesg"),
        (image(Fetch::NotStored { name: text(), digest: digest() }), Kind::Source, "cvbake pull"),
        (cvbake_rootfs::Error::Entry { path: text(), problem: cvbake_rootfs::Problem::Socket }.into(), Kind::Image, ""),
        (cvbake_rootfs::Error::Write { source: os(Errno::NOSPC) }.into(), Kind::Output, full),
        (Error::Tell { source: os(Errno::NOSPC) }, Kind::Output, ""),
        (Error::image("tar:x".to_owned(), Error::Tell { source: os(Errno::NOSPC) }), Kind::Output, ""),
        (Error::image(text(), Error::Unread), Kind::Unread, ""),
        (Error::Scratch { path: path(), source: os(Errno::IO) }, Kind::Output, "dmesg"),
        (Error::Scratch { path: path(), source: os(Errno::MFILE) }, Kind::Output, "ulimit -n"),
        // A full disk, wherever it is met.
        (Error::Scratch { path: path(), source: os(Errno::NOSPC) }, Kind::Output, full),
        (Store::Write { path: path(), source: os(Errno::DQUOT) }.into(), Kind::Store, "`cvbake store gc` removes"),
        (
            through_a_reader(Store::Write { path: path(), source: os(Errno::NOSPC) }),
            Kind::Store,
            "--store DIR keeps it",
        ),
        (written(Errno::NOSPC).into(), Kind::Output, "-o writes the disk to another"),
        (image(Fetch::Write { place: text(), source: os(Errno::NOSPC) }), Kind::Output, "export to another"),
        (Error::Scratch { path: path(), source: os(Errno::NOSPC) }, Kind::Output, "--store DIR keeps"),
        (in_layer(io::Error::other(written(Errno::NOSPC)).into()), Kind::Output, full),
        (failed("Could not allocate block: No space left on device").into(), Kind::Output, full),
        // The source.
        (image(Fetch::Source { text: "./d".to_owned(), problem: "p" }), Kind::Usage, "oci:./d"),
        (image(Fetch::Transport { text: "dir:x".to_owned(), transport: text() }), Kind::Source, "skopeo copy dir:x"),
        (image(Fetch::Source { text: "-".to_owned(), problem: "p" }), Kind::Usage, "tar:- is a root filesystem"),
        (
            image(Fetch::Source { text: "docker:r.example:5000/x".to_owned(), problem: "p" }),
            Kind::Usage,
            "write docker://r.example:5000/x for",
        ),
        (image(Fetch::Open { path: "d".into(), source: os(Errno::NOENT) }), Kind::Source, "check the path in oci:d:t"),
        (image(Fetch::Open { path: "-".into(), source: os(Errno::NOENT) }), Kind::Source, "only tar: reads"),
        (image(Fetch::Open { path: path(), source: os(Errno::NOENT) }), Kind::Source, ""),
        (
            Error::image("docker://x".to_owned(), Fetch::Open { path: path(), source: os(Errno::NOENT) }.into()),
            Kind::Source,
            "--registries-conf FILE",
        ),
        (
            image(Fetch::Kind { path: path(), expected: "a file", found: "a directory" }),
            Kind::Source,
            "write oci:/p if it is an OCI image layout; a directory with",
        ),
        (
            Error::image("docker://docker:alpine".to_owned(), absent("manifest alpine").into()),
            Kind::Source,
            "; docker://alpine is the image of that name",
        ),
        (image(Fetch::Empty { place: text() }), Kind::Source, "write it again"),
        (
            Error::image(
                "docker-archive:x".to_owned(),
                Fetch::NotADockerArchive { place: text(), problem: "p" }.into(),
            ),
            Kind::Source,
            "if it is a root filesystem, write tar:x",
        ),
        (
            Error::image(
                "docker-archive:x".to_owned(),
                Fetch::NotADockerArchive { place: text(), problem: "but it has oci-layout" }.into(),
            ),
            Kind::Source,
            "write oci-archive:x",
        ),
        (
            not_a_layout("oci-archive:x", "oci-layout is missing"),
            Kind::Source,
            "if it is a root filesystem, write tar:x",
        ),
        (
            not_a_layout("oci-archive:x", "oci-layout is missing, but it has manifest.json as"),
            Kind::Source,
            "write docker-archive:x",
        ),
        (not_a_layout("oci-archive:x", "index.json is missing"), Kind::Source, again),
        (not_a_layout("oci:x", "oci-layout is missing"), Kind::Source, "`tar -C x -cf rootfs.tar .`"),
        (not_a_layout("oci:x", "index.json is missing"), Kind::Source, again),
        (image(Fetch::SeveralImages { place: text(), available: available() }), Kind::Source, "such as oci:x:v1"),
        (image(Fetch::NoSuchImage { place: text(), name: text(), available: vec![] }), Kind::Source, ""),
        (image(Fetch::NoBlob { place: text(), digest: digest() }), Kind::Image, again),
        (image(Fetch::Document { place: text(), source: schema_1 }), Kind::Source, "skopeo"),
        (here("localhost:5000"), Kind::Network, "the registry runs on this machine"),
        (here("127.0.0.1:1"), Kind::Network, "the registry runs on this machine"),
        (here("[::1]:1"), Kind::Network, "the registry runs on this machine"),
        (here("localhost.example"), Kind::Network, "NO_PROXY"),
        (image(unreachable("manifest v1")), Kind::Network, "the name of the registry, the network"),
        (image(unreachable("blob sha256:12")), Kind::Network, "try again later"),
        (
            image(Fetch::SeveralImages { place: "web".to_owned(), available: vec!["1".to_owned(), "2".to_owned()] }),
            Kind::Source,
            "such as oci:web:1",
        ),
        (
            image(Fetch::SeveralImages { place: "web".to_owned(), available: vec![digest().to_string()] }),
            Kind::Source,
            "such as oci:web@sha256:e3b0",
        ),
        (
            Error::image("oci:web".to_owned(), ambiguous("oci:web").into()),
            Kind::Source,
            "choose one by its digest: oci:web@sha256:e3b0",
        ),
        (Error::image("oci:web:1".to_owned(), ambiguous("x").into()), Kind::Source, "digest: oci:web@sha256:e3b0"),
        // What somebody has given for an archive, and a layer that is none.
        (no_archive("tar:login.html", not_tar("an HTML or XML page")), Kind::Image, "may be an error page"),
        (no_archive("tar:/bin/ls", not_tar("a program")), Kind::Image, "compressed with gzip or zstd"),
        (no_archive("tar:x", cut_off), Kind::Image, "download it again"),
        (Error::image("tar:x".to_owned(), io::Error::other(cut_off_data).into()), Kind::Image, "download it again"),
        (no_archive("tar:x", TarProblem::NoHeader), Kind::Image, "tar: takes a tar archive"),
        (no_archive("tar:x.tar.xz", not_tar("xz data, a compression")), Kind::Image, "`xz -dk x.tar.xz`"),
        (no_archive("docker://x", not_tar("a JSON document")), Kind::Image, ""),
        (image(absent("manifest v1")), Kind::Source, "check the name, and the tag or digest"),
        (through_a_reader(absent("blob sha256:12")), Kind::Source, "not all of it"),
        // A registry that something goes to.
        (push(Problem::ReadOnly { host: text(), status: 405, message: text() }), Kind::Network, "another registry"),
        (push(Problem::Oversize { host: text(), message: text() }), Kind::Network, "--chunk-size 16M"),
        (push(Problem::UploadLost { host: text() }), Kind::Network, "try again later"),
        (push(Problem::NotFound { expected: "202", message: text() }), Kind::Source, "before the first push"),
        (push(Problem::Denied { status: 403, with: text(), message: text() }), Kind::Source, "cvbake login r.example"),
        (
            image(Fetch::Blob {
                digest: digest(),
                source: io::Error::other(Verify::BlobTooLong { digest: digest(), expected: 1 }),
            }),
            Kind::Image,
            again,
        ),
        (image(Fetch::Blob { digest: digest(), source: io::Error::other(not_stored) }), Kind::Source, "`cvbake pull`"),
        (
            login(Problem::Denied { status: 401, with: text(), message: text() }),
            Kind::Source,
            "check the name and the password",
        ),
        (login(Problem::NotFound { expected: "200", message: text() }), Kind::Source, "name of the registry"),
        (Fetch::NotLoggedIn { registry: text(), path: path() }.into(), Kind::Source, "--authfile"),
        (Fetch::Logins { path: path(), source: os(Errno::ACCESS) }.into(), Kind::Other, ""),
        (Fetch::Registrar { text: text() }.into(), Kind::Usage, ""),
        // The image.
        (Verify::BlobTooLong { digest: digest(), expected: 1 }.into(), Kind::Image, again),
        (through_a_reader(Verify::BlobTooLong { digest: digest(), expected: 1 }), Kind::Image, again),
        (through_a_reader(Fetch::Read { place: text(), source: os(Errno::IO) }), Kind::Source, "dmesg"),
        (through_a_reader(os(Errno::IO)), Kind::Source, "dmesg"),
        (in_layer(cvbake_unpack::Error::TooMany { what: "x" }.into()), Kind::Image, ""),
        (in_layer(cvbake_unpack::Error::Pack(os(Errno::IO)).into()), Kind::Output, "dmesg"),
        (
            Verify::NoPlatform { object: text(), wanted, available: vec!["linux/386".to_owned()] }.into(),
            Kind::Image,
            "--platform linux/386",
        ),
        // The filesystem.
        (large.into(), Kind::Fit, "--size 6M is enough"),
        (small.into(), Kind::Fit, "--size 69K is enough"),
        (Mkfs::from(Ext4::TooFewInodes { asked: 1, needed: 99 }).into(), Kind::Fit, "--inodes 99 is enough"),
        (Ext4::InodeRatio { asked: 1, min: 4096 }.into(), Kind::Usage, "--inodes 1/4K"),
        (Ext4::SymlinkNul { path: place(), at: 1 }.into(), Kind::Image, ""),
        (Mkfs::CannotHold { path: place(), what: "w" }.into(), Kind::Fit, "--engine native can"),
        (Mkfs::Missing { program: "mke2fs" }.into(), Kind::Program, "e2fsprogs"),
        (failed("Segmentation fault").into(), Kind::Program, "--engine native"),
        // The output and the store.
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
    ];
    for (error, kind, hint) in table {
        assert_eq!(error.kind(), kind, "{error:?}");
        match error.hint() {
            Some(given) => assert!(!hint.is_empty() && given.contains(hint), "{error:?}: {given}"),
            None => assert_eq!(hint, "", "{error:?}"),
        }
        assert!(!error.line().contains("--"), "flags are for hints: {}", error.line());
    }
}

#[test]
fn exit_codes_are_different() {
    let codes: Vec<u8> = Kind::ALL.iter().map(|(kind, _)| kind.exit_code()).collect();
    assert_eq!(codes, (1..=9).collect::<Vec<_>>());
}

/// Each problem with a registry that somebody can do something about, and what that is.
/// Whoever follows advice about `/tmp` would break the machine.
#[test]
fn only_a_store_is_to_be_made_private() {
    let dir = tempfile::tempdir().unwrap();
    let hint =
        || Error::from(cvbake_store::Error::Writable { path: dir.path().to_owned(), mode: 0o777 }).hint().unwrap();
    assert!(!hint().contains("chmod"), "{}", hint());
    std::fs::write(dir.path().join("oci-layout"), "{}").unwrap();
    assert!(hint().contains("chmod 700"), "{}", hint());
}

#[test]
fn advice_about_registries() {
    use cvbake_fetch::{Error as Fetch, Problem};
    let text = || "x".to_owned();
    let names = || (text(), text(), text());
    let pull = |problem: Problem| {
        let (registry, repository, object) = names();
        Error::from(Fetch::Registry { registry, repository, object, source: Box::new(problem) })
    };
    let push = |problem: Problem| {
        let (registry, repository, object) = names();
        Error::from(Fetch::Push { registry, repository, object, source: Box::new(problem) })
    };
    let login =
        |problem: Problem| Error::from(Fetch::Login { registry: "r.example".to_owned(), source: Box::new(problem) });
    let digest = || Box::new(cvbake_verify::Digest::sha256(b""));
    let status = |status| Problem::Status { host: text(), status, expected: "200", message: text() };
    let malformed = |what| Problem::Malformed { what, reason: text() };
    let credentials = |reason: &str| Problem::Credentials { path: "/f".into(), reason: reason.to_owned() };
    let stall = || std::time::Duration::from_secs(1);
    let slow = || Problem::Slow { host: text(), did: "sent", expected: 1024, found: 1, limit: stall() };
    let other = || Problem::OtherDigest { expected: digest(), found: digest() };
    let gave_up = |problem: Problem| Problem::GaveUp { attempts: 2, source: Box::new(problem) };
    let location = || Problem::Location { host: text(), to: text(), reason: text() };
    let html = || Problem::ContentType { host: text(), found: text(), expected: "a blob" };
    let token = |problem: Problem| Problem::Token { realm: text(), source: Box::new(problem) };
    let certificates = |reason: &str| Problem::Certificates { path: path(), reason: reason.to_owned() };
    let table = [
        (pull(status(400)), Kind::Network, "may be no registry"),
        (pull(gave_up(status(503))), Kind::Network, "try again later"),
        (pull(malformed("the answer with status 401")), Kind::Network, "may be no registry"),
        (pull(token(malformed("the token server's answer"))), Kind::Network, "may be no registry"),
        (pull(malformed("the digest")), Kind::Usage, "64 hexadecimal digits"),
        (
            pull(gave_up(Problem::Stalled { host: text(), did: "sent", limit: stall() })),
            Kind::Network,
            "try again later",
        ),
        (pull(gave_up(slow())), Kind::Network, "try again later"),
        (pull(gave_up(Problem::Late { host: text(), limit: stall() })), Kind::Network, "try again later"),
        (pull(html()), Kind::Network, "from another network or a mirror"),
        (pull(Problem::Encoding { host: text(), found: text() }), Kind::Network, "from another network or a mirror"),
        (pull(Problem::HeaderDigest { header: text(), found: digest() }), Kind::Network, "tell whoever runs it"),
        (pull(Problem::Blocked { prefix: text() }), Kind::Source, "registries.conf"),
        (pull(Problem::Configured { name: text(), reason: "has no tag" }), Kind::Source, "correct [[registry]]"),
        (pull(credentials("it is not of the expected JSON form")), Kind::Source, "repair or remove the file"),
        (pull(credentials("docker-credential-x: No such file")), Kind::Source, "install or repair that program"),
        (pull(certificates("expected a certificate")), Kind::Source, "replace or remove it"),
        (pull(certificates("there is no such directory")), Kind::Source, "check the path: --cert-dir"),
        (pull(certificates("there is no key /p for it")), Kind::Source, "add it, or remove its partner"),
        (pull(certificates("there is no certificate /p for it")), Kind::Source, "add it, or remove its partner"),
        (pull(certificates("No such file or directory")), Kind::Source, "check the path: $SSL_CERT_FILE"),
        (pull(Problem::Setup { reason: text() }), Kind::Network, ""),
        (push(location()), Kind::Network, "tell whoever runs the registry"),
        (push(status(400)), Kind::Network, "only certain kinds of images"),
        (push(status(500)), Kind::Network, "try again later"),
        (push(malformed("the header Location")), Kind::Network, "may be no registry"),
        (push(other()), Kind::Usage, "leave the digest out"),
        (
            pull(Problem::Denied { status: 401, with: "the credentials of user \"u\"".to_owned(), message: text() }),
            Kind::Source,
            "check the user name and the password",
        ),
        (
            pull(Problem::Denied { status: 401, with: "no credentials".to_owned(), message: text() }),
            Kind::Source,
            "log in",
        ),
        (
            pull(Problem::NoSuchTag { message: text(), tags: vec!["v1".to_owned()], more: 0 }),
            Kind::Source,
            "check the tag; `cvbake tags x/x` lists",
        ),
        (pull(Problem::NoSuchRepository { message: text() }), Kind::Source, "check the name of the repository"),
        (login(status(400)), Kind::Network, "check the name of the registry"),
        (login(html()), Kind::Network, "check the name of the registry"),
        (login(malformed("the answer with status 401")), Kind::Network, "check the name of the registry"),
    ];
    for (error, kind, hint) in table {
        assert_eq!(error.kind(), kind, "{error:?}");
        match error.hint() {
            Some(given) => assert!(!hint.is_empty() && given.contains(hint), "{error:?}: {given}"),
            None => assert_eq!(hint, "", "{error:?}"),
        }
    }
}
