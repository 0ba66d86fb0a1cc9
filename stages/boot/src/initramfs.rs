//! The initramfs: the first program, and the modules that a boot needs.

use std::collections::BTreeSet;

use crate::cpio::Archive;
use crate::module::{Module, Modules};
use crate::{Error, Files, Kernel};

/// What a boot needs besides a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drivers {
    /// The type of the root filesystem.
    pub filesystem: &'static str,
    /// Whether a writable overlay is laid over it.
    pub overlay: bool,
    /// The type of the filesystem that keeps the changes, if that is not memory.
    pub changes: Option<&'static str>,
    /// Whether dm-verity checks it.
    pub verity: bool,
}

/// An initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initramfs {
    /// The archive, for the kernel to unpack.
    pub archive: Vec<u8>,
    /// The modules in it, in the order in which they are loaded.
    pub modules: Vec<String>,
}

/// Controllers of disks, and what stands between them and disks: of each that a kernel has, the
/// disk is found wherever it is put.
const CONTROLLERS: [&str; 12] = [
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_scsi",
    "hv_vmbus",
    "hv_storvsc",
    "nvme",
    "sd_mod",
    "ahci",
    "ata_piix",
    "pci_hyperv",
    "xen_blkfront",
];

/// One of these is needed: without any there is no disk.
const DISKS: [&str; 7] = ["virtio_blk", "virtio_scsi", "hv_storvsc", "nvme", "ahci", "ata_piix", "xen_blkfront"];

/// More than any boot needs: what hostile modules say that they depend on ends somewhere.
const MAX_MODULES: usize = 256;

/// The initramfs for a kernel, with modules from a tree; without one, the kernel is taken to have
/// everything built in.
///
/// # Errors
/// When a module that is needed is missing, or one can't be used.
pub fn initramfs(kernel: &Kernel, modules: Option<&dyn Files>, drivers: Drivers) -> Result<Initramfs, Error> {
    let architecture = kernel.architecture;
    let init = architecture.init().ok_or(Error::NoInit { architecture: architecture.oci_name() })?;
    let chosen = match modules {
        None => Vec::new(),
        Some(files) => {
            let version = kernel.version.as_deref();
            let found = Modules::find(files, version)?.ok_or_else(|| Error::NoModules { place: files.name() })?;
            choose(kernel, &found, drivers)?
        }
    };
    let mut archive = Archive::new();
    for directory in ["dev", "proc", "sys", "root", "modules.d"] {
        archive.directory(directory);
    }
    // The kernel opens it for the first program, before that can.
    archive.device("dev/console", (5, 1));
    archive.program("init", init);
    let mut list = String::new();
    let mut names = Vec::new();
    for module in chosen {
        let name = module.path.rsplit('/').next().unwrap_or_default();
        let name = name.split(".ko").next().unwrap_or_default().to_owned();
        archive.file(&format!("modules.d/{name}.ko"), &module.content);
        list.push_str(&format!("/modules.d/{name}.ko\n"));
        names.push(name);
    }
    archive.file("modules", list.as_bytes());
    Ok(Initramfs { archive: archive.finish(), modules: names })
}

/// Modules in the order in which they are loaded.
struct Choice<'m> {
    kernel: &'m Kernel,
    modules: &'m Modules<'m>,
    seen: BTreeSet<String>,
    chosen: Vec<Module>,
}

fn choose(kernel: &Kernel, modules: &Modules<'_>, drivers: Drivers) -> Result<Vec<Module>, Error> {
    let mut choice = Choice { kernel, modules, seen: BTreeSet::new(), chosen: Vec::new() };
    let missing = |needed: String| Error::ModuleMissing {
        version: kernel.version.clone().unwrap_or_else(|| kernel.name.clone()),
        needed,
        place: modules.place(),
    };
    let mut has_disk = false;
    let mut incomplete = None;
    for name in CONTROLLERS {
        // Of one that can't be loaded, the others may do.
        let is_there = match choice.add(name) {
            Err(error @ Error::Dependency { .. }) => {
                incomplete = incomplete.or(Some(error));
                false
            }
            other => other?,
        };
        has_disk |= is_there && DISKS.contains(&name);
    }
    if !has_disk {
        let none = || missing(format!("driver of a disk ({})", DISKS.join(", ")));
        return Err(incomplete.unwrap_or_else(none));
    }
    let mut needed = vec![drivers.filesystem];
    needed.extend(drivers.overlay.then_some("overlay"));
    needed.extend(drivers.changes);
    needed.extend(drivers.verity.then_some("dm_verity"));
    for name in needed {
        if !choice.add(name)? {
            return Err(missing(name.to_owned()));
        }
    }
    // What the kernel asks a running system for by what it does, and not by its name.
    for name in ["crc32c_generic", "crc32c_cryptoapi", "sha256_generic"] {
        choice.add(name)?;
    }
    Ok(choice.chosen)
}

impl Choice<'_> {
    /// Adds a module with what it depends on; says whether the kernel will have it.
    fn add(&mut self, name: &str) -> Result<bool, Error> {
        self.add_below(name, 0)
    }

    fn add_below(&mut self, name: &str, depth: usize) -> Result<bool, Error> {
        if self.modules.has_built_in(name) || self.seen.contains(name) {
            return Ok(true);
        }
        let Some(module) = self.modules.read(name)? else { return Ok(false) };
        let wrong = |problem| Error::Module { name: module.path.clone(), problem };
        if depth > MAX_MODULES || self.seen.len() >= MAX_MODULES {
            return Err(wrong(format!("it depends on more than {MAX_MODULES} others")));
        }
        if let Some((expected, found)) = self.kernel.version.as_ref().zip(module.version.as_ref())
            && expected != found
        {
            let (expected, found) = (expected.clone(), found.clone());
            return Err(Error::ModuleVersion { name: module.path, found, expected });
        }
        self.seen.insert(name.to_owned());
        for needed in &module.depends {
            if !self.add_below(needed, depth + 1)? {
                self.seen.remove(name);
                return Err(Error::Dependency { name: module.path.clone(), needed: needed.clone() });
            }
        }
        for wanted in &module.wants {
            self.add_below(wanted, depth + 1)?;
        }
        self.chosen.push(module);
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
