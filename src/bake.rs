//! The pipeline: the only file that knows the order of the stages.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cvbake_disk::Draft;
use cvbake_ext4::{Inodes, Layout, Options, Size, mkfs};
use cvbake_fetch::Source;
use cvbake_store::Store;
use cvbake_tree::Tree;
use cvbake_verify::{Algorithm, Digest, Hasher, Image, Want};

use crate::cleanup::Cleanup;
use crate::error::Error;
use crate::event::{Event, Stage};
use crate::layers::{KeepPacks, LayerReport, Layers, Purpose, Workshop};
use crate::readahead::Turn;
use crate::reuse::content::Disks;
use crate::reuse::{Made, Reuse, Standing};
use crate::workplace::{Workplace, open_existing_store, open_source, open_store, pin};

/// What to bake, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where the image is.
    pub source: Source,
    /// How to talk to a registry, if it is in one.
    pub registry: cvbake_fetch::Options,
    /// The platform that an image for several is wanted for.
    pub want: Want,
    /// What writes the filesystem.
    pub engine: Engine,
    /// How large the disk is to be.
    pub size: Size,
    /// How many inodes it is to have.
    pub inodes: Inodes,
    /// The filesystem's name, at most 16 bytes.
    pub label: Vec<u8>,
    /// The filesystem's identity; derived from the image where none is given.
    pub uuid: Option<[u8; 16]>,
    /// What the hashes of names in large directories start from; derived from the image where none is given.
    pub hash_seed: Option<[u8; 16]>,
    /// Whether the filesystem has a journal.
    pub journal: bool,
    /// The time of what the image gives no time, in seconds since 1970.
    pub epoch: i64,
    /// Where to keep what other bakes can use; nothing is kept, nor anything kept used, if there is none.
    pub store: Option<PathBuf>,
    /// Where temporary files go when there is neither a store nor an output beside which they could go.
    pub temporary: PathBuf,
    /// What to do with unpacked content.
    pub keep_packs: KeepPacks,
    /// Whether a disk that was made before may be copied, or stay, and content of layers be copied from one.
    pub reuse: bool,
    /// How many threads work at once.
    pub jobs: NonZeroUsize,
}

/// Where the disk goes.
#[derive(Debug, Clone)]
pub struct Output {
    /// The file.
    pub path: PathBuf,
    /// Whether a file that is there is replaced.
    pub replace: bool,
    /// Whether to hash the finished disk.
    pub digest: bool,
    /// Whether the disk is on stable storage before it gets its name, and what came into the store as well.
    pub sync: bool,
}

/// What writes the filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Engine {
    /// This program.
    #[default]
    Native,
    /// The programs of e2fsprogs.
    Mkfs(mkfs::Programs),
}

/// What was baked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Baked {
    /// What the disk holds.
    pub plan: Plan,
    /// Where it stands.
    pub path: PathBuf,
    /// How much of it is allocated in the filesystem it lies on, in bytes.
    pub allocated_bytes: u64,
    /// The SHA-256 of the whole disk, if it was asked for.
    pub digest: Option<Digest>,
    /// The disk made before that it is, or is a copy of.
    pub reused: Option<PathBuf>,
    /// How long each stage took, in order.
    pub times: Vec<(Stage, Duration)>,
}

/// What a bake makes of an image.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// The image, as it was asked for.
    pub reference: String,
    /// What names it: the digest of its manifest, of its configuration if it has no manifest, of its layer if it has
    /// neither.
    pub image: Digest,
    /// The platform in its configuration, if it says one.
    pub platform: Option<String>,
    /// Its layers, lowest first.
    pub layers: Vec<LayerReport>,
    /// How many inodes the merged tree has.
    pub files: usize,
    /// The length of the disk in bytes.
    pub disk_bytes: u64,
    /// How many of them are in use.
    pub used_bytes: u64,
    /// How many inodes the filesystem has.
    pub inodes: u64,
    /// How many of them are free.
    pub free_inodes: u64,
    /// The filesystem's identity.
    pub uuid: [u8; 16],
}

