//! The tools of the tests: images from text, disks back to text, and the program run as an ordinary
//! user.

pub(crate) use cvbake_cases::{case, image, tar, text};

pub(crate) mod bake;
pub(crate) mod erofs;
pub(crate) mod expected;
pub(crate) mod ext4;
pub(crate) mod model;
pub(crate) mod mount;
pub(crate) mod oracle;
pub(crate) mod run;
pub(crate) mod sample;
pub(crate) mod schema;
pub(crate) mod seen;
pub(crate) mod server;
pub(crate) mod tools;
