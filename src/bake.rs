//! The pipeline: the only file that knows the order of the stages.

mod ask;
mod booting;
mod job;
mod layout;
#[cfg(feature = "mkfs")]
mod mkfs;
mod plan;
mod write;

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use cvbake_disk::Draft;
use cvbake_store::Store;
use cvbake_tree::{LeftOut, Tree};
use cvbake_verify::{Algorithm, Blobs, Digest, Hasher, Image, Layer, chain_id};
use cvbake_verity::RootHash;

use self::booting::Booting;
use self::layout::Layout;
use self::plan::{Numbers, plan_of};
use self::write::{Writing, Written};
use crate::clock::Clock;
use crate::compare::{Differing, image_and_disk};
use crate::compressing::Compressing;
use crate::control::Control;
use crate::disks::open_made;
use crate::error::Error;
use crate::event::{Event, Observer, Stage};
use crate::inside::Disk;
use crate::layers::{KeepPacks, Layers, Purpose, UnpackContext};
use crate::proof::{Admitted, admit};
#[cfg(feature = "mkfs")]
use crate::recipe::Ext4;
use crate::recipe::{Engine, Filesystem, Recipe};
use crate::report::Plan;
use crate::reuse::{ExistingDisk, PlacedContent, Reuse};
use crate::workplace::{Workplace, open_store};

pub(crate) use self::ask::{Asked, ask};
pub(crate) use self::job::named_by;
pub use self::job::{Job, Output};
pub use self::plan::Baked;

/// Bakes an image: afterwards either the whole disk stands at its place, or nothing.
///
/// # Errors
/// At the first thing that is not as it should be; the error says what, where, and what was
/// expected.
pub fn bake(job: &Job, output: &Output, control: &Control, on: Observer<'_>) -> Result<Baked, Error> {
    try_bake(job, output, control, on).map_err(|error| Error::image_in(job.store.as_deref(), &job.source, error))
}

fn try_bake(job: &Job, output: &Output, control: &Control, on: Observer<'_>) -> Result<Baked, Error> {
    let mut clock = Clock::start(Stage::Resolve, on);
    let mut draft = control.during(|| Draft::create(&output.path, output.replace), |draft| Some(draft.temporary()))?;
    // What is compressed stands in a file that goes, until then.
    draft.set_durable(output.sync && job.format.compression().is_none());
    let beside = job.verity.and_then(|verity| verity.path(&output.path));
    let make = |path: PathBuf| control.during(|| Draft::create(&path, output.replace), |draft| Some(draft.temporary()));
    let mut beside = beside.map(make).transpose()?;
    beside.iter_mut().for_each(|beside| beside.set_durable(output.sync));
    let store = open_store(job.store.as_deref(), on)?;
    store.iter().for_each(|store| store.set_durable(output.sync));
    let place = Workplace::open(store.as_ref(), Some(&draft), &job.temporary, control)?;
    let keep_packs = job.keep_packs.decide(&place, &draft);
    let booting = Booting::prepare(job, Some(output), store.as_ref(), &place, control, on)?;
    let boot = booting.prepared();
    let window = job.base().map(|base| draft.window(base));
    let disk = job.base_for_base_pack().map(|base| draft.window(base));
    let disk = disk.filter(|_| *job.engine() == Engine::Native);
    let located = job.source.locate(&job.registry, store.as_ref(), on)?;
    let way = located.way(&job.registry, job.jobs);
    let cx = UnpackContext { keep_packs, disk, ..UnpackContext::new(store.as_ref(), place.path(), way, control, on) };

    let tell = |event: cvbake_fetch::Event| on(event.into());
    let blobs = located.open(&job.registry, &place, store.as_ref(), &tell)?;
    let Admitted { image, pin: _pin } = admit(&*blobs, &job.want, Layer::diff_id, store.as_ref(), on)?;
    booting.check(&image)?;
    let known = content(&image).zip(store.as_ref().filter(|_| *job.engine() == Engine::Native));
    let reuse = known.map(|(content, store)| {
        let wanted = job.reuse && job.keep_packs != KeepPacks::Always;
        Reuse::new(&job.recipe(content, boot), &image, store, wanted, located.is_in_registry())
    });
    // The hash tree in another file may be anywhere, and anything.
    let findable = reuse.as_ref().filter(|_| beside.is_none());
    let made = findable.map(|reuse| reuse.find(&output.path, on)).transpose()?.flatten();
    if let Some(made) = made {
        if output.replace && made.is_at(&output.path) && !output.verify {
            store.iter().try_for_each(Store::flush)?;
            let content = content(&image).expect("what is known has one");
            let recipe = job.recipe(content, boot);
            let mut baked = keep_existing(made, output, clock)?;
            let root_hash = baked.root_hash.as_ref();
            booting.write(&recipe, baked.plan.hash_tree.as_ref(), root_hash, control)?;
            booting.tell(&mut baked.plan, &recipe, root_hash)?;
            return Ok(baked);
        }
        clock.next(Stage::Write);
        if made.copy_to(&draft, on)? {
            let cx = UnpackContext::new(store.as_ref(), place.path(), way, control, on);
            prove(job, output, &draft, &image, &*blobs, cx, &mut clock)?;
            let placed = made.placed_content();
            let (plan, root_hash, reused) = made.into_parts();
            let recipe = job.recipe(content(&image).expect("what is known has one"), boot);
            let finished =
                Finished { plan, root_hash, reused, placed, draft, beside, store: store.as_ref(), reuse, clock };
            return finish(finished, output, &booting, &recipe, control, on);
        }
    }
    clock.next(Stage::Unpack);
    let mut layers = Layers::unpack(&image, &*blobs, cx, Purpose::Content)?;
    clock.next(Stage::Merge);
    let tree = readable(layers.merge(job.epoch)?, &job.filesystem, on);
    job.demands.map_or(Ok(()), |demands| demands.check(&tree))?;
    clock.next(Stage::Plan);
    let recipe = job.recipe(layers.chain_id(), boot);
    let writing = Writing {
        recipe: &recipe,
        output,
        tree: &tree,
        draft: &draft,
        beside: beside.as_ref(),
        jobs: job.jobs,
        control,
        window,
        on,
    };
    let written = match &job.filesystem {
        #[cfg(feature = "mkfs")]
        Filesystem::Ext4(ext4 @ Ext4 { engine: Engine::Mkfs(programs), .. }) => {
            writing.read(&layers, &place, (ext4, programs), &mut clock)?
        }
        Filesystem::Ext4(_) | Filesystem::Erofs(_) => writing.place(&mut layers, reuse.as_ref(), &mut clock)?,
    };
    let Written { numbers, placed, root_hash } = written;
    let plan = plan_of(&image, &layers, &tree, &recipe, numbers);
    drop((tree, layers));
    // The workplace may be that of the first draft.
    let (draft, _placed) = match job.format.compression() {
        Some(compression) => {
            let packed = make(output.path.clone())?;
            let compressing = Compressing { jobs: job.jobs, control, on };
            compressing.draft(&draft, &packed, compression, &mut || clock.next(Stage::CompressDisk))?;
            (packed, Some(draft))
        }
        None => (draft, None),
    };
    let cx = UnpackContext::new(store.as_ref(), place.path(), way, control, on);
    prove(job, output, &draft, &image, &*blobs, cx, &mut clock)?;
    let store = store.as_ref();
    let finished = Finished { plan, root_hash, reused: None, placed, draft, beside, store, reuse, clock };
    finish(finished, output, &booting, &recipe, control, on)
}

