//! Names in directories of others → files that are ours; all others are left alone.
//!
//! cvbake works in directories where other users may make, rename and remove names at any moment: a
//! sticky directory such as `/tmp`, or somebody else's. Here all work goes through open
//! descriptors, and a name counts only after it was compared with the open file:
//!
//! ```
//! use std::path::Path;
//!
//! use cvbake_durable::PrivateDir;
//!
//! let dir = tempfile::tempdir()?;
//! let own = PrivateDir::create_in(dir.path(), ".work.")?;
//! std::fs::write(own.path().join("notes"), "mine")?;
//! own.remove();
//! assert_eq!(std::fs::read_dir(dir.path())?.count(), 0);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! * [`remove_dir`] removes a directory with all that is in it, and nothing else, whoever moves
//!   what meanwhile.
//! * [`PrivateDir`] is a directory of this process's own, in which nobody else can do anything,
//!   reached by a path that leads there whatever happens to its name. Its mark tells it from a
//!   directory that somebody has given such a name.
//! * [`Temporary`] is a name that must not outlive the process, for whoever handles a signal.
//! * [`random_name`] makes names that nobody can have taken in advance; [`is_name_of`],
//!   [`rename_to_free_name`] and [`sync_dir`] are what becomes of names.
//! * [`system`] has what only Linux has, with something that stands in for it elsewhere.
#![forbid(unsafe_code)]

mod names;
mod private;
mod remove;
pub mod system;
mod temporary;

pub use names::{clear, is_name_of, random_name, rename_to_free_name, sync_dir};
pub use private::{PrivateDir, shown};
pub use remove::remove_dir;
pub use temporary::Temporary;
