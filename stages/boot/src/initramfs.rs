//! The initramfs: the first program, and the modules that a boot needs.

use std::collections::BTreeMap;

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

/// More than any boot needs: what hostile modules say that they depend on ends somewhere. The first
/// program remembers as many.
const MAX_MODULES: usize = 256;

/// How long all modules may be together: more than any boot partition has room for. A packed
/// module of some KiB can be 128 MiB when it is plain.
const MAX_MODULES_BYTES: usize = 512 << 20;

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
    for Chosen { module, needs } in chosen {
        let name = module.path.rsplit('/').next().unwrap_or_default();
        let name = name.split(".ko").next().unwrap_or_default().to_owned();
        archive.file(&format!("modules.d/{name}.ko"), &module.content);
        let needs: String = needs.iter().map(|number| format!(" {number}")).collect();
        list.push_str(&format!("/modules.d/{name}.ko{needs}\n"));
        names.push(name);
    }
    archive.file("modules", list.as_bytes());
    Ok(Initramfs { archive: archive.finish(), modules: names })
}

/// A module that is loaded.
struct Chosen {
    module: Module,
    /// The numbers of those that it depends on, in the order in which they are loaded: without one
    /// of them the kernel would refuse it, and say so once for each symbol.
    needs: Vec<usize>,
}

/// What became of a module that was looked at.
enum State {
    /// It is being looked at: what depends on it does so in a circle.
    Begun,
    /// It is loaded, as that number.
    Chosen(usize),
    /// Another one is missing: which module depends on which.
    Incomplete { name: String, needed: String },
}

/// Modules in the order in which they are loaded.
struct Choice<'m> {
    kernel: &'m Kernel,
    modules: &'m Modules<'m>,
    seen: BTreeMap<String, State>,
    chosen: Vec<Chosen>,
    bytes: usize,
}

fn choose(kernel: &Kernel, modules: &Modules<'_>, drivers: Drivers) -> Result<Vec<Chosen>, Error> {
    let mut choice = Choice { kernel, modules, seen: BTreeMap::new(), chosen: Vec::new(), bytes: 0 };
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
        match choice.add(name) {
            Ok(_) | Err(Error::Dependency { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(choice.chosen)
}

impl Choice<'_> {
    /// Adds a module with what it depends on; says whether the kernel will have it.
    fn add(&mut self, name: &str) -> Result<bool, Error> {
        self.add_below(name, 0)
    }

    fn add_below(&mut self, name: &str, depth: usize) -> Result<bool, Error> {
        if self.modules.has_built_in(name) {
            return Ok(true);
        }
        match self.seen.get(name) {
            None => {}
            Some(State::Begun | State::Chosen(_)) => return Ok(true),
            Some(State::Incomplete { name, needed }) => {
                return Err(Error::Dependency { name: name.clone(), needed: needed.clone() });
            }
        }
        let Some(module) = self.modules.read(name)? else { return Ok(false) };
        let wrong = |problem| Error::Module { name: module.path.clone(), problem };
        if depth > MAX_MODULES || self.seen.len() >= MAX_MODULES {
            return Err(wrong(format!("it depends on more than {MAX_MODULES} others")));
        }
        self.bytes += module.content.len();
        if self.bytes > MAX_MODULES_BYTES {
            return Err(wrong(format!("with those before it, it has more than {MAX_MODULES_BYTES} bytes")));
        }
        if let Some((expected, found)) = self.kernel.version.as_ref().zip(module.version.as_ref())
            && expected != found
        {
            let (expected, found) = (expected.clone(), found.clone());
            return Err(Error::ModuleVersion { name: module.path, found, expected });
        }
        self.seen.insert(name.to_owned(), State::Begun);
        match self.add_needed(&module, depth) {
            Ok(needs) => {
                self.seen.insert(name.to_owned(), State::Chosen(self.chosen.len()));
                self.chosen.push(Chosen { module, needs });
                Ok(true)
            }
            Err(Error::Dependency { name: other, needed }) => {
                let state = State::Incomplete { name: other.clone(), needed: needed.clone() };
                self.seen.insert(name.to_owned(), state);
                Err(Error::Dependency { name: other, needed })
            }
            Err(error) => Err(error),
        }
    }

    /// Adds what a module depends on, and says which numbers those have.
    fn add_needed(&mut self, module: &Module, depth: usize) -> Result<Vec<usize>, Error> {
        let mut needs = Vec::new();
        for needed in &module.depends {
            if !self.add_below(needed, depth + 1)? {
                return Err(Error::Dependency { name: module.path.clone(), needed: needed.clone() });
            }
            if let Some(State::Chosen(number)) = self.seen.get(needed) {
                needs.push(*number);
            }
        }
        for wanted in &module.wants {
            match self.add_below(wanted, depth + 1) {
                // It works without them.
                Ok(_) | Err(Error::Dependency { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        needs.sort_unstable();
        needs.dedup();
        Ok(needs)
    }
}

#[cfg(test)]
mod tests;
