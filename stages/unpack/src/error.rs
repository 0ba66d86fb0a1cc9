//! What can be wrong with a layer, alone or on top of the others.

use std::io;

/// Why a layer could not be unpacked, or layers not merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The archive itself is malformed, or reading it failed.
    #[error(transparent)]
    Archive(#[from] cvbake_archive::Error),
    /// An entry means nothing a filesystem can hold.
    #[error("entry \"{path}\" at offset {offset}: {problem}")]
    Entry {
        /// The entry's path as the archive has it, escaped.
        path: String,
        /// Where its header starts in the uncompressed stream.
        offset: u64,
        /// What is wrong with it.
        problem: Problem,
    },
    /// An entry can't be applied to the files below it.
    #[error("entry \"{path}\" at offset {offset}: {problem}")]
    Merge {
        /// The layer, counted from 0.
        layer: usize,
        /// The entry's path within the image, escaped.
        path: String,
        /// Where its header starts in the layer's uncompressed stream.
        offset: u64,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The merged files do not make a tree.
    #[error("the merged files do not make a tree")]
    Tree(#[source] cvbake_tree::BuildError),
    /// The pack could not be written.
    #[error("cannot write unpacked data")]
    Pack(#[source] io::Error),
    /// The stream could not be read.
    #[error("cannot read the layer")]
    Read(#[source] io::Error),
    /// A layer replayed from its index does not give the bytes it gave before.
    #[error("the layer no longer matches its index: {what}")]
    Replay {
        /// What differs.
        what: &'static str,
    },
    /// More than the 32-bit numbers of an index can count.
    #[error("more than 2^32 {what} in one layer")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
    },
}

/// What is wrong with one entry.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum Problem {
    /// No name at all.
    #[error("the name is empty")]
    EmptyName,
    /// A NUL byte, which no file name can have.
    #[error("the {what} contains a NUL byte")]
    Nul {
        /// Which name.
        what: &'static str,
    },
    /// `..` beyond the root.
    #[error("the {what} \"{name}\" climbs above the root")]
    Climbs {
        /// Which name.
        what: &'static str,
        /// The name, escaped.
        name: String,
    },
    /// A component longer than a directory entry holds.
    #[error("a name of {len} bytes, expected at most 255")]
    LongName {
        /// Its length.
        len: usize,
    },
    /// A path too long.
    #[error("a path of {len} bytes, expected at most {limit}")]
    LongPath {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// Paths of far more names than there are entries.
    #[error(
        "more than {limit} different directories and files in the paths up to here, which is too many for the entries"
    )]
    ManyNames {
        /// The limit for as many entries.
        limit: usize,
    },
    /// Far more of what entries have, or overwrite, than entries of real layers do.
    #[error(
        "the entries up to here take {found} bytes of memory for names, link targets, extended attributes, runs of content and \
         what they overwrite, where {limit} are allowed for {entries} of them"
    )]
    Bulk {
        /// The bytes.
        found: usize,
        /// The limit for as many entries.
        limit: usize,
        /// The entries in force.
        entries: usize,
    },
    /// Extended attributes that no inode holds.
    #[error("{bytes} bytes of extended attributes, expected at most {limit}")]
    Xattrs {
        /// Their names and values together.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The root as something else than a directory.
    #[error("the root must be a directory, found a {found}")]
    Root {
        /// What the entry is.
        found: &'static str,
    },
    /// A whiteout of nothing that can be removed.
    #[error("a whiteout of \"{name}\", which is not a name")]
    Whiteout {
        /// What follows `.wh.`, escaped.
        name: String,
    },
    /// A directory whose name is reserved for whiteouts.
    #[error("the directory name \"{name}\" starts with the prefix that is reserved for whiteouts")]
    Reserved {
        /// The name, escaped.
        name: String,
    },
    /// A number that no inode holds.
    #[error("{what} {found} is out of range (at most {limit})")]
    Range {
        /// Which number.
        what: &'static str,
        /// What the archive says.
        found: u64,
        /// The largest that is possible.
        limit: u64,
    },
    /// A symbolic link to nowhere.
    #[error("the target of the symbolic link has {len} bytes, expected 1 to 4095")]
    Target {
        /// Its length.
        len: usize,
    },
    /// A hard link whose target is not there (yet).
    #[error("hard link to \"{target}\", which no earlier entry or lower layer has")]
    LinkMissing {
        /// The target, escaped.
        target: String,
    },
    /// A hard link to itself.
    #[error("hard link to itself")]
    LinkSelf,
    /// A hard link to a directory.
    #[error("hard link to \"{target}\", which is a directory")]
    LinkDirectory {
        /// The target, escaped.
        target: String,
    },
    /// A path below something that is no directory.
    #[error("below \"{parent}\", which the same layer has as a {found}")]
    NotDirectory {
        /// The thing that is no directory, escaped.
        parent: String,
        /// What it is.
        found: &'static str,
    },
    /// Symbolic links that cost more time than the whole layer is worth.
    #[error("the symbolic links in the paths of the layer lead through too many directories, all entries together")]
    Detours,
    /// Symbolic links without end.
    #[error("more than {limit} symbolic links in the path")]
    Loop {
        /// The limit.
        limit: u8,
    },
}

/// What is wrong with what is read.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The layer: its archive can't be read, or it has too much of something.
    Layer(Error),
    /// The entry that is read, which whoever has it at hand names.
    Entry(Problem),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Layer(error)
    }
}

impl From<cvbake_archive::Error> for Fault {
    fn from(error: cvbake_archive::Error) -> Fault {
        Fault::Layer(error.into())
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Fault {
        Fault::Entry(problem)
    }
}
