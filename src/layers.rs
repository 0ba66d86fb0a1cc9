//! The layers of one bake: unpacked at once or found in the store, and later copied or inflated onto the disk.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cvbake_archive::Decompressor;
use cvbake_disk::{Draft, Sink};
use cvbake_ext4::Placement;
use cvbake_store::{PackSeal, Store};
use cvbake_tree::{BLOCK_SIZE, Packs, Time, Tree};
use cvbake_unpack::{Index, PACK_PIECE};
use cvbake_verify::{Blobs, Compression, Digest, HashingReader, Image, Layer};

use crate::error::{Error, Kind};
use crate::event::{Event, Found, LayerEvent};
use crate::readahead::read_ahead;
use crate::workplace::Workplace;

const _: () = assert!(PACK_PIECE as u64 == cvbake_store::PIECE, "one seal fits both");

/// What to do with unpacked file content after the bake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeepPacks {
    /// Keep it where that costs nothing: where the store's filesystem can share its blocks with the disk.
    #[default]
    Auto,
    /// Keep it.
    Always,
    /// Keep none.
    Never,
}

impl KeepPacks {
    /// Whether packs are kept by a bake that works here.
    pub(crate) fn decide(self, place: &Workplace, draft: &Draft) -> bool {
        match (self, place) {
            (KeepPacks::Auto, Workplace::Store(scratch)) => draft.shares_blocks_with(scratch.path()),
            (KeepPacks::Always, Workplace::Store(_)) => true,
            (KeepPacks::Never, _) | (_, Workplace::Draft(_) | Workplace::Temporary(_)) => false,
        }
    }
}

/// Where a bake works, and what it may keep.
#[derive(Clone, Copy)]
pub(crate) struct Workshop<'a> {
    /// What is kept between runs, if anything is.
    pub(crate) store: Option<&'a Store>,
    /// A private directory that goes when the bake ends.
    pub(crate) scratch: &'a Path,
    /// Whether unpacked content goes into the store.
    pub(crate) keep_packs: bool,
    /// How many layers are worked on at once.
    pub(crate) jobs: usize,
    pub(crate) on: &'a (dyn Fn(Event) + Sync),
}

/// What is to be done with the content of the layers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is written or read: it must be at hand.
    Content,
    /// Nothing: only the files' attributes are looked at, and nothing is kept.
    Plan,
}

/// The layers of an image after unpacking; equal ones are one.
pub(crate) struct Layers<'a> {
    blobs: &'a dyn Blobs,
    shop: Workshop<'a>,
    /// By layer, the position in `unpacked`.
    positions: Vec<usize>,
    unpacked: Vec<Unpacked<'a>>,
}

struct Unpacked<'a> {
    layer: &'a Layer,
    diff_id: Digest,
    /// Gone once the tree stands, if it can be had again.
    index: Option<Index>,
    content: Content,
    found: Found,
    entries: usize,
}

/// Where the content of a layer's files is.
enum Content {
    /// In a pack in the scratch directory.
    Scratch(PathBuf),
    /// In a pack in the store, unless it is damaged.
    Store,
    /// In the layer, to be inflated again.
    Layer,
}

/// What a bake tells of a layer in the end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LayerReport {
    /// The digest of the layer as it is stored, where something says it.
    pub digest: Option<Digest>,
    /// The digest of what it unpacks to.
    pub diff_id: Digest,
    /// Its length as it is stored, where that is known.
    pub bytes: Option<u64>,
    /// How many entries its archive has.
    pub entries: usize,
    /// What the store had of it.
    pub found: Found,
}

