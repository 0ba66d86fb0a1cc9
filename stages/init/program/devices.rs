//! The block devices of the machine: which of them is wanted.

use crate::console;
use crate::identify::{ENTRY, Entries, Wanted, is_hash_tree};
use crate::options::number;
use crate::system::{File, path, read_file};

/// How long a name below `/dev` is: the kernel's are shorter.
const NAME: usize = 64;

/// The name of a device, below `/dev`.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    bytes: [u8; NAME],
    len: usize,
}

impl Name {
    fn joined(parts: &[&[u8]]) -> Option<Name> {
        let mut name = Name { bytes: [0; NAME], len: 0 };
        for part in parts {
            name.bytes.get_mut(name.len..name.len + part.len())?.copy_from_slice(part);
            name.len += part.len();
        }
        Some(name)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Opens a device.
pub(crate) fn open(name: &[u8]) -> Option<File> {
    let mut buffer = [0; NAME + 8];
    File::open(path(&[b"/dev/", name], &mut buffer)?).ok()
}

/// The device that is wanted, if it is there.
pub(crate) fn find(wanted: &Wanted<'_>) -> Option<Name> {
    if let Wanted::Name(name) = wanted {
        // Whether it is there, not whether it can be read: a link to a drive without a disk.
        return open(name).and_then(|_| Name::joined(&[name]));
    }
    let mut found = None;
    each(&mut |name| {
        if found.is_none() {
            found = match wanted {
                Wanted::PartUuid(_) | Wanted::PartLabel(_) => partition(name, wanted),
                _ => filesystem(name, wanted),
            };
        }
    });
    found
}

/// Says which devices there are: what is looked for is not among them.
pub(crate) fn say_all() {
    let mut count = 0_u32;
    each(&mut |name| {
        count += 1;
        console::say(&[b"there is /dev/", name]);
    });
    if count == 0 {
        console::say(&[b"there is no disk: is the driver of its controller among the modules?"]);
    }
}

/// Calls `on` with the name of each block device.
fn each(on: &mut dyn FnMut(&[u8])) {
    let Ok(directory) = File::open(c"/sys/class/block") else { return };
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = directory.entries(&mut buffer) {
        let mut rest = &buffer[..len];
        // An entry: eight bytes each of a number and a position, two of its length, one of its
        // type, and its name with a zero.
        while let Some(&[low, high]) = rest.get(16..18) {
            let entry_len = usize::from(u16::from_le_bytes([low, high]));
            let Some((entry, others)) = rest.split_at_checked(entry_len.max(19)) else { break };
            let name = &entry[19..];
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            if !matches!(&name[..end], b"." | b"..") {
                on(&name[..end]);
            }
            rest = others;
        }
    }
}

/// Whether the filesystem on a device is the one, or the hash tree.
fn filesystem(name: &[u8], wanted: &Wanted<'_>) -> Option<Name> {
    let (mut beginning, mut superblock) = ([0; 32], [0; 1024]);
    let device = open(name)?;
    device.read_exact(&mut beginning, 0).ok()?;
    device.read_exact(&mut superblock, 1024).ok()?;
    let is_it = wanted.is_superblock(&superblock) || is_hash_tree(&beginning, wanted);
    if is_it { Name::joined(&[name]) } else { None }
}

/// The partition of a disk that is the one.
fn partition(disk: &[u8], wanted: &Wanted<'_>) -> Option<Name> {
    // What has no queue of its own is a partition.
    let sector = u64::from(attribute(disk, b"/queue/logical_block_size")?);
    let device = open(disk)?;
    // In units of 512 bytes, whatever a sector has.
    let sectors = u64::from(attribute(disk, b"/size")?) * 512 / sector;
    let mut entries = None;
    // The kernel takes the copy at the end where the one at the beginning is damaged.
    for lba in [1, sectors.checked_sub(1)?] {
        let mut header = [0; 96];
        if device.read_exact(&mut header, lba.checked_mul(sector)?).is_ok() {
            entries = entries.or(Entries::of_header(&header));
        }
    }
    let entries = entries?;
    let first = entries.lba.checked_mul(sector)?;
    for number in 0..entries.count {
        let mut entry = [0; ENTRY];
        device.read_exact(&mut entry, first.checked_add(u64::from(number) * u64::from(entries.size))?).ok()?;
        if wanted.is_entry(&entry) {
            // As the kernel names it.
            let separator: &[u8] = if disk.last().is_some_and(u8::is_ascii_digit) { b"p" } else { b"" };
            let name = Name::joined(&[disk, separator, console::Number::of(number + 1).text()])?;
            // The kernel may be at making it.
            return open(name.bytes()).map(|_| name);
        }
    }
    None
}

/// A number that the kernel says of a device.
fn attribute(device: &[u8], name: &[u8]) -> Option<u32> {
    let (mut buffer, mut text) = ([0; 128], [0; 32]);
    let text = read_file(path(&[b"/sys/class/block/", device, name], &mut buffer)?, &mut text).ok()?;
    number(text.trim_ascii())
}
