//! What the user can do about an error of the library, or about what it has found.
//!
//! The parts of a hint are separated by semicolons, and each makes sense without the others: the
//! command line leaves out those about options that its command does not have.

mod boot;
mod files;
mod finding;
mod format;
mod registry;
mod source;
mod space;
#[cfg(test)]
mod tests;

use std::io::{Error as IoError, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use cvbake::error::{Cause, Error, ExtractError, Kind};
use cvbake::fetch::Problem;
use cvbake::text;
use rustix::io::Errno;

pub(crate) use finding::of as of_finding;
use registry::{Doing, of_problem, of_writing, speaks_of_tls};
pub(crate) use source::STDIN;
use source::{of_archive, of_fetch};

/// What can be done about an error.
pub(crate) fn of(error: &Error) -> Option<String> {
    let parts = [of_causes(error), slashes(error).filter(|_| error.kind() == Kind::Source)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// `docker:alpine` is the image called docker with a tag. Whoever knows `docker://alpine` hardly
/// means that.
fn slashes(error: &Error) -> Option<String> {
    let Error::Image { reference, .. } = error else { return None };
    let name = reference.strip_prefix("docker://docker:").filter(|name| !name.contains('@'))?;
    Some(format!("docker://{} is the image of that name", text::line(name)))
}

/// The advice that the innermost of an error's causes has which has one.
fn of_causes(error: &Error) -> Option<String> {
    let causes: Vec<Cause<'_>> = error.causes().collect();
    // Whoever has said where it goes knows what to do about that.
    if causes.iter().any(|cause| matches!(cause.downcast_ref(), Some(Error::Tell { .. }))) {
        return None;
    }
    if error.is_full() {
        return Some(space::of(&causes, error.kind() == Kind::Store).to_owned());
    }
    if causes.iter().any(|cause| matches!(cause.downcast_ref(), Some(Error::Target { .. }))) {
        return causes.iter().rev().find_map(|&cause| of_target(cause));
    }
    if causes.iter().any(|&cause| is_broken(cause)) {
        return Some(if error.kind() == Kind::Store { BROKEN_STORE } else { BROKEN }.to_owned());
    }
    if causes.iter().any(|cause| matches!(cause.downcast_ref(), Some(Error::Partly { .. }))) {
        return Some("--platform chooses an image that is there".to_owned());
    }
    if let Some(hint) = causes.iter().find_map(|&cause| of_absent(cause)) {
        return Some(hint);
    }
    let reference = causes.iter().find_map(|cause| match cause.downcast_ref() {
        Some(Error::Image { reference, .. }) => Some(reference.as_str()),
        _ => None,
    });
    // Of several that stand for one another, the one that the problem is about.
    let asked = |&cause: &Cause<'_>| match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(cvbake::fetch::Error::Registry { registry, .. } | cvbake::fetch::Error::Push { registry, .. }), _) => {
            Some(registry.clone())
        }
        (_, Some(Problem::Mirrors { host, .. })) => Some(host.clone()),
        _ => None,
    };
    let registry = causes.iter().rev().find_map(asked);
    let pushing = |cause: &Cause<'_>| match cause.downcast_ref() {
        Some(cvbake::fetch::Error::Push { .. }) => Some(Doing::Push),
        Some(cvbake::fetch::Error::Login { .. }) => Some(Doing::Login),
        _ => None,
    };
    if let Some(doing) = causes.iter().find_map(pushing)
        && let Some(hint) = causes.iter().rev().find_map(|cause| of_writing(cause.downcast_ref()?, doing))
    {
        return Some(hint.to_owned());
    }
    let is_part = |cause: &Cause<'_>| match cause.downcast_ref() {
        Some(cvbake::fetch::Error::Registry { object, .. }) => !object.starts_with("manifest") && object != TAGS,
        _ => false,
    };
    let is_of_tags = |cause: &Cause<'_>| match cause.downcast_ref() {
        Some(cvbake::fetch::Error::Registry { object, .. }) => object == TAGS,
        _ => false,
    };
    let is_absent = |cause: &Cause<'_>| matches!(cause.downcast_ref(), Some(Problem::NotFound { .. }));
    if causes.iter().any(is_of_tags) && causes.iter().any(is_absent) {
        return Some(NO_REPOSITORY.to_owned());
    }
    if causes.iter().any(is_part) && causes.iter().any(is_absent) {
        return Some(PART_LOST.to_owned());
    }
    let is_tag = |cause: &Cause<'_>| matches!(cause.downcast_ref(), Some(Problem::NoSuchTag { .. }));
    let repository = causes.iter().find_map(|cause| match cause.downcast_ref() {
        Some(cvbake::fetch::Error::Registry { registry, repository, .. }) => Some(format!("{registry}/{repository}")),
        _ => None,
    });
    if let Some(repository) = repository.filter(|_| causes.iter().any(is_tag)) {
        return Some(format!("check the tag; `cvbake tags {}` lists those that are there", text::line(&repository)));
    }
    // Before there is a manifest, nothing can have been downloaded.
    let is_unreachable = |cause: &Cause<'_>| match cause.downcast_ref() {
        Some(Problem::Transport { connecting: true, reason, .. }) => !speaks_of_tls(reason),
        _ => false,
    };
    if !causes.iter().any(is_part)
        && let Some(cause) = causes.iter().find(|&cause| is_unreachable(cause))
    {
        let is_here = matches!(cause.downcast_ref(), Some(Problem::Transport { host, .. }) if is_this_machine(host));
        return Some(if is_here { NOT_RUNNING } else { UNREACHABLE }.to_owned());
    }
    causes.iter().rev().find_map(|&cause| one(cause, reference, registry.as_deref()))
}

