//! The writer, judged by readers that we did not write: `fsck.erofs`, and the crate `erofs-rs`. The
//! reader, judged by what it makes of what we and `mkfs.erofs` wrote.
#![expect(clippy::unwrap_used, reason = "in the helpers of tests, a panic is a failed test")]

mod disks;
mod plan;
mod random;
mod reading;
mod refusals;
mod support;
