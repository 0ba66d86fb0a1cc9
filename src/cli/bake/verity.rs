//! Where the hash tree of a disk goes.

use clap::ValueEnum;
use cvbake::Verity;

/// As it is said on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Name {
    /// Behind the filesystem
    Append,
    /// Into another file
    Beside,
}

impl Name {
    pub(super) fn place(self) -> Verity {
        match self {
            Name::Append => Verity::Append,
            Name::Beside => Verity::Beside,
        }
    }
}
