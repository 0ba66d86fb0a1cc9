//! The length of a disk, and which ranges of it are written → a VHDX file, planned.
//!
//! ```text
//! fixed     headers │ log │ metadata │ the disk, block by block │ block allocation table
//! dynamic   headers │ log │ metadata │ block allocation table │ the blocks that are written
//!           headers │ log │ metadata │ blocks in one piece │ block allocation table │ the others
//! ```
//!
//! ```
//! use cvbake_vhdx::{Identity, Options};
//!
//! let identity = Identity { file_write: [1; 16], data_write: [2; 16], virtual_disk: [3; 16] };
//! // A disk of 1 GiB, of which the first 10 MiB are written.
//! let container = Options::default().plan(1 << 30, [0..10 << 20], None, &identity)?;
//! assert!(container.len_bytes() < 20 << 20);
//! assert_eq!(container.runs()[0].len, 10 << 20);
//! # Ok::<(), cvbake_vhdx::Error>(())
//! ```
//!
//! [`Info::read`] reads what a file says of itself, [`Info::disk`] the disk in it, with that of its
//! parent behind it if it is a differencing one; [`check()`] names every rule of the format that a
//! file breaks. [`Options::plan_child`] plans a
//! differencing disk, which has nothing but what is written to it later, and names the file that
//! has the rest.
//!
//! [`Options::plan`] makes a [`Container`](cvbake_disk::Container): a value that says where in the
//! file each block of the disk is, and which bytes the format adds. Nothing is read or written
//! here.
//!
//! * **In a fixed disk, the table is behind the disk**, so the disk begins at a place that is known
//!   before its length is ([`Options::base`]), and can be filled before it is planned. The format
//!   leaves the order of its regions open. The same is done with one part of a dynamic disk
//!   ([`Options::place`]): what is unpacked there while nothing else is known is never copied.
//! * **Blocks are 1 MiB, unless said otherwise.** Microsoft advises that for disks of Linux, whose
//!   filesystems write here and there: with the usual 32 MiB a disk grows faster than its files.
//! * **Every block begins at a multiple of its size** in the file. The format demands multiples of
//!   1 MiB; some readers want more.
//! * **Blocks that are not written have an entry of zeros.** An offset in such an entry is legal,
//!   and makes Hyper-V fail to read, as QEMU's authors found.
//! * **The log is empty and there are no metadata but the five that a reader needs**: some readers
//!   refuse any other.
//! * **It is deterministic**: identities are the caller's, and the sequence numbers of the two
//!   headers are 1 and 2.
//!
//! Specification: \[MS-VHDX\], "Virtual Hard Disk v2 (VHDX) File Format". The names of fields are
//! those in it.
#![forbid(unsafe_code)]

mod check;
mod disk;
mod format;
mod locator;
mod plan;
mod read;

pub use check::check;
pub use locator::Locator;
pub use plan::{Error, Identity, Options};
pub use read::{Info, ReadError};
