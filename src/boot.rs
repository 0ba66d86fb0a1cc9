//! How a disk is booted: what is asked for, and what is made ready for it before the first layer is
//! read.
//!
//! The kernel, its modules and the stub are read first, so that what is wrong with them is said
//! before anything is downloaded, and so that the identity of the disk follows from them. The
//! command line comes last: it names the root filesystem, whose identity follows from the image.

mod beside;
pub(crate) mod by;
pub(crate) mod prepared;
mod tree;

use std::path::{Path, PathBuf};

use cvbake_boot::{Architecture, Directory, Drivers, Files, Kernel, Loader, Stub, check_command_line, initramfs};
use cvbake_disk::gpt::ALIGNMENT;
use cvbake_verify::Digest;

use crate::error::Error;
use crate::event::{Event, Observer};
use crate::format::Format;
use crate::protection::Verity;
use crate::source::ImageSource;

pub use by::BootBy;

pub(crate) use beside::Beside;
pub(crate) use prepared::{Prepared, Root};
pub(crate) use tree::Trees;

/// How a disk is to be booted. There will be more fields: make it with [`Boot::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Boot {
    /// What starts it.
    pub by: BootBy,
    /// Where the kernel is from.
    pub kernel: KernelSource,
    /// Where the modules of a kernel in a file are; looked for beside it where nobody says.
    pub modules: Option<PathBuf>,
    /// systemd's stub for UEFI; looked for where distributions have it where nobody says.
    pub stub: Option<PathBuf>,
    /// The boot loader that UEFI starts; without one, UEFI starts the kernel itself.
    pub loader: Option<LoaderSource>,
    /// What is added to the command line.
    pub append: String,
    /// How long the boot partition is, in bytes; 256 MiB, or 512 MiB with sectors of 4096 bytes,
    /// where nobody says.
    pub esp_bytes: Option<u64>,
}

/// Where a boot loader is from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoaderSource {
    /// It is systemd-boot, where distributions have it: in the image that the kernel is from, or on
    /// this machine.
    SystemdBoot,
    /// A file.
    File(PathBuf),
}

/// Where a kernel is from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelSource {
    /// The image that is baked.
    Own,
    /// A file.
    File(PathBuf),
    /// Another image.
    Image(ImageSource),
}

impl Boot {
    /// With the kernel of the image that is baked, and the defaults of the program.
    #[must_use]
    pub fn new(by: BootBy) -> Boot {
        Boot {
            by,
            kernel: KernelSource::Own,
            modules: None,
            stub: None,
            loader: None,
            append: String::new(),
            esp_bytes: None,
        }
    }

    /// How long the boot partition is.
    ///
    /// It is known before anything is read, so that a layer can be unpacked to its place behind it;
    /// there is room for several kernels, and what is not used takes none where files have holes.
    /// Sectors of 4096 bytes make FAT32 begin at 256 MiB.
    pub(crate) fn esp_bytes(&self, format: Format) -> u64 {
        let default = if format.sector_size() == 512 { 256 << 20 } else { 512 << 20 };
        self.esp_bytes.unwrap_or(default).next_multiple_of(ALIGNMENT)
    }

    /// Where on the disk the root filesystem begins.
    pub(crate) fn root_offset(&self, format: Format) -> u64 {
        match self.by {
            BootBy::Uefi => ALIGNMENT + self.esp_bytes(format),
            BootBy::Direct => 0,
        }
    }
}

/// Where systemd's programs for UEFI are, in a tree.
const PROGRAMS: &str = "usr/lib/systemd/boot/efi";

