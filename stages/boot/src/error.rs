//! What can be wrong with what a disk is to be booted by.

use std::io;

/// Why there is nothing to boot by.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {name}")]
    Read {
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A file is longer than any that is used.
    #[error("{name} has {found} bytes, expected at most {max}")]
    TooLarge {
        /// The file.
        name: String,
        /// How long it is.
        found: u64,
        /// How long it may be.
        max: u64,
    },
    /// A file that is to be a kernel is none.
    #[error("{name} is no kernel: {problem}; expected a bzImage or an ELF vmlinux for x86-64, or an Image for arm64")]
    NoKernel {
        /// The file.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no kernel where one was looked for.
    #[error("{place} has no kernel: expected kernel, boot/vmlinuz*, or usr/lib/modules/VERSION/vmlinuz")]
    KernelMissing {
        /// The image or directory.
        place: String,
    },
    /// There are several kernels, and nobody says which.
    #[error("{place} has several kernels, {one} and {other}, expected one")]
    KernelAmbiguous {
        /// The image or directory.
        place: String,
        /// One of them.
        one: String,
        /// Another.
        other: String,
    },
    /// There are no modules where they were said to be.
    #[error("{place} has no modules: expected the file modules.dep or modules.order")]
    NoModules {
        /// The directory.
        place: String,
    },
    /// A module that the boot needs is not there.
    #[error("the kernel {version} has no {needed}: neither in {place} nor built in")]
    ModuleMissing {
        /// The kernel's version.
        version: String,
        /// The module, or any of those that would do.
        needed: String,
        /// Where modules are.
        place: String,
    },
    /// A module that is there can't be used.
    #[error("module {name}: {problem}")]
    Module {
        /// The module's file.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A module depends on one that is not there.
    #[error("module {name}: it depends on {needed}, which is neither there nor built in")]
    Dependency {
        /// The module's file.
        name: String,
        /// What it depends on.
        needed: String,
    },
    /// Modules are those of another kernel.
    #[error("module {name} is for the kernel {found}, expected {expected}")]
    ModuleVersion {
        /// The module's file.
        name: String,
        /// The version that it has.
        found: String,
        /// The version of the kernel.
        expected: String,
    },
    /// There is no program to start a disk of this architecture with.
    #[error("this cvbake has no init for {architecture}: it has one only for the architecture that it was compiled for, {own}", own = std::env::consts::ARCH)]
    NoInit {
        /// The architecture.
        architecture: &'static str,
    },
    /// A file that is to be a stub is none.
    #[error("{name} is no stub for UEFI: {problem}")]
    NoStub {
        /// The file.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file that is to be a boot loader is none.
    #[error("{name} is no boot loader for UEFI: {problem}")]
    NoLoader {
        /// The file.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// UEFI can't start this kernel.
    #[error("{name} has no entry for UEFI: expected a bzImage or Image with an EFI stub, found {found}")]
    NoEfi {
        /// The kernel's file.
        name: String,
        /// What it is.
        found: &'static str,
    },
    /// A command line that a kernel would cut.
    #[error("the command line has {found} bytes, expected at most {max}, in one line")]
    CommandLine {
        /// How long it is.
        found: usize,
        /// How long it may be.
        max: usize,
    },
}
