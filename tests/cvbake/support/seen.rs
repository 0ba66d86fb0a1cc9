//! What someone saw on a disk (or expects there), as the text that all of them are compared in.

use std::io::{self, Read};

use cvbake_tree::{Builder, FileData, Ino, Inode, Kind, Meta, Packs, Tree};
use sha2::Digest as _;

use super::image::hex;

/// Content beyond this size is not hashed: only a file of holes gets there, and its size and
/// extents are looked at.
pub(crate) const MAX_HASHED: u64 = 1 << 30;

/// Collects files in any order that has parents first, and writes the listing.
#[derive(Debug)]
pub(crate) struct Seen {
    builder: Builder,
    hashes: Vec<Option<String>>,
}

impl Seen {
    pub(crate) fn new(root: &Meta) -> Seen {
        Seen { builder: Builder::new(root), hashes: Vec::new() }
    }

    /// Adds anything but a regular file.
    pub(crate) fn add(&mut self, parent: Ino, name: &[u8], kind: Kind<'_>, meta: &Meta) -> Ino {
        self.builder.add(parent, name, kind, meta).unwrap_or_else(|error| panic!("{}: {error}", name.escape_ascii()))
    }

    /// Adds a regular file.
    pub(crate) fn file(&mut self, parent: Ino, name: &[u8], meta: &Meta, size: u64, content: &mut dyn Read) -> Ino {
        let hash = (size <= MAX_HASHED).then(|| {
            let mut hasher = Hashing { hasher: sha2::Sha256::new(), bytes: 0 };
            io::copy(content, &mut hasher).unwrap();
            assert_eq!(hasher.bytes, size, "the content of {} has its size", name.escape_ascii());
            hex(&hasher.hasher.finalize())
        });
        let pack = u32::try_from(self.hashes.len()).expect("fewer than 2^32 files");
        self.hashes.push(hash);
        self.add(parent, name, Kind::File(FileData { size, pack, pack_block: 0, segments: &[] }), meta)
    }

    /// Gives an inode one more name.
    pub(crate) fn link(&mut self, parent: Ino, name: &[u8], to: Ino) {
        self.builder.link(parent, name, to).unwrap_or_else(|error| panic!("{}: {error}", name.escape_ascii()));
    }

    /// The listing, without a `/lost+found` that is only e2fsck's own.
    pub(crate) fn listing(self) -> String {
        let hashes = self.hashes;
        let tree = self.builder.finish().expect("no two entries of one name");
        let mut hash = |inode: Inode<'_>| match inode.kind() {
            Kind::File(data) => Ok(hashes[data.pack as usize].clone()),
            _ => Ok(None),
        };
        lines(&tree, &mut hash)
    }
}

/// The listing of a tree whose content is in packs, in the same way.
pub(crate) fn listing_of_tree(tree: &Tree, packs: &dyn Packs) -> String {
    lines(tree, &mut |inode| match inode.kind() {
        Kind::File(data) if data.size <= MAX_HASHED => {
            let mut hasher = sha2::Sha256::new();
            data.read(packs, &mut |bytes| {
                hasher.update(bytes);
                Ok(())
            })?;
            Ok(Some(hex(&hasher.finalize())))
        }
        _ => Ok(None),
    })
}

fn lines(tree: &Tree, hash: &mut dyn FnMut(Inode<'_>) -> io::Result<Option<String>>) -> String {
    let mut text = Vec::new();
    tree.listing(hash, &mut text).expect("memory takes everything, and disks can be read");
    let text = String::from_utf8(text).expect("a listing is ASCII");
    let own = |line: &str| line.starts_with("/lost+found dir 0700 0:0 ");
    let used = text.lines().any(|line| line.starts_with("/lost+found/"));
    text.lines().filter(|line| used || !own(line)).map(|line| format!("{line}\n")).collect()
}

struct Hashing {
    hasher: sha2::Sha256,
    bytes: u64,
}

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fails with the lines that differ.
pub(crate) fn assert_same(what: &str, found: &str, expected: &str) {
    if found == expected {
        return;
    }
    let mut report = format!("{what}: not what was expected (-) but (+)\n");
    let (found, expected): (Vec<_>, Vec<_>) = (found.lines().collect(), expected.lines().collect());
    let shown = |lines: &[&str], others: &[&str], sign: &str| {
        let others: std::collections::BTreeSet<_> = others.iter().collect();
        let lines = lines.iter().filter(|line| !others.contains(line)).take(20);
        lines.map(|line| format!("{sign} {line:.600}\n")).collect::<String>()
    };
    report += &shown(&expected, &found, "-");
    report += &shown(&found, &expected, "+");
    panic!("{report}");
}
