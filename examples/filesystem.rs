//! Writes an ext4 filesystem from a tree made in memory, without an image:
//! `cargo run --example filesystem -- disk.ext4`.

use std::error::Error;
use std::path::Path;

use cvbake::disk::{Container, Draft, Sink as _};
use cvbake::ext4::{Layout, Options, Size};
use cvbake::tree::{BLOCK_SIZE, Builder, Device, FileData, Ino, Kind, Meta, Segment, Time, Tree};

// docs/library.md quotes from here
/// A tree, and the pack with the content of its files.
pub(crate) fn tree(hostname: &[u8]) -> Result<(Tree, Vec<u8>), Box<dyn Error>> {
    let mtime = Time::from_secs(1_700_000_000);
    let meta = |mode| Meta { mode, mtime, ..Meta::default() };
    let mut builder = Builder::new(&meta(0o755));
    // Content begins at a block of the pack, and the rest of its last block is zeros.
    let mut pack = hostname.to_vec();
    pack.resize(hostname.len().next_multiple_of(BLOCK_SIZE as usize), 0);
    let segments = [Segment { file_block: 0, blocks: u32::try_from(pack.len())? / BLOCK_SIZE }];
    let content = FileData { size: hostname.len() as u64, pack: 0, pack_block: 0, segments: &segments };

    let etc = builder.add(Ino::ROOT, b"etc", Kind::Directory, &meta(0o755))?;
    let file = builder.add(etc, b"hostname", Kind::File(content), &meta(0o644))?;
    builder.link(etc, b"hostname.old", file)?;
    let dev = builder.add(Ino::ROOT, b"dev", Kind::Directory, &meta(0o755))?;
    builder.add(dev, b"console", Kind::CharDevice(Device { major: 5, minor: 1 }), &meta(0o600))?;
    Ok((builder.finish()?, pack))
}

/// Writes them to a disk, which is there when it is whole.
pub(crate) fn write(tree: &Tree, pack: &[u8], path: &Path) -> Result<(), Box<dyn Error>> {
    let layout = Layout::plan(tree, &Options { size: Size::Extra(16 << 20), ..Options::default() })?;
    let draft = Draft::create(path, true)?;
    let container = Container::raw(layout.len_bytes());
    let disk = container.begin(&draft)?;
    layout.write_metadata(tree, &disk)?;
    for place in layout.placements() {
        let block = u64::from(BLOCK_SIZE);
        let from = usize::try_from(place.pack_block * block)?;
        let len = usize::try_from(place.blocks * block)?;
        disk.write_at(place.disk_block * block, &pack[from..from + len])?;
    }
    disk.finish()?;
    Ok(draft.commit()?)
}
// to here

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: filesystem DISK")?;
    let (tree, pack) = tree(b"example\n")?;
    write(&tree, &pack, path.as_ref())
}
