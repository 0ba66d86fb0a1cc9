//! The pack again, from the layer's stream and the index: nothing is parsed, because the index says
//! where in the stream the bytes of each file are.

use std::io::{self, BufRead};

use crate::index::{Index, RecordKind, STREAM_UNIT};
use crate::pack::{FileBlocks, PackWriter, Pieces};
use crate::{Error, PackSeal};

/// Reads a layer's uncompressed stream once more and gives the pieces of its pack, in order, as
/// unpacking did.
///
/// The stream is read as far as the last file's content; whoever checks its digest reads the rest.
///
/// # Errors
/// When reading or `out` fails, or the pack differs from the one that the index was made with.
pub fn replay(stream: &mut dyn BufRead, index: &Index, out: &mut Pieces<'_>) -> Result<(), Error> {
    let mut pack = PackWriter::new(out);
    let mut blocks = FileBlocks::new();
    let mut position = 0;
    for (number, record) in (0u32..).zip(&index.records) {
        let RecordKind::File { size, stream: start, pack_block, first_segment } = record.kind else {
            continue;
        };
        let start = u64::from(start) * STREAM_UNIT;
        let skip = start.checked_sub(position).ok_or(Error::Replay { what: "its files are in another order" })?;
        take(stream, skip, &mut |_| Ok(()))?;
        if pack.blocks() != u64::from(pack_block) {
            return Err(Error::Replay { what: "a file is at another place in the pack" });
        }
        position = start;
        blocks.start();
        let whole = [(0, size)];
        for &(mut offset, len) in index.sparse_pieces(number).unwrap_or(&whole) {
            take(stream, len, &mut |bytes| {
                blocks.write(offset, bytes, &mut pack)?;
                offset += bytes.len() as u64;
                Ok(())
            })?;
            position += len;
        }
        if blocks.end(&mut pack)? != index.segments(number as usize, first_segment) {
            return Err(Error::Replay { what: "a file has other blocks" });
        }
    }
    let seal: PackSeal = pack.finish()?;
    if seal == index.seal { Ok(()) } else { Err(Error::Replay { what: "its files have other content" }) }
}

/// Hands on exactly `len` bytes of a stream.
fn take(stream: &mut dyn BufRead, mut len: u64, each: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
    while len > 0 {
        let bytes = match stream.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Read(error)),
        };
        if bytes.is_empty() {
            return Err(Error::Replay { what: "it ends too early" });
        }
        let count = usize::try_from(len).map_or(bytes.len(), |len| len.min(bytes.len()));
        each(&bytes[..count])?;
        stream.consume(count);
        len -= count as u64;
    }
    Ok(())
}
