//! The native engine against e2fsprogs and another reader.

mod directories;
mod disks;
mod sizes;
mod support;
