//! The tools of the tests: images from text, disks back to text, and the program run as an ordinary user.

pub(crate) mod tar;
pub(crate) mod text;
