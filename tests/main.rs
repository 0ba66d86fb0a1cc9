//! The tests of the whole program, written from its specification: image in, disk out, disk read back by others.

mod cases;
mod support;
