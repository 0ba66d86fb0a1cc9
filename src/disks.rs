//! Disks that are there: opened with all that they are made of, and what is made of them.
//!
//! * [`open`] opens a disk in any format, with its parents and backing files behind it.
//! * [`convert`] writes what is on a disk to another one, of any format; [`resize`] makes a disk
//!   longer or shorter.
//! * [`check`] names what is wrong with a disk.
//! * [`child`] makes a differencing disk, a VHDX or a qcow2: it has nothing but what is written to
//!   it, and says where the disk is that has the rest.

mod check;
mod child;
mod convert;
mod open;
mod place;
mod resize;
mod survey;

pub use crate::format::FileFormat;
pub use check::{CheckedDisk, CheckedFile, check};
pub use child::{Child, ChildFormat, ChildJob, child};
pub use convert::{ConvertJob, Converted, convert};
pub(crate) use open::open_made;
pub use open::{ChainFile, FileInfo, OpenDisk, OpenOptions, open};
pub use resize::{NewSize, ResizeJob, Resized, resize};
