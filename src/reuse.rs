//! Disks that were made before: the same layers and options give the same bytes, so they need not
//! be made again.
//!
//! The store has a note for each disk: its path, and the results that were reported. A disk counts
//! as unmodified as long as its length, inode, modification and change time are those of the note,
//! and the machine was not restarted since. (The change time is one that no program can set.) An
//! unmodified disk is copied, sharing blocks where the filesystem can, or stays where it is. A disk
//! of another image may have content of the same layers ([`content`]).

pub(crate) mod content;
mod fingerprint;

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

use cvbake_disk::Draft;
use cvbake_store::Store;
use cvbake_tree::Placement;
use cvbake_verify::{Config, Digest, Image, Layer};
use cvbake_verity::RootHash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::event::{Event, Found, Observer};
use crate::known::is_known;
use crate::protection::{HashTree, Verity};
use crate::recipe::Recipe;
use crate::report::{LayerReport, Plan};

pub(crate) use fingerprint::Positions;
use fingerprint::{DiskFingerprint, fingerprint_when_stable, whole_path};

/// How many places of the same disk are remembered.
const PLACES: usize = 4;

/// What the store may know of a disk.
pub(crate) struct Reuse<'a> {
    store: &'a Store,
    image: &'a Image,
    /// What names the bake.
    key: Digest,
    uuid: [u8; 16],
    /// Where its hash tree is, if it has one.
    verity: Option<Verity>,
    /// Whether a disk may be used again; where it stands is noted in any case.
    wanted: bool,
    /// Whether the image belongs into the store, too.
    in_registry: bool,
}

/// Where content stands on a disk that was made.
#[derive(Default)]
pub(crate) struct PlacedContent {
    pub(crate) positions: Positions,
    /// The names of packs whose places are worth a note, and these places.
    pub(crate) packs: Vec<(Digest, Vec<Placement>)>,
}

/// A disk that was made before, open.
pub(crate) struct ExistingDisk {
    plan: Plan,
    root_hash: Option<RootHash>,
    file: File,
    noted: DiskFingerprint,
}

/// As it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    places: Vec<DiskFingerprint>,
    files: usize,
    disk_bytes: u64,
    used_bytes: u64,
    inodes: u64,
    free_inodes: u64,
    /// How many entries each layer has.
    entries: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash_tree: Option<NotedTree>,
}

/// The hash tree of a disk, as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotedTree {
    data_bytes: u64,
    offset: u64,
    bytes: u64,
    root_hash: RootHash,
}

