//! A tree → what other programs take for a root filesystem: a tar with every attribute of every
//! file.
//!
//! ```text
//! tree ─→ root, then directory by directory, each file under its first name ─→ PAX headers and content
//! ```
//!
//! ```
//! use cvbake_rootfs::tar;
//! use cvbake_tree::{Builder, Device, Ino, Kind, Meta};
//!
//! let mut builder = Builder::new(&Meta { mode: 0o755, ..Meta::default() });
//! let null = Device { major: 1, minor: 3 };
//! builder.add(Ino::ROOT, b"null", Kind::CharDevice(null), &Meta { mode: 0o666, ..Meta::default() })?;
//! let tree = builder.finish()?;
//! let no_packs: Vec<std::fs::File> = Vec::new();
//! let mut archive = Vec::new();
//! tar::write(&tree, &no_packs, &mut archive, &|_| {})?;
//! // The root, the device, and the end of the archive.
//! assert_eq!(archive.len(), 4 * 512);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Decisions:
//! - **ustar where that says everything, PAX records for the rest**: what needs no record reads the
//!   same everywhere, and nothing is cut or rounded. Extended attributes are `SCHILY.xattr.*`
//!   records, which GNU tar, bsdtar, Go's `archive/tar` and cvbake itself read.
//! - **Files that are mostly holes are stored without them**, in GNU's form 1.0
//!   ([`tar::is_sparse`]); all others as they read, because programs that don't know the form would
//!   unpack something else.
//! - **A function of the tree**: entries in canonical order, no names of users, no time but the
//!   files' own.
#![forbid(unsafe_code)]

mod error;
pub mod tar;

pub use error::{Error, Problem};
