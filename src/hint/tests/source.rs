//! What is advised about a source.

use cvbake::archive::{Compression, CompressionProblem, Error as Archive, TarProblem};
use cvbake::verify::Error as Verify;

use super::*;

fn not_a_layout(reference: &str, problem: &str) -> Error {
    about(reference, Fetch::NotALayout { place: text(), problem: problem.to_owned() })
}

fn no_archive(reference: &str, problem: TarProblem) -> Error {
    let archive = Archive::Tar { path: None, offset: 0, problem: Box::new(problem) };
    about(reference, cvbake::unpack::Error::from(archive))
}

fn ambiguous(object: &str) -> Verify {
    Verify::Ambiguous {
        object: object.to_owned(),
        platform: Box::new("linux/amd64".parse().unwrap()),
        first: Box::new(digest()),
        second: Box::new(digest()),
    }
}

#[test]
fn sources() {
    let again = "fetch the image again";
    let available = || vec!["v1".to_owned(), "v2".to_owned()];
    let schema_1 = Box::new(Verify::Schema1 { object: text() });
    let here = |host| image(unreachable("manifest v1", host));
    let not_tar = |found| TarProblem::NotTar { found };
    let cut_off = TarProblem::Truncated { inside: "a header", missing: 1 };
    let cut_off_data = Archive::Compressed {
        compression: Compression::Gzip,
        offset: 1,
        problem: CompressionProblem::Truncated { inside: "x" },
    };
    assert_advised(vec![
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
            about("docker://x", Fetch::Open { path: path(), source: os(Errno::NOENT) }),
            Kind::Source,
            "--registries-conf FILE",
        ),
        (
            image(Fetch::Kind { path: path(), expected: "a file", found: "a directory" }),
            Kind::Source,
            "write oci:/p if it is an OCI image layout; a directory with",
        ),
        (
            about("docker://docker:alpine", absent("manifest alpine")),
            Kind::Source,
            "; docker://alpine is the image of that name",
        ),
        (image(Fetch::Empty { place: text() }), Kind::Source, "write it again"),
        (
            about("docker-archive:x", Fetch::NotADockerArchive { place: text(), problem: "p" }),
            Kind::Source,
            "if it is a root filesystem, write tar:x",
        ),
        (
            about("docker-archive:x", Fetch::NotADockerArchive { place: text(), problem: "but it has oci-layout" }),
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
        (image(unreachable("manifest v1", "x")), Kind::Network, "the name of the registry, the network"),
        (image(unreachable("blob sha256:12", "x")), Kind::Network, "try again later"),
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
        (about("oci:web", ambiguous("oci:web")), Kind::Source, "choose one by its digest: oci:web@sha256:e3b0"),
        (about("oci:web:1", ambiguous("x")), Kind::Source, "digest: oci:web@sha256:e3b0"),
        // What somebody has given for an archive, and a layer that is none.
        (no_archive("tar:login.html", not_tar("an HTML or XML page")), Kind::Image, "may be an error page"),
        (no_archive("tar:/bin/ls", not_tar("a program")), Kind::Image, "compressed with gzip or zstd"),
        (no_archive("tar:x", cut_off), Kind::Image, "download it again"),
        (about("tar:x", io::Error::other(cut_off_data)), Kind::Image, "download it again"),
        (no_archive("tar:x", TarProblem::NoHeader), Kind::Image, "tar: takes a tar archive"),
        (no_archive("tar:x.tar.xz", not_tar("xz data, a compression")), Kind::Image, "`xz -dk x.tar.xz`"),
        (no_archive("docker://x", not_tar("a JSON document")), Kind::Image, ""),
        (image(absent("manifest v1")), Kind::Source, "check the name, and the tag or digest"),
        (through_a_reader(absent("blob sha256:12")), Kind::Source, "not all of it"),
    ]);
}
