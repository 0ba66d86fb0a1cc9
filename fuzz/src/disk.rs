//! A disk with a filesystem → its files: the targets `disk` (ext4) and `erofs`.
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
use cvbake_tree::read::{Contents, Files, Follow};
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

/// An entry of an ext4 directory has 12 bytes, and no block of a directory is another's; nor is it
/// with EROFS, whose entries have as many without the name.
const ENTRY: u64 = 12;

/// Where in an EROFS disk the word is that says whether there is a checksum, and the bit.
const COMPAT: usize = 1024 + 8;
const SB_CHKSUM: u8 = 1;

const PATHS: [&[u8]; 4] = [b"/", b"/a/b", b"/etc/passwd", b"../usr/bin/env"];

/// Reads all that there is on a disk with ext4.
pub fn check(input: &[u8]) {
    let Some(mut disk) = decode(input) else { return };
    if let Some(word) = disk.get_mut(RO_COMPAT + 1).filter(|_| input[0] & 1 != 0) {
        *word &= !METADATA_CSUM;
    }
    check_files(disk, &|disk| {
        let filesystem = cvbake_ext4::read::Filesystem::open(disk).map_err(|error| line(&error))?;
        for (path, follow) in PATHS.iter().flat_map(|path| [(path, Follow::Never), (path, Follow::All)]) {
            drop(filesystem.lookup(path, follow).map_err(|error| line(&error)));
        }
        Arc::new(filesystem).tree().map_err(|error| line(&error))
    });
}

/// Reads all that there is on a disk with EROFS.
pub fn check_erofs(input: &[u8]) {
    let Some(mut disk) = decode(input) else { return };
    if let Some(word) = disk.get_mut(COMPAT).filter(|_| input[0] & 1 != 0) {
        *word &= !SB_CHKSUM;
    }
    check_files(disk, &|disk| {
        let filesystem = cvbake_erofs::read::Filesystem::open(disk).map_err(|error| line(&error))?;
        for (path, follow) in PATHS.iter().flat_map(|path| [(path, Follow::Never), (path, Follow::All)]) {
            drop(filesystem.lookup(path, follow).map_err(|error| line(&error)));
        }
        Arc::new(filesystem).tree().map_err(|error| line(&error))
    });
}

fn check_files<F: Contents>(disk: Vec<u8>, tree: &dyn Fn(Arc<dyn ReadAt>) -> Result<Files<F>, String>) {
    let len = disk.len() as u64;
    let disk: Arc<dyn ReadAt> = Arc::new(Memory(disk));
    let read = || tree(disk.clone());
    let (files, again) = match (read(), read()) {
        (Ok(files), Ok(again)) => (files, again),
        (first, again) => {
            assert_eq!(first.err(), again.err(), "reading twice");
            return;
        }
    };
    assert_eq!(files.tree(), again.tree(), "reading twice");
    assert!(files.tree().entry_count() as u64 * ENTRY <= len, "more names than the disk has room for");
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
    let (&[_, low, high], mut rest) = input.split_first_chunk()?;
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
