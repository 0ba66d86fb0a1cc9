//! What must hold for any input: one module for each target, with one function `check`.
//!
//! A check panics when something does not hold; an error that the code under test returns is no
//! failure. [`seeds`] makes first inputs of the fixtures. `scripts/test` tries these and simple
//! variants of them (`tests/variants.rs`), compiled as everything is; `scripts/fuzz` has libFuzzer
//! find more, compiled with coverage instrumentation (the feature `libfuzzer`).

pub mod archives;
pub mod auth_file;
pub mod challenge;
pub mod compression;
pub mod disk;
pub mod documents;
pub mod formats;
pub mod hash_tree;
pub mod index;
pub mod inflate;
pub mod merge;
pub mod netrc;
pub mod registries;
pub mod seeds;
pub mod source;
pub mod tar;
pub mod text;
pub mod uki;

use std::io::{self, Read, Write};

use cvbake_fetch::{Credentials, Options, Problem};
use tempfile::NamedTempFile;

/// What is checked for an input; panics where it does not hold.
pub type Check = fn(&[u8]);

/// The targets, by name.
pub const TARGETS: &[(&str, Check)] = &[
    ("archives", archives::check),
    ("auth_file", auth_file::check),
    ("challenge", challenge::check),
    ("compression", compression::check),
    ("disk", disk::check),
    ("documents", documents::check),
    ("erofs", disk::check_erofs),
    ("hash_tree", hash_tree::check),
    ("index", index::check),
    ("inflate", inflate::check),
    ("merge", merge::check),
    ("netrc", netrc::check),
    ("qcow2", formats::qcow2),
    ("registries", registries::check),
    ("source", source::check),
    ("tar", tar::check),
    ("text", text::check),
    ("uki", uki::check),
    ("vhd", formats::vhd),
    ("vhdx", formats::vhdx),
];

/// A reader that gives its bytes in pieces of at most `step`: what comes over a pipe or a network.
pub struct Chunks<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl<'a> Chunks<'a> {
    /// Reads `bytes` in pieces of at most `step`.
    pub fn new(bytes: &'a [u8], step: usize) -> Chunks<'a> {
        Chunks { bytes, step: step.max(1) }
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.step);
        self.bytes.read(&mut buffer[..len])
    }
}

/// An error with everything below it, as text.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A file with this in it, for what is only read from files.
fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file");
    file
}

/// Who the files of the options say we are, asked twice.
fn credentials(options: &Options, registry: &str) -> Result<Option<Credentials>, String> {
    let find = || Credentials::find(options, registry, "a/b").map_err(|problem: Problem| line(&problem));
    let found = find();
    assert_eq!(find(), found, "again");
    found
}

/// The longest error, in characters: it may list 32 names of 160 each, and quote some more.
const MAX_ERROR: usize = 8000;

/// An error as text, which has to be one that a person can read: neither empty nor a dump of what
/// it is about, and a single line as the program shows it.
pub fn line(error: &dyn std::error::Error) -> String {
    let text = chain(error);
    let count = text.chars().count();
    assert!((1..MAX_ERROR).contains(&count), "an error is a line, not a dump: {count} characters");
    let shown = text::shown(&text);
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    text
}
