//! The native engine against e2fsprogs and another reader.

mod disks;
mod support;
