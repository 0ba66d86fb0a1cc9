//! The archive stage from outside: archives built byte by byte, other people's writers and readers, and noise.

mod build;
mod compression;
mod differential;
mod ends;
mod features;
mod gnu;
mod headers;
mod noise;
mod pax;
mod read;
mod sparse;
