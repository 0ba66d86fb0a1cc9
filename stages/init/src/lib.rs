//! A processor architecture → the program that is PID 1 of an initramfs.
//!
//! The program is in `program/`, compiled by `build.rs` for the target of this library: a static
//! executable of some ten KiB that needs no C library. In a machine it
//!
//! 1. mounts `/dev`, `/proc` and `/sys`,
//! 2. loads the modules that `/modules` lists, in that order, without those that depend on one that
//!    could not be loaded,
//! 3. waits for the root filesystem that the kernel's command line names ([`OPTIONS`]),
//! 4. sets up dm-verity where the command line has a root hash,
//! 5. mounts the root filesystem, with a writable overlay above it where that is asked for,
//! 6. makes it the root, and runs its init in place of itself.
//!
//! What fails is said in one line on the console. Then the machine is powered off, or the kernel
//! panics where the command line has `panic=`.
//!
//! # Decisions
//!
//! * **No library.** It makes some twenty kinds of system calls, each of them one line of assembly
//!   away. So it is small, the same bytes everywhere, and compiles wherever cargo and a C compiler
//!   (as the linker) are.
//! * **No memory is allocated**: everything has a fixed buffer with a named limit.
//! * **It is the one place with `unsafe`**, and the safe parts of it, which parse what devices and
//!   the command line say, are tested here as a library.
//!
//! ```
//! let program = cvbake_init::program(std::env::consts::ARCH).expect("there is one for this machine");
//! assert_eq!(&program[..4], b"\x7fELF");
//! assert!(cvbake_init::program("vax").is_none());
//! ```
#![forbid(unsafe_code)]

/// Options of the kernel's command line that the program reads, and what they are for.
pub const OPTIONS: [(&str, &str); 12] = [
    ("root", "the root filesystem: PARTUUID=…, PARTLABEL=…, UUID=… or LABEL=… of ext4 or EROFS, or /dev/…"),
    ("rootfstype", "its type; ext4, erofs and squashfs are tried otherwise"),
    ("rootflags", "its mount options"),
    ("ro, rw", "whether it is mounted read-only, which it is unless told otherwise"),
    ("rootwait", "how many seconds to wait for it; 60 unless told otherwise"),
    ("roothash", "the root hash of dm-verity; the partitions are those whose PARTUUIDs are its first and last half"),
    (
        "systemd.verity_root_data",
        "the device of the data of dm-verity, as root= says one, where it is no such partition",
    ),
    ("systemd.verity_root_hash", "the same of the hash tree, whose UUID is that in its superblock"),
    ("systemd.verity_root_options", "hash-offset=BYTES: where on its device the hash tree begins; others are ignored"),
    (
        "cvbake.overlay",
        "tmpfs: changes to the root filesystem are kept in memory; none: there is no overlay; as root= says one: \
         they are kept on this device, an ext4",
    ),
    ("init", "the program to run; /sbin/init, /etc/init, /bin/init and /bin/sh are tried otherwise"),
    ("panic", "what the kernel does when this program fails; it powers the machine off otherwise"),
];

/// The program for an architecture, as Rust calls it: `x86_64`, `aarch64`. There is only the one
/// for which this library was compiled, if it is written for that.
#[must_use]
pub fn program(architecture: &str) -> Option<&'static [u8]> {
    static PROGRAM: &[u8] = include_bytes!(env!("CVBAKE_INIT"));
    (architecture == std::env::consts::ARCH && !PROGRAM.is_empty()).then_some(PROGRAM)
}

#[cfg(test)]
mod tests;
