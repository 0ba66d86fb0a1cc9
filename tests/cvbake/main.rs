//! The tests of the whole program, written from its specification: image in, disk out, disk read
//! back by others.
//!
//! They run the program as an ordinary user; where they are run by root, they drop to `nobody`
//! first, and ask the kernel itself what stands on the disks.
//!
//! `CASE=text` runs only the fixtures whose path contains the text. `CVBAKE_BIN=path` tests another
//! build.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic is a failed test, and what is left out is said aloud"
)]

mod answers;
mod archives;
mod base_pack;
mod boot;
mod cases;
mod checked;
mod command;
mod completion;
mod config;
mod connections;
mod conversions;
mod dead_data;
mod debian;
mod determinism;
mod differencing;
mod directory;
mod elsewhere;
mod ended;
mod engines;
mod erofs;
mod faults;
mod flattened;
mod foreign;
mod formats;
mod full;
mod generation;
mod growth;
mod identity;
mod image_oddities;
mod image_store;
mod images;
mod intake;
mod kill;
mod library;
mod login;
mod matrix;
mod mirrors;
mod misplaced;
mod missing;
mod mounted;
mod naming;
mod options;
mod others;
mod platforms;
mod properties;
mod pulls;
mod push;
mod questions;
mod reading;
mod registry;
mod reuse;
mod scale;
mod schemas;
mod slips;
mod store;
mod stress;
mod support;
mod tags;
mod targets;
mod terminal;
mod unreadable;
mod verbose;
mod verity;
