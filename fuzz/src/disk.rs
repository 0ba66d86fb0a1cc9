//! A disk with an ext4 filesystem → its files.
//!
//! For any bytes: an error is a line; what is read is the same again; there are no more names than
//! the disk has room for. For accepted input: names lead to inodes, content is the same in pieces,
//! and a disk does not differ from itself.
//!
//! A disk is mostly zeros, so the input says what is not:
//!
//! ```text
//! flags (1 byte: 1 takes the checksums away) │ length in KiB (2 bytes)
//! then, again and again: offset (4 bytes) │ count (2 bytes) │ so many bytes
//! ```

use std::io;
use std::sync::Arc;

use cvbake_disk::ReadAt;
use cvbake_ext4::read::{Files, Filesystem, Follow};
use cvbake_tree::{Kind, Packs as _, Side, compare};

use crate::line;

/// Files beyond this length are not read to their end: holes take time, and hold nothing.
const MAX_READ: u64 = 1 << 20;

/// Where in a disk the word is that says whether there are checksums, and the bit.
const RO_COMPAT: usize = 1024 + 0x64;
const METADATA_CSUM: u8 = 4;

/// A disk in memory.
struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let from = self.0.get(start..start.saturating_add(bytes.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(from);
        Ok(())
    }
}

/// Reads all that there is.
pub fn check(input: &[u8]) {
    let Some(disk) = decode(input) else { return };
    let len = disk.len() as u64;
    let disk: Arc<dyn ReadAt> = Arc::new(Memory(disk));
    let read = || -> Result<(Arc<Filesystem>, Files), String> {
        let filesystem = Arc::new(Filesystem::open(disk.clone()).map_err(|error| line(&error))?);
        for path in [&b"/"[..], b"/a/b", b"/etc/passwd", b"../usr/bin/env"] {
            for follow in [Follow::Never, Follow::All] {
                drop(filesystem.lookup(path, follow).map_err(|error| line(&error)));
            }
        }
        let files = filesystem.tree().map_err(|error| line(&error))?;
        Ok((filesystem, files))
    };
    let (files, again) = match (read(), read()) {
        (Ok((_, files)), Ok((_, again))) => (files, again),
        (first, again) => {
            assert_eq!(first.err(), again.err(), "reading twice");
            return;
        }
    };
    assert_eq!(files.tree(), again.tree(), "reading twice");
    // An entry has 12 bytes, and no block of a directory is another's.
    assert!(files.tree().entry_count() as u64 * 12 <= len, "more names than the disk has room for");
    for inode in files.tree().inodes() {
        let Kind::File(data) = inode.kind() else { continue };
        if data.size > MAX_READ {
            continue;
        }
        let mut content = Vec::new();
        let each = &mut |bytes: &[u8]| {
            content.extend_from_slice(bytes);
            io::Result::Ok(())
        };
        data.read(&files, each).expect("memory can be read");
        assert_eq!(content.len() as u64, data.size);
        let mut first = [0; 1];
        if let (Some(segment), Some(_)) = (data.segments.first(), content.first()) {
            files.read_at(data.pack, data.pack_block * 4096, &mut first).expect("memory can be read");
            let at = usize::try_from(segment.file_block).expect("32 bits") * 4096;
            assert_eq!(content.get(at), Some(&first[0]));
        }
    }
    if files.tree().inodes().all(|inode| !matches!(inode.kind(), Kind::File(data) if data.size > MAX_READ)) {
        let side = Side { tree: files.tree(), packs: &files };
        let other = Side { tree: again.tree(), packs: &again };
        let each =
            &mut |path: &[u8], _: cvbake_tree::Difference<'_>| panic!("{} differs from itself", path.escape_ascii());
        compare(side, other, &|_| true, each).expect("memory can be read");
    }
}

/// The disk that an input describes.
fn decode(input: &[u8]) -> Option<Vec<u8>> {
    let (&[flags, low, high], mut rest) = input.split_first_chunk()?;
    let mut disk = vec![0; usize::from(u16::from_le_bytes([low, high]).min(4096)) * 1024];
    while let Some((&[a, b, c, d, e, f], records)) = rest.split_first_chunk() {
        let offset = usize::try_from(u32::from_le_bytes([a, b, c, d])).expect("32 bits");
        let count = usize::from(u16::from_le_bytes([e, f])).min(records.len());
        let (bytes, records) = records.split_at(count);
        if let Some(room) = disk.get_mut(offset..) {
            let count = count.min(room.len());
            room[..count].copy_from_slice(&bytes[..count]);
        }
        rest = records;
    }
    if let Some(word) = disk.get_mut(RO_COMPAT + 1).filter(|_| flags & 1 != 0) {
        *word &= !METADATA_CSUM;
    }
    Some(disk)
}

/// The input that describes a disk.
pub(crate) fn encode(flags: u8, disk: &[u8]) -> Option<Vec<u8>> {
    /// Zeros that cost less than another record.
    const GAP: usize = 6;
    let kib = u16::try_from(disk.len().div_ceil(1024)).ok()?;
    let mut input = vec![flags];
    input.extend_from_slice(&kib.to_le_bytes());
    let mut at = 0;
    while let Some(start) = disk[at..].iter().position(|&byte| byte != 0).map(|found| at + found) {
        let mut end = start;
        while let Some(next) = disk[end..].iter().take(GAP + 1).position(|&byte| byte != 0) {
            end += next + 1;
            if end - start > usize::from(u16::MAX) - GAP - 1 || end == disk.len() {
                break;
            }
        }
        input.extend_from_slice(&u32::try_from(start).ok()?.to_le_bytes());
        input.extend_from_slice(&u16::try_from(end - start).ok()?.to_le_bytes());
        input.extend_from_slice(&disk[start..end]);
        at = end;
    }
    Some(input)
}
