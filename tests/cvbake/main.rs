//! The tests of the whole program, written from its specification: image in, disk out, disk read back by others.
//!
//! They run the program as an ordinary user; where they are run by root, they drop to `nobody` first, and ask the kernel
//! itself what stands on the disks.
//!
//! `CASE=text` runs only the fixtures whose path contains the text. `CVBAKE_BIN=path` tests another build.

mod archives;
mod cases;
mod determinism;
mod support;
