//! The bytes of a disk → the hash tree that dm-verity checks them by, and its root hash; and back:
//! a disk, its tree and a root hash → whether every block is what it was.
//!
//! ```text
//! root hash ─→ level 1 ─→ level 0 ─→ data        each block of 4 KiB has the hashes of 128 below it
//!
//! hash area    superblock │ level 1 │ level 0    the top of the tree first
//! ```
//!
//! * [`Layout::plan`] says from a length alone how long each level is and where it stands.
//! * [`Layout::write`] reads the disk once, on as many threads as it is told, and puts the hash
//!   area wherever the caller wants it: behind the disk, into a partition, into another file.
//! * [`find`] reads what a hash area says of itself.
//! * [`check`] reads a disk and a hash area of anybody's, and names the first block that is wrong.
//!
//! ```
//! use std::num::NonZeroUsize;
//!
//! use cvbake_disk::{Raw, RawDisk, ReadAt as _};
//! use cvbake_verity::{Identity, Layout, check};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk = tempfile::tempfile()?;
//! disk.set_len(1 << 20)?;
//! let data = RawDisk::new(disk.try_clone()?)?;
//!
//! let layout = Layout::plan(data.len_bytes())?;
//! let identity = Identity { uuid: [7; 16], salt: [9; 32] };
//! let hashes = tempfile::tempfile()?;
//! let sink = Raw::new(&hashes, "hashes".as_ref());
//! let root = layout.write(&identity, &data, &sink, 0, NonZeroUsize::MIN, &|_| true)?;
//!
//! let area = RawDisk::new(hashes.try_clone()?)?;
//! assert_eq!(area.len_bytes(), layout.area_bytes());
//! assert_eq!(check(&data, &area, 0, &root, NonZeroUsize::MIN, &|_| true)?.data_blocks, 256);
//! # Ok(())
//! # }
//! ```
//!
//! Decisions:
//! * **One form.** Format 1, SHA-256, data and hash blocks of 4096 bytes, a salt of 32 bytes: what
//!   `veritysetup format` makes unless told otherwise, so every reader knows it. The same salt and
//!   UUID give the same bytes as there.
//! * **Salt and UUID are the caller's**, so that the same disk has the same root hash everywhere.
//! * **Holes are not read.** The hash of a block of zeros is computed once, and so is that of a
//!   block of such hashes.
//! * **Memory follows the threads, not the disk.** A block of hashes is written as soon as all
//!   below it are known, and only its own hash is kept.
//! * **A hash area is hostile until checked**: of the superblock, which no hash covers, every field
//!   is; of the tree, nothing is believed that does not lead up to the root hash.
#![forbid(unsafe_code)]

mod check;
mod error;
mod hasher;
mod layout;
mod parallel;
mod superblock;
mod write;

pub use check::{Checked, Found, check, find};
pub use error::{Error, Part, Place};
pub use hasher::{RootHash, partition_uuids};
pub use layout::{BLOCK, Layout, Level};
pub use superblock::Identity;

#[cfg(test)]
mod tests;
