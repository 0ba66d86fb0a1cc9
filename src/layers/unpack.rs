//! One layer: unpacked, or found in the store.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cvbake_disk::{Sink, Window};
use cvbake_store::{Patience, Store};
use cvbake_unpack::Index;
use cvbake_verify::{Blobs, Compression, Layer};

use super::base_pack::BASE_PACK;
use super::content::Content;
use super::pack_file::PackFile;
use super::{Purpose, UnpackContext, Unpacked, pack_name};
use crate::error::Error;
use crate::event::{Event, Found, Observer};
use crate::parallel::Stop;

pub(super) fn unpack<'a>(
    layer: &'a Layer,
    blobs: &dyn Blobs,
    cx: UnpackContext<'_>,
    purpose: Purpose,
    stop: &Stop<'_>,
) -> Result<Unpacked<'a>, Error> {
    // What is kept is kept under the diff_id; a layer that has none is read once and never found
    // again.
    let kept = cx.store.zip(layer.diff_id());
    let tell = |event: cvbake_store::Event| (cx.on)(event.into());
    let mut lock = match kept {
        Some((store, diff_id)) if purpose == Purpose::Content => {
            Some(cx.apart(|| store.layers().lock(&diff_id, Patience::new(layer.size()), &tell))?)
        }
        _ => None,
    };
    // A layer whose content is to be kept and is not is unpacked like a new one.
    let is_enough = |store: &Store, diff_id| {
        let keeps = cx.keep_packs && purpose == Purpose::Content;
        !keeps || store.layers().has_pack(diff_id)
    };
    if let Some((store, diff_id)) = kept
        && is_enough(store, &diff_id)
        && let Some(bytes) = store.layers().index(&diff_id, &tell)?
        && let Ok(index) = Index::decode(&bytes)
    {
        let has_pack = store.layers().has_pack(&diff_id);
        let content = Content::stored(has_pack);
        let found = content.found();
        let what = if has_pack { "list of files and content are" } else { "list of files is" };
        tracing::debug!("layer {}: its {what} in the store, under {diff_id}", layer.number());
        let entries = index.entry_count();
        let pack = pack_name(&diff_id, &index);
        return Ok(Unpacked { layer, diff_id, pack, index: Some(index), content, found, entries });
    }
    tracing::debug!("layer {}: unpacking it", layer.number());
    let mut target = match (purpose, cx.disk) {
        (Purpose::Plan, _) => Target::Nothing,
        (Purpose::Content, Some(disk)) => Target::on(disk)?,
        (Purpose::Content, None) => Target::TempPack(PackFile::create(cx.scratch, layer)?),
    };
    // A plan makes nothing, and notes nothing.
    let reader = if purpose == Purpose::Plan { UnpackContext { store: None, ..cx } } else { cx };
    let (index, diff_id, compression) = reader.with_stream(layer, blobs, stop, |bytes| {
        Ok(cvbake_unpack::unpack(bytes, &mut |offset, piece| {
            lock.iter_mut().for_each(|lock| lock.unpacked(piece.len() as u64));
            target.write(offset, piece)
        })?)
    })?;
    warn_about_compression(layer, compression, cx.on);
    let mut content = target.into_content();
    match (kept, purpose) {
        (_, Purpose::Plan) => {}
        (None, Purpose::Content) => {
            let path = index_path(cx.scratch, layer);
            std::fs::write(&path, index.encode()).map_err(|source| Error::scratch(&path, source))?;
        }
        (Some((store, _)), Purpose::Content) => {
            store.layers().put_index(&diff_id, &index.encode())?;
            if cx.keep_packs {
                content.keep(store, &diff_id)?;
            }
        }
    }
    let entries = index.entry_count();
    let pack = pack_name(&diff_id, &index);
    Ok(Unpacked { layer, diff_id, pack, index: Some(index), content, found: Found::Nothing, entries })
}

/// Where the index of a layer is that no store keeps.
fn index_path(scratch: &Path, layer: &Layer) -> PathBuf {
    scratch.join(format!("index-{}", layer.number()))
}

/// An index that was freed, once more; `None` if it is nowhere.
pub(super) fn index_again(unpacked: &Unpacked<'_>, cx: UnpackContext<'_>) -> Option<Index> {
    let kept = cx.store.zip(unpacked.layer.diff_id());
    let bytes = match kept {
        Some((store, diff_id)) => store.layers().index(&diff_id, &|event| (cx.on)(event.into())).ok().flatten(),
        None => std::fs::read(index_path(cx.scratch, unpacked.layer)).ok(),
    };
    Index::decode(&bytes?).ok()
}

fn warn_about_compression(layer: &Layer, found: cvbake_archive::Compression, on: Observer<'_>) {
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

/// Where the pack of a layer goes while it is unpacked.
enum Target<'a> {
    Nothing,
    TempPack(PackFile),
    /// Onto the disk itself, as its base pack.
    Disk(Window<'a>),
}

impl<'a> Target<'a> {
    /// The disk, without whatever an attempt that failed has left on it.
    fn on(disk: Window<'a>) -> Result<Target<'a>, Error> {
        disk.clear_all()?;
        Ok(Target::Disk(disk))
    }

    fn write(&mut self, offset: u64, piece: &[u8]) -> io::Result<()> {
        match self {
            Target::Nothing => Ok(()),
            Target::TempPack(pack) => pack.file.write_all_at(piece, offset).map_err(|error| pack.name_error(error)),
            Target::Disk(disk) => disk.sink().write_at(BASE_PACK + offset, piece).map_err(io::Error::other),
        }
    }

    fn into_content(self) -> Content {
        match self {
            Target::Nothing => Content::Layer,
            Target::TempPack(pack) => pack.into_content(),
            Target::Disk(_) => Content::Disk,
        }
    }
}
