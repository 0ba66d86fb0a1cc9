//! The same archive, written and read by code that we did not write.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use cvbake_archive::tar::{Kind, Time};
use proptest::collection::vec;
use proptest::prelude::*;
use tar_core::SparseEntry;
use tar_core::builder::EntryBuilder;
use tar_core::parse::{Limits, ParseEvent, Parser};

use crate::read::{Item, read, read_from};

/// An entry as a writer takes it.
#[derive(Debug, Clone)]
struct Wanted {
    kind: Kind,
    path: Vec<u8>,
    link: Vec<u8>,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
    device: (u32, u32),
    xattrs: Vec<(String, Vec<u8>)>,
    content: Vec<u8>,
    is_gnu: bool,
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    // Any bytes but NUL and '/', in components that the writers do not refuse.
    let component = vec(prop_oneof![b'a'..=b'z', 1..=0x2eu8, 0x30..=0xffu8], 1..60)
        .prop_filter("not . or ..", |name| !name.iter().all(|&byte| byte == b'.'));
    vec(component, 1..8).prop_map(|components| components.join(&b'/'))
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::File),
        1 => Just(Kind::HardLink),
        1 => Just(Kind::Symlink),
        1 => Just(Kind::CharDevice),
        1 => Just(Kind::BlockDevice),
        1 => Just(Kind::Directory),
        1 => Just(Kind::Fifo),
    ]
}

fn id() -> impl Strategy<Value = u64> {
    prop_oneof![0..100u64, 0..1u64 << 21, 0..=u64::from(u32::MAX), 0..1u64 << 56]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let xattrs = vec(("user\\.[a-z.]{1,20}", vec(any::<u8>(), 0..200)), 0..3);
    let content = prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 500..1100)];
    let owner = (0..0o10_000u32, id(), id(), 0..1u64 << 40, any::<(u16, u16)>());
    (kind(), path(), path(), owner, xattrs, content, any::<bool>()).prop_map(
        |(kind, path, link, (mode, uid, gid, mtime, (major, minor)), xattrs, content, is_gnu)| Wanted {
            kind,
            path,
            link: if matches!(kind, Kind::HardLink | Kind::Symlink) { link } else { Vec::new() },
            mode,
            uid,
            gid,
            mtime,
            device: if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
                (major.into(), minor.into())
            } else {
                (0, 0)
            },
            xattrs: xattrs.into_iter().collect::<std::collections::BTreeMap<_, _>>().into_iter().collect(),
            content: if kind == Kind::File { content } else { Vec::new() },
            is_gnu,
        },
    )
}

fn type_byte(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

/// Writes with the `tar` crate; `None` for what it refuses.
fn write(entry: &Wanted) -> Option<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = if entry.is_gnu { tar::Header::new_gnu() } else { tar::Header::new_ustar() };
    header.set_entry_type(tar::EntryType::new(type_byte(entry.kind)));
    header.set_mode(entry.mode);
    header.set_uid(entry.uid);
    header.set_gid(entry.gid);
    header.set_mtime(entry.mtime);
    header.set_size(entry.content.len() as u64);
    if entry.device != (0, 0) {
        header.set_device_major(entry.device.0).ok()?;
        header.set_device_minor(entry.device.1).ok()?;
    }
    let records: Vec<_> =
        entry.xattrs.iter().map(|(name, value)| (format!("SCHILY.xattr.{name}"), &value[..])).collect();
    if !records.is_empty() {
        builder.append_pax_extensions(records.iter().map(|(name, value)| (&name[..], *value))).ok()?;
    }
    let (path, link) = (OsStr::from_bytes(&entry.path), OsStr::from_bytes(&entry.link));
    if entry.link.is_empty() {
        builder.append_data(&mut header, path, &entry.content[..]).ok()?;
    } else {
        builder.append_link(&mut header, path, link).ok()?;
    }
    let mut archive = builder.into_inner().ok()?;
    archive.truncate(archive.len() - 1024);
    Some(archive)
}

