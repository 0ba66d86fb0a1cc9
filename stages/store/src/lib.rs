//! Digest → what earlier runs made of that layer, or nothing; never something doubtful.
//!
//! ```text
//! indexes-v1/sha256/<hex>    what a layer's entries are, in an envelope with a checksum
//! packs-v1/sha256/<hex>      the bytes of a layer's files
//! blobs/sha256/<hex>         what came from a registry, as it came
//! partial/<algorithm>-<hex>  the beginning of a blob, held while a process adds to it
//! repositories/<registry>/…  what names of images pointed to
//! index.json, oci-layout     all of those names again, as an OCI image layout has them
//! notes-v1/sha256/<hex>      what somebody noted
//! pins/<n>                   held by a running process: which blobs and layers it uses
//! sweep.lock                 held while names change, and what nothing needs is removed
//! locks/<algorithm>-<hex>    held while a process works on a layer
//! scratch/<n>.lock, <n>/     a running process's own directory
//! ```
//!
//! * **An entry is either whole or absent.** It is written in a scratch directory and renamed.
//!   Nobody waits for it to be on stable storage before it has its name, because of the next point;
//!   but a run that has ended well has waited for all of them ([`Store::settle`]), unless told
//!   otherwise ([`Store::set_durable`]). Notes are no loss; what takes the place of a name's file,
//!   or of `index.json`, is synced first.
//! * **An entry is checked before it is handed out**, every byte of it, each time (a blob by
//!   whoever reads it; a pack that this very run has made is not): disks rot, machines crash, users
//!   edit. What does not pass is removed, reported as an [`Event`], and counts as absent. Links are
//!   never followed, pipes never waited for.
//! * **What the medium can't give back is damaged**, too: an index or pack is made again. A blob is
//!   removed by who can have it from elsewhere ([`Store::give_up_blob`]) and stays, with an error,
//!   for who can't: the next attempt may read it.
//! * **Any number of processes share a store.** The only coordination is `flock`, which the kernel
//!   releases however a process ends, so a killed process blocks nobody; what it left in `scratch`
//!   is removed by the next one. Nor does one that comes to no end: who waits for what another
//!   makes has some patience ([`Patience`]), and then makes it, too.
//! * **Nothing is removed that somebody uses.** A process pins what it is going to read or write
//!   ([`Store::pin`]); who removes something has the store alone meanwhile ([`Store::sweep`]), and
//!   leaves what is pinned. Both hold a lock for a moment only.
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

mod blob;
mod check;
mod collect;
mod dir;
mod entry;
mod error;
mod former;
mod index;
mod later;
mod layout;
mod links;
mod lock;
mod look;
mod name;
mod note;
mod pack;
mod partial;
mod patience;
mod pin;
mod plan;
mod reference;
mod scratch;
mod sweep;

use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use cvbake_verify::Digest;

pub use crate::check::Object;
pub use crate::collect::{Amount, Stats};
use crate::dir::Dir;
pub use crate::entry::Health;
pub use crate::error::{Damage, Error, Event};
use crate::later::Later;
pub use crate::lock::LayerLock;
pub use crate::look::Names;
pub use crate::pack::{PIECE, PackSeal};
pub use crate::partial::Partial;
pub use crate::patience::Patience;
use crate::pin::PINS;
pub use crate::pin::Pin;
pub use crate::plan::{Imported, Removal, Rules, Unused};
pub use crate::reference::{Named, Origin, Reference, anonymous, is_anonymous};
pub use crate::scratch::Scratch;
pub use crate::sweep::Sweep;

/// A directory of what is kept between runs.
#[derive(Debug)]
pub struct Store {
    root: Dir,
    /// Where what is written starts, while somebody keeps it.
    scratch: Mutex<Weak<Scratch>>,
    later: Arc<Later>,
}

const INDEXES: &str = "indexes-v1";
const BLOBS: &str = "blobs";
const PACKS: &str = "packs-v1";
const LOCKS: &str = "locks";

impl Store {
    /// Opens the store in a directory, making it (private, with missing parents) if there is none,
    /// and removes what killed processes left in it.
    ///
    /// # Errors
    /// When it is not a directory, belongs to someone else, can be written by others, holds other
    /// things, or can't be made.
    pub fn open(path: &Path, on: &(dyn Fn(Event) + Sync)) -> Result<Store, Error> {
        let root = Dir::open_root(path)?;
        if !root.exists(INDEXES)? {
            root.check_unused()?;
        }
        // The first thing made: it is what tells a store from a directory of other things.
        root.subdir(INDEXES)?;
        let store = Store::at(root);
        store.tidy(on);
        store.restore_lost_references(on)?;
        Ok(store)
    }

    /// Opens a store that is there; makes none.
    ///
    /// # Errors
    /// When there is something, but no store that can be used.
    pub fn open_existing(path: &Path, on: &(dyn Fn(Event) + Sync)) -> Result<Option<Store>, Error> {
        let Some(store) = Store::open_to_look(path)? else { return Ok(None) };
        store.tidy(on);
        Ok(Some(store))
    }

    fn at(root: Dir) -> Store {
        Store { root, scratch: Mutex::default(), later: Arc::default() }
    }

    /// Removes what killed processes left; what can't be removed is only in the way.
    fn tidy(&self, on: &(dyn Fn(Event) + Sync)) {
        self.remove_stale_scratch(on);
        for dir in [LOCKS, PINS] {
            lock::remove_stale(&|| self.root.existing_subdir(dir).ok().flatten());
        }
    }

    /// Decides whether what is put here from now on is brought to stable storage; it is, unless
    /// told otherwise. If not, a crash of the machine may damage it, which is found out when it is
    /// used.
    pub fn set_durable(&self, durable: bool) {
        self.later.set_wanted(durable);
    }

    /// Waits until all that was put here is on stable storage. Dropping a store waits, too, but
    /// can't tell how that went.
    ///
    /// # Errors
    /// When something can't be brought there; then it is removed.
    pub fn settle(&self) -> Result<(), Error> {
        self.later.wait()
    }

    /// Where the store is, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root.path
    }

    /// Makes this process (this thread, in fact) the only one that works on a layer; waits for
    /// others to finish, as long as it is worth while. Afterwards several may work on it, each for
    /// himself.
    ///
    /// A thread must not take a second lock while it holds one, nor run other threads' work
    /// meanwhile: two processes that wait for each other wait until both have had enough.
    ///
    /// # Errors
    /// When the lock file can't be made or locked.
    pub fn lock(&self, layer: &Digest, patience: Patience, on: &(dyn Fn(Event) + Sync)) -> Result<LayerLock, Error> {
        LayerLock::wait(self.root.subdir(LOCKS)?, layer, patience, on)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Who wants to know how it went has asked.
        if !std::thread::panicking() {
            let _ = self.settle();
        }
    }
}