/// What an error calls the tags of a repository.
const TAGS: &str = "the tags";

const NO_REPOSITORY: &str = "check the name of the repository; some registries list no tags";
const BROKEN: &str =
    "the device that holds it, or the connection to it, may be failing: `dmesg` shows what the kernel says";
const BROKEN_STORE: &str = "the device that holds the store may be failing: `dmesg` shows what the kernel says; `cvbake store check --repair` \
     removes what cannot be read, so that it is fetched again; --store DIR keeps the store elsewhere";
const NOT_STORED: &str = "`cvbake pull` fetches it into the store; --pull missing fetches what is not there; an image that was imported has to be \
     imported again";
pub(super) const FETCH_MISSING: &str =
    "`cvbake pull` fetches what is missing of an image; import one that was imported again, with `cvbake image import`";
const UNREACHABLE: &str =
    "check the name of the registry, the network, and what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say";
/// This machine is never reached through a proxy.
const NOT_RUNNING: &str = "check the port, and that the registry runs on this machine";
const PART_LOST: &str = "the registry has the image, but not all of it: push it there again; layers that must not be distributed \
                         are not fetched from elsewhere";
const DAMAGED: &str = "this copy of the image is damaged or incomplete: fetch the image again";
const ELSEWHERE: &str = "--store DIR uses another directory; --no-cache bakes without a store";
const READ_ONLY: &str = "--store DIR uses another directory; --no-cache bakes without a store, even the images in this one, as \
                         oci:STORE:NAME, where NAME is docker.io/library/alpine:latest or the like";
pub(crate) const REPAIR: &str =
    "`cvbake store check --repair` removes it, so that it is fetched again, and restores lost names";