impl<'a> Layers<'a> {
    /// Unpacks all layers in parallel, the largest first, or finds them in the store.
    pub(crate) fn unpack(
        image: &'a Image,
        blobs: &'a dyn Blobs,
        shop: Workshop<'a>,
        purpose: Purpose,
    ) -> Result<Layers<'a>, Error> {
        let mut distinct: Vec<&Layer> = Vec::new();
        let mut seen: HashMap<Digest, usize> = HashMap::new();
        let mut positions = Vec::new();
        for layer in image.layers() {
            let position = match layer.diff_id() {
                Some(diff_id) => *seen.entry(diff_id).or_insert(distinct.len()),
                None => distinct.len(),
            };
            if position == distinct.len() {
                distinct.push(layer);
            }
            positions.push(position);
        }
        let mut order: Vec<usize> = (0..distinct.len()).collect();
        order.sort_by_key(|&at| (std::cmp::Reverse(distinct[at].size()), at));
        let mut unpacked = in_parallel(shop.jobs, &order, &|&at| {
            let layer = distinct[at];
            let unpacked = with_another(layer, blobs, &|| unpack_one(layer, blobs, shop, purpose))?;
            let (found, entries, bytes) = (unpacked.found, unpacked.entries, layer.size());
            let event = LayerEvent::Finished { found, entries, bytes };
            (shop.on)(Event::Layer { number: layer.number(), event });
            Ok((at, unpacked))
        })?;
        unpacked.sort_by_key(|(at, _)| *at);
        let unpacked = unpacked.into_iter().map(|(_, unpacked)| unpacked).collect();
        Ok(Layers { blobs, shop, positions, unpacked })
    }

    /// Merges the layers, and frees the memory of the indexes that are not needed any more.
    pub(crate) fn merge(&mut self, epoch: i64) -> Result<Tree, Error> {
        let index = |&at: &usize| self.unpacked[at].index.as_ref().expect("indexes stay until the tree stands");
        let indexes: Vec<&Index> = self.positions.iter().map(index).collect();
        let tree = cvbake_unpack::merge(&indexes, Time::from_secs(epoch)).map_err(|error| self.locate(error))?;
        for unpacked in &mut self.unpacked {
            if matches!(unpacked.content, Content::Scratch(_)) {
                unpacked.index = None;
            }
        }
        Ok(tree)
    }

    /// Adds what the merge can't know: which layer has a number.
    fn locate(&self, error: cvbake_unpack::Error) -> Error {
        match error {
            cvbake_unpack::Error::Merge { layer, .. } => {
                Error::layer(self.unpacked[self.positions[layer]].layer, error.into())
            }
            other => other.into(),
        }
    }

    /// The digest of what the lowest layer unpacks to.
    pub(crate) fn first_diff_id(&self) -> Option<Digest> {
        self.unpacked.first().map(|unpacked| unpacked.diff_id)
    }

    pub(crate) fn reports(&self) -> Vec<LayerReport> {
        let report = |&at: &usize| {
            let Unpacked { layer, diff_id, entries, found, .. } = &self.unpacked[at];
            let (digest, bytes) = (layer.digest(), layer.size());
            LayerReport { digest, diff_id: *diff_id, bytes, entries: *entries, found: *found }
        };
        self.positions.iter().map(report).collect()
    }

    /// Puts the content of all files in its places on a disk.
    pub(crate) fn write(&self, placements: &[Placement], sink: &dyn Sink) -> Result<(), Error> {
        let mut order: Vec<usize> = (0..self.positions.len()).collect();
        let places = |number: &usize| {
            let number = u32::try_from(*number).expect("an image has few layers");
            let start = placements.partition_point(|place| place.pack < number);
            &placements[start..start + placements[start..].partition_point(|place| place.pack == number)]
        };
        order.retain(|number| !places(number).is_empty());
        // A layer of which nothing is wanted must be what its digests say all the same, as it would be without a store.
        let read: Vec<usize> = order.iter().map(|number| self.positions[*number]).collect();
        let unread = |at: &usize| !read.contains(at) && matches!(self.unpacked[*at].content, Content::Layer);
        order.extend(
            (0..self.unpacked.len()).filter(unread).filter_map(|at| self.positions.iter().position(|&p| p == at)),
        );
        order.sort_by_key(|number| std::cmp::Reverse(places(number).iter().map(|place| place.blocks).sum::<u64>()));
        in_parallel(self.shop.jobs, &order, &|number| {
            let unpacked = &self.unpacked[self.positions[*number]];
            let written = self.write_one(unpacked, places(number), sink);
            written.map_err(|error| Error::layer(unpacked.layer, error))
        })?;
        Ok(())
    }

    fn write_one(&self, unpacked: &Unpacked<'_>, places: &[Placement], sink: &dyn Sink) -> Result<(), Error> {
        match self.pack(unpacked)? {
            Some(pack) => places.iter().try_for_each(|place| {
                let bytes = place.blocks * u64::from(BLOCK_SIZE);
                let from = place.pack_block * u64::from(BLOCK_SIZE);
                sink.copy_at(place.disk_block * u64::from(BLOCK_SIZE), &pack, from, bytes)?;
                (self.shop.on)(Event::Wrote { bytes });
                Ok(())
            }),
            None => self.replay(unpacked, &mut |offset, piece| {
                let bytes = place_piece(offset, piece, places, sink)?;
                (self.shop.on)(Event::Wrote { bytes });
                Ok(())
            }),
        }
    }

    /// The pack of a layer, if there is one.
    fn pack(&self, unpacked: &Unpacked<'_>) -> Result<Option<File>, Error> {
        match (&unpacked.content, self.shop.store, &unpacked.index) {
            (Content::Scratch(path), _, _) => open(path).map(Some),
            (Content::Store, Some(store), Some(index)) => {
                let seal = PackSeal { len: index.seal().len, crcs: &index.seal().crcs };
                Ok(store.pack(&unpacked.diff_id, &seal, &|event| (self.shop.on)(event.into()))?)
            }
            _ => Ok(None),
        }
    }

    /// Inflates a layer again and hands on the pieces of its pack.
    fn replay(&self, unpacked: &Unpacked<'_>, out: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> Result<(), Error> {
        let index = unpacked.index.as_ref().expect("an index stays where there is no pack");
        let replay = |bytes: &mut dyn BufRead| Ok(cvbake_unpack::replay(bytes, index, out)?);
        self.shop.with_stream(unpacked.layer, self.blobs, replay)?;
        Ok(())
    }

    /// The packs of all layers for reading at random; what is not at hand as a pack is made one.
    pub(crate) fn packs(&self) -> Result<impl Packs, Error> {
        let distinct: Vec<usize> = (0..self.unpacked.len()).collect();
        let mut files = in_parallel(self.shop.jobs, &distinct, &|&at| {
            let unpacked = &self.unpacked[at];
            let file = || {
                if let Some(pack) = self.pack(unpacked)? {
                    return Ok(pack);
                }
                let pack = Scratch::create(self.shop.scratch, unpacked.layer)?;
                self.replay(unpacked, &mut |offset, piece| pack.file.write_all_at(piece, offset))?;
                Ok(pack.file)
            };
            Ok((at, file().map_err(|error| Error::layer(unpacked.layer, error))?))
        })?;
        files.sort_by_key(|(at, _)| *at);
        let files = files.into_iter().map(|(_, file)| file).collect();
        Ok(LayerPacks { positions: self.positions.clone(), files })
    }
}

