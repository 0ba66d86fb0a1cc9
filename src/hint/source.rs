//! What to do about a source: a file or directory that is not there, or not what its transport
//! says.

use std::io::{Error as IoError, ErrorKind};
use std::path::Path;

use cvbake::archive::CompressionProblem;

use super::{DAMAGED, FETCH_MISSING};

pub(crate) const STDIN: &str =
    "only tar: reads standard input: tar:- is a root filesystem; write any other archive to a file first";
const NO_IMAGE: &str = "it is no archive of an image; if it is a root filesystem, write";
const TAR: &str = "a tar archive, plain or compressed with gzip or zstd";
const CUT_OFF: &str = "the file ends too early: copy or download it again";

pub(super) fn of_fetch(error: &cvbake::fetch::Error, reference: Option<&str>) -> Option<String> {
    use cvbake::fetch::Error as E;
    match error {
        E::Transport { text, .. } => Some(format!(
            "`skopeo copy {text} oci:image:latest` makes an image layout of it, and `cvbake bake oci:image:latest` bakes it"
        )),
        E::Source { text, .. } if text == "-" => Some(STDIN.to_owned()),
        // `docker:alpine` is the image called docker; what has more colons is none.
        E::Source { text, .. } if text.starts_with("docker:") && !text.starts_with("docker://") => {
            let name = text.trim_start_matches("docker:").trim_start_matches('/');
            Some(format!("write docker://{name} for an image in a registry"))
        }
        E::Open { path, .. } if path == Path::new("-") => Some(STDIN.to_owned()),
        E::Open { path, source } => of_unopened(path, source, reference?),
        E::Empty { .. } => Some("whatever was to write the archive has failed, or is not done: write it again".to_owned()),
        E::Source { text, .. } if text.starts_with(['/', '.']) || Path::new(text).is_file() => Some(format!(
            "write the transport in front of it: oci:{text}, oci-archive:{text}, docker-archive:{text} or tar:{text}"
        )),
        E::SeveralImages { place, available } | E::NoSuchImage { place, available, .. } => {
            let name = available.first()?;
            // The reference of a wrong name has that name, so only the kind of the source is taken
            // from it.
            let (transport, _) = reference?.split_once(':')?;
            let separator = if name.starts_with("sha256:") || name.starts_with("sha512:") { '@' } else { ':' };
            Some(format!("name one of them, such as {transport}:{place}{separator}{}", name.escape_debug()))
        }
        // The one has looked for the mark of the other.
        E::NotALayout { place, problem } if reference.is_some_and(|reference| reference.starts_with("oci-archive:")) => {
            match problem.contains("manifest.json") {
                true => Some(format!("write docker-archive:{place}")),
                false if problem.starts_with("oci-layout is missing") => Some(format!("{NO_IMAGE} tar:{place}")),
                false => Some(DAMAGED.to_owned()),
            }
        }
        E::NotADockerArchive { place, problem } => Some(match problem.contains("oci-layout") {
            true => format!("write oci-archive:{place}"),
            false => format!("{NO_IMAGE} tar:{place}"),
        }),
        E::NotALayout { place, .. } if Path::new(place).is_file() => {
            Some(format!("it is a file: write oci-archive:{place}, docker-archive:{place} or tar:{place}"))
        }
        E::NotALayout { place, problem } if problem.starts_with("oci-layout is missing") => {
            Some(format!("check the path; {}", archived(place)))
        }
        E::Kind { path, expected: "a file", found: "a directory" } => {
            let path = path.display().to_string();
            Some(format!("write oci:{path} if it is an OCI image layout; {}", archived(&path)))
        }
        E::NotALayout { .. } => Some(DAMAGED.to_owned()),
        E::ShortName { name, .. } => Some(format!(
            "write the name in full, such as docker.io/{}{name}, or make it one of [aliases] in registries.conf",
            if name.contains('/') { "" } else { "library/" }
        )),
        E::Registries { .. } => Some(
            "containers-registries.conf(5) describes the format; --registries-conf FILE uses another file".to_owned(),
        ),
        E::NotLoggedIn { .. } => Some(
            "--authfile FILE names another file, such as ~/.docker/config.json, where `docker login` stores credentials".to_owned(),
        ),
        E::NotPushable { .. } => Some("leave out --all to push the image for one platform".to_owned()),
        E::NoBlob { .. } | E::NoLayer { .. } | E::NoMember { .. } => Some(DAMAGED.to_owned()),
        E::NotStored { .. } => Some(FETCH_MISSING.to_owned()),
        _ => None,
    }
}

/// How a directory of files becomes a source.
fn archived(directory: &str) -> String {
    format!(
        "a directory with the files of a root filesystem is archived first: `tar -C {directory} -cf rootfs.tar .` makes \
         tar:rootfs.tar"
    )
}

/// About something that cannot be opened: the source itself, or the file that says where names
/// lead.
fn of_unopened(path: &Path, error: &IoError, reference: &str) -> Option<String> {
    if reference.starts_with("docker://") {
        return Some(
            "--registries-conf FILE and $CONTAINERS_REGISTRIES_CONF name the configuration of registries".to_owned(),
        );
    }
    let is_source = reference.split_once(':').is_some_and(|(_, rest)| rest.starts_with(&*path.to_string_lossy()));
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory if is_source => Some(format!("check the path in {reference}")),
        _ => None,
    }
}

/// Somebody has given something that is no archive; of a layer, whoever made the image has.
pub(super) fn of_archive(error: &cvbake::archive::Error, reference: Option<&str>) -> Option<String> {
    use cvbake::archive::TarProblem as P;
    let (transport, path) = reference?.split_once(':')?;
    if !matches!(transport, "tar" | "oci-archive" | "docker-archive") {
        return None;
    }
    let problem = match error {
        cvbake::archive::Error::Tar { problem, .. } => problem,
        cvbake::archive::Error::Compressed { problem: CompressionProblem::Truncated { .. }, .. } => {
            return Some(CUT_OFF.to_owned());
        }
        _ => return None,
    };
    let file = if path == "-" { "FILE" } else { path };
    match **problem {
        P::NotTar { found } if found.starts_with("xz") => Some(format!("decompress it first: `xz -dk {file}`")),
        P::NotTar { found } if found.starts_with("bzip2") => Some(format!("decompress it first: `bzip2 -dk {file}`")),
        P::NotTar { found } if found.starts_with("lz4") => Some(format!("decompress it first: `lz4 -dk {file}`")),
        P::ZerosAndData { .. } => Some(format!("{transport}: takes a tar archive; a disk image is not one")),
        P::Truncated { .. } => Some(CUT_OFF.to_owned()),
        // What a server sends instead of a file.
        P::NotTar { found } if ["HTML", "JSON", "plain text"].iter().any(|text| found.contains(text)) => {
            Some(format!("{transport}: takes {TAR}; what was downloaded may be an error page"))
        }
        P::NotTar { .. } | P::NoHeader => Some(format!("{transport}: takes {TAR}")),
        _ => None,
    }
}
