//! The archive stage from outside: archives built byte by byte, other people's writers and readers,
//! and noise.
#![expect(clippy::unwrap_used, reason = "a test that can't make its own input has failed")]

mod build;
mod compression;
mod differential;
mod ends;
mod features;
mod gnu;
mod gnu_tar;
mod headers;
mod noise;
mod pax;
mod read;
mod sparse;
