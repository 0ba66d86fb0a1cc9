//! The structures of disk formats, byte for byte: what is written by them and read.

pub(crate) mod qcow2;
pub(crate) mod vhd;
