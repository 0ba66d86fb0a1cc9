//! The layers of one bake. Each is unpacked, or found in the store or on an earlier disk; later its
//! content is copied or inflated onto the disk.

pub(crate) mod archive;
mod base_pack;
mod content;
mod pack_file;
mod stream;
mod unpack;
mod write;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;

use cvbake_disk::{Draft, Window};
use cvbake_store::Store;
use cvbake_tree::{Place, Placement, Time, Tree};
use cvbake_unpack::{Index, Origins, PACK_PIECE, Provenance};
use cvbake_verify::{Blobs, Digest, Image, Layer, chain_id};

use crate::control::Control;
use crate::error::Error;
use crate::event::{Event, Found, LayerEvent, Observer};
use crate::parallel::in_parallel;
use crate::proof::distinct;
use crate::readahead::Priority;
use crate::report::LayerReport;
use crate::reuse::content::{Disks, RUNS, layout_name};
use crate::reuse::{PlacedContent, Positions};
use crate::seats::{Seat, Seats};
use crate::workplace::Workplace;

use base_pack::{BASE_LAYER_MIN, BASE_PACK_MIN, is_scratch_better};
pub(crate) use base_pack::{BASE_PACK, BasePack, is_in_place};
use content::Content;
pub(crate) use stream::retry_elsewhere;

const _: () = assert!(PACK_PIECE as u64 == cvbake_store::PIECE, "one seal fits both");

/// What to do with unpacked file content after the bake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum KeepPacks {
    /// Keep it where that costs nothing: where the store's filesystem can share its blocks with the
    /// disk.
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
        let Workplace::Store(scratch) = place else { return false };
        // Asked in any case: the draft remembers it.
        let shares = draft.shares_blocks_with(scratch.path());
        match self {
            KeepPacks::Auto => shares,
            KeepPacks::Always => true,
            KeepPacks::Never => false,
        }
    }
}

/// Where a bake works, and what it may keep.
#[derive(Clone, Copy)]
pub(crate) struct UnpackContext<'a> {
    /// What is kept between runs, if anything is.
    pub(crate) store: Option<&'a Store>,
    /// A private directory that goes when the bake ends.
    pub(crate) scratch: &'a Path,
    /// Whether unpacked content goes into the store.
    pub(crate) keep_packs: bool,
    /// The disk, if content may be unpacked onto it.
    pub(crate) disk: Option<Window<'a>>,
    /// How many layers are worked on at once.
    pub(crate) jobs: usize,
    /// How many layers are under way at once: worked on, or waited for.
    pub(crate) streams: usize,
    /// Who works on this layer, where more are under way than are worked on.
    pub(crate) seat: Option<&'a Seat<'a>>,
    /// Whether the thread that reads the layer makes way for others.
    pub(crate) priority: Priority,
    pub(crate) control: &'a Control,
    pub(crate) on: Observer<'a>,
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
    cx: UnpackContext<'a>,
    /// By layer, the position in `unpacked`.
    positions: Vec<usize>,
    unpacked: Vec<Unpacked<'a>>,
    base_pack: Option<u32>,
}

struct Unpacked<'a> {
    layer: &'a Layer,
    diff_id: Digest,
    /// What its pack is: equal for equal content in equal places.
    pack: Digest,
    /// Gone once the tree stands, if it can be had again.
    index: Option<Index>,
    content: Content,
    found: Found,
    entries: usize,
}

/// What names the pack of a layer.
fn pack_name(diff_id: &Digest, index: &Index) -> Digest {
    let seal = index.seal();
    Digest::sha256(format!("the pack of {diff_id}: {} bytes, {:x?}", seal.len, seal.crcs).as_bytes())
}

/// To inflate a layer of less than this, in bytes as it is stored, costs little more than to read
/// where its content stands.
const NOTED_MIN: u64 = 256 << 10;

fn is_worth_a_note(layer: &Layer) -> bool {
    layer.size().is_none_or(|size| size >= NOTED_MIN)
}

impl<'a> UnpackContext<'a> {
    /// One for the layers of an image that lies somewhere.
    pub(crate) fn new(
        store: Option<&'a Store>,
        scratch: &'a Path,
        way: Way,
        control: &'a Control,
        on: Observer<'a>,
    ) -> UnpackContext<'a> {
        let Way { jobs, streams } = way;
        UnpackContext {
            store,
            scratch,
            keep_packs: false,
            disk: None,
            jobs,
            streams,
            seat: None,
            priority: Priority::Normal,
            control,
            on,
        }
    }

    /// Waits for something while others may work.
    pub(crate) fn apart<T>(self, wait: impl FnOnce() -> T) -> T {
        match self.seat {
            Some(seat) => seat.without(wait),
            None => wait(),
        }
    }
}

/// How many layers are worked on at once, and how many are under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    pub(crate) jobs: usize,
    pub(crate) streams: usize,
}