/// A disk that is whole, and has no name yet.
struct Finished<'a> {
    plan: Plan,
    root_hash: Option<RootHash>,
    reused: Option<PathBuf>,
    /// Where it has content that is worth a note.
    placed: PlacedContent,
    draft: Draft,
    /// Its hash tree, if that is in another file.
    beside: Option<Draft>,
    store: Option<&'a Store>,
    reuse: Option<Reuse<'a>>,
    clock: Clock<'a>,
}

/// Gives a disk its name.
fn finish(
    finished: Finished<'_>,
    output: &Output,
    booting: &Booting,
    recipe: &Recipe<'_>,
    control: &Control,
    on: Observer<'_>,
) -> Result<Baked, Error> {
    let Finished { mut plan, root_hash, reused, placed, mut draft, beside, store, reuse, mut clock } = finished;
    draft.set_durable(output.sync);
    clock.next(Stage::Commit);
    let digest = output.digest.then(|| hash(draft.file(), draft.path())).transpose()?;
    let allocated_bytes = allocated(draft.file(), draft.path())?;
    draft.sync()?;
    beside.iter().try_for_each(Draft::sync)?;
    let hashes = beside.as_ref().map(|beside| beside.target().to_owned());
    store.iter().try_for_each(|store| store.flush())?;
    let made = draft.file().metadata().map_err(|source| unreadable(draft.path(), source))?;
    // The disk last: with it, everything is there.
    booting.write(recipe, plan.hash_tree.as_ref(), root_hash.as_ref(), control)?;
    control.commit(|| beside.map_or(Ok(()), Draft::commit).and_then(|()| draft.commit()))?;
    // What is not on stable storage may be anything after a crash, and look as it should.
    if let Some(reuse) = reuse.filter(|_| output.sync) {
        reuse.remember(&plan, root_hash, &made, &output.path, &placed, on);
    }
    booting.tell(&mut plan, recipe, root_hash.as_ref())?;
    Ok(Baked {
        plan,
        path: output.path.clone(),
        allocated_bytes,
        digest,
        root_hash,
        hashes,
        reused,
        unchanged: false,
        times: clock.stop(),
    })
}