fn check(item: &Item, wanted: &Wanted) {
    assert_eq!(item.kind, wanted.kind);
    assert_eq!(item.path.escape_ascii().to_string(), wanted.path.escape_ascii().to_string());
    assert_eq!(item.link.escape_ascii().to_string(), wanted.link.escape_ascii().to_string());
    assert_eq!((item.mode, item.owner), (wanted.mode, (wanted.uid, wanted.gid)));
    assert_eq!(item.mtime, Time { secs: i64::try_from(wanted.mtime).unwrap(), nanos: 0 });
    assert_eq!(item.device, (wanted.device.0.into(), wanted.device.1.into()));
    let xattrs: Vec<_> = wanted.xattrs.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone())).collect();
    assert_eq!(item.xattrs, xattrs);
    assert_eq!(item.stored, wanted.content);
}

/// What another reader makes of an entry, as far as it can tell.
#[derive(Debug, PartialEq)]
struct Seen {
    kind: u8,
    path: Vec<u8>,
    link: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    content: Vec<u8>,
    size: u64,
}

impl From<&Item> for Seen {
    fn from(item: &Item) -> Seen {
        Seen {
            kind: type_byte(item.kind),
            path: item.path.clone(),
            link: item.link.clone(),
            mode: item.mode,
            owner: item.owner,
            mtime: u64::try_from(item.mtime.secs).unwrap(),
            content: item.stored.clone(),
            size: item.size,
        }
    }
}

/// Reads with the `tar-core` crate.
fn read_with_tar_core(archive: &[u8]) -> Vec<Seen> {
    let mut parser = Parser::new(Limits::permissive());
    let (mut at, mut seen) = (0, Vec::new());
    loop {
        let (consumed, entry, size) = match parser.parse(&archive[at..]).unwrap() {
            ParseEvent::Entry { consumed, entry } => {
                let size = entry.size;
                (consumed, entry, size)
            }
            ParseEvent::SparseEntry { consumed, entry, real_size, .. } => (consumed, entry, real_size),
            ParseEvent::GlobalExtensions { consumed, .. } => {
                at += consumed;
                continue;
            }
            ParseEvent::End { .. } => return seen,
            other => panic!("{other:?}"),
        };
        at += consumed;
        let stored = usize::try_from(entry.size).unwrap();
        let kind = entry.entry_type.to_byte();
        seen.push(Seen {
            kind: if kind == b'S' { b'0' } else { kind },
            path: entry.path.to_vec(),
            link: entry.link_target.map(|link| link.to_vec()).unwrap_or_default(),
            mode: entry.mode,
            owner: (entry.uid, entry.gid),
            mtime: entry.mtime,
            content: archive[at..at + stored].to_vec(),
            size,
        });
        at += stored.next_multiple_of(512);
    }
}

/// Reads with the `tar` crate.
fn read_with_tar(archive: &[u8]) -> Vec<Seen> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    let see = |mut entry: tar::Entry<'_, _>| {
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        Seen {
            kind: header.entry_type().as_byte(),
            path: entry.path_bytes().into_owned(),
            link: entry.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default(),
            mode: header.mode().unwrap(),
            owner: (header.uid().unwrap(), header.gid().unwrap()),
            mtime: header.mtime().unwrap(),
            size: content.len() as u64,
            content,
        }
    };
    entries.map(see).collect()
}