fn one(cause: Cause<'_>, reference: Option<&str>, registry: Option<&str>) -> Option<String> {
    if let Some(error) = cause.downcast_ref() {
        return of_ours(error);
    }
    if let Some(hint) = files::of(cause) {
        return Some(hint.to_owned());
    }
    if let Some(error) = cause.downcast_ref() {
        return of_fetch(error, reference);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_archive(error, reference);
    }
    if let Some(problem) = cause.downcast_ref() {
        return of_problem(problem, registry);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_verify(error, reference);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_ext4(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_erofs(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_mkfs(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_disk(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_store(error);
    }
    of_io(cause.downcast_ref()?)
}

/// Whether it was a disk, or what is between here and there, that failed.
fn is_broken(cause: Cause<'_>) -> bool {
    cause.downcast_ref().and_then(IoError::raw_os_error) == Some(Errno::IO.raw_os_error())
}

/// Whether `host` or `host:port` is the machine that the program runs on.
fn is_this_machine(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.split(':').next().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    address.is_some_and(|address| address.is_loopback()) || name == "localhost" || name.ends_with(".localhost")
}

fn of_ours(error: &Error) -> Option<String> {
    match error {
        Error::ReplacesParent { .. } => Some("write the differencing disk to another file".to_owned()),
        Error::ReplacesInput { .. } => Some("write the new disk to another file".to_owned()),
        Error::Overlaps { .. } => Some("`cvbake disk check` says which".to_owned()),
        Error::Shrinks { .. } => Some(
            "make the filesystem smaller first, with `resize2fs`; --shrink then cuts off what is behind it".to_owned(),
        ),
        Error::Partitioned { .. } => {
            Some("bake it again with a smaller --size: cvbake does not move what is on a disk".to_owned())
        }
        Error::CutsContent { .. } => Some("make the filesystem smaller first, with `resize2fs`".to_owned()),
        Error::Loses { .. } => Some("`cvbake disk convert` makes a new disk of what it is now".to_owned()),
        Error::NotInRegistry => Some("`cvbake image import` brings images from files into the store".to_owned()),
        Error::NoTarget { image } => Some(format!("add one: `cvbake push {image} REGISTRY/NAME:TAG`")),
        Error::PlatformNotStored { registry_name: Some(name), wanted, .. } => Some(format!(
            "`cvbake pull --platform {wanted} {}` fetches it; --platform chooses one that is there",
            text::line(name)
        )),
        Error::PlatformNotStored { registry_name: None, .. } => Some("--platform chooses one that is there".to_owned()),
        Error::NoSuchImage { similar, .. } if !similar.is_empty() => {
            Some(format!("there is {}; `cvbake image ls` lists all", similar.join(", ")))
        }
        Error::NoSuchImage { .. } => {
            Some("`cvbake image ls` lists the images in the store, `cvbake pull` fetches others".to_owned())
        }
        Error::AmbiguousImage { .. } => Some("give more of the name or of the digest".to_owned()),
        Error::SeveralNames { .. } => Some("name the ones to remove, or use --force for all of them".to_owned()),
        Error::InUse { .. } => Some("wait until whatever uses it is done, or use --force".to_owned()),
        Error::Incomplete { .. } => Some(FETCH_MISSING.to_owned()),
        Error::Unnamed { sources } => Some(match &sources[..] {
            [first, _, ..] => {
                format!("import one after the other: `cvbake image import {} team/app:v1`", text::line(first))
            }
            _ => "give it a name after the source, such as team/app:v1".to_owned(),
        }),
        Error::Boot(_)
        | Error::Esp(_)
        | Error::StubMissing { .. }
        | Error::LoaderMissing { .. }
        | Error::ModuleArchive { .. }
        | Error::HashTreePlace { .. }
        | Error::KernelArchitecture { .. } => boot::of(error).map(str::to_owned),
        Error::TooLarge(_)
        | Error::Vhdx(_)
        | Error::ReadDisk { .. }
        | Error::ReadFormat { .. }
        | Error::OpenDisk { .. }
        | Error::Chain { .. }
        | Error::WindowsName { .. }
        | Error::NoParentOf { .. }
        | Error::BackingName { .. } => format::of(error).map(str::to_owned),
        Error::Extract(ExtractError::Exists { .. }) => Some("--force replaces what is there".to_owned()),
        Error::Extract(ExtractError::Write { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Some("make the directory first".to_owned())
        }
        Error::NoSuchPath { layers, .. } => Some(match layers {
            Some(_) => "`cvbake tree` lists the files that will be on the disk".to_owned(),
            None => "`cvbake explain` says whether a lower layer had it".to_owned(),
        }),
        Error::NoManifest { .. } => Some("`cvbake image import` makes it an image with a manifest".to_owned()),
        _ => None,
    }
}

fn of_io(error: &IoError) -> Option<String> {
    let code = error.raw_os_error()?;
    if [Errno::MFILE, Errno::NFILE].iter().any(|errno| errno.raw_os_error() == code) {
        return Some(
            "allow more open files with `ulimit -n`; --jobs 1 and --connections 1 work on fewer layers at once"
                .to_owned(),
        );
    }
    if error.kind() == ErrorKind::FileTooLarge {
        return Some(
            "the filesystem or `ulimit -f` allows no file of this size: raise the limit, or use another filesystem; choose a smaller \
             --size"
                .to_owned(),
        );
    }
    None
}

/// What a registry says of an index is less than what is known of it here.
fn of_absent(cause: Cause<'_>) -> Option<String> {
    let Some(Error::ListsAbsent { registry_name, .. }) = cause.downcast_ref() else { return None };
    let fetch = |name: &String| format!("`cvbake pull --all {}` fetches what is missing; ", text::line(name));
    let fetch = registry_name.as_ref().map(fetch).unwrap_or_default();
    Some(format!("{fetch}leave out --all to push the image for one platform"))
}

/// What is said of a source is no advice about a place that something is to be written to.
fn of_target(cause: Cause<'_>) -> Option<String> {
    use cvbake::fetch::Error as E;
    match cause.downcast_ref::<E>()? {
        E::NotALayout { .. } => {
            Some("export to a new or empty directory, or to one that is an OCI image layout".to_owned())
        }
        E::Document { .. } | E::Kind { .. } => {
            Some("what is there is broken: remove it, or export to another directory".to_owned())
        }
        _ => None,
    }
}

fn of_verify(error: &cvbake::verify::Error, reference: Option<&str>) -> Option<String> {
    use cvbake::verify::Error as E;
    match error {
        E::Document { .. } | E::BlobDigest { .. } | E::BlobTooShort { .. } | E::BlobTooLong { .. } => {
            Some(DAMAGED.to_owned())
        }
        E::NoPlatform { available, .. } => {
            let platform = available.first()?;
            Some(format!("choose one that is there, such as --platform {platform}"))
        }
        E::ConfigPlatform { found, .. } => Some(format!("--platform {found} accepts it")),
        E::ConfigOs { found, .. } => Some(format!("--platform {found}/ARCHITECTURE accepts it")),
        E::Ambiguous { first, .. } => {
            // `oci:DIR`, perhaps with a tag.
            let (transport, path) = reference?.split_once(':')?;
            let path = path.split(':').next().filter(|_| transport.starts_with("oci"))?;
            Some(format!("choose one by its digest: {transport}:{path}@{first}"))
        }
        E::Schema1 { .. } => Some("`skopeo copy --format oci` converts it".to_owned()),
        E::EncryptedLayer { .. } => Some("`skopeo copy --decryption-key` decrypts it".to_owned()),
        _ => None,
    }
}

fn of_ext4(error: &cvbake::ext4::Error) -> Option<String> {
    use cvbake::ext4::Error as E;
    match error {
        E::TooSmall { needed, .. } => {
            let size = size_argument(*needed);
            Some(format!("--size {size} is enough; --size auto leaves room for new files"))
        }
        E::TooLarge { .. } => Some("choose a smaller --size".to_owned()),
        E::TooFewInodes { needed, .. } => {
            Some(format!("--inodes {needed} is enough; --inodes auto leaves room for more"))
        }
        E::TooManyInodes { max, .. } => Some(format!("--inodes {max} is possible, and more with a larger --size")),
        E::InodeRatio { min, .. } => Some(format!("--inodes 1/{} is possible", size_argument(*min))),
        E::Label { .. } => Some("choose a shorter --label".to_owned()),
        _ => None,
    }
}

fn of_erofs(error: &cvbake::erofs::Error) -> Option<String> {
    use cvbake::erofs::Error as E;
    match error {
        E::TooLarge { .. } => Some("--fs ext4 writes larger filesystems".to_owned()),
        E::Label { .. } => Some("choose a shorter --label".to_owned()),
        _ => None,
    }
}

fn of_mkfs(error: &cvbake::ext4::mkfs::Error) -> Option<String> {
    use cvbake::ext4::mkfs::Error as E;
    match error {
        E::Missing { .. } => {
            Some("install the package e2fsprogs, or use --engine native, which needs no program".to_owned())
        }
        E::CannotHold { .. } | E::CannotMake { .. } => Some("--engine native can make it".to_owned()),
        E::Start { .. } | E::Failed { .. } | E::Differs { .. } | E::Unreadable { .. } => {
            Some("--engine native needs no program".to_owned())
        }
        _ => None,
    }
}

fn of_disk(error: &cvbake::disk::Error) -> Option<String> {
    use cvbake::disk::Error as E;
    match error {
        E::Exists { .. } => Some("--force replaces it".to_owned()),
        E::NotAFile { .. } => Some("only regular files are replaced: remove it, or choose another name".to_owned()),
        E::Foreign { .. } => Some("choose another name, or ask its owner to remove it".to_owned()),
        E::Swapped { .. } => {
            Some("somebody else renames files in that directory: write to a directory of your own".to_owned())
        }
        E::NoName { .. } => Some("end the path with the name of a file; -o disk.ext4 is such a path".to_owned()),
        E::Open { path, source } if source.kind() == ErrorKind::NotFound => {
            Some(format!("make the directory first: `mkdir -p {}`", path.display()))
        }
        E::Create { source, .. } if is_forbidden(source) => {
            Some("write to a directory where you may create files".to_owned())
        }
        _ => None,
    }
}

fn is_forbidden(error: &IoError) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

fn of_store(error: &cvbake::store::Error) -> Option<String> {
    use cvbake::store::Error as E;
    match error {
        // Advice about a directory of everybody's would do harm.
        E::Writable { path, .. } if !path.join("oci-layout").is_file() => Some(ELSEWHERE.to_owned()),
        E::Writable { path, .. } => Some(format!("`chmod 700 {}` makes it private; {ELSEWHERE}", path.display())),
        E::Misplaced { path, .. } => Some(format!(
            "move {} away: the store creates a new one, and `cvbake store check --repair` restores what it can; {ELSEWHERE}",
            path.display()
        )),
        E::Input { .. } | E::NewInput { .. } => None,
        E::Digest { .. } => Some(DAMAGED.to_owned()),
        E::NamesLost { .. } => Some(
            "`cvbake store check --repair` finds the images again, under their digests, which they keep for 30 days after their last use; \
             `cvbake image tag DIGEST NAME` gives one a name; `cvbake store gc --all` removes them and everything else"
                .to_owned(),
        ),
        E::Foreign { .. } => Some(READ_ONLY.to_owned()),
        E::Create { source, .. } | E::Write { source, .. } if is_forbidden(source) => Some(READ_ONLY.to_owned()),
        _ => Some(ELSEWHERE.to_owned()),
    }
}

/// The shortest number of bytes for a flag that is as large or little larger: whole MiB, below one
/// whole KiB.
fn size_argument(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    if bytes < MIB { format!("{}K", bytes.div_ceil(KIB)) } else { format!("{}M", bytes.div_ceil(MIB)) }
}