/// Bakes an image: afterwards either the whole disk stands at its place, or nothing.
///
/// # Errors
/// At the first thing that is not as it should be; the error says what, where, and what was expected.
pub fn bake(job: &Job, output: &Output, cleanup: &Cleanup, on: &(dyn Fn(Event) + Sync)) -> Result<Baked, Error> {
    try_bake(job, output, cleanup, on).map_err(|error| Error::image(job.source.to_string(), error))
}

fn try_bake(job: &Job, output: &Output, cleanup: &Cleanup, on: &(dyn Fn(Event) + Sync)) -> Result<Baked, Error> {
    let mut clock = Clock::start(Stage::Resolve, on);
    let mut draft = cleanup.during(|| Draft::create(&output.path, output.replace), Draft::path)?;
    draft.set_durable(output.sync);
    let store = open_store(job.store.as_deref(), on)?;
    store.iter().for_each(|store| store.set_durable(output.sync));
    let place = Workplace::open(store.as_ref(), Some(&draft), &job.temporary, cleanup)?;
    let keep_packs = job.keep_packs.decide(&place, &draft);
    let disk = (job.engine == Engine::Native).then_some(&draft);
    let (scratch, jobs) = (place.path(), job.jobs.get());
    let shop = Workshop { store: store.as_ref(), scratch, keep_packs, disk, jobs, turn: Turn::First, on };

    let tell = |event: cvbake_fetch::Event| on(event.into());
    let blobs = open_source(&job.source, &job.registry, &place, store.as_ref(), &tell)?;
    let image = Image::verify(&*blobs, &job.want)?;
    let _pin = pin(store.as_ref(), &image)?;
    announce(&image, on);
    let reuse = Reuse::of(job, &image, store.as_ref());
    let made = reuse.as_ref().map(|reuse| reuse.find(&output.path, on)).transpose()?.flatten();
    if let Some(made) = made {
        if output.replace && made.stands_at(&output.path) {
            store.iter().try_for_each(Store::settle)?;
            return stays(made, output, clock);
        }
        clock.next(Stage::Write);
        if made.copy_to(&draft, on)? {
            let standing = made.standing();
            let (plan, reused) = made.into_parts();
            let work = Work { plan, reused, standing, draft, store: store.as_ref(), reuse, clock };
            return finish(work, output, cleanup, on);
        }
    }
    clock.next(Stage::Unpack);
    let mut layers = Layers::unpack(&image, &*blobs, shop, Purpose::Content)?;
    clock.next(Stage::Merge);
    let tree = layers.merge(job.epoch)?;
    clock.next(Stage::Plan);
    let options = job.options(&image, &layers);
    let (numbers, standing) = match &job.engine {
        Engine::Native => {
            let layout = Layout::plan(&tree, &options).map_err(|error| layers.blame(error))?;
            let numbers = Numbers::planned(&layout);
            numbers.announce(on);
            clock.next(Stage::Write);
            layers.settle(&layout, &draft)?;
            if let Some(reuse) = &reuse {
                layers.look_on_disks(Disks::new(reuse), layout.placements())?;
            }
            draft.set_len(layout.len_bytes())?;
            let disk = draft.raw();
            layout.write_metadata(&tree, &disk)?;
            layers.write(layout.placements(), &disk)?;
            let is_noted = reuse.is_some() && output.sync;
            (numbers, if is_noted { layers.standing(layout.placements()) } else { Standing::default() })
        }
        Engine::Mkfs(programs) => {
            clock.next(Stage::Write);
            let scratch = place.subdirectory("mkfs")?;
            let made = mkfs::write(&tree, &layers.packs()?, &options, programs, &scratch, draft.path());
            (made.map_err(|error| layers.blame(error))?.into(), Standing::default())
        }
    };
    let plan = Plan::new(&image, &layers, &tree, &options, numbers);
    drop((tree, layers));
    let work = Work { plan, reused: None, standing, draft, store: store.as_ref(), reuse, clock };
    finish(work, output, cleanup, on)
}

/// A disk that is whole, and has no name yet.
struct Work<'a> {
    plan: Plan,
    reused: Option<PathBuf>,
    /// Where it has content that is worth a note.
    standing: Standing,
    draft: Draft,
    store: Option<&'a Store>,
    reuse: Option<Reuse<'a>>,
    clock: Clock<'a>,
}

