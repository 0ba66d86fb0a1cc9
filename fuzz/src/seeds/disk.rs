//! Disks of the fixtures, as the targets `disk` and `erofs` take them.

use std::sync::Mutex;

use cvbake_cases::image::Images;
use cvbake_disk::{Error, Sink};
use cvbake_ext4::{Inodes, Layout, Options, Size};
use cvbake_tree::{Packs as _, Placement, Time, Tree};
use cvbake_unpack::{Index, merge, unpack};

use crate::disk::encode;

struct Memory(Mutex<Vec<u8>>);

impl Sink for Memory {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let start = usize::try_from(offset).expect("a small disk");
        self.0.lock().expect("no thread has panicked")[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// What an image's layers unpack to.
fn files(images: &Images) -> Option<(Tree, Vec<Vec<u8>>)> {
    let mut layers = Vec::new();
    for layer in &images.images.first()?.layers {
        let mut pack = Vec::new();
        let index = unpack(&mut &layer.tar[..], &mut |_, piece: &[u8]| {
            pack.extend_from_slice(piece);
            Ok(())
        });
        layers.push((index.ok()?, pack));
    }
    let indexes: Vec<&Index> = layers.iter().map(|(index, _)| index).collect();
    let tree = merge(&indexes, Time::from_secs(0)).ok()?;
    Some((tree, layers.into_iter().map(|(_, pack)| pack).collect()))
}

/// The smallest disk of an image, if the image makes one.
pub(super) fn disk(images: &Images, flags: u8) -> Option<Vec<u8>> {
    let (tree, packs) = files(images)?;
    let options = Options { size: Size::Min, inodes: Inodes::Count(16), journal: false, ..Options::default() };
    let layout = Layout::plan(&tree, &options).ok()?;
    let sink = sink(layout.len_bytes())?;
    layout.write_metadata(&tree, &sink).ok()?;
    finish(flags, sink, layout.placements(), &packs)
}

/// The same as EROFS.
pub(super) fn erofs(images: &Images, flags: u8) -> Option<Vec<u8>> {
    let (tree, packs) = files(images)?;
    let layout = cvbake_erofs::Layout::plan(&tree, &cvbake_erofs::Options::default()).ok()?;
    let sink = sink(layout.len_bytes())?;
    layout.write_metadata(&tree, &sink).ok()?;
    finish(flags, sink, layout.placements(), &packs)
}

fn sink(len_bytes: u64) -> Option<Memory> {
    let len = usize::try_from(len_bytes).ok().filter(|&len| len <= 4 << 20)?;
    Some(Memory(Mutex::new(vec![0; len])))
}

fn finish(flags: u8, sink: Memory, placements: &[Placement], packs: &[Vec<u8>]) -> Option<Vec<u8>> {
    let packs = packs.to_vec();
    for place in placements {
        let mut bytes = vec![0; usize::try_from(place.blocks * 4096).ok()?];
        packs.read_at(place.pack, place.pack_block * 4096, &mut bytes).ok()?;
        sink.write_at(place.disk_block * 4096, &bytes).ok()?;
    }
    encode(flags, &sink.0.into_inner().expect("no thread has panicked"))
}
