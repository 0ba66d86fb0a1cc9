//! Where the content of a layer's files is, and how that changes while it is baked.
//!
//! ```text
//!     unpacked now                           found in the store
//!   +------+------+                            +------+------+
//!   |             |                            |             |
//!  Disk        TempPack                      Store         Layer
//!   |             |                            |             |
//!   | must move   | put into the store         +------+------+
//!   v             v                                   | a disk made earlier has it
//! TempPack       Kept                                 v
//!                                              Earlier(what it was) --> what it was, if that disk is changed meanwhile
//! ```
//!
//! Where only a plan is wanted, nothing is unpacked anywhere: then it is `Layer` as well.

use std::mem;
use std::path::PathBuf;

use cvbake_store::Store;
use cvbake_verify::Digest;

use crate::error::Error;
use crate::event::Found;
use crate::reuse::content::Earlier;

/// Where the content of a layer's files is.
pub(super) enum Content {
    /// In a pack in the working directory.
    TempPack(PathBuf),
    /// On the disk itself, from where a base pack begins on.
    Disk,
    /// In a pack in the store, unless it is damaged.
    Store,
    /// In a pack that was put into the store just now.
    Kept,
    /// On a disk that was made before; should that be changed meanwhile, elsewhere.
    Earlier(Earlier, Box<Content>),
    /// In the layer, to be inflated again.
    Layer,
}

impl Content {
    /// That of a layer of which the store has the index, and perhaps the pack.
    pub(super) fn stored(has_pack: bool) -> Content {
        if has_pack { Content::Store } else { Content::Layer }
    }

    /// Puts a pack into the store.
    pub(super) fn keep(&mut self, store: &Store, diff_id: &Digest) -> Result<(), Error> {
        if let Content::TempPack(path) = self {
            store.layers().put_pack(diff_id, path)?;
            *self = Content::Kept;
        }
        Ok(())
    }

    /// Whether it would be read from somewhere where it was before this run, and may as well be
    /// read from a disk.
    pub(super) fn may_be_elsewhere(&self) -> bool {
        matches!(self, Content::Layer | Content::Store)
    }

    /// A disk that was made before has it.
    pub(super) fn is_on(&mut self, earlier: Earlier) {
        *self = Content::Earlier(earlier, Box::new(mem::replace(self, Content::Layer)));
    }

    /// Whether the list of files is needed to read it.
    pub(super) fn needs_index(&self) -> bool {
        !matches!(self, Content::TempPack(_) | Content::Disk)
    }

    /// What the store had of a layer whose content is here.
    pub(super) fn found(&self) -> Found {
        match self {
            Content::TempPack(_) | Content::Disk | Content::Kept => Found::Nothing,
            Content::Store => Found::Content,
            Content::Earlier(..) => Found::Disk,
            Content::Layer => Found::Index,
        }
    }

    /// What the store had of a layer whose content was to come from a disk, and did not.
    pub(super) fn found_otherwise(&self) -> Option<Found> {
        match self {
            Content::Earlier(earlier, otherwise) if !earlier.is_good() => Some(otherwise.found()),
            _ => None,
        }
    }
}