/// Gives a disk its name.
fn finish(work: Work<'_>, output: &Output, cleanup: &Cleanup, on: &(dyn Fn(Event) + Sync)) -> Result<Baked, Error> {
    let Work { plan, reused, standing, draft, store, reuse, mut clock } = work;
    clock.next(Stage::Commit);
    let digest = output.digest.then(|| hash(draft.file(), draft.path())).transpose()?;
    let allocated_bytes = allocated(draft.file(), draft.path())?;
    draft.sync()?;
    store.iter().try_for_each(|store| store.settle())?;
    let temporary = draft.path().to_owned();
    let made = draft.file().metadata().map_err(|source| unreadable(draft.path(), source))?;
    cleanup.finish(&temporary, || draft.commit())?;
    // What is not on stable storage may be anything after a crash, and look as it should.
    if let Some(reuse) = reuse.filter(|_| output.sync) {
        reuse.remember(&plan, &made, &output.path, &standing, on);
    }
    Ok(Baked { plan, path: output.path.clone(), allocated_bytes, digest, reused, times: clock.stop() })
}

/// The disk that is to be replaced is the one that would replace it.
fn stays(made: Made, output: &Output, clock: Clock<'_>) -> Result<Baked, Error> {
    let (file, path) = (made.file(), &output.path);
    let digest = output.digest.then(|| hash(file, path)).transpose()?;
    let allocated_bytes = allocated(file, path)?;
    let (plan, reused) = made.into_parts();
    Ok(Baked { plan, path: path.clone(), allocated_bytes, digest, reused, times: clock.stop() })
}

/// Says what the native engine would make of an image, without making anything.
///
/// # Errors
/// As [`bake`], as far as it can be told without writing.
pub fn plan(job: &Job, cleanup: &Cleanup, on: &(dyn Fn(Event) + Sync)) -> Result<Plan, Error> {
    try_plan(job, cleanup, on).map_err(|error| Error::image(job.source.to_string(), error))
}

fn try_plan(job: &Job, cleanup: &Cleanup, on: &(dyn Fn(Event) + Sync)) -> Result<Plan, Error> {
    let store = open_existing_store(job.store.as_deref(), on)?;
    let place = Workplace::open(store.as_ref(), None, &job.temporary, cleanup)?;
    let (scratch, jobs) = (place.path(), job.jobs.get());
    let shop = Workshop { store: store.as_ref(), scratch, keep_packs: false, disk: None, jobs, turn: Turn::First, on };

    let mut clock = Clock::start(Stage::Resolve, on);
    let tell = |event: cvbake_fetch::Event| on(event.into());
    let blobs = open_source(&job.source, &job.registry, &place, store.as_ref(), &tell)?;
    let image = Image::verify(&*blobs, &job.want)?;
    let _pin = pin(store.as_ref(), &image)?;
    announce(&image, on);
    clock.next(Stage::Unpack);
    let mut layers = Layers::unpack(&image, &*blobs, shop, Purpose::Plan)?;
    clock.next(Stage::Merge);
    let tree = layers.merge(job.epoch)?;
    clock.next(Stage::Plan);
    let options = job.options(&image, &layers);
    let layout = Layout::plan(&tree, &options).map_err(|error| layers.blame(error))?;
    Ok(Plan::new(&image, &layers, &tree, &options, Numbers::planned(&layout)))
}

pub(crate) fn announce(image: &Image, on: &(dyn Fn(Event) + Sync)) {
    let (digest, bytes) = (image.identity().digest(), image.layers_len_bytes());
    on(Event::Image { digest, layers: image.layers().len(), bytes });
    for warning in image.warnings() {
        on(Event::Warning(warning.to_string()));
    }
}

impl Job {
    fn options(&self, image: &Image, layers: &Layers<'_>) -> Options {
        let image = named_by(image, layers);
        Options {
            size: self.size,
            inodes: self.inodes,
            label: self.label.clone(),
            uuid: self.uuid.unwrap_or_else(|| derived_uuid(&image, "filesystem")),
            hash_seed: self.hash_seed.unwrap_or_else(|| derived_uuid(&image, "directory hash seed")),
            journal: self.journal,
            epoch: self.epoch,
            foundation: layers.foundation(),
        }
    }
}