impl<'a> Reuse<'a> {
    /// What is known of what a recipe makes. A disk may be used again only if that is `wanted`.
    pub(crate) fn new(
        recipe: &Recipe<'_>,
        image: &'a Image,
        store: &'a Store,
        wanted: bool,
        in_registry: bool,
    ) -> Reuse<'a> {
        let (key, uuid, verity) = (recipe.key(), recipe.uuid(), recipe.verity);
        Reuse { store, image, key, uuid, verity, wanted, in_registry }
    }

    /// What is noted; what can't be read is no loss.
    fn noted<T: DeserializeOwned>(&self, key: &Digest, on: Observer<'_>) -> Option<T> {
        let text = self.store.memos().get(key, &|event| on(event.into())).ok().flatten()?;
        serde_json::from_slice(&text).ok()
    }

    /// Notes something. That it can't be noted is nobody's trouble but the next run's.
    fn keep(&self, key: &Digest, note: &impl Serialize, on: Observer<'_>) {
        let kept = serde_json::to_vec(note).map(|text| self.store.memos().put(key, &text));
        if let Ok(Err(error)) = kept {
            on(Event::Note(Error::from(error).line()));
        }
    }

    /// Whether the store has what a pull would bring.
    fn is_complete(&self, on: Observer<'_>) -> Result<bool, Error> {
        for layer in self.image.layers() {
            if self.lacks(layer, on)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a pull would bring a layer. What is there counts by its length: whoever reads it
    /// finds out whether it is right.
    pub(crate) fn lacks(&self, layer: &Layer, on: Observer<'_>) -> Result<bool, Error> {
        let Some((digest, size)) = layer.digest().zip(layer.size()).filter(|_| self.in_registry) else {
            return Ok(false);
        };
        Ok(self.store.blobs().open(&digest, Some(size), &|event| on(event.into()))?.is_none())
    }

    /// A disk that is just what is to be made; of several the one that stands where it is to stand.
    pub(crate) fn find(&self, output: &Path, on: Observer<'_>) -> Result<Option<ExistingDisk>, Error> {
        let Some(note) = self.noted::<Note>(&self.key, on).filter(|_| self.wanted) else { return Ok(None) };
        if !self.is_complete(on)? {
            return Ok(None);
        }
        let layers = self.image.layers();
        let (Some(image), true) = (self.image.identity().digest(), layers.len() == note.entries.len()) else {
            return Ok(None);
        };
        let output = whole_path(output);
        let mut places = note.places;
        places.sort_by_key(|place| Some(place.path()) != output.as_deref());
        let Some((file, noted)) = first_open(places) else { return Ok(None) };
        let mut reports = Vec::new();
        for (layer, &entries) in layers.iter().zip(&note.entries) {
            let Some(diff_id) = layer.diff_id() else { return Ok(None) };
            let (digest, bytes) = (layer.digest(), layer.size());
            // The disk has what the image claims that its layers unpack to. Whether these blobs do
            // is another question.
            if digest.is_some_and(|blob| !is_known(self.store, blob, diff_id, on)) {
                return Ok(None);
            }
            reports.push(LayerReport { digest, diff_id, bytes, entries, found: Found::Disk });
        }
        let plan = Plan {
            reference: self.image.reference().to_owned(),
            image,
            config: self.image.config().map(Config::digest),
            platform: self.image.config().and_then(|config| config.platform()).map(|platform| platform.to_string()),
            layers: reports,
            files: note.files,
            disk_bytes: note.disk_bytes,
            used_bytes: note.used_bytes,
            inodes: note.inodes,
            free_inodes: note.free_inodes,
            uuid: self.uuid,
            boot: None,
            hash_tree: note.hash_tree.as_ref().zip(self.verity).map(|(tree, place)| HashTree {
                place,
                data_bytes: tree.data_bytes,
                offset: tree.offset,
                bytes: tree.bytes,
            }),
        };
        let root_hash = note.hash_tree.map(|tree| tree.root_hash);
        Ok(Some(ExistingDisk { plan, root_hash, file, noted }))
    }

    /// A disk that is the one of which this is the key.
    fn open(&self, key: &Digest, on: Observer<'_>) -> Option<(File, DiskFingerprint)> {
        first_open(self.noted::<Note>(key, on)?.places)
    }

    /// Notes where a finished disk stands, if it is still the file that was made, and which content
    /// is where on it.
    pub(crate) fn remember(
        &self,
        plan: &Plan,
        root_hash: Option<RootHash>,
        made: &Metadata,
        path: &Path,
        content: &PlacedContent,
        on: Observer<'_>,
    ) {
        let Some(place) = whole_path(path).and_then(|path| fingerprint_when_stable(&path, made, &content.positions))
        else {
            return;
        };
        for (pack, places) in &content.packs {
            self.remember_content(pack, &content.positions.layout, places, on);
        }
        let mut places = self.noted::<Note>(&self.key, on).map(|note| note.places).unwrap_or_default();
        places.retain(|known| known.path() != place.path() && known.open().is_some());
        places.insert(0, place);
        places.truncate(PLACES);
        let Plan { files, disk_bytes, used_bytes, inodes, free_inodes, .. } = *plan;
        let entries = plan.layers.iter().map(|layer| layer.entries).collect();
        let tree = plan.hash_tree.as_ref().zip(root_hash);
        let hash_tree = tree.map(|(&HashTree { data_bytes, offset, bytes, .. }, root_hash)| NotedTree {
            data_bytes,
            offset,
            bytes,
            root_hash,
        });
        self.keep(
            &self.key,
            &Note { places, files, disk_bytes, used_bytes, inodes, free_inodes, entries, hash_tree },
            on,
        );
    }
}

fn first_open(places: Vec<DiskFingerprint>) -> Option<(File, DiskFingerprint)> {
    places.into_iter().find_map(|place| place.open().map(|file| (file, place)))
}

impl ExistingDisk {
    /// Whether it is this very file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        whole_path(path).is_some_and(|path| path == self.noted.path())
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where content stands on a copy of it: as on this one, and what is to be noted of that was
    /// noted.
    pub(crate) fn placed_content(&self) -> PlacedContent {
        PlacedContent { positions: self.noted.positions().clone(), packs: Vec::new() }
    }

    /// What is told of it, its root hash if it has a hash tree, and where it stands.
    pub(crate) fn into_parts(self) -> (Plan, Option<RootHash>, Option<PathBuf>) {
        (self.plan, self.root_hash, Some(self.noted.path().to_owned()))
    }

    /// Makes a draft the same; `false` if the disk can't be read, or was changed meanwhile, and
    /// then the draft is empty.
    pub(crate) fn copy_to(&self, draft: &Draft, on: Observer<'_>) -> Result<bool, Error> {
        match draft.copy_whole(&self.file) {
            Ok(()) if self.noted.is(&self.file) => return Ok(true),
            Ok(()) => {}
            // Made from its layers the disk may need less: some filesystems say of no hole that it
            // is one.
            Err(cvbake_disk::Error::NoRoom { .. }) => {}
            Err(error @ cvbake_disk::Error::Read { .. }) => on(Event::Warning(Error::from(error).line())),
            Err(error) => return Err(error.into()),
        }
        draft.clear_all()?;
        Ok(false)
    }
}
