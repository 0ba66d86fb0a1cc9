//! One entry: what its headers say.

use std::io::{self, Write};

use cvbake_tree::{BLOCK_SIZE, FileData, Inode, Kind, Segment};
use tar::EntryType;

use super::header::{self, BLOCK, Header, Records, decimal};
use crate::Problem;

/// An entry as it will be written.
pub(super) struct Entry<'t> {
    header: Header,
    records: Records,
    /// The map in front of the content of a file without its holes.
    map: Vec<u8>,
    pub(super) body: Body<'t>,
}

/// What follows the headers.
pub(super) enum Body<'t> {
    Nothing,
    File { data: FileData<'t>, sparse: bool },
}

impl<'t> Entry<'t> {
    /// The entry of a path; `first` is the path that has the content, if it is another.
    pub(super) fn new(path: &[u8], inode: Inode<'t>, first: Option<&[u8]>) -> Result<Entry<'t>, Problem> {
        let mut name = if path.is_empty() { b".".to_vec() } else { path.to_vec() };
        if inode.is_dir() {
            name.push(b'/');
        }
        let (mut header, mut records) = (Header::new(), Records::default());
        let mut map = Vec::new();
        let mut body = Body::Nothing;
        let mut size = 0;
        let mut sparse_size = None;
        let entry_type = match (first, inode.kind()) {
            (Some(first), _) => {
                header.set_link(first, &mut records);
                EntryType::Link
            }
            (None, Kind::Directory) => EntryType::Directory,
            (None, Kind::File(data)) => {
                let sparse = super::is_sparse(&data);
                size = data.size;
                if sparse {
                    map = sparse_map(&data);
                    let stored: u64 = data.segments.iter().map(|&segment| part_len(&data, segment)).sum();
                    (size, sparse_size) = (map.len() as u64 + stored, Some(data.size));
                }
                body = Body::File { data, sparse };
                EntryType::Regular
            }
            (None, Kind::Symlink(target)) => {
                header.set_link(target, &mut records);
                EntryType::Symlink
            }
            (None, Kind::CharDevice(device)) => {
                header.set_device(device);
                EntryType::Char
            }
            (None, Kind::BlockDevice(device)) => {
                header.set_device(device);
                EntryType::Block
            }
            (None, Kind::Fifo) => EntryType::Fifo,
            (None, Kind::Socket) => return Err(Problem::Socket),
        };
        header.set_type(entry_type);
        header.set_mode(inode.mode());
        header.set_owner(inode.uid(), inode.gid(), &mut records);
        header.set_size(size, &mut records);
        match sparse_size {
            Some(real_size) => header.set_sparse_path(&name, real_size, &mut records),
            None => header.set_path(&name, &mut records),
        }
        set_times(inode, &mut header, &mut records);
        // What a second name of a file would say again, readers apply again.
        if first.is_none() {
            for xattr in inode.xattrs() {
                if xattr.name.iter().any(|&byte| byte == b'=' || byte == 0) {
                    return Err(Problem::XattrName { name: cvbake_tree::escape(&xattr.name) });
                }
                records.push(&[b"SCHILY.xattr.", &xattr.name[..]].concat(), &xattr.value);
            }
        }
        Ok(Entry { header, records, map, body })
    }

    /// Writes everything in front of the content of a file.
    pub(super) fn write_headers(&self, out: &mut dyn Write) -> io::Result<()> {
        if !self.records.is_empty() {
            out.write_all(&header::extended(self.records.len()))?;
            out.write_all(self.records.bytes())?;
            let padding = self.records.len().next_multiple_of(BLOCK) - self.records.len();
            out.write_all(&[0; BLOCK][..padding])?;
        }
        out.write_all(&self.header.finish())?;
        out.write_all(&self.map)
    }
}

fn set_times(inode: Inode<'_>, header: &mut Header, records: &mut Records) {
    header.set_mtime(inode.mtime(), records);
    for (key, time) in [("atime", inode.atime()), ("ctime", inode.ctime())] {
        if time != inode.mtime() {
            records.push(key.as_bytes(), decimal(time).as_bytes());
        }
    }
}

/// How many bytes of a stored part belong to its file: the last block may be filled up.
pub(super) fn part_len(data: &FileData<'_>, segment: Segment) -> u64 {
    let block = u64::from(BLOCK_SIZE);
    let start = u64::from(segment.file_block) * block;
    (u64::from(segment.blocks) * block).min(data.size.saturating_sub(start))
}

/// The map of GNU's form 1.0: how many parts, and where each is and how long, a line each, up to a
/// whole block.
fn sparse_map(data: &FileData<'_>) -> Vec<u8> {
    let mut parts: Vec<(u64, u64)> = Vec::with_capacity(data.segments.len() + 1);
    for &segment in data.segments {
        parts.push((u64::from(segment.file_block) * u64::from(BLOCK_SIZE), part_len(data, segment)));
    }
    if parts.last().is_none_or(|(offset, len)| offset + len < data.size) {
        parts.push((data.size, 0));
    }
    let mut map = format!("{}\n", parts.len()).into_bytes();
    for (offset, len) in parts {
        map.extend_from_slice(format!("{offset}\n{len}\n").as_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps() {
        let segment = |file_block, blocks| Segment { file_block, blocks };
        let map = |size, segments: &[Segment]| {
            let map = sparse_map(&FileData { size, pack: 0, pack_block: 0, segments });
            assert!(map.len().is_multiple_of(BLOCK));
            String::from_utf8(map).unwrap().trim_end_matches('\0').to_owned()
        };
        assert_eq!(map(1 << 20, &[]), "1\n1048576\n0\n");
        assert_eq!(map(1 << 20, &[segment(1, 2)]), "2\n4096\n8192\n1048576\n0\n");
        assert_eq!(map(3 * 4096 + 5, &[segment(0, 1), segment(3, 1)]), "2\n0\n4096\n12288\n5\n");
    }
}
