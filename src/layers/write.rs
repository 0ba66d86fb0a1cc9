//! The content of files, from where it is to where it goes.

use std::fs::File;
use std::io::{self, BufRead};
use std::os::unix::fs::FileExt;

use cvbake_disk::Sink;
use cvbake_store::{LayerLock, PackSeal, Patience};
use cvbake_tree::{BLOCK_SIZE, Packs, Placement};

use super::content::Content;
use super::pack_file::PackFile;
use super::{Layers, UnpackContext, Unpacked, retry_elsewhere};
use crate::error::Error;
use crate::event::Event;
use crate::parallel::{Stop, in_parallel};
use crate::readahead::Priority;

impl Layers<'_> {
    /// Puts the content of all files in its places on a disk.
    pub(crate) fn write(&self, placements: &[Placement], sink: &dyn Sink) -> Result<(), Error> {
        let mut order: Vec<usize> = (0..self.positions.len()).collect();
        let places = |number: &usize| {
            let number = u32::try_from(*number).expect("an image has few layers");
            let start = placements.partition_point(|place| place.pack < number);
            &placements[start..start + placements[start..].partition_point(|place| place.pack == number)]
        };
        let stands = |number: &usize| matches!(self.unpacked[self.positions[*number]].content, Content::Disk);
        order.retain(|number| !places(number).is_empty() && !stands(number));
        // A layer of which nothing is wanted must be what its digests say all the same, as it would
        // be without a store.
        let read: Vec<usize> = order.iter().map(|number| self.positions[*number]).collect();
        let unread = |at: &usize| !read.contains(at) && matches!(self.unpacked[*at].content, Content::Layer);
        order.extend(
            (0..self.unpacked.len()).filter(unread).filter_map(|at| self.positions.iter().position(|&p| p == at)),
        );
        order.sort_by_key(|number| std::cmp::Reverse(places(number).iter().map(|place| place.blocks).sum::<u64>()));
        let unpacked = |number: usize| &self.unpacked[self.positions[number]];
        // Several threads that copy into one file wait for each other, and take longer than one,
        // which does it from front to back.
        let (inflated, mut copied): (Vec<usize>, Vec<usize>) =
            order.into_iter().partition(|&number| matches!(unpacked(number).content, Content::Layer));
        copied.sort_by_key(|number| places(number).first().map(|place| place.disk_block));
        let work: Vec<&[usize]> = inflated.chunks(1).chain((!copied.is_empty()).then_some(&copied[..])).collect();
        in_parallel(self.cx.control, self.cx.jobs, &work, &|numbers, stop| {
            numbers.iter().try_for_each(|number| {
                let (layer, priority) = (unpacked(*number), Priority::of(number, &inflated));
                let write = || self.write_one(layer, places(number), sink, priority, stop);
                retry_elsewhere(layer.layer, self.blobs, &write)
            })
        })?;
        Ok(())
    }

    fn write_one(
        &self,
        unpacked: &Unpacked<'_>,
        places: &[Placement],
        sink: &dyn Sink,
        priority: Priority,
        stop: &Stop<'_>,
    ) -> Result<(), Error> {
        let wrote = |bytes| {
            (self.cx.on)(Event::Wrote { bytes });
            Ok(stop.check()?)
        };
        if let Content::Earlier(earlier, _) = &unpacked.content
            && earlier.copy_to(places, sink, &wrote, self.cx.on)?
        {
            return Ok(());
        }
        match self.pack(unpacked, stop)? {
            Some(pack) => places.iter().try_for_each(|place| {
                let bytes = place.blocks * u64::from(BLOCK_SIZE);
                let from = place.pack_block * u64::from(BLOCK_SIZE);
                sink.copy_at(place.disk_block * u64::from(BLOCK_SIZE), &pack, from, bytes)?;
                wrote(bytes)
            }),
            None => self.replay(unpacked, priority, stop, &mut |offset, piece| {
                let bytes = place_piece(offset, piece, places, sink)?;
                (self.cx.on)(Event::Wrote { bytes });
                Ok(())
            }),
        }
    }

    /// The pack of a layer, if there is one; one that is to be kept and turns out to be damaged is
    /// made again.
    fn pack(&self, unpacked: &Unpacked<'_>, stop: &Stop<'_>) -> Result<Option<File>, Error> {
        let content = match &unpacked.content {
            Content::Earlier(_, otherwise) => otherwise,
            content => content,
        };
        let tell = |event: cvbake_store::Event| (self.cx.on)(event.into());
        if let (Content::Kept, Some(store), Some(index)) = (content, self.cx.store, &unpacked.index)
            && let Some(pack) = store.layers().own_pack(&unpacked.diff_id, index.seal().len, &tell)?
        {
            return Ok(Some(pack));
        }
        match (content, self.cx.store, &unpacked.index) {
            (Content::TempPack(path), _, _) => {
                File::open(path).map(Some).map_err(|source| Error::scratch(path, source))
            }
            (Content::Store | Content::Kept, Some(store), Some(index)) => {
                let seal = PackSeal { len: index.seal().len, crcs: &index.seal().crcs };
                let pack = store.layers().pack(&unpacked.diff_id, &seal, &tell)?;
                if pack.is_some() || !self.cx.keep_packs {
                    return Ok(pack);
                }
                // The layer may be there twice, or of use to somebody else, who makes it again at
                // this time.
                let mut lock = store.layers().lock(&unpacked.diff_id, Patience::new(unpacked.layer.size()), &tell)?;
                if let Some(pack) = store.layers().pack(&unpacked.diff_id, &seal, &tell)? {
                    return Ok(Some(pack));
                }
                let made = self.make_pack(unpacked, Some(&mut lock), stop)?;
                store.layers().put_pack(&unpacked.diff_id, &made.path)?;
                Ok(Some(made.file))
            }
            _ => Ok(None),
        }
    }

    fn make_pack(
        &self,
        unpacked: &Unpacked<'_>,
        mut lock: Option<&mut LayerLock>,
        stop: &Stop<'_>,
    ) -> Result<PackFile, Error> {
        let pack = PackFile::create(self.cx.scratch, unpacked.layer)?;
        self.replay(unpacked, Priority::Normal, stop, &mut |offset, piece| {
            lock.iter_mut().for_each(|lock| lock.unpacked(piece.len() as u64));
            pack.file.write_all_at(piece, offset)
        })?;
        Ok(pack)
    }

    /// Inflates a layer again and hands on the pieces of its pack.
    fn replay(
        &self,
        unpacked: &Unpacked<'_>,
        priority: Priority,
        stop: &Stop<'_>,
        out: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<(), Error> {
        let index = unpacked.index.as_ref().expect("an index stays where there is no pack");
        let replay = |bytes: &mut dyn BufRead| Ok(cvbake_unpack::replay(bytes, index, out)?);
        UnpackContext { priority, streams: self.cx.jobs, ..self.cx }.with_stream(
            unpacked.layer,
            self.blobs,
            stop,
            replay,
        )?;
        Ok(())
    }

    /// The packs of all layers for reading at random; what is not at hand as a pack is made one.
    pub(crate) fn packs(&self) -> Result<impl Packs + use<>, Error> {
        let distinct: Vec<usize> = (0..self.unpacked.len()).collect();
        let files = in_parallel(self.cx.control, self.cx.jobs, &distinct, &|&at, stop| {
            let unpacked = &self.unpacked[at];
            let file = || match self.pack(unpacked, stop)? {
                Some(pack) => Ok(pack),
                None => Ok(self.make_pack(unpacked, None, stop)?.file),
            };
            retry_elsewhere(unpacked.layer, self.blobs, &file)
        })?;
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
