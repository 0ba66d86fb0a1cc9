//! What a command can end with: which object it was about, what was expected of it, and what was
//! found.
//!
//! What somebody can do about an error depends on how they asked for it, which the library does not
//! know: that, and the exit status, is the program's matter.

mod causes;
mod directory;
mod disk;
mod inside;
mod kind;
/// What a child would stand in the place of.
fn replaced(path: &Path, parent: &Path) -> String {
    match path == parent {
        true => "a disk that it reads from".to_owned(),
        false => format!("{}, which it reads from", parent.display()),
    }
}

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use cvbake_verify::{Digest, Layer, shorten};

use crate::format::FileFormat;

pub use causes::Cause;
pub use directory::DirectoryError;
pub use disk::{ChainProblem, DiskReadError};
pub use inside::{ExtractError, FilesystemError, InsideProblem};
pub use kind::Kind;

/// Why a bake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something about one image.
    #[error("{reference}")]
    Image {
        /// The image, as it was asked for.
        reference: String,
        /// What.
        source: Box<Error>,
    },
    /// The store has no room for what a run works on.
    #[error("the store has no room left")]
    FullStore {
        /// What it was needed for.
        source: Box<Error>,
    },
    /// Something about the place that an image is exported to.
    #[error("{target}")]
    Target {
        /// The file or directory.
        target: String,
        /// What.
        source: Box<Error>,
    },
    /// Something about one layer.
    #[error("layer {number}{}", digest.map(|digest| format!(" ({digest})")).unwrap_or_default())]
    Layer {
        /// Which, counted from 1.
        number: usize,
        /// Its digest, if something says it.
        digest: Option<Digest>,
        /// What.
        source: Box<Error>,
    },
    /// Something about one entry of a layer.
    #[error("entry at offset {offset}")]
    Entry {
        /// Where its header starts in the uncompressed stream.
        offset: u64,
        /// What.
        source: Box<Error>,
    },
    /// The source can't be opened or is none.
    #[error(transparent)]
    Fetch(#[from] cvbake_fetch::Error),
    /// The image is not as it says.
    #[error(transparent)]
    Verify(#[from] cvbake_verify::Error),
    /// A layer can't be unpacked, or not merged.
    #[error(transparent)]
    Unpack(#[from] cvbake_unpack::Error),
    /// A layer can't be read.
    #[error("cannot read the layer")]
    Read(#[from] ReadError),
    /// The files don't fit a filesystem, or it can't be written.
    #[error(transparent)]
    Ext4(#[from] cvbake_ext4::Error),
    /// The same of a filesystem that is only read.
    #[error(transparent)]
    Erofs(#[from] cvbake_erofs::Error),
    /// The other engine failed.
    #[cfg(feature = "mkfs")]
    #[error(transparent)]
    Mkfs(#[from] cvbake_ext4::mkfs::Error),
    /// A path that is not on the disk.
    #[error("{path}: expected a file of the image, and there is none{}", layers.map(|layers| format!(", nor was there one in any of {layers} layers")).unwrap_or_default())]
    NoSuchPath {
        /// The path, escaped.
        path: String,
        /// How many layers were looked through, if they were.
        layers: Option<usize>,
    },
    /// A path that leads in a circle.
    #[error("{path}: more than {limit} symbolic links on the way")]
    Loop {
        /// The path, escaped.
        path: String,
        /// How many are followed.
        limit: usize,
    },
    /// The format that was asked for can't hold the filesystem.
    #[error(transparent)]
    TooLarge(#[from] cvbake_disk::TooLarge),
    /// The same of a VHDX file.
    #[error(transparent)]
    Vhdx(#[from] cvbake_vhdx::Error),
    /// There is nothing to boot a disk by, or it can't be used.
    #[error(transparent)]
    Boot(#[from] cvbake_boot::Error),
    /// The boot partition does not hold what it must.
    #[error("the boot partition")]
    Esp(#[from] cvbake_disk::fat::Error),
    /// There is no table for the partitions.
    #[error(transparent)]
    Partitions(#[from] cvbake_disk::gpt::Error),
    /// There is no stub to start a kernel with from UEFI.
    #[error("there is no stub for UEFI: expected {path} in the image or on this machine")]
    StubMissing {
        /// Where it would be.
        path: String,
    },
    /// There is no boot loader.
    #[error("there is no systemd-boot: expected {path} in the image or on this machine")]
    LoaderMissing {
        /// Where it would be.
        path: String,
    },
    /// The archive with the modules of a kernel can't be read.
    #[error("{name}")]
    ModuleArchive {
        /// The archive.
        name: String,
        /// Why.
        source: cvbake_unpack::Error,
    },
    /// A hash tree where the boot of the disk does not look for it.
    #[error("the hash tree is {found}, expected {expected}")]
    HashTreePlace {
        /// Where it would be.
        found: &'static str,
        /// Where it could be.
        expected: &'static str,
    },
    /// The kernel and the image are for different processors.
    #[error("{kernel} is a kernel for {expected}, and the image is for {found}")]
    KernelArchitecture {
        /// The kernel's file.
        kernel: String,
        /// What it is for.
        expected: &'static str,
        /// What the image is for.
        found: String,
    },
    /// A file that is to be read as a disk, and is none.
    #[error("cannot read {}{} as a VHDX", path.display(), parent_of(child.as_deref()))]
    ReadDisk {
        /// The file.
        path: PathBuf,
        /// The disk that says that this is its parent; none if somebody has named the file.
        child: Option<PathBuf>,
        /// Why.
        source: cvbake_vhdx::ReadError,
    },
    /// A file that is to be read as a disk, and can't be opened.
    #[error("cannot open {}{}", path.display(), parent_of(child.as_deref()).trim_end_matches(','))]
    OpenDisk {
        /// The file.
        path: PathBuf,
        /// The disk that says that this is its parent; none if somebody has named the file.
        child: Option<PathBuf>,
        /// Why.
        source: io::Error,
    },
    /// The same of the other formats.
    #[error("cannot read {}{} as a {format}", path.display(), parent_of(child.as_deref()))]
    ReadFormat {
        /// The file.
        path: PathBuf,
        /// The disk that says that this is its parent; none if somebody has named the file.
        child: Option<PathBuf>,
        /// Which format.
        format: FileFormat,
        /// Why.
        source: Box<cvbake_disk::FormatError>,
    },
    /// What is on a disk can't be read.
    #[error(transparent)]
    DiskContent(#[from] DiskReadError),
    /// A differencing disk whose parents are not as they should be.
    #[error("{}: {problem}", path.display())]
    Chain {
        /// The disk.
        path: PathBuf,
        /// What is wrong.
        problem: ChainProblem,
    },
    /// A differencing disk that would stand where a disk is that it reads from.
    #[error("cannot write the child to {}: it would replace {}", path.display(), replaced(path, parent))]
    ReplacesParent {
        /// Where it would be.
        path: PathBuf,
        /// The parent, or a parent of that.
        parent: PathBuf,
    },
    /// A disk that would stand where one is that it is made of.
    #[error("{} would replace {}, which is being read", path.display(), input.display())]
    ReplacesInput {
        /// Where it would be.
        path: PathBuf,
        /// The disk, or a parent of it.
        input: PathBuf,
    },
    /// Tables that give more content than their files can have.
    #[error("{}: its tables have more content than its files, so parts of it overlap", path.display())]
    Overlaps {
        /// The disk.
        path: PathBuf,
    },
    /// A disk that would become smaller, which nobody asked for.
    #[error("{} has {len_bytes} bytes, and would become smaller", path.display())]
    Shrinks {
        /// The disk.
        path: PathBuf,
        /// How long it is.
        len_bytes: u64,
    },
    /// A disk that would lose the copy of its partition table at its end.
    #[error("{} has a partition table, also at its end, and can only become larger", path.display())]
    Partitioned {
        /// The disk.
        path: PathBuf,
    },
    /// A disk that has content behind its new end.
    #[error("{} has content behind its new end, at offset {offset}", path.display())]
    CutsContent {
        /// The disk.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// A length that no disk has.
    #[error("{}: the new length is more than 2^63 bytes", path.display())]
    TooLong {
        /// The disk.
        path: PathBuf,
    },
    /// A disk that can't be made anew, because that would lose something.
    #[error("{} has {what}, which a resized disk would not have", path.display())]
    Loses {
        /// The disk.
        path: PathBuf,
        /// What would be lost.
        what: &'static str,
    },
    /// What is inside of a disk can't be had.
    #[error("{}", disk.display())]
    Inside {
        /// The disk.
        disk: PathBuf,
        /// Why.
        #[source]
        problem: InsideProblem,
    },
    /// Files of a disk can't be copied out of it.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// Files of an image can't become files of the host.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The content of a file can't be compared.
    #[error("{of}")]
    Compare {
        /// The disk or the image that it is of.
        of: String,
        /// Which file, and why.
        #[source]
        problem: cvbake_tree::Uncompared,
    },
    /// A disk that was just made is not what it should be.
    #[error("the disk is not what it should be: {count} {} differ, the first of them {first}", if *count == 1 { "path" } else { "paths" })]
    NotProven {
        /// How many paths differ.
        count: u64,
        /// The first.
        first: String,
    },
    /// A disk that can't be the parent of a child of this format.
    #[error("{} is a {found}, expected {} as the parent of a {child}", path.display(), if *child == FileFormat::Qcow2 { "a qcow2 or a raw disk" } else { "the same" })]
    NoParentOf {
        /// The disk.
        path: PathBuf,
        /// What it is.
        found: FileFormat,
        /// What the child is to be.
        child: FileFormat,
    },
    /// A way to a parent that a child of QEMU can't have.
    #[error("the way from the child to {} has {len} bytes, expected at most {}", path.display(), cvbake_disk::qcow2::Backing::MAX_NAME)]
    BackingName {
        /// The parent.
        path: PathBuf,
        /// How long the way is.
        len: usize,
    },
    /// A path that Windows can't have.
    #[error("{} is no path of Windows, expected UTF-8 without backslashes, and no more than 32767 characters", path.display())]
    WindowsName {
        /// The path.
        path: PathBuf,
    },
    /// The hash tree of a disk can't be planned or written.
    #[error(transparent)]
    Verity(#[from] cvbake_verity::Error),
    /// The image lacks what the place that the disk is for wants.
    #[error("the image has neither {}, and {place} takes only images that do", one_of.join(" nor "))]
    Lacks {
        /// The place.
        place: &'static str,
        /// The paths of which one must be there.
        one_of: &'static [&'static str],
    },
    /// The files don't fit an archive, or it can't be written.
    #[error(transparent)]
    Rootfs(#[from] cvbake_rootfs::Error),
    /// The output can't be made.
    #[error(transparent)]
    Disk(#[from] cvbake_disk::Error),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] cvbake_store::Error),
    /// An image that the store does not have.
    #[error("the store has no image {:?}", shorten(name))]
    NoSuchImage {
        /// What was asked for.
        name: String,
        /// Names that are alike.
        similar: Vec<String>,
    },
    /// The end of several names, or the beginning of several digests.
    #[error("several images in the store match {:?}: {}", shorten(text), found.join(", "))]
    AmbiguousImage {
        /// What was asked for.
        text: String,
        /// Some of them.
        found: Vec<String>,
    },
    /// An image without the documents that are wanted of it.
    #[error("{} has no manifest", shorten(name))]
    NoManifest {
        /// The image.
        name: String,
    },
    /// An image that is known by its digest, and has several names.
    #[error("image {digest} has several names: {}", names.join(", "))]
    SeveralNames {
        /// The digest.
        digest: Digest,
        /// The names.
        names: Vec<String>,
    },
    /// An image that a running process uses.
    #[error("the image {:?} is in use", shorten(name))]
    InUse {
        /// What was asked for.
        name: String,
    },
    /// An image of which the store does not have what is wanted.
    #[error("the store has only a part of {:?}", shorten(name))]
    Incomplete {
        /// What was asked for.
        name: String,
    },
    /// An image for several platforms, of which the store does not have the one that is wanted.
    #[error("the store has it for {}, not for {wanted}", available.join(", "))]
    PlatformNotStored {
        /// The name by which a registry gives the image; none if it was imported.
        registry_name: Option<String>,
        /// The platform.
        wanted: String,
        /// Those that are there.
        available: Vec<String>,
    },
    /// An index of which not all images are there.
    #[error("some images in the index cannot be read")]
    Partly {
        /// What can't.
        source: Box<Error>,
    },
    /// A registry does not take an index of which it lacks images, which are not here either.
    #[error("the index lists {count} {} neither here nor in the registry", if *count == 1 { "manifest that is" } else { "manifests that are" })]
    ListsAbsent {
        /// How many.
        count: usize,
        /// The name by which a registry gives the image; none if it was imported.
        registry_name: Option<String>,
        /// What the registry says.
        source: Box<Error>,
    },
    /// A text that an image can't be called.
    #[error("{:?} is not a valid name for an image: expected one such as team/app:v1, without a digest", shorten(name))]
    ImageName {
        /// The text.
        name: String,
    },
    /// Images that nothing says what to call.
    #[error("{}", if sources.len() > 1 { "the source does not name the images in full" } else { "the source does not name the image" })]
    Unnamed {
        /// The images, each as a source of its own.
        sources: Vec<String>,
    },
    /// A temporary file can't be used.
    #[error("cannot use the temporary file {}", path.display())]
    Scratch {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or a directory was to be pulled.
    #[error("expected the name of an image in a registry, found a file or directory")]
    NotInRegistry,
    /// An image was to be pushed, and nothing says where to.
    #[error("no name to push {image} to")]
    NoTarget {
        /// The image, as it was asked for.
        image: String,
    },
    /// Whoever was to read the result, which is a stream, has stopped before its end. That is
    /// theirs to decide, and no news to anybody: the exit status says it, and nothing else.
    #[error("nobody reads standard output to its end")]
    Unread,
    /// The command was asked to end, by [`Control::cancel`](crate::control::Control::cancel), and
    /// nothing of it is left.
    #[error("cancelled")]
    Cancelled,
    /// The result can't be told, though the work is done.
    #[error("cannot write to standard output")]
    Tell {
        /// Why.
        source: io::Error,
    },
}

/// Reading a layer failed: what the source, the decompression or a check had to say.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReadError(#[from] io::Error);

impl From<io::Error> for Error {
    fn from(source: io::Error) -> Error {
        Error::Read(ReadError(source))
    }
}

/// Whose parent a file is, in a sentence.
fn parent_of(child: Option<&Path>) -> String {
    child.map(|child| format!(", the parent of {},", child.display())).unwrap_or_default()
}

impl Error {
    /// About the content of a disk, which was read through [`open`](crate::disks::open).
    pub(crate) fn disk_content(path: &Path, source: io::Error) -> Error {
        let named = source.downcast::<DiskReadError>();
        named.unwrap_or_else(|source| DiskReadError { path: path.to_owned(), source }).into()
    }

    pub(crate) fn layer(layer: &Layer, source: Error) -> Error {
        let digest = layer.digest().or(layer.diff_id());
        Error::Layer { number: layer.number(), digest, source: Box::new(source) }
    }

    /// About a temporary file, by its name rather than by the descriptor that leads to it.
    pub(crate) fn scratch(path: &std::path::Path, source: io::Error) -> Error {
        Error::Scratch { path: cvbake_durable::shown(path), source }
    }

    /// Adds the image it is about. Errors of the output and the store are about themselves.
    pub(crate) fn image(reference: String, error: Error) -> Error {
        match error {
            Error::Disk(_)
            | Error::Store(_)
            | Error::Cancelled
            | Error::Scratch { .. }
            | Error::FullStore { .. }
            | Error::Target { .. } => error,
            Error::Fetch(cvbake_fetch::Error::Write { .. }) => error,
            error => Error::Image { reference, source: Box::new(error) },
        }
    }

    /// The same of a run that works in a store, where temporary files are the store's: when there
    /// is no room for them, the store is full.
    pub(crate) fn image_in(store: Option<&Path>, reference: &impl ToString, error: Error) -> Error {
        let is_full = error.causes().any(kind::is_full) && !error.causes().any(kind::is_full_store);
        // Paths of temporary files are those that the kernel tells, without links.
        let is_in = |store: &Path| {
            let real = store.canonicalize();
            let below = |path: &Path| path.starts_with(store) || real.as_ref().is_ok_and(|real| path.starts_with(real));
            error.causes().filter_map(kind::written).last().is_some_and(below)
        };
        if is_full && store.is_some_and(is_in) {
            return Error::FullStore { source: Box::new(error) };
        }
        Error::image(reference.to_string(), error)
    }

    /// About the place that an image is exported to, whatever it would mean of a source.
    pub(crate) fn target(target: &Path, source: impl Into<Error>) -> Error {
        match source.into() {
            named @ (Error::Fetch(cvbake_fetch::Error::Write { .. }) | Error::Cancelled) => named,
            source => Error::Target { target: target.display().to_string(), source: Box::new(source) },
        }
    }

    /// Whether something of this type is the error or one of its causes.
    pub(crate) fn has_cause<T: std::error::Error + 'static>(&self) -> bool {
        self.causes().any(|cause| cause.is::<T>())
    }

    /// Whether a registry has understood what it was asked for, and refuses it.
    pub(crate) fn is_refusal(&self) -> bool {
        self.causes().any(kind::is_refusal)
    }

    /// Whether something that is not in the store may not be fetched.
    pub(crate) fn is_not_stored(&self) -> bool {
        self.causes().any(kind::is_not_stored)
    }

    /// The error itself and its causes, the outermost first.
    ///
    /// [`source()`](std::error::Error::source) alone would miss some: an [`io::Error`] hides the
    /// typed error of the reader it came through, a transparent error hides the one it stands for,
    /// and a box has a type of its own. Here each comes once, as the type it is, for
    /// `downcast_ref`.
    pub fn causes(&self) -> impl Iterator<Item = Cause<'_>> {
        causes::causes(self)
    }

    /// Everything on one line: from the image down to the cause. What a terminal would act on is
    /// escaped, what is very long is cut, and nothing is said twice.
    #[must_use]
    pub fn line(&self) -> String {
        causes::line(self)
    }

    /// What went wrong, roughly.
    #[must_use]
    pub fn kind(&self) -> Kind {
        kind::of(self)
    }

    /// Whether it is about this copy of something, so that another one may be better.
    pub(crate) fn is_of_copy(&self) -> bool {
        self.kind() == Kind::Image || self.causes().any(kind::is_unreadable_store)
    }

    /// Whether there was no room left for something, on its device or within a quota.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.causes().any(|cause| kind::is_full(cause) || kind::is_full_store(cause))
    }
}