/// Packs by the number of their layer.
struct LayerPacks {
    positions: Vec<usize>,
    files: Vec<File>,
}

impl Packs for LayerPacks {
    fn read_at(&self, pack: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.files[self.positions[pack as usize]].read_exact_at(buffer, offset)
    }
}

/// Puts what of a piece of a pack is wanted in its places: how many bytes.
fn place_piece(offset: u64, piece: &[u8], places: &[Placement], sink: &dyn Sink) -> io::Result<u64> {
    let block = u64::from(BLOCK_SIZE);
    let end = offset + piece.len() as u64;
    let first = places.partition_point(|place| (place.pack_block + place.blocks) * block <= offset);
    let mut written = 0;
    for place in places[first..].iter().take_while(|place| place.pack_block * block < end) {
        let from = (place.pack_block * block).max(offset);
        let to = ((place.pack_block + place.blocks) * block).min(end);
        let within = |position: u64| usize::try_from(position - offset).expect("within a piece");
        let target = place.disk_block * block + (from - place.pack_block * block);
        sink.write_at(target, &piece[within(from)..within(to)]).map_err(io::Error::other)?;
        written += to - from;
    }
    Ok(written)
}

/// From this size on a layer is inflated on a thread of its own, beside the one that unpacks it: a smaller one is done
/// before the threads have met. A layer of unknown size comes from a pipe, which may never end.
const READ_AHEAD_FROM: u64 = 1 << 20;

impl<'a> Workshop<'a> {
    /// Does `work` on a layer's uncompressed bytes, which are checked and counted as they pass; gives what comes of it, the
    /// digest of the bytes, and how they were compressed.
    fn with_stream<T>(
        self,
        layer: &'a Layer,
        blobs: &'a dyn Blobs,
        work: impl FnOnce(&mut dyn BufRead) -> Result<T, Error>,
    ) -> Result<(T, Digest, cvbake_archive::Compression), Error> {
        let number = layer.number();
        (self.on)(Event::Layer { number, event: LayerEvent::Started { bytes: layer.size() } });
        let counted = Counted { inner: layer.open(blobs)?, number, on: self.on };
        let bytes = Decompressor::new(counted)?;
        let compression = bytes.compression();
        let hashed = |bytes: &mut dyn BufRead| {
            let mut bytes = HashingReader::new(bytes, layer.algorithm());
            let made = work(&mut bytes)?;
            let (digest, _) = bytes.finish()?;
            layer.check(digest)?;
            Ok((made, digest, compression))
        };
        if layer.size().is_some_and(|size| size >= READ_AHEAD_FROM) {
            read_ahead(bytes, |bytes| hashed(bytes))
        } else {
            let mut bytes = bytes;
            hashed(&mut bytes)
        }
    }
}

/// Tells how much of a layer was read.
struct Counted<'a> {
    inner: Box<dyn Read + Send + 'a>,
    number: usize,
    on: &'a (dyn Fn(Event) + Sync),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        (self.on)(Event::Layer { number: self.number, event: LayerEvent::Read { bytes: count as u64 } });
        Ok(count)
    }
}

