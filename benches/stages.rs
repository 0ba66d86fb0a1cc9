//! What an entry costs in each stage, beside the bytes: for finding what became slower, not for
//! boasting.
//!
//! ```sh
//! cargo bench -p cvbake --bench stages
//! ```
#![expect(clippy::unwrap_used, reason = "an archive that was just made is one")]

use std::fs::File;

use cvbake::disk::{Error, Sink};
use cvbake::ext4::{Layout, Options};
use cvbake::tree::{Time, Tree};
use cvbake::unpack::{Index, merge, unpack};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// How many entries a layer has: of a small image, of a large one.
const ENTRIES: [usize; 2] = [1_000, 50_000];

/// A layer of directories with twenty small files in each.
fn archive(entries: usize) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for at in 0..entries {
        let mut header = tar::Header::new_ustar();
        header.set_mtime(1_700_000_000 + at as u64);
        header.set_uid(1000);
        header.set_gid(1000);
        let dir = format!("usr/lib/node_modules/package-{}", at / 20);
        if at.is_multiple_of(20) {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            tar.append_data(&mut header, dir, std::io::empty()).unwrap();
        } else {
            header.set_mode(0o644);
            header.set_size(700);
            tar.append_data(&mut header, format!("{dir}/module-{at}.js"), &[b'x'; 700][..]).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

fn index(entries: usize) -> Index {
    unpack(&mut &archive(entries)[..], &mut |_, _| Ok(())).unwrap()
}

fn tree(entries: usize) -> Tree {
    merge(&[&index(entries)], Time::from_secs(0)).unwrap()
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        black_box((offset, bytes));
        Ok(())
    }

    fn copy_at(&self, offset: u64, _: &File, _: u64, len: u64) -> Result<(), Error> {
        black_box((offset, len));
        Ok(())
    }
}

/// An archive is parsed, and its content packed and sealed.
#[divan::bench(args = ENTRIES)]
fn parse(bencher: Bencher<'_, '_>, entries: usize) {
    let archive = archive(entries);
    bencher.counter(ItemsCount::new(entries)).bench(|| unpack(&mut &archive[..], &mut |_, _| Ok(())).unwrap());
}

/// What the store keeps of a layer is read again.
#[divan::bench(args = ENTRIES)]
fn decode(bencher: Bencher<'_, '_>, entries: usize) {
    let bytes = index(entries).encode();
    bencher.counter(ItemsCount::new(entries)).bench(|| Index::decode(&bytes).unwrap());
}

/// Two layers that have every name in common become a tree.
#[divan::bench(args = ENTRIES)]
fn merge_two(bencher: Bencher<'_, '_>, entries: usize) {
    let index = index(entries);
    bencher.counter(ItemsCount::new(2 * entries)).bench(|| merge(&[&index, &index], Time::from_secs(0)).unwrap());
}

/// A tree is planned.
#[divan::bench(args = ENTRIES)]
fn layout(bencher: Bencher<'_, '_>, entries: usize) {
    let tree = tree(entries);
    bencher.counter(ItemsCount::new(entries)).bench(|| Layout::plan(&tree, &Options::default()).unwrap());
}

/// All of the filesystem but content is written.
#[divan::bench(args = ENTRIES)]
fn metadata(bencher: Bencher<'_, '_>, entries: usize) {
    let tree = tree(entries);
    let layout = Layout::plan(&tree, &Options::default()).unwrap();
    bencher.counter(ItemsCount::new(entries)).bench(|| layout.write_metadata(&tree, &Nowhere).unwrap());
}
