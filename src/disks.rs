//! Disks that are there: opened with all that they are made of, and what is made of them.
//!
//! * [`open`] opens a disk in any format, with its parents and backing files behind it.
//! * [`child`] makes a differencing disk: it has nothing but what is written to it, and says where
//!   the disk is that has the rest.

mod child;
mod open;
mod place;

pub use crate::format::FileFormat;
pub use child::{Child, ChildJob, child};
pub(crate) use open::open_made;
pub use open::{ChainFile, FileInfo, OpenDisk, OpenOptions, open};