fn unpack_one<'a>(
    layer: &'a Layer,
    blobs: &'a dyn Blobs,
    shop: Workshop<'a>,
    purpose: Purpose,
) -> Result<Unpacked<'a>, Error> {
    // What is kept is kept under the diff_id; a layer that has none is read once and never found again.
    let kept = shop.store.zip(layer.diff_id());
    let tell = |event: cvbake_store::Event| (shop.on)(event.into());
    let _lock = match kept {
        Some((store, diff_id)) if purpose == Purpose::Content => Some(store.lock(&diff_id, &tell)?),
        _ => None,
    };
    // A layer whose content is to be kept and is not is unpacked like a new one.
    let is_enough = |store: &Store, diff_id| {
        let keeps = shop.keep_packs && purpose == Purpose::Content;
        !keeps || store.has_pack(diff_id)
    };
    if let Some((store, diff_id)) = kept
        && is_enough(store, &diff_id)
        && let Some(bytes) = store.index(&diff_id, &tell)?
        && let Ok(index) = Index::decode(&bytes)
    {
        let has_pack = store.has_pack(&diff_id);
        let content = if has_pack { Content::Store } else { Content::Layer };
        let found = if has_pack { Found::Content } else { Found::Index };
        let entries = index.entry_count();
        return Ok(Unpacked { layer, diff_id, index: Some(index), content, found, entries });
    }
    let scratch = match purpose {
        Purpose::Content => Some(Scratch::create(shop.scratch, layer)?),
        Purpose::Plan => None,
    };
    let (index, diff_id, compression) = shop.with_stream(layer, blobs, |bytes| {
        let mut out = |offset: u64, piece: &[u8]| match &scratch {
            Some(scratch) => scratch.file.write_all_at(piece, offset).map_err(|error| scratch.name_error(error)),
            None => Ok(()),
        };
        Ok(cvbake_unpack::unpack(bytes, &mut out)?)
    })?;
    warn_about_compression(layer, compression, shop.on);
    let mut content = Content::Layer;
    if let Some(scratch) = scratch {
        content = Content::Scratch(scratch.path);
    }
    if let (Some((store, _)), Purpose::Content) = (kept, purpose) {
        store.put_index_through(&diff_id, &index.encode(), shop.scratch)?;
        if let (true, Content::Scratch(path)) = (shop.keep_packs, &content) {
            store.put_pack(&diff_id, path)?;
            content = Content::Store;
        }
    }
    let entries = index.entry_count();
    Ok(Unpacked { layer, diff_id, index: Some(index), content, found: Found::Nothing, entries })
}

/// Works on a layer, and again when it made no sense and there is another place to have it from.
pub(crate) fn with_another<T>(
    layer: &Layer,
    blobs: &dyn Blobs,
    work: &dyn Fn() -> Result<T, Error>,
) -> Result<T, Error> {
    loop {
        match work() {
            Err(error) if error.kind() == Kind::Image && blobs.another(layer) => {}
            done => return done.map_err(|error| Error::layer(layer, error)),
        }
    }
}

fn warn_about_compression(layer: &Layer, found: cvbake_archive::Compression, on: &(dyn Fn(Event) + Sync)) {
    use cvbake_archive::Compression as Is;
    let Some(promised) = layer.promised_compression() else { return };
    if matches!(
        (promised, found),
        (Compression::None, Is::None) | (Compression::Gzip, Is::Gzip) | (Compression::Zstd, Is::Zstd)
    ) {
        return;
    }
    let media_type = layer.media_type().unwrap_or_default();
    on(Event::Warning(format!("layer {} is called {media_type}, but its compression is {found}", layer.number())));
}

/// A pack that is being made.
struct Scratch {
    file: File,
    path: PathBuf,
}

impl Scratch {
    fn create(dir: &Path, layer: &Layer) -> Result<Scratch, Error> {
        let path = dir.join(format!("pack-{}", layer.number()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = file.map_err(|source| Error::Scratch { path: path.clone(), source })?;
        Ok(Scratch { file, path })
    }

    fn name_error(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), Error::Scratch { path: self.path.clone(), source: error })
    }
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::Scratch { path: path.to_owned(), source })
}

/// Does the work on all items with a number of threads, in order; stops starting new ones at the first error.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: &(dyn Fn(&T) -> Result<R, Error> + Sync),
) -> Result<Vec<R>, Error> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results = Mutex::new((Vec::with_capacity(items.len()), Vec::new()));
    let worker = || {
        while !failed.load(Ordering::Relaxed)
            && let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(at)
        {
            let result = work(item);
            let mut results = results.lock().expect("no worker panics while it holds the results");
            match result {
                Ok(result) => results.0.push(result),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    results.1.push((at, error));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.min(items.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    let (results, mut errors) = results.into_inner().expect("no worker panics while it holds the results");
    errors.sort_by_key(|(at, _)| *at);
    match errors.into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(results),
    }
}
