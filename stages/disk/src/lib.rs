//! Blocks in → one finished file out, or none.
//!
//! ```
//! use cvbake_disk::{Container, Draft, Sink as _};
//!
//! let dir = tempfile::tempdir()?;
//! let target = dir.path().join("disk");
//! let draft = Draft::create(&target, false)?;
//! let container = Container::raw(1 << 20);
//! let disk = container.begin(&draft)?;
//! disk.write_at(4096, b"a block")?;
//! disk.finish()?;
//! assert!(!target.exists(), "nothing half-made is ever visible");
//! draft.commit()?;
//! assert_eq!(target.metadata()?.len(), 1 << 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * [`Sink`] is where a format's writer puts its bytes: positioned writes, no order, no state, any
//!   number of threads.
//! * [`Raw`] is the sink that is a plain file.
//! * [`Window`] is the part of an output that is a filesystem, block for block: all that whoever
//!   fills it knows of the file.
//! * [`Container`] is what is around a filesystem in a file (a header, a virtual disk's block map),
//!   planned before a byte is written.
//! * [`Compressed`] is a file with compressed clusters, which no plan can know: it is made of a
//!   disk that stands.
//! * [`Draft`] is an output under construction. It has a temporary name beside the target, and gets
//!   the target's name only when it is whole and on stable storage. Whatever happens before that
//!   leaves no file that looks finished, and the next run for the same target removes what a killed
//!   one left.
//! * [`fat`] is the filesystem that firmware reads, planned.
//! * [`gpt`] has the partitions of a disk, planned or read.
//! * [`ReadAt`] is where the bytes of a disk come from when one is read: [`RawDisk`] is a plain
//!   file, [`qcow2`] and [`vhd`] read these formats, and [`Mapped`] is what a format needs for
//!   that: a [`Map`] that says what is where, and a parent that has the rest. [`Claims`] are for
//!   readers of what stands on a disk: nothing belongs to two.
//!
//! [`Draft::check_room`] asks the filesystem for room before an output is written, and finds most
//! that are too large.
#![forbid(unsafe_code)]

mod background_sync;
mod claims;
mod container;
mod directory;
mod draft;
mod error;
pub mod fat;
mod fault;
mod format;
mod format_error;
pub mod gpt;
mod mapped;
mod pages;
pub mod qcow2;
mod raw;
mod read;
mod room;
mod sink;
pub mod system;
pub mod vhd;
mod window;

pub use claims::Claims;
pub use container::qcow2::Compressed;
pub use container::read_back::ReadBack;
pub use container::{Container, Filling, Piece, Run, Subformat, TooLarge, units, with_first};
pub use draft::{Draft, check, content};
pub use error::Error;
pub use fault::{Fault, Faults};
pub use format_error::FormatError;
pub use mapped::{Extent, Map, Mapped, Place};
pub use pages::Pages;
pub use raw::Raw;
pub use read::{Part, RawDisk, ReadAt};
pub use room::free_bytes;
pub use sink::Sink;
pub use window::Window;
