//! The bytes of a unified kernel image (UKI) → what booting it leaves in registers 4 and 11 of a
//! TPM.
//!
//! ```text
//! firmware: "Calling EFI Application …", separator, the UKI, the kernel in it ─→ PCR 4
//! stub:     name and content of each section ──────────────────────────────────→ PCR 11 ─→ + phases of systemd
//! ```
//!
//! ```
//! use cvbake_measure::{Pcr, sha256};
//!
//! let mut pcr = Pcr::default();
//! pcr.extend(&sha256(b"enter-initrd"));
//! assert_eq!(pcr.to_string(), "d15b0e8e244e65c40f024e95773f2347ce4ef3ffe6b597c9a14b50bbab6df319");
//! ```
//!
//! Decisions:
//! * **SHA-256 only.** Every TPM 2.0 has that bank, and every system seals to it.
//! * **What is measured is the stub's matter**, so it is read from the stub in the image which
//!   version it is: later ones measure sections that earlier ones do not know. Which versions load
//!   the kernel through the firmware, which then measures it, was tried only for
//!   [`STUBS_THAT_MEASURE_THE_KERNEL`]; PCR 4 is predicted for no other.
//! * **A first boot attempt is predicted.** Firmware that has tried another boot entry before has
//!   measured that in PCR 4, too.
//! * **An image is hostile until checked**: all offsets are within it, or it is refused.
//!
//! Specifications: "Windows Authenticode Portable Executable Signature Format"; "TCG PC Client
//! Platform Firmware Profile", 3.3.4.5; systemd's `systemd-stub(7)` and `systemd-measure(1)`.
#![forbid(unsafe_code)]

mod error;
mod pcr;
mod pe;
mod uki;

pub use error::Error;
pub use pcr::{Pcr, Sha256, sha256};
pub use pe::{Image, MAX_SECTIONS, Section};
pub use uki::{PHASES, Prediction, STUBS_THAT_MEASURE_THE_KERNEL, predict};

#[cfg(test)]
mod tests;
