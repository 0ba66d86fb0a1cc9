//! The tree that a fixture describes, as a listing.

use std::collections::HashMap;

use cvbake_tree::{Device, Ino, Kind, Meta, Time, Xattr};

use super::seen::Seen;
use super::tar::pair;
use super::text::Line;

/// The listing that the lines below `tree` describe.
pub(crate) fn listing(lines: &[Line]) -> String {
    let (links, mut files): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.verb == "hard");
    // Parents first.
    files.sort_by_key(|line| parts(line.word(0)).count());
    let root = files.first().filter(|line| parts(line.word(0)).count() == 0).copied();
    let implied = Meta { mode: 0o755, ..Meta::default() };
    let mut tree = Tree { seen: Seen::new(&root.map_or_else(|| implied.clone(), meta)), inos: HashMap::new(), implied };
    for line in files.iter().skip(usize::from(root.is_some())) {
        let (parent, name) = tree.parent(line.word(0));
        let ino = add(&mut tree.seen, parent, &name, line);
        tree.inos.insert((parent, name), ino);
    }
    for line in links {
        let (parent, name) = tree.parent(line.word(0));
        let (dir, target) = tree.parent(line.word(1));
        let target = *tree.inos.get(&(dir, target)).expect("hard's target is listed");
        tree.seen.link(parent, &name, target);
    }
    tree.seen.listing()
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty())
}

struct Tree {
    seen: Seen,
    /// The inodes by directory and name.
    inos: HashMap<(Ino, Vec<u8>), Ino>,
    implied: Meta,
}

impl Tree {
    /// The directory of a path, made where nothing lists it, and the last name.
    fn parent(&mut self, path: &[u8]) -> (Ino, Vec<u8>) {
        let mut parts: Vec<&[u8]> = parts(path).collect();
        let name = parts.pop().expect("a path that is not the root's").to_vec();
        let mut parent = Ino::ROOT;
        for part in parts {
            let known = self.inos.entry((parent, part.to_vec()));
            parent = *known.or_insert_with(|| self.seen.add(parent, part, Kind::Directory, &self.implied));
        }
        (parent, name)
    }
}

fn add(seen: &mut Seen, parent: Ino, name: &[u8], line: &Line) -> Ino {
    let meta = meta(line);
    let device = || {
        let (major, minor) = pair(&line.text(1));
        Device { major, minor }
    };
    let kind = match line.verb.as_str() {
        "file" => {
            let content = line.words.get(1).cloned().unwrap_or_default();
            let size = line.number("size").unwrap_or(content.len() as u64);
            return seen.file(parent, name, &meta, size, &mut content.as_slice());
        }
        "dir" => Kind::Directory,
        "link" => Kind::Symlink(line.word(1)),
        "char" => Kind::CharDevice(device()),
        "block" => Kind::BlockDevice(device()),
        "fifo" => Kind::Fifo,
        other => panic!("line {}: no file is a {other}", line.number),
    };
    seen.add(parent, name, kind, &meta)
}

fn meta(line: &Line) -> Meta {
    line.only_keys(&["mode", "own", "mtime", "atime", "ctime", "size"], &["x:"]);
    let default = match line.verb.as_str() {
        "dir" => 0o755,
        "link" => 0o777,
        _ => 0o644,
    };
    let (uid, gid) = line.key_text("own").map_or((0, 0), |owner| pair(&owner));
    let xattrs = line.prefixed("x:").map(|(name, value)| Xattr { name: name.into(), value: value.into() });
    Meta {
        mode: line.key_text("mode").map_or(default, |mode| u16::from_str_radix(&mode, 8).expect("an octal mode")),
        uid,
        gid,
        mtime: line.key_text("mtime").map_or(Time::from_secs(1), |text| time(&text)),
        atime: line.key_text("atime").map(|text| time(&text)),
        ctime: line.key_text("ctime").map(|text| time(&text)),
        xattrs: xattrs.collect(),
    }
}

/// `-1.5` is one and a half seconds before 1970: -2 s and 500,000,000 ns.
pub(crate) fn time(text: &str) -> Time {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanos: u32 = format!("{fraction:0<9.9}").parse().expect("digits behind the point");
    let secs: i64 = whole.parse().expect("a number of seconds");
    match (text.starts_with('-'), nanos) {
        (true, 1..) => Time { secs: secs - 1, nanos: 1_000_000_000 - nanos },
        _ => Time { secs, nanos },
    }
}

#[test]
fn times_count_from_the_past() {
    assert_eq!(time("5"), Time { secs: 5, nanos: 0 });
    assert_eq!(time("5.000000001"), Time { secs: 5, nanos: 1 });
    assert_eq!(time("-1.5"), Time { secs: -2, nanos: 500_000_000 });
    assert_eq!(time("-0.25"), Time { secs: -1, nanos: 750_000_000 });
    assert_eq!(time("-3"), Time { secs: -3, nanos: 0 });
}

#[test]
fn a_listing_from_lines() {
    let text = "dir / mode=0700\nfile /a/b \"hi\" x:user.k=v\nhard /c -> /a/b\nlink /l -> t own=1:2\n";
    assert_eq!(
        listing(&super::text::lines(text)),
        "/ dir 0700 0:0 mtime=1.000000000\n/a dir 0755 0:0 mtime=0.000000000\n/a/b file 0644 0:0 mtime=1.000000000 size=2 \
         sha256=8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4 link:/c xattr:user.k=76\n\
         /l link 0777 1:2 mtime=1.000000000 target=t\n"
    );
}
