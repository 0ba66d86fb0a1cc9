//! A qcow2 file → the disk in it.
//!
//! Versions 2 and 3; clusters that are plain, zeros, or compressed with zlib or zstd; a backing
//! file. Internal snapshots are left aside: the disk is as it is now. What can't be read is refused
//! by its name: encryption, an external data file, extended L2 entries, and files whose writer says
//! that they are not as they should be.
//!
//! The L1 table is read when the file is opened (QEMU limits it to 32 MiB), L2 tables a page at a
//! time.

mod check;
mod header;
mod map;
mod unpack;

pub use check::check;
pub use header::{Backing, Compression, Info};
