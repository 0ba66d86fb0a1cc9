//! File tree → ext4 filesystem.
#![forbid(unsafe_code)]

pub mod mkfs;
