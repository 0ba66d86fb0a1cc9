//! Disks that were made before: the same image and options give the same bytes, so they need not be made again.
//!
//! Where a disk stands, and what could be told of it, is noted in the store. It counts as the same as long as nobody has
//! touched the file: its length, inode and both times of change are what they were, and the last one can't be set. Then it is copied,
//! sharing blocks where the filesystem can, or stays where it is.

use std::fs::{File, Metadata};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cvbake_disk::Draft;
use cvbake_fetch::Source;
use cvbake_store::Store;
use cvbake_verify::{Digest, Image};
use serde::{Deserialize, Serialize};

use crate::bake::{Engine, Job, Plan, derived_uuid};
use crate::error::Error;
use crate::event::{Event, Found};
use crate::layers::{KeepPacks, LayerReport};

/// Changes whenever the same image and options give other bytes than they did.
const GENERATION: u32 = 2;

/// How many places of the same disk are remembered.
const PLACES: usize = 4;

/// What the store may know of a disk.
pub(crate) struct Reuse<'a> {
    store: &'a Store,
    image: &'a Image,
    /// What names the image and the options.
    key: Digest,
    uuid: [u8; 16],
    /// Whether a disk may be used again; where it stands is noted in any case.
    wanted: bool,
    /// Whether the image belongs into the store, too.
    stored: bool,
}

/// A disk that was made before, open.
pub(crate) struct Made {
    plan: Plan,
    path: PathBuf,
    file: File,
    noted: Place,
}

/// As it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    places: Vec<Place>,
    files: usize,
    disk_bytes: u64,
    used_bytes: u64,
    inodes: u64,
    free_inodes: u64,
    /// How many entries each layer has.
    entries: Vec<usize>,
}

/// A file, and how it was when it was whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    path: Vec<u8>,
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Place {
    fn of(path: &Path, metadata: &Metadata) -> Place {
        Place {
            path: path.as_os_str().as_bytes().to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn path(&self) -> PathBuf {
        std::ffi::OsString::from_vec(self.path.clone()).into()
    }

    /// The file, if it is still the one that was noted.
    fn open(&self) -> Option<File> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).ok()?;
        let file = File::options().read(true).custom_flags(flags).open(self.path()).ok()?;
        self.is(&file).then_some(file)
    }

    fn is(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|metadata| metadata.is_file() && Place::of(&self.path(), &metadata) == *self)
    }
}

