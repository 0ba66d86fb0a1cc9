//! Digest → what earlier runs made of that layer, or nothing; never something doubtful.
//!
//! ```text
//! indexes-v1/sha256/<hex>    what a layer's entries are, in an envelope with a checksum
//! packs-v1/sha256/<hex>      the bytes of a layer's files
//! blobs/sha256/<hex>         what came from a registry, as it came
//! partial/<algorithm>-<hex>  the beginning of a blob, held while a process adds to it
//! repositories/<registry>/…  what names of images pointed to
//! index.json, oci-layout     all of those names again, as an OCI image layout has them
//! notes-v1/sha256/<hex>      memos: what somebody found out
//! pins/<n>                   held by a running process: which blobs and layers it uses
//! sweep.lock                 held while names change, and what nothing needs is removed
//! locks/<algorithm>-<hex>    held while a process works on a layer
//! scratch/<n>.lock, <n>/     a running process's own directory
//! ```
//!
//! ```
//! use cvbake_store::Store;
//! use cvbake_verify::Digest;
//!
//! let dir = tempfile::tempdir()?;
//! let store = Store::open(&dir.path().join("store"), &|_| {})?;
//! let digest = Digest::sha256(b"a blob");
//! // Until it is dropped, no other process removes what has this digest.
//! let pin = store.pin([digest.clone()])?;
//! store.blobs().put(&digest, &b"a blob"[..], &|_| {})?;
//! assert!(store.blobs().open(&digest, Some(6), &|_| {})?.is_some());
//! store.flush()?;
//! # drop(pin);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * **An entry is either whole or absent.** It is written in a scratch directory and renamed.
//!   Nobody waits for it to be on stable storage before it has its name, because of the next point;
//!   but a run that has ended well has waited for all of them ([`Store::flush`]), unless told
//!   otherwise ([`Store::set_durable`]). Memos are no loss; what takes the place of a name's file,
//!   or of `index.json`, is synced first.
//! * **An entry is checked before it is handed out**, every byte of it, each time (a blob by
//!   whoever reads it; a pack that this very run has made is not): disks rot, machines crash, users
//!   edit. What does not pass is removed, reported as an [`Event`], and counts as absent. Links are
//!   never followed, pipes never waited for.
//! * **What the medium can't give back is damaged**, too: an index or pack is made again. A blob is
//!   removed by who can have it from elsewhere ([`Blob::give_up`]) and stays, with an error,
//!   for who can't: the next attempt may read it.
//! * **Any number of processes share a store.** The only coordination is `flock`, which the kernel
//!   releases however a process ends, so a killed process blocks nobody; what it left in `scratch`
//!   is removed by the next one. Nor does one that comes to no end: who waits for what another
//!   makes has some patience ([`Patience`]), and then makes it, too.
//! * **Nothing is removed that somebody uses.** A process pins what it is going to read or write
//!   ([`Store::pin`]); who removes something has the store alone meanwhile
//!   ([`Store::lock_exclusive`]), and leaves what is pinned. Both hold a lock for a moment only.
//! * **What no registry gives back is kept until somebody lets it go.** An image that was imported
//!   and loses its last name to another one is called by its digest from then on, and that is a
//!   name as far as removal goes; only a rule of its own takes it.
//! * **What names point to is all that is told in words.** All else follows from the blobs' own
//!   documents, so nothing goes out of step, and names stand in two places, of which one is
//!   restored from the other.
//! * **A store is private**: it is the user's own directory, which nobody else can write to.
//!   Checksums tell damage, not malice, so a directory that others can change is refused.
//! * **A store that can't be written is no store.** Who can't pin can't keep anybody from removing
//!   what they read, can't hold a lock while they read it, and has nowhere to put what they make of
//!   it; and of a store of somebody else's, indexes and packs would have to be believed, for their
//!   checksums are not their names. What is to be shared read-only is the layout that the store is
//!   anyway: its images are read as those of any `oci:` directory, with every digest checked, into
//!   a store of one's own.
#![forbid(unsafe_code)]

mod blobs;
mod dir;
mod entry;
mod error;
mod event;
mod exclusive;
mod files;
mod former;
mod index;
mod index_json;
mod inventory;
mod layer_lock;
mod layers;
mod links;
mod lock_file;
mod maintenance;
mod memos;
mod name_path;
mod names;
mod naming;
mod oci_layout;
mod pack;
mod partial;
mod patience;
mod pin;
mod plan;
mod reference;
mod repositories;
mod scratch;
mod store_lock;
mod sync_queue;

use std::path::Path;
use std::sync::Arc;

use cvbake_verify::Digest;

pub use crate::blobs::{Blob, Blobs};
use crate::dir::Dir;
pub use crate::entry::Health;
pub use crate::error::{Damage, Error};
pub use crate::event::{Event, Observer};
pub use crate::exclusive::Exclusive;
use crate::files::{Files, INDEXES};
pub use crate::layer_lock::LayerLock;
use crate::layers::LOCKS;
pub use crate::layers::Layers;
pub use crate::maintenance::{Amount, Maintenance, Object, Stats};
pub use crate::memos::Memos;
pub use crate::names::{KnownNames, Names};
pub use crate::pack::{PIECE, PackSeal};
pub use crate::partial::Partial;
pub use crate::patience::Patience;
use crate::pin::PINS;
pub use crate::pin::Pin;
pub use crate::plan::{Imported, Removal, Rules, Unused};
pub use crate::reference::{Named, Origin, Reference, anonymous, is_anonymous};
pub use crate::scratch::Scratch;

