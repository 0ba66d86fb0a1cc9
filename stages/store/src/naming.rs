//! Giving names and taking them away, for whoever has the store alone.

use std::ffi::OsStr;
use std::fs::File;

use crate::error::Error;
use crate::event::Observer;
use crate::files::{Files, INDEX_JSON, REPOSITORIES};
use crate::reference::{Origin, Reference, anonymous};
use crate::{former, index_json, repositories};

/// Keeps what names point to.
pub(crate) fn set<'n>(
    files: &Files,
    names: impl IntoIterator<Item = &'n str>,
    reference: &Reference,
    origin: Origin,
    on: Observer<'_>,
) -> Result<(), Error> {
    let names: Vec<&str> = names.into_iter().collect();
    // First: should this end half-way, the former image has a name too many, and not one too few.
    former::keep(files, &names, reference, on)?;
    let root = files.root.subdir(REPOSITORIES)?;
    for &name in &names {
        // What is not synced before it gets its name may be lost in a crash of the machine. What is
        // new is no loss then; what takes the place of something whole is whole at any time.
        if repositories::get(files, name, &|_| {})?.is_none() {
            let (dir, file, written) =
                repositories::write_file(files, root.clone(), name, (reference, origin), |_| Ok(()))?;
            files.sync_queue.push(&dir, file.into(), written)?;
        } else {
            repositories::write_below(files, root.clone(), name, reference, origin)?;
        }
    }
    // Its digest was all that it was called by.
    let bare = anonymous(&reference.digest);
    let bare = Some(bare.as_str()).filter(|bare| names.iter().any(|name| name != bare));
    let is_new = !files.root.exists(INDEX_JSON)?;
    let sync = |file: &File| if is_new { Ok(()) } else { file.sync_all() };
    let written = index_json::write(files, bare.as_slice(), sync, on)?;
    files.sync_queue.push(&files.root, INDEX_JSON.into(), written)?;
    bare.map_or(Ok(false), |bare| repositories::delete_file(files, bare)).map(drop)
}

/// Forgets names, and says how many were known; what they point to stays.
pub(crate) fn remove(files: &Files, names: &[&str]) -> Result<usize, Error> {
    // First: a name that only stands there counts as lost, and would come back.
    match index_json::write(files, names, File::sync_all, &|_| {}) {
        // What goes may make the room; until then the names stand in one place only.
        Err(error) if error.is_full() => {
            let name = OsStr::new(INDEX_JSON);
            files.root.remove(name).map_err(|source| Error::Write { path: files.root.join(name), source })?;
        }
        written => drop(written?),
    }
    let mut known = 0;
    for name in names {
        known += usize::from(repositories::delete_file(files, name)?);
    }
    Ok(known)
}
