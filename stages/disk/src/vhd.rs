//! A VHD file → the disk in it.
//!
//! Fixed, dynamic and differencing disks. The length is that of the field `current_size`, as Azure
//! and Hyper-V have it; Virtual PC would take it from the geometry. In a dynamic disk, a block that
//! is there is there as a whole, as QEMU and libvhdi have it: what its bitmap says matters only in
//! differencing disks.
//!
//! Of the two copies of the footer that a dynamic disk has, one must be whole.

mod check;
mod header;
mod map;

pub use check::check;
pub use header::{Info, Kind, Parent};
