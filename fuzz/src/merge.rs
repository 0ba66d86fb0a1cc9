//! Layers → indexes → tree.
//!
//! For any bytes: an error is a line; the result is the same again, and the same through the stored
//! form of the indexes. For accepted input: names lead to inodes and inodes have their names,
//! contents are those of their lines, and an empty layer changes nothing.
//!
//! The input is text: a line is an entry, an empty line ends a layer.
//!
//! ```text
//! d PATH              directory          s PATH <tab> TARGET   symbolic link
//! f PATH              regular file       h PATH <tab> TARGET   hard link
//! c PATH, b PATH      devices            p PATH                named pipe
//! ```
//!
//! Modes, owners, times and contents follow from the number of the line, so that the tree shows
//! which of several entries won.

use std::io;

use cvbake_tree::{Kind, Time, Tree};
use cvbake_unpack::{Index, merge, replay, unpack};

use crate::line;

/// Merges the layers that the text describes.
pub fn check(input: &[u8]) {
    let layers = archives(input);
    let mut unpacked = Vec::new();
    for archive in &layers {
        let mut pack = Vec::new();
        let out = &mut |offset, piece: &[u8]| {
            assert_eq!(offset, pack.len() as u64, "pieces come in order");
            pack.extend_from_slice(piece);
            io::Result::Ok(())
        };
        let index = match unpack(&mut &archive[..], out) {
            Ok(index) => index,
            Err(error) => return drop(line(&error)),
        };
        assert_eq!(index.seal().len, pack.len() as u64);
        let stored = index.encode();
        assert_eq!(Index::decode(&stored).as_ref(), Ok(&index), "what was stored comes back");
        let mut again = Vec::new();
        let out = &mut |_, piece: &[u8]| {
            again.extend_from_slice(piece);
            io::Result::Ok(())
        };
        replay(&mut &archive[..], &index, out).expect("the same layer gives the same pack");
        assert!(again == pack, "the replayed pack differs");
        unpacked.push((index, pack));
    }
    let indexes: Vec<&Index> = unpacked.iter().map(|(index, _)| index).collect();
    let implied = Time { secs: 7, nanos: 0 };
    let tree = merge(&indexes, implied);
    match (&tree, merge(&indexes, implied)) {
        (Ok(tree), Ok(again)) => assert_eq!(tree, &again, "merging twice"),
        (Err(error), Err(again)) => assert_eq!(line(error), line(&again), "merging twice"),
        (first, second) => panic!("merging twice: {first:?} and {second:?}"),
    }
    let Ok(tree) = tree else { return };
    // An empty layer changes nothing but the numbers of packs above it, and nothing is above the
    // last.
    let empty = unpack(&mut &[0; 1024][..], &mut |_, _| Ok(())).expect("an empty layer");
    let above: Vec<&Index> = indexes.iter().copied().chain([&empty]).collect();
    assert_eq!(merge(&above, implied).expect("an empty layer on top"), tree);
    consistent(&tree, &unpacked);
}

/// Every name leads to an inode, every inode has its names, and the contents are those of the
/// packs.
fn consistent(tree: &Tree, unpacked: &[(Index, Vec<u8>)]) {
    let packs: Vec<Vec<u8>> = unpacked.iter().map(|(_, pack)| pack.clone()).collect();
    let mut names = vec![0; tree.inode_count()];
    for inode in tree.inodes() {
        let children: Vec<_> = inode.children().collect();
        assert!(children.is_sorted_by(|a, b| a.0 < b.0), "names are sorted and unique");
        for (name, child) in children {
            assert!(!name.is_empty() && name.len() <= 255 && name != b"." && name != b"..");
            assert!(!name.contains(&b'/') && !name.contains(&0));
            names[child.ino().index()] += 1;
        }
        if let Kind::File(data) = inode.kind() {
            let mut content = Vec::new();
            let each = &mut |bytes: &[u8]| {
                content.extend_from_slice(bytes);
                io::Result::Ok(())
            };
            data.read(&packs, each).expect("packs in memory");
            assert_eq!(content.len() as u64, data.size);
            let number = usize::try_from(inode.mtime().secs).expect("our own times are small");
            assert!(content == self::content(number), "the content of line {number}");
        }
    }
    for inode in tree.inodes() {
        let found = names[inode.ino().index()];
        assert_eq!(inode.name_count(), found);
        let is_root = inode.ino() == cvbake_tree::Ino::ROOT;
        assert!(if is_root { found == 0 } else { found == 1 || found > 1 && !inode.is_dir() });
    }
}

/// The content of the file of a line: none, part of a block, some blocks, with a hole among them.
fn content(number: usize) -> Vec<u8> {
    // Most are short: what is looked for is in the names.
    let len = if number % 8 == 5 { number * 1500 % 13_000 } else { number % 8 };
    let mut content = vec![u8::try_from(number % 251).expect("small") + 1; len];
    if let Some(hole) = content.get_mut(4096..8192) {
        hole.fill(0);
    }
    content
}

/// A tar archive for every layer of the text.
fn archives(input: &[u8]) -> Vec<Vec<u8>> {
    let mut archives = vec![Vec::new()];
    for (number, line) in input.split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() {
            archives.push(Vec::new());
            continue;
        }
        let archive = archives.last_mut().expect("there is always one");
        let (flag, rest) = (line[0], line.get(2..).unwrap_or_default());
        let mut words = rest.splitn(2, |&byte| byte == b'\t');
        let path = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let flag = match flag {
            b'h' => b'1',
            b's' => b'2',
            b'c' => b'3',
            b'b' => b'4',
            b'd' => b'5',
            b'p' => b'6',
            _ => b'0',
        };
        let content = if flag == b'0' { content(number) } else { Vec::new() };
        for (flag, long) in [(b'L', path), (b'K', target)] {
            if long.len() > 100 {
                entry(archive, flag, b"././@LongLink", b"", number, &[long, b"\0"].concat());
            }
        }
        entry(archive, flag, path, target, number, &content);
    }
    for archive in &mut archives {
        archive.extend([0; 1024]);
    }
    archives
}

fn entry(archive: &mut Vec<u8>, flag: u8, path: &[u8], target: &[u8], number: usize, content: &[u8]) {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &path[..path.len().min(100)]);
    put(100, format!("{:07o}", number % 0o10000).as_bytes());
    put(108, format!("{number:07o}").as_bytes());
    put(116, format!("{number:07o}").as_bytes());
    put(124, format!("{:011o}", content.len()).as_bytes());
    put(136, format!("{number:011o}").as_bytes());
    put(148, b"        ");
    put(156, &[flag]);
    put(157, &target[..target.len().min(100)]);
    put(257, b"ustar  \0");
    put(329, b"0000001\x000000003");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    archive.extend_from_slice(&header);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}