/// Reads what a disk is booted by. `trees` gives the files of images.
///
/// `filesystem` is the name that Linux has for the type of the root filesystem.
pub(crate) fn prepare(
    boot: &Boot,
    filesystem: &'static str,
    verity: Option<Verity>,
    format: Format,
    trees: &Trees<'_>,
    on: Observer<'_>,
) -> Result<Prepared, Error> {
    let tree = match &boot.kernel {
        KernelSource::File(_) => None,
        KernelSource::Own => Some(trees.own()?),
        KernelSource::Image(source) => Some(trees.of(source)?),
    };
    let (kernel, modules) = match (&boot.kernel, &tree) {
        (KernelSource::File(path), _) => {
            let kernel = Kernel::parse(&path.display().to_string(), Directory::read_file(path)?)?;
            let modules = boot.modules.clone().or_else(|| modules_beside(path, kernel.version.as_deref()?));
            if modules.is_none() {
                on(Event::Note(format!(
                    "{}: no modules are beside it, so it must have all drivers built in",
                    kernel.name
                )));
            }
            (kernel, modules.map(|modules| Box::new(Directory(modules)) as Box<dyn Files>))
        }
        (_, Some(tree)) => {
            let kernel = Kernel::find(tree)?;
            let modules: Option<Box<dyn Files>> = match &boot.modules {
                Some(path) => Some(Box::new(Directory(path.clone()))),
                None => match trees.packed_modules(tree)? {
                    Some(packed) => Some(Box::new(packed)),
                    None => tree.has_modules()?.then(|| Box::new(tree.clone()) as Box<dyn Files>),
                },
            };
            (kernel, modules)
        }
        _ => unreachable!("what is no file is an image"),
    };
    let overlay = overlay(&boot.append, verity.is_some());
    let changes = (overlay != "tmpfs" && overlay != "none").then_some("ext4");
    let drivers = Drivers { filesystem, overlay: overlay != "none", changes, verity: verity.is_some() };
    let initramfs = initramfs(&kernel, modules.as_deref(), drivers)?;
    let stub = match boot.by {
        BootBy::Direct => None,
        BootBy::Uefi => Some(find_stub(boot, kernel.architecture, tree.as_ref())?),
    };
    let loader = match (boot.by, &boot.loader) {
        (BootBy::Direct, _) | (_, None) => None,
        (BootBy::Uefi, Some(source)) => Some(find_loader(source, kernel.architecture, tree.as_ref())?),
    };
    let esp_bytes = boot.esp_bytes(format);
    let digest = |bytes: &[u8]| Digest::sha256(bytes).to_string();
    let stub_digest = stub.as_ref().map(|stub| digest(stub.content()));
    let loader_digest = loader.as_ref().map(|loader| digest(&loader.content));
    let parts =
        (digest(&kernel.content), digest(&initramfs.archive), stub_digest, loader_digest, &boot.append, esp_bytes);
    let key = Digest::sha256(format!("{:?} {parts:?}", boot.by).as_bytes());
    let prepared = Prepared {
        by: boot.by,
        filesystem,
        kernel,
        initramfs,
        stub,
        loader,
        append: boot.append.clone(),
        esp_bytes,
        key,
    };
    // Identities come later, and are as long as these.
    let root = Root::unknown(verity);
    check_command_line(&prepared.command_line(&root))?;
    if boot.by == BootBy::Uefi {
        prepared.esp(&root, [0; 16], format.sector_size(), 0)?;
    }
    Ok(prepared)
}

/// Whether the hash tree goes where the way of booting looks for it.
pub(crate) fn check_tree(by: Option<BootBy>, verity: Option<Verity>) -> Result<(), Error> {
    let wrong = |found, expected| Err(Error::HashTreePlace { found, expected });
    match (by, verity) {
        (Some(BootBy::Uefi), Some(Verity::Append)) => wrong("behind the filesystem", "in a partition of its own"),
        (Some(BootBy::Uefi), Some(Verity::Beside)) => wrong("in another file", "in a partition of its own"),
        (None | Some(BootBy::Direct), Some(Verity::Partition)) => {
            wrong("in a partition of a disk that has none", "behind the filesystem or in another file")
        }
        _ => Ok(()),
    }
}

/// What the command line says of an overlay: the last word counts, and the first is our own.
fn overlay(append: &str, is_checked: bool) -> &str {
    let mut said = append.split_ascii_whitespace().filter_map(|word| word.strip_prefix("cvbake.overlay="));
    match said.next_back() {
        Some("") => "none",
        Some(said) => said,
        None if is_checked => "tmpfs",
        None => "none",
    }
}

/// The modules of a kernel, where distributions have them: `/boot/vmlinuz-VERSION` and
/// `/lib/modules/VERSION` are in one tree, whether it is this machine's or an unpacked package.
fn modules_beside(kernel: &Path, version: &str) -> Option<PathBuf> {
    // `..` of a name without a directory would be that of the working directory.
    let directory = kernel.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let places = [
        directory.to_owned(),
        directory.join("../lib/modules").join(version),
        directory.join("../usr/lib/modules").join(version),
    ];
    places.into_iter().find(|place| ["modules.dep", "modules.order"].iter().any(|list| place.join(list).is_file()))
}

fn find_stub(boot: &Boot, architecture: Architecture, tree: Option<&tree::ImageFiles>) -> Result<Stub, Error> {
    if let Some(path) = &boot.stub {
        let content = Directory::read_file(path)?;
        return Ok(Stub::parse(&path.display().to_string(), content, architecture)?);
    }
    let path = format!("{PROGRAMS}/{}", architecture.stub_name());
    match installed(&path, tree)? {
        Some((name, content)) => Ok(Stub::parse(&name, content, architecture)?),
        None => Err(Error::StubMissing { path: format!("/{path}") }),
    }
}

fn find_loader(
    source: &LoaderSource,
    architecture: Architecture,
    tree: Option<&tree::ImageFiles>,
) -> Result<Loader, Error> {
    if let LoaderSource::File(path) = source {
        let content = Directory::read_file(path)?;
        return Ok(Loader::parse(&path.display().to_string(), content, architecture)?);
    }
    let path = format!("{PROGRAMS}/{}", architecture.systemd_boot_name());
    match installed(&path, tree)? {
        Some((name, content)) => Ok(Loader::parse(&name, content, architecture)?),
        None => Err(Error::LoaderMissing { path: format!("/{path}") }),
    }
}

/// A file that distributions install, of an image or else of this machine, and what it is called.
fn installed(path: &str, tree: Option<&tree::ImageFiles>) -> Result<Option<(String, Vec<u8>)>, Error> {
    let machine = Directory(PathBuf::from("/"));
    for files in tree.map(|tree| tree as &dyn Files).into_iter().chain([&machine as &dyn Files]) {
        if let Some(content) = files.read(path)? {
            return Ok(Some((format!("{}: {path}", files.name()), content)));
        }
    }
    Ok(None)
}
