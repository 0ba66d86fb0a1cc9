//! Which file a disk becomes.

use std::ops::Range;

use cvbake_disk::Container;

/// What a disk is stored as: what is around its filesystem, and where in the file that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Format {
    /// The filesystem and nothing else.
    #[default]
    Raw,
}

impl Format {
    /// The word for it in a recipe.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
        }
    }

    /// Where in the file the filesystem begins, if it is stored in one piece; known before the
    /// filesystem is planned, so that a layer can be unpacked to its place meanwhile.
    pub(crate) fn base(self) -> Option<u64> {
        match self {
            Format::Raw => Some(0),
        }
    }

    /// The file for a filesystem of this length, of which these ranges are written.
    pub(crate) fn container(self, len_bytes: u64, _used: impl Iterator<Item = Range<u64>>) -> Container {
        match self {
            Format::Raw => Container::raw(len_bytes),
        }
    }
}