impl<'a> Reuse<'a> {
    /// What is known of a bake's result; `None` where nothing can be, because nothing is kept, or nothing names the image.
    pub(crate) fn of(job: &Job, image: &'a Image, store: Option<&'a Store>) -> Option<Reuse<'a>> {
        let digest = image.identity().digest()?;
        let store = store.filter(|_| job.engine == Engine::Native)?;
        let wanted = job.reuse && job.keep_packs != KeepPacks::Always;
        let Job { size, inodes, label, hash_seed, journal, epoch, .. } = job;
        let uuid = job.uuid.unwrap_or_else(|| derived_uuid(&digest, "filesystem"));
        let version = env!("CARGO_PKG_VERSION");
        let text = format!(
            "cvbake {version} disk {GENERATION} of {digest}: {size:?} {inodes:?} {label:?} {uuid:?} {hash_seed:?} {journal} {epoch}"
        );
        let stored = matches!(job.source, Source::Registry(_));
        Some(Reuse { store, image, key: Digest::sha256(text.as_bytes()), uuid, wanted, stored })
    }

    /// What is noted; what can't be read is no loss.
    fn note(&self, on: &(dyn Fn(Event) + Sync)) -> Option<Note> {
        let text = self.store.note(&self.key, &|event| on(event.into())).ok().flatten()?;
        serde_json::from_slice(&text).ok()
    }

    /// Whether the store has what a pull would bring; of layers their lengths count, as they do for a pull.
    fn is_complete(&self, on: &(dyn Fn(Event) + Sync)) -> Result<bool, Error> {
        let layers = self.image.layers().iter().filter(|_| self.stored);
        for (digest, size) in layers.filter_map(|layer| layer.digest().zip(layer.size())) {
            if self.store.blob(&digest, Some(size), &|event| on(event.into()))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A disk that is just what is to be made; of several the one that stands where it is to stand.
    pub(crate) fn find(&self, output: &Path, on: &(dyn Fn(Event) + Sync)) -> Result<Option<Made>, Error> {
        let Some(note) = self.note(on).filter(|_| self.wanted) else { return Ok(None) };
        if !self.is_complete(on)? {
            return Ok(None);
        }
        let layers = self.image.layers();
        let (Some(image), true) = (self.image.identity().digest(), layers.len() == note.entries.len()) else {
            return Ok(None);
        };
        let output = whole_path(output);
        let mut places: Vec<&Place> = note.places.iter().collect();
        places.sort_by_key(|place| Some(place.path()) != output);
        let found = places.into_iter().find_map(|place| place.open().map(|file| (file, place.clone())));
        let Some((file, noted)) = found else { return Ok(None) };
        let mut reports = Vec::new();
        for (layer, &entries) in layers.iter().zip(&note.entries) {
            let Some(diff_id) = layer.diff_id() else { return Ok(None) };
            let (digest, bytes) = (layer.digest(), layer.size());
            reports.push(LayerReport { digest, diff_id, bytes, entries, found: Found::Disk });
        }
        let plan = Plan {
            reference: self.image.reference().to_owned(),
            image,
            platform: self.image.config().and_then(|config| config.platform()).map(|platform| platform.to_string()),
            layers: reports,
            files: note.files,
            disk_bytes: note.disk_bytes,
            used_bytes: note.used_bytes,
            inodes: note.inodes,
            free_inodes: note.free_inodes,
            uuid: self.uuid,
        };
        Ok(Some(Made { plan, path: noted.path(), file, noted }))
    }

    /// Notes where a finished disk stands, if it is still the file that was made. That it can't be noted is nobody's trouble but the
    /// next run's.
    pub(crate) fn remember(&self, plan: &Plan, made: &Metadata, path: &Path, on: &(dyn Fn(Event) + Sync)) {
        let Some(place) = whole_path(path).and_then(|path| settled(&path, made)) else { return };
        let mut places = self.note(on).map(|note| note.places).unwrap_or_default();
        places.retain(|known| known.path != place.path && known.open().is_some());
        places.insert(0, place);
        places.truncate(PLACES);
        let Plan { files, disk_bytes, used_bytes, inodes, free_inodes, .. } = *plan;
        let entries = plan.layers.iter().map(|layer| layer.entries).collect();
        let note = Note { places, files, disk_bytes, used_bytes, inodes, free_inodes, entries };
        let kept = serde_json::to_vec(&note).map(|text| self.store.put_note(&self.key, &text));
        if let Ok(Err(error)) = kept {
            on(Event::Note(Error::from(error).line()));
        }
    }
}

impl Made {
    /// Whether it is this very file.
    pub(crate) fn stands_at(&self, path: &Path) -> bool {
        whole_path(path).is_some_and(|path| path == self.path)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// What is told of it, and where it stands.
    pub(crate) fn into_parts(self) -> (Plan, Option<PathBuf>) {
        (self.plan, Some(self.path))
    }

    /// Makes a draft the same; `false` if the disk can't be read, or was changed meanwhile, and then the draft is empty.
    pub(crate) fn copy_to(&self, draft: &Draft, on: &(dyn Fn(Event) + Sync)) -> Result<bool, Error> {
        match draft.copy_whole(&self.file) {
            Ok(()) if self.noted.is(&self.file) => return Ok(true),
            Ok(()) => {}
            Err(error @ cvbake_disk::Error::Read { .. }) => on(Event::Warning(Error::from(error).line())),
            Err(error) => return Err(error.into()),
        }
        draft.set_len(0)?;
        Ok(false)
    }
}

/// The path from the root of a file that may not be there.
fn whole_path(path: &Path) -> Option<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(parent.canonicalize().ok()?.join(path.file_name()?))
}

/// A finished file as it is, when it can be told from whatever it becomes.
///
/// It must be the one that was made: somebody may have put another in its place, or have written to it already. The clock of the
/// filesystem's times must have gone on since: it ticks some hundred times a second, and where it is coarser than that, changes can't
/// be told. Nor can they in memory, where what is mapped may be written without a trace.
fn settled(path: &Path, made: &Metadata) -> Option<Place> {
    const TICKS: u32 = 20;
    let metadata = path.symlink_metadata().ok().filter(Metadata::is_file)?;
    // All but the time of the last change, which a new name is.
    let unchanged =
        Place { changed: (0, 0), ..Place::of(path, &metadata) } == Place { changed: (0, 0), ..Place::of(path, made) };
    if !unchanged || is_in_memory(path) || metadata.ctime_nsec() == 0 {
        return None;
    }
    for _ in 0..TICKS {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        if (now.tv_sec, now.tv_nsec) > (metadata.ctime(), metadata.ctime_nsec()) {
            return Some(Place::of(path, &metadata));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

fn is_in_memory(path: &Path) -> bool {
    // TMPFS_MAGIC.
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == 0x0102_1994)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_the_disk_is_not_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, link) = (dir.path().join("disk"), dir.path().join("link"));
        std::fs::write(&disk, b"content").unwrap();
        std::os::unix::fs::symlink(&disk, &link).unwrap();
        let metadata = disk.metadata().unwrap();
        assert!(Place::of(&disk, &metadata).open().is_some());
        assert!(Place::of(&link, &metadata).open().is_none());
        std::fs::write(&disk, b"Content").unwrap();
        assert!(Place::of(&disk, &disk.metadata().unwrap()).open().is_some());
    }

    #[test]
    fn only_the_file_that_was_made_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, other) = (dir.path().join("disk"), dir.path().join("other"));
        std::fs::write(&disk, b"content").unwrap();
        std::fs::write(&other, b"content").unwrap();
        let made = disk.metadata().unwrap();
        assert_eq!(settled(&disk, &made).is_some(), !is_in_memory(&disk));
        assert!(settled(&other, &made).is_none());
        std::fs::rename(&other, &disk).unwrap();
        assert!(settled(&disk, &made).is_none());
    }
}
