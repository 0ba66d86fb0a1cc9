//! A kernel and its modules → what starts a disk: an initramfs, a unified kernel image, and the
//! files of a boot partition.
//!
//! ```text
//! kernel ──────────────────────────────┐
//! modules ─choose→ cpio with our init ─┼→ unified kernel image ─┐
//! stub, command line ──────────────────┘                        ├→ files of the ESP
//!                    kernel, initramfs, entry ──────────────────┘
//! ```
//!
//! * [`Kernel`] is one that was looked at: what it is for, and its version.
//! * [`initramfs()`] makes the archive that the kernel unpacks: `cvbake-init`, and the modules that
//!   a boot needs.
//! * [`Stub::unified`] puts kernel, initramfs and command line into one program for UEFI.
//! * [`Loader`] is a boot loader that is put in front of both.
//! * [`esp_files`] says what is on the boot partition, so that UEFI, systemd-boot and the firmware
//!   of Cloud Hypervisor all start it.
//! * [`Files`] is where kernels and modules come from: a directory ([`Directory`]), or the tree of
//!   an image.
//!
//! # Decisions
//!
//! * **Everything is a function of its input**: no clock, no order of a directory. The archive is
//!   not compressed: that every kernel reads, it is the same bytes on every processor, and firmware
//!   reads one or two MiB faster than a kernel inflates them.
//! * **Modules say themselves what they need.** `modules.dep` is made by a program of the machine
//!   that a kernel is installed on, and packages do not have it; what a module depends on is in the
//!   module, too.
//! * **A kernel without modules is taken to have everything built in**, as those for small virtual
//!   machines have. Where there are modules, one that the boot needs and that is neither among them
//!   nor built in is an error.
//! * **What is read is hostile**: lengths have limits, and offsets are checked.
//!
//! ```
//! use cvbake_boot::{Error, Kernel};
//!
//! let error = Kernel::parse("vmlinuz", vec![0; 4096]).unwrap_err();
//! assert!(matches!(error, Error::NoKernel { .. }));
//! ```
#![forbid(unsafe_code)]

mod architecture;
mod cpio;
mod error;
mod esp;
mod files;
mod initramfs;
mod kernel;
mod loader;
mod module;
mod uki;

pub use architecture::Architecture;
pub use error::Error;
pub use esp::{check_command_line, esp_files, unified};
pub use files::{Directory, Files, MAX_FILE_BYTES};
pub use initramfs::{Drivers, Initramfs, initramfs};
pub use kernel::{Kernel, KernelFormat};
pub use loader::Loader;
pub use uki::{Sections, Stub};