impl Way {
    /// What is here is worked on, and nothing else.
    pub(crate) fn of(jobs: NonZeroUsize) -> Way {
        Way { jobs: jobs.get(), streams: jobs.get() }
    }
}

impl<'a> Layers<'a> {
    /// Unpacks all layers in parallel, the largest first, or finds them in the store.
    pub(crate) fn unpack(
        image: &'a Image,
        blobs: &'a dyn Blobs,
        cx: UnpackContext<'a>,
        purpose: Purpose,
    ) -> Result<Layers<'a>, Error> {
        let distinct = distinct(image.layers(), Layer::diff_id);
        let numbers = distinct.iter().enumerate().map(|(at, layer)| (layer.number(), at));
        let by_number: HashMap<usize, usize> = numbers.collect();
        let keys = distinct.iter().enumerate().filter_map(|(at, layer)| Some((layer.diff_id()?, at)));
        let by_key: HashMap<Digest, usize> = keys.collect();
        let position = |layer: &Layer| match layer.diff_id() {
            Some(diff_id) => by_key[&diff_id],
            None => by_number[&layer.number()],
        };
        let positions: Vec<usize> = image.layers().iter().map(position).collect();
        let mut order: Vec<usize> = (0..distinct.len()).collect();
        order.sort_by_key(|&at| (Reverse(distinct[at].size()), at));
        let cx = UnpackContext { streams: cx.streams.clamp(1, order.len().max(1)), ..cx };
        let seats = Seats::new(cx.jobs);
        let ranked: Vec<(usize, usize)> = order.iter().copied().enumerate().collect();
        let mut unpacked = in_parallel(cx.control, cx.streams, &ranked, &|&(rank, at), stop| {
            let layer = distinct[at];
            // Those that take longest are worked on first.
            let seat = seats.take(rank);
            // The largest layer will have the largest pack, mostly. Content that is to be kept
            // needs a file of its own.
            let large = at == order[0] && layer.size().is_none_or(|size| size >= BASE_LAYER_MIN);
            let disk = cx.disk.filter(|disk| large && !cx.keep_packs && !is_scratch_better(*disk, cx.scratch, layer));
            let cx = UnpackContext { disk, priority: Priority::of(&at, &order), seat: Some(&seat), ..cx };
            let unpacked = retry_elsewhere(layer, blobs, &|| unpack::unpack(layer, blobs, cx, purpose, stop))?;
            let (found, entries, bytes) = (unpacked.found, unpacked.entries, layer.size());
            let event = LayerEvent::Finished { found, entries, bytes };
            (cx.on)(Event::Layer { number: layer.number(), event });
            Ok((at, unpacked))
        })?;
        unpacked.sort_by_key(|(at, _)| *at);
        let unpacked: Vec<Unpacked<'_>> = unpacked.into_iter().map(|(_, unpacked)| unpacked).collect();
        let lowest = unpacked.first().and_then(|lowest| lowest.index.as_ref());
        archive::warn(image, lowest.and_then(archive::oddity), cx.on);
        let pack = |at: usize| unpacked[at].index.as_ref().map_or(0, |index| index.seal().len);
        let largest =
            (0..unpacked.len()).filter(|&at| pack(at) >= BASE_PACK_MIN).max_by_key(|&at| (pack(at), Reverse(at)));
        let base_pack = largest.and_then(|largest| {
            let position = positions.iter().rposition(|&position| position == largest)?;
            u32::try_from(position).ok()
        });
        Ok(Layers { blobs, cx, positions, unpacked, base_pack })
    }

    /// Merges the layers, and frees the memory of the indexes that are not needed any more.
    pub(crate) fn merge(&mut self, epoch: i64) -> Result<Tree, Error> {
        let (tree, _) = self.merge_with_origins(epoch)?;
        for unpacked in &mut self.unpacked {
            if !unpacked.content.needs_index() {
                unpacked.index = None;
            }
        }
        Ok(tree)
    }

    /// Merges the layers, and says which of them describes which file.
    pub(crate) fn merge_with_origins(&self, epoch: i64) -> Result<(Tree, Origins), Error> {
        let merged = cvbake_unpack::merge_with_origins(&self.indexes(), Time::from_secs(epoch));
        merged.map_err(|error| self.locate(error))
    }

    /// The lists of files, lowest first. Where content was not asked for, they stay.
    pub(crate) fn indexes(&self) -> Vec<&Index> {
        let index = |&at: &usize| self.unpacked[at].index.as_ref().expect("indexes stay until the tree stands");
        self.positions.iter().map(index).collect()
    }

    /// Adds what the merge can't know: which layer has a number.
    pub(crate) fn locate(&self, error: cvbake_unpack::Error) -> Error {
        match error {
            cvbake_unpack::Error::Merge { layer, .. } => {
                Error::layer(self.unpacked[self.positions[layer]].layer, error.into())
            }
            other => other.into(),
        }
    }

    /// Adds to an error about a file of the merged tree which entry of which layer the file comes
    /// from.
    pub(crate) fn blame(&self, error: impl Into<Error>) -> Error {
        let error = error.into();
        let place = match &error {
            Error::Ext4(error) => error.place(),
            Error::Erofs(error) => error.place(),
            #[cfg(feature = "mkfs")]
            Error::Mkfs(error) => error.place(),
            _ => None,
        };
        match place.and_then(|place| self.provenance(place)) {
            Some(Provenance { layer, offset }) => {
                let entry = Error::Entry { offset, source: Box::new(error) };
                Error::layer(self.unpacked[self.positions[layer]].layer, entry)
            }
            None => error,
        }
    }

    /// Indexes that were freed are read again: an error has the time.
    fn provenance(&self, place: &Place) -> Option<Provenance> {
        let again = |unpacked: &Unpacked<'_>| match unpacked.index {
            Some(_) => Some(None),
            None => unpack::index_again(unpacked, self.cx).map(Some),
        };
        let again: Vec<Option<Index>> = self.unpacked.iter().map(again).collect::<Option<_>>()?;
        let index = |&at: &usize| again[at].as_ref().or(self.unpacked[at].index.as_ref());
        let indexes: Vec<&Index> = self.positions.iter().map(index).collect::<Option<_>>()?;
        cvbake_unpack::provenance(&indexes, place.ino).ok().flatten()
    }

    /// The pack that the plan should leave as it is: the largest, if it is large. Which one that is
    /// depends on what the layers unpack to alone, as the disk does; not on how they are
    /// compressed.
    pub(crate) fn base_pack(&self) -> Option<u32> {
        self.base_pack
    }

    /// Looks for content on disks that were made before: what they have is not inflated, and a pack
    /// that they have, too, need not be read to see whether it is right. A layer that the store is
    /// to have, and has nothing of but its index, is read all the same.
    pub(crate) fn look_on_disks(&mut self, mut disks: Disks<'_>, placements: &[Placement]) -> Result<(), Error> {
        let here = self.cx.disk.and_then(Window::device);
        for (at, places) in self.by_layer(placements).into_iter().enumerate() {
            let Unpacked { layer, pack, content, found, .. } = &mut self.unpacked[at];
            let places = places.iter().copied().flatten();
            if !content.may_be_elsewhere() || places.clone().next().is_none() || !is_worth_a_note(layer) {
                continue;
            }
            // A pack may share its blocks with the disk, and what is elsewhere can't.
            if let Some(earlier) = disks.content(pack, places, self.cx.on)
                && (matches!(content, Content::Layer) || here == Some(earlier.device()))
                && !disks.reuse().lacks(layer, self.cx.on)?
            {
                *found = Found::Disk;
                content.is_on(earlier);
            }
        }
        Ok(())
    }

    /// Where on a disk content is, the filesystem of which begins at `base`.
    pub(crate) fn placed_content(&self, placements: &[Placement], base: u64) -> PlacedContent {
        let by_layer = self.by_layer(placements).into_iter().zip(&self.unpacked);
        let fits =
            |places: &[&[Placement]]| (1..=RUNS).contains(&places.iter().map(|places| places.len()).sum::<usize>());
        let noted = by_layer.filter(|(places, unpacked)| fits(places) && is_worth_a_note(unpacked.layer));
        let packs = noted.map(|(places, unpacked)| (unpacked.pack, places.concat())).collect();
        let positions = Positions { base, layout: layout_name(placements).to_string() };
        PlacedContent { positions, packs }
    }

    /// The placements of each distinct layer, which may be there several times.
    fn by_layer<'p>(&self, placements: &'p [Placement]) -> Vec<Vec<&'p [Placement]>> {
        let mut by_layer = vec![Vec::new(); self.unpacked.len()];
        for places in placements.chunk_by(|one, next| one.pack == next.pack) {
            by_layer[self.positions[places[0].pack as usize]].push(places);
        }
        by_layer
    }

    /// What all of them are, once they were read.
    pub(crate) fn chain_id(&self) -> Digest {
        let diff_ids: Vec<Digest> = self.positions.iter().map(|&at| self.unpacked[at].diff_id).collect();
        chain_id(&diff_ids)
    }

    pub(crate) fn reports(&self) -> Vec<LayerReport> {
        let report = |&at: &usize| {
            let Unpacked { layer, diff_id, entries, found, content, .. } = &self.unpacked[at];
            let (digest, bytes) = (layer.digest(), layer.size());
            let found = content.found_otherwise().unwrap_or(*found);
            LayerReport { digest, diff_id: *diff_id, bytes, entries: *entries, found }
        };
        self.positions.iter().map(report).collect()
    }
}
