//! Names in directories of others → files that are ours; all others are left alone.
//!
//! cvbake works in directories where other users may make, rename and remove names at any moment: a
//! sticky directory such as `/tmp`, or somebody else's. Here all work goes through open
//! descriptors, and a name counts only after it was compared with the open file:
//!
//! * [`remove_dir`] removes a directory with all that is in it, and nothing else, whoever moves
//!   what meanwhile.
//! * [`PrivateDir`] is a directory of this process's own, in which nobody else can do anything,
//!   reached by a path that leads there whatever happens to its name. Its mark tells it from a
//!   directory that somebody has given such a name.
//! * [`Temporary`] is a name that must not outlive the process, for whoever handles a signal.
//! * [`random_name`] makes names that nobody can have taken in advance.
#![forbid(unsafe_code)]

mod private;
mod remove;
mod temporary;

use std::ffi::OsString;
use std::io;

pub use private::{PrivateDir, shown};
pub use remove::remove_dir;
pub use temporary::Temporary;

/// A name with 64 random bits in it, as 16 digits: `prefix`0123456789abcdef`suffix`.
///
/// # Errors
/// When the system has no random numbers yet.
pub fn random_name(prefix: &[u8], suffix: &[u8]) -> io::Result<OsString> {
    use std::os::unix::ffi::OsStringExt;
    let mut bits = [0; 8];
    rustix::rand::getrandom(&mut bits, rustix::rand::GetRandomFlags::empty())?;
    let digits = format!("{:016x}", u64::from_ne_bytes(bits));
    Ok(OsString::from_vec([prefix, digits.as_bytes(), suffix].concat()))
}