/// A directory of what is kept between runs, seen from several sides: [`Store::blobs`],
/// [`Store::layers`], [`Store::names`], [`Store::memos`] and [`Store::maintenance`].
#[derive(Debug)]
pub struct Store {
    files: Files,
}

impl Store {
    /// Opens the store in a directory, making it (private, with missing parents) if there is none,
    /// and removes what killed processes left in it.
    ///
    /// # Errors
    /// When it is not a directory, belongs to someone else, can be written by others, holds other
    /// things, or can't be made.
    pub fn open(path: &Path, on: Observer<'_>) -> Result<Store, Error> {
        let root = Dir::open_root(path)?;
        if !root.exists(INDEXES)? {
            root.check_unused(INDEXES)?;
        }
        // The first thing made: it is what tells a store from a directory of other things.
        root.subdir(INDEXES)?;
        let store = Store { files: Files::new(root) };
        store.tidy(on);
        index_json::restore_if_lost(&store.files, on)?;
        Ok(store)
    }

    /// Opens a store that is there; makes none.
    ///
    /// # Errors
    /// When there is something, but no store that can be used.
    pub fn open_existing(path: &Path, on: Observer<'_>) -> Result<Option<Store>, Error> {
        let Some(store) = Store::open_read_only(path)? else { return Ok(None) };
        store.tidy(on);
        Ok(Some(store))
    }

    /// Opens a store that is there, and does not even tidy it.
    ///
    /// # Errors
    /// When there is something, but no store that can be used.
    pub fn open_read_only(path: &Path) -> Result<Option<Store>, Error> {
        let Some(root) = Dir::open_existing_root(path)? else { return Ok(None) };
        if !root.exists(INDEXES)? {
            root.check_unused(INDEXES)?;
            return Ok(None);
        }
        Ok(Some(Store { files: Files::new(root) }))
    }

    /// Removes what killed processes left; what can't be removed is only in the way.
    fn tidy(&self, on: Observer<'_>) {
        let root = &self.files.root;
        scratch::remove_stale(root, on);
        for dir in [LOCKS, PINS] {
            lock_file::remove_stale(&|| root.existing_subdir(dir).ok().flatten());
        }
    }

    /// Where the store is, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// Blobs as registries have them.
    #[must_use]
    pub fn blobs(&self) -> Blobs<'_> {
        Blobs::new(&self.files)
    }

    /// What was made of layers: indexes and packs.
    #[must_use]
    pub fn layers(&self) -> Layers<'_> {
        Layers::new(&self.files)
    }

    /// Names of images, and what they point to.
    #[must_use]
    pub fn names(&self) -> Names<'_> {
        Names::new(&self.files)
    }

    /// What saves work when it is remembered.
    #[must_use]
    pub fn memos(&self) -> Memos<'_> {
        Memos::new(&self.files)
    }

    /// The store as a whole: how much there is, and what is wrong.
    #[must_use]
    pub fn maintenance(&self) -> Maintenance<'_> {
        Maintenance::new(&self.files)
    }

    /// Says that this process uses blobs and layers: whatever of them is in the store stays, and
    /// whatever comes into it.
    ///
    /// # Errors
    /// When the list can't be made, locked or written.
    pub fn pin(&self, digests: impl IntoIterator<Item = Digest>) -> Result<Pin<'_>, Error> {
        Pin::new(&self.files, digests)
    }

    /// Takes the store for oneself; waits for others.
    ///
    /// # Errors
    /// When it can't be locked, or it can't be read what running processes use.
    pub fn lock_exclusive(&self, on: Observer<'_>) -> Result<Exclusive<'_>, Error> {
        Exclusive::lock(&self.files, on)
    }

    /// Makes a directory for work in progress. As long as the first one lives, all that this store
    /// writes starts in it: whoever is asked to stop has one directory to remove.
    ///
    /// # Errors
    /// When it can't be made or locked.
    pub fn scratch(&self) -> Result<Arc<Scratch>, Error> {
        self.files.new_scratch()
    }

    /// Decides whether what is put here from now on is brought to stable storage; it is, unless
    /// told otherwise. If not, a crash of the machine may damage it, which is found out when it is
    /// used.
    pub fn set_durable(&self, durable: bool) {
        self.files.sync_queue.set_wanted(durable);
    }

    /// Waits until all that was put here is on stable storage. Dropping a store waits, too, but
    /// can't tell how that went.
    ///
    /// # Errors
    /// When something can't be brought there; then it is removed.
    pub fn flush(&self) -> Result<(), Error> {
        self.files.sync_queue.flush()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Who wants to know how it went has asked.
        if !std::thread::panicking() {
            let _ = self.flush();
        }
    }
}