/// The digest that names an image; that of an image of nothing but a layer is known when the layer was read.
fn named_by(image: &Image, layers: &Layers<'_>) -> Digest {
    let digest = image.identity().digest().or_else(|| layers.first_diff_id());
    digest.expect("an image without manifest and configuration is a layer")
}

/// A UUID (version 8 of RFC 9562) that is a function of the image and of what it is for.
pub(crate) fn derived_uuid(image: &Digest, purpose: &str) -> [u8; 16] {
    let hash = Digest::of(Algorithm::Sha256, format!("cvbake {purpose} {image}").as_bytes());
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash.bytes()[..16]);
    uuid[6] = 0x80 | uuid[6] & 0x0f;
    uuid[8] = 0x80 | uuid[8] & 0x3f;
    uuid
}

/// What there is to count in a filesystem.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    disk_bytes: u64,
    used_bytes: u64,
    content_bytes: u64,
    inodes: u64,
    free_inodes: u64,
}

impl Numbers {
    fn planned(layout: &Layout) -> Numbers {
        let block = u64::from(cvbake_tree::BLOCK_SIZE);
        Numbers {
            disk_bytes: layout.len_bytes(),
            used_bytes: layout.used_bytes(),
            content_bytes: layout.placements().iter().map(|place| place.blocks * block).sum(),
            inodes: layout.inode_count(),
            free_inodes: layout.free_inodes(),
        }
    }

    fn announce(self, on: &(dyn Fn(Event) + Sync)) {
        on(Event::Planned { disk_bytes: self.disk_bytes, content_bytes: self.content_bytes });
    }
}

impl From<mkfs::Made> for Numbers {
    fn from(made: mkfs::Made) -> Numbers {
        let used_bytes = (made.blocks - made.free_blocks) * u64::from(cvbake_tree::BLOCK_SIZE);
        let mkfs::Made { len_bytes: disk_bytes, inodes, free_inodes, .. } = made;
        Numbers { disk_bytes, used_bytes, content_bytes: used_bytes, inodes, free_inodes }
    }
}

impl Plan {
    fn new(image: &Image, layers: &Layers<'_>, tree: &Tree, options: &Options, numbers: Numbers) -> Plan {
        let platform = image.config().and_then(|config| config.platform()).map(|platform| platform.to_string());
        Plan {
            reference: image.reference().to_owned(),
            image: named_by(image, layers),
            platform,
            layers: layers.reports(),
            files: tree.inode_count(),
            disk_bytes: numbers.disk_bytes,
            used_bytes: numbers.used_bytes,
            inodes: numbers.inodes,
            free_inodes: numbers.free_inodes,
            uuid: options.uuid,
        }
    }
}

/// Measures the stages, and tells of each that begins.
pub(crate) struct Clock<'a> {
    on: &'a (dyn Fn(Event) + Sync),
    stage: Stage,
    since: Instant,
    times: Vec<(Stage, Duration)>,
}

impl<'a> Clock<'a> {
    pub(crate) fn start(stage: Stage, on: &'a (dyn Fn(Event) + Sync)) -> Clock<'a> {
        on(Event::Stage(stage));
        Clock { on, stage, since: Instant::now(), times: Vec::new() }
    }

    pub(crate) fn next(&mut self, stage: Stage) {
        let now = Instant::now();
        self.times.push((self.stage, now - self.since));
        (self.stage, self.since) = (stage, now);
        (self.on)(Event::Stage(stage));
    }

    pub(crate) fn stop(mut self) -> Vec<(Stage, Duration)> {
        self.times.push((self.stage, self.since.elapsed()));
        self.times
    }
}

/// The SHA-256 of a whole disk.
fn hash(disk: &File, path: &Path) -> Result<Digest, Error> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    loop {
        let count = disk.read_at(&mut buffer, offset).map_err(|source| unreadable(path, source))?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..count]);
        offset += count as u64;
    }
}

fn allocated(disk: &File, path: &Path) -> Result<u64, Error> {
    /// What `st_blocks` counts in, whatever the filesystem.
    const UNIT: u64 = 512;
    Ok(disk.metadata().map_err(|source| unreadable(path, source))?.blocks() * UNIT)
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    Error::Scratch { path: path.to_owned(), source }
}
