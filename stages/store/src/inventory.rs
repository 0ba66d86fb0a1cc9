//! Taking stock: what is in a store, as a plan of what may go needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::TryLockError;
use std::os::unix::ffi::OsStringExt as _;

use cvbake_verify::Digest;
use rustix::fs::Stat;

use crate::entry::{Fault, len_bytes, open, times};
use crate::error::Error;
use crate::event::Observer;
use crate::files::{BLOBS, Files, INDEXES, PACKS};
use crate::links::{Documents, Need};
use crate::partial::{PARTIAL, blob_of};
use crate::plan::{Beginning, Image, Inventory, Unpacked};
use crate::reference::Origin;
use crate::repositories;

/// Takes stock.
pub(crate) fn inventory(files: &Files, pinned: &BTreeSet<Digest>, on: Observer<'_>) -> Result<Inventory, Error> {
    let mut documents = Documents::new(files, on);
    let blobs = files.entries(BLOBS)?.into_iter().map(|(digest, stat)| (digest, len_bytes(&stat))).collect();
    let mut inventory = Inventory { blobs, ..Inventory::default() };
    for image in repositories::list(files, on)? {
        let needs = documents.needs(image.reference.digest, true)?;
        let (imported, anonymous) = (image.origin == Origin::Import, image.is_anonymous());
        inventory.images.push(Image { name: image.name, imported, anonymous, used: image.used, needs });
    }
    for digest in pinned {
        inventory.pinned.extend(documents.needs(*digest, false)?);
        inventory.pinned.extend([Need::Layer(*digest), Need::Unpacked(*digest)]);
    }
    inventory.layers = unpacked(files)?;
    for (name, stat, held) in partials(files)? {
        // Not a name that we give; nobody else's either.
        let Ok(name) = name.into_string() else { continue };
        let pinned = held || blob_of(&name).is_some_and(|digest| pinned.contains(&digest));
        inventory.partials.push(Beginning { name, pinned, bytes: len_bytes(&stat), used: times(&stat).0 });
    }
    Ok(inventory)
}

fn unpacked(files: &Files) -> Result<BTreeMap<Digest, Unpacked>, Error> {
    let mut layers: BTreeMap<Digest, Unpacked> = BTreeMap::new();
    for kind in [INDEXES, PACKS] {
        for (digest, stat) in files.entries(kind)? {
            let used = times(&stat).1;
            let layer = layers.entry(digest).or_insert(Unpacked { index_bytes: None, pack_bytes: None, used });
            layer.used = layer.used.max(used);
            match kind {
                INDEXES => layer.index_bytes = Some(len_bytes(&stat)),
                _ => layer.pack_bytes = Some(allocated_bytes(&stat)),
            }
        }
    }
    Ok(layers)
}

/// The beginnings of blobs, and whether a process adds to them.
pub(crate) fn partials(files: &Files) -> Result<Vec<(OsString, Stat, bool)>, Error> {
    let mut partials = Vec::new();
    let Some(dir) = files.root.existing_subdir(PARTIAL)? else { return Ok(partials) };
    for name in dir.names()? {
        let name = OsString::from_vec(name);
        let Ok(stat) = dir.stat(&name) else { continue };
        let held = match open(&dir, &name) {
            Ok(Some((file, _))) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
            Ok(None) => continue,
            Err(Fault::Damage(_)) => false,
            Err(Fault::Error(source)) => return Err(Error::Read { path: dir.join(&name), source }),
        };
        partials.push((name, stat, held));
    }
    Ok(partials)
}

/// A pack has holes.
fn allocated_bytes(stat: &Stat) -> u64 {
    /// What `st_blocks` counts in, whatever the filesystem.
    const UNIT: u64 = 512;
    u64::try_from(stat.st_blocks).map_or(0, |blocks| blocks.saturating_mul(UNIT)).min(len_bytes(stat))
}
