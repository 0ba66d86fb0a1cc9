//! The native engine against e2fsprogs and another reader.
#![expect(clippy::unwrap_used, reason = "in the helpers of tests, a panic is a failed test")]

mod attributes;
mod directories;
mod disks;
mod foreign;
mod hostile;
mod plan;
mod random;
mod refusals;
mod regions;
mod sizes;
mod support;