/// Parts of a sparse file: ascending, none empty.
fn map() -> impl Strategy<Value = (Vec<(u64, u64)>, u64)> {
    // The `tar` crate takes nothing but whole blocks.
    let unit = prop_oneof![Just(1u64), Just(512)];
    (vec((1..5000u64, 1..700u64), 0..60), 0..5000u64, unit).prop_map(|(gaps, tail, unit)| {
        let mut end = 0;
        let place = |(gap, len): (u64, u64)| {
            let start = end + gap - 1;
            end = start + len.next_multiple_of(unit);
            (start, end - start)
        };
        let map: Vec<_> = gaps.into_iter().map(place).collect();
        (map, end + tail)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_tar_writes_we_read(entries in vec(wanted(), 0..8)) {
        let (written, entries): (Vec<_>, Vec<_>) =
            entries.into_iter().filter_map(|entry| Some((write(&entry)?, entry))).unzip();
        let archive = [written.concat(), vec![0; 1024]].concat();
        let items = read(&archive).unwrap();
        prop_assert_eq!(items.len(), entries.len());
        items.iter().zip(&entries).for_each(|(item, wanted)| check(item, wanted));
        let ours: Vec<_> = items.iter().map(Seen::from).collect();
        prop_assert_eq!(&read_with_tar(&archive), &ours);
        prop_assert_eq!(&read_with_tar_core(&archive), &ours);
    }

    #[test]
    fn what_tar_core_writes_we_read(entries in vec(wanted(), 1..4)) {
        let mut archive = Vec::new();
        for entry in &entries {
            let mut builder = if entry.is_gnu { EntryBuilder::new_gnu() } else { EntryBuilder::new_ustar() };
            builder.path(&entry.path).entry_type(tar_core::EntryType::from_byte(type_byte(entry.kind)));
            builder.mode(entry.mode).unwrap().mtime(entry.mtime).unwrap();
            builder.uid(entry.uid).unwrap().gid(entry.gid).unwrap().size(entry.content.len() as u64).unwrap();
            if !entry.link.is_empty() {
                builder.link_name(&entry.link);
            }
            if entry.device != (0, 0) {
                builder.device(entry.device.0, entry.device.1).unwrap();
            }
            if !entry.is_gnu {
                for (name, value) in &entry.xattrs {
                    builder.add_pax(&format!("SCHILY.xattr.{name}"), value);
                }
            }
            archive.extend(builder.finish_bytes());
            archive.extend(&entry.content);
            archive.resize(archive.len().next_multiple_of(512), 0);
        }
        archive.resize(archive.len() + 1024, 0);
        let items = read(&archive).unwrap();
        for (item, wanted) in items.iter().zip(&entries) {
            check(item, &Wanted { xattrs: if wanted.is_gnu { Vec::new() } else { wanted.xattrs.clone() }, ..wanted.clone() });
        }
        prop_assert_eq!(read_with_tar_core(&archive), items.iter().map(Seen::from).collect::<Vec<_>>());
    }

    #[test]
    fn sparse_files_that_tar_core_writes((map, real) in map(), is_gnu in any::<bool>()) {
        let mut builder = if is_gnu { EntryBuilder::new_gnu() } else { EntryBuilder::new_ustar() };
        let content: Vec<u8> = map.iter().flat_map(|&(offset, len)| offset..offset + len).map(|at| at.to_le_bytes()[0]).collect();
        builder.path("sparse").mode(0o644).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(0).unwrap();
        builder.size(content.len() as u64).unwrap().entry_type(tar_core::EntryType::Regular);
        let mut parts: Vec<_> = map.iter().map(|&(offset, length)| SparseEntry { offset, length }).collect();
        // As GNU tar does, and as the `tar` crate wants it.
        if map.last().is_none_or(|&(offset, len)| offset + len < real) {
            parts.push(SparseEntry { offset: real, length: 0 });
        }
        builder.sparse(&parts, real);
        let mut archive = builder.finish_bytes();
        archive.extend(&content);
        archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
        let items = read(&archive).unwrap();
        prop_assert_eq!(items.len(), 1);
        prop_assert_eq!((&items[0].path[..], items[0].size, &items[0].extents), (&b"sparse"[..], real, &map));
        prop_assert_eq!(&items[0].stored, &content);
        if is_gnu && map.iter().all(|(_, len)| len % 512 == 0) {
            // The `tar` crate knows no other form, and expands this one.
            let expanded = &read_with_tar(&archive)[0];
            prop_assert_eq!(&expanded.content, &items[0].content());
        }
    }

    #[test]
    fn anything_is_read_or_refused(bytes in vec(any::<u8>(), 0..3000)) {
        let _ = read_from(&bytes[..]);
        let _ = crate::compression::decompress(&bytes);
    }
}