/// Reads a finished disk back before it has its name, if that is wanted, and compares it with what
/// the layers unpack to when they are unpacked once more.
fn prove(
    job: &Job,
    output: &Output,
    draft: &Draft,
    image: &Image,
    blobs: &dyn Blobs,
    cx: UnpackContext<'_>,
    clock: &mut Clock<'_>,
) -> Result<(), Error> {
    if !output.verify {
        return Ok(());
    }
    clock.next(Stage::Compare);
    // Unpacking and merging are a part of it.
    let told = cx.on;
    let on = |event: Event| {
        if !matches!(event, Event::Stage(_)) {
            told(event)
        }
    };
    let cx = UnpackContext { on: &on, ..cx };
    let file = draft.file().try_clone().map_err(|source| unreadable(draft.path(), source))?;
    let disk = Disk::of(open_made(&output.path, file, job.format.of_file())?)?;
    let files = disk.files(&disk.filesystem(None)?)?;
    let mut first = None;
    let each = &mut |differing: Differing| {
        first.get_or_insert(differing.path);
    };
    let (compared, _) = image_and_disk(image, blobs, cx, job.epoch, &files, &|_| true, each)?;
    match first {
        None => Ok(()),
        Some(first) => Err(Error::NotProven { count: compared.differing, first }),
    }
}

/// The disk that is to be replaced is the one that would replace it.
fn keep_existing(made: ExistingDisk, output: &Output, clock: Clock<'_>) -> Result<Baked, Error> {
    let (file, path) = (made.file(), &output.path);
    let digest = output.digest.then(|| hash(file, path)).transpose()?;
    let allocated_bytes = allocated(file, path)?;
    let (plan, root_hash, reused) = made.into_parts();
    Ok(Baked {
        plan,
        path: path.clone(),
        allocated_bytes,
        digest,
        root_hash,
        hashes: None,
        reused,
        unchanged: true,
        times: clock.stop(),
    })
}

/// Says what the native engine would make of an image, without making anything; `output` is where
/// it would go, if that is known.
///
/// # Errors
/// As [`bake`], as far as it can be told without writing.
pub fn plan(job: &Job, output: Option<&Output>, control: &Control, on: Observer<'_>) -> Result<Plan, Error> {
    try_plan(job, output, control, on).map_err(|error| Error::image_in(job.store.as_deref(), &job.source, error))
}

fn try_plan(job: &Job, output: Option<&Output>, control: &Control, on: Observer<'_>) -> Result<Plan, Error> {
    if let Some(output) = output {
        cvbake_disk::check(&output.path, output.replace)?;
        let beside = job.verity.and_then(|verity| verity.path(&output.path));
        beside.map_or(Ok(()), |path| cvbake_disk::check(&path, output.replace))?;
    }
    let booting = Booting::planned(job, output, control, on)?;
    ask(job, control, on, |Asked { image, mut layers, mut clock, on }| {
        booting.check(image)?;
        let tree = readable(layers.merge(job.epoch)?, &job.filesystem, on);
        job.demands.map_or(Ok(()), |demands| demands.check(&tree))?;
        clock.next(Stage::Plan);
        let recipe = job.recipe(layers.chain_id(), booting.prepared());
        let layout = planned(&recipe, &layers, &tree)?;
        let protection = recipe.protection(layout.block_count())?;
        // Whether the format holds it.
        let used = layout.used_ranges();
        recipe.container(layout.len_bytes(), protection.as_ref(), None, used, layout.base_range())?;
        let numbers = Numbers::planned(&layout).on_disk(&recipe, protection.as_ref())?;
        let mut plan = plan_of(image, &layers, &tree, &recipe, numbers);
        booting.tell(&mut plan, &recipe, None)?;
        Ok(plan)
    })
}

/// The filesystem that a bake makes of a tree.
pub(crate) fn planned(recipe: &Recipe<'_>, layers: &Layers<'_>, tree: &Tree) -> Result<Layout, Error> {
    Layout::plan(recipe, tree, layers.base_pack()).map_err(|error| layers.blame(error))
}

/// What all layers unpack to, if the image says of each what that is.
fn content(image: &Image) -> Option<Digest> {
    Some(chain_id(&image.layers().iter().map(Layer::diff_id).collect::<Option<Vec<_>>>()?))
}

/// The tree without the extended attributes that nobody could read on the disk.
pub(crate) fn readable(mut tree: Tree, filesystem: &Filesystem, on: Observer<'_>) -> Tree {
    let others = |inodes: usize| match inodes - 1 {
        0 => String::new(),
        1 => ", and so is another one's".to_owned(),
        others => format!(", and so are those of {others} others"),
    };
    if let Some(LeftOut { first, kind, name, inodes }) = tree.leave_out_unreadable() {
        let others = others(inodes);
        on(Event::Warning(format!("{first}: {name} is left out, which Linux does not let {kind} have{others}")));
    }
    if let Filesystem::Erofs(_) = filesystem
        && let Some(LeftOut { first, name, inodes, .. }) = cvbake_erofs::leave_out_unknown(&mut tree)
    {
        let others = others(inodes);
        on(Event::Warning(format!("{first}: {name} is left out, which EROFS has no number for{others}")));
    }
    tree
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
