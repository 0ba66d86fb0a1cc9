//! A table of layers and what is left of them.
//!
//! A layer is a text, one entry a line: `d PATH` a directory, `f PATH` a file, `p PATH` a pipe,
//! `s PATH TARGET` a symbolic link, `h PATH TARGET` a hard link, `w PATH` a whiteout of `PATH`,
//! `o PATH` an opaque marker in `PATH`. The owner of an entry is 100 × its layer + its line, so
//! that the result shows where every attribute comes from. Layers are separated by `--`.

use cvbake_tree::{Kind, Time};
use proptest::prelude::*;

use super::merge;
use crate::index::{Index, Record, RecordKind};
use crate::kept::{Kept, Records};
use crate::path::{Interner, Paths};
use crate::{Error, PackSeal, Problem};

/// The layer as its archive would have it.
pub(super) fn layer(number: u32, text: &str) -> Index {
    let (paths, records) = records(number, text);
    let kept = Kept { records, segments: vec![], sparse: vec![], extra_times: vec![] };
    index(paths, kept)
}

/// The layer without what it overwrites itself.
fn kept_layer(number: u32, text: &str) -> Index {
    let (paths, records) = records(number, text);
    let mut kept = Records::new();
    for record in records {
        kept.push(&paths, record, (None, None)).unwrap();
    }
    index(paths, kept.finish())
}

fn records(number: u32, text: &str) -> (Paths, Vec<Record>) {
    let mut interner = Interner::new();
    let mut records = Vec::new();
    for (line, entry) in (1u32..).zip(text.lines().filter(|line| !line.trim().is_empty())) {
        let mut words = entry.split_whitespace();
        let (kind, path) = (words.next().unwrap(), words.next().unwrap());
        let path = interner.path(path.as_bytes(), "name").unwrap();
        let target = words.next().unwrap_or_default().as_bytes();
        let kind = match kind {
            "d" => RecordKind::Directory,
            "f" => RecordKind::File { size: 0, stream: 0, pack_block: 0, first_segment: 0 },
            "p" => RecordKind::Fifo,
            "s" => RecordKind::Symlink {
                target: interner.paths().push_text(target).unwrap(),
                len: u16::try_from(target.len()).unwrap(),
            },
            "h" => RecordKind::HardLink(interner.path(target, "target").unwrap()),
            "w" => RecordKind::Whiteout,
            "o" => RecordKind::Opaque,
            other => panic!("unknown kind {other}"),
        };
        let uid = number * 100 + line;
        records.push(Record {
            path,
            header: line,
            kind,
            mode: 0o700,
            uid,
            gid: 0,
            mtime: Time::from_secs(1),
            xattrs: 0,
        });
    }
    (interner.finish(), records)
}

fn index(paths: Paths, kept: Kept) -> Index {
    let Kept { records, segments, sparse, extra_times } = kept;
    Index { paths, records, segments, sparse, xattrs: vec![vec![]], extra_times, seal: PackSeal::default() }
}

/// Merges, and lists: path, kind, owner, further names; a directory that is only implied has no
/// owner.
fn merged(layers: &str) -> Result<String, Error> {
    merged_of(layers, layer)
}

fn merged_of(layers: &str, layer: impl Fn(u32, &str) -> Index) -> Result<String, Error> {
    let layers: Vec<Index> = (1u32..).zip(layers.split("--")).map(|(number, text)| layer(number, text)).collect();
    let tree = merge(&layers.iter().collect::<Vec<_>>(), Time::from_secs(7))?;
    let mut listing = Vec::new();
    tree.listing(&mut |_| Ok(None), &mut listing).unwrap();
    let listing = String::from_utf8(listing).unwrap();
    let mut out = Vec::new();
    for line in listing.lines() {
        let path = line.split(' ').next().unwrap();
        let inode = tree.lookup(path.as_bytes()).unwrap();
        let links: String =
            line.split(' ').filter(|word| word.starts_with("link:")).map(|word| format!("={}", &word[5..])).collect();
        let kind = match inode.kind() {
            Kind::Directory => "d",
            Kind::Symlink(_) => "s",
            Kind::Fifo => "p",
            _ => "f",
        };
        let owner = if inode.mtime().secs == 7 {
            assert_eq!((inode.mode(), inode.uid()), (0o755, 0), "{path} is implied");
            String::new()
        } else {
            inode.uid().to_string()
        };
        if path != "/" || !owner.is_empty() {
            out.push(format!("{kind}{owner}:{path}{links}"));
        }
    }
    Ok(out.join(" "))
}

#[test]
fn what_is_left() {
    let table: &[(&str, &str, &str)] = &[
        ("nothing", "", ""),
        ("the root's attributes", "d ./\nf a", "d101:/ f102:/a"),
        ("missing parents are implied", "f a/b/c", "d:/a d:/a/b f101:/a/b/c"),
        ("a directory entry after its child", "f a/b\nd a", "d102:/a f101:/a/b"),
        ("a directory over a directory keeps its children", "d a\nf a/b\n--\nd a", "d201:/a f102:/a/b"),
        ("a file over a directory", "d a\nf a/b\n--\nf a", "f201:/a"),
        ("a directory over a file", "f a\n--\nd a\nf a/b", "d201:/a f202:/a/b"),
        ("a directory over a link to one", "d b\ns a b\n--\nd a\nf a/x", "d201:/a f202:/a/x d101:/b"),
        ("the last of duplicates", "f a\np a\nd a\nf a\nf a", "f105:/a"),
        ("a path below a lower file", "f a\n--\nf a/b", "d:/a f201:/a/b"),
        ("whiteout", "f a\nf b\n--\nw a", "f102:/b"),
        ("whiteout of a directory", "f a/b/c\n--\nw a/b", "d:/a"),
        ("whiteout of nothing", "f b\n--\nw a\nw c/d\nw b/x", "f101:/b"),
        ("whiteout before its replacement", "f a\n--\nw a\nf a", "f202:/a"),
        ("whiteout after its replacement", "f a\n--\nf a\nw a", "f201:/a"),
        ("whiteout spares its own layer", "--\nf a\nw a", "f201:/a"),
        ("whiteout of a directory that is implied again", "d a\nf a/old\n--\nw a\nf a/new", "d:/a f202:/a/new"),
        ("the same the other way round", "d a\nf a/old\n--\nf a/new\nw a", "d:/a f201:/a/new"),
        ("whiteout does not follow the last link", "f b\ns a b\n--\nw a", "f101:/b"),
        ("opaque", "d a\nf a/x\nd a/y\nf a/y/z\n--\no a\nf a/n", "d101:/a f202:/a/n"),
        ("opaque after the new files", "d a\nf a/x\n--\nf a/n\no a", "d101:/a f201:/a/n"),
        ("opaque with an entry for the directory", "d a\nf a/x\n--\nd a\no a", "d201:/a"),
        ("opaque in a directory of no layer", "f b\n--\no a", "f101:/b"),
        ("opaque in a file", "f b\n--\no b", "f101:/b"),
        ("opaque root", "f a\nd b\n--\no /\nf c", "f202:/c"),
        ("opaque spares its own layer", "--\nd a\nf a/n\no a", "d201:/a f202:/a/n"),
        (
            "an entry below a link",
            "d usr\nd usr/lib\ns lib usr/lib\n--\nf lib/x",
            "s103:/lib d101:/usr d102:/usr/lib f201:/usr/lib/x",
        ),
        ("an absolute link stays inside", "d etc\ns a/l /etc\n--\nf a/l/x", "d:/a s102:/a/l d101:/etc f201:/etc/x"),
        ("a link above the root stays inside", "s a/l ../../../etc\n--\nf a/l/x", "d:/a s101:/a/l d:/etc f201:/etc/x"),
        ("a dangling link", "s l no/where\n--\nf l/x", "s101:/l d:/no d:/no/where f201:/no/where/x"),
        ("links to links", "d c\ns a b\ns b c\n--\nf a/x\nf a/y", "s102:/a s103:/b d101:/c f201:/c/x f202:/c/y"),
        ("a link of the same layer", "d c\ns a c\nf a/x", "s102:/a d101:/c f103:/c/x"),
        (
            "a link replaced on the way",
            "d c\nd e\ns a c\nf a/x\ns a e\nf a/y",
            "s105:/a d101:/c f104:/c/x d102:/e f106:/e/y",
        ),
        ("whiteout below a link", "d u\nf u/x\nf u/y\ns l u\n--\nw l/x", "s104:/l d101:/u f103:/u/y"),
        ("opaque below a link", "d u\nf u/x\ns l u\n--\no l\nf l/n", "s103:/l d101:/u f202:/u/n"),
        (
            "whiteout in a directory that replaces the link",
            "d u\nf u/x\ns l u\n--\nd l\nw l/x",
            "d201:/l d101:/u f102:/u/x",
        ),
        ("the same the other way round", "d u\nf u/x\ns l u\n--\nw l/x\nd l", "d202:/l d101:/u f102:/u/x"),
        (
            "opaque in a directory that replaces the link",
            "d u\nf u/x\ns l u\n--\no l\nd l\nf l/n",
            "d202:/l f203:/l/n d101:/u f102:/u/x",
        ),
        (
            "whiteout deep in a directory that replaces a link",
            "d u/a\nf u/a/x\ns l u\n--\nw l/a/x\nd l\nd l/a",
            "d202:/l d203:/l/a d:/u d101:/u/a f102:/u/a/x",
        ),
        (
            "an entry before the directory that replaces the link",
            "d u\ns l u\n--\nf l/x\nd l",
            "d202:/l d101:/u f201:/u/x",
        ),
        ("markers do not see each other", "d u\nf u/x\ns l u\n--\nw l\nw l/x", "d101:/u"),
        ("hard links", "f a\nh b a\nh c b", "f101:/a=/b=/c"),
        ("a hard link to a lower file", "f a\n--\nh d/b a", "f101:/a=/d/b d:/d"),
        ("a hard link to a lower file that goes", "f a\n--\nw a\nh b a", "f101:/b"),
        ("the same the other way round", "f a\n--\nh b a\nw a", "f101:/b"),
        ("a hard link into a directory that goes", "f d/a\n--\nw d\nh b d/a", "f101:/b"),
        ("a hard link into a directory that goes opaque", "d d\nf d/a\n--\no d\nh d/b d/a", "d101:/d f102:/d/b"),
        ("a hard link into a directory that is replaced", "d d\nf d/a\n--\nw d\nd d\nh b d/a", "f102:/b d202:/d"),
        ("a hard link to what takes the place of what goes", "f a\n--\nw a\nf a\nh b a", "f202:/a=/b"),
        ("a hard link to a symbolic link", "f x\ns a x\nh b a", "s102:/a=/b f101:/x"),
        ("a hard link through a symbolic link", "d d\nf d/a\ns l d\nh b l/a", "f102:/b=/d/a d101:/d s103:/l"),
        ("a hard link over a directory", "f a\nd b\nf b/x\nh b a", "f101:/a=/b"),
        ("a hard link again", "f a\nh b a\n--\nh b a", "f101:/a=/b"),
        ("a replaced name leaves the others", "f a\nh b a\n--\nf a", "f201:/a f101:/b"),
        ("a removed name leaves the others", "f a\nh b a\nh c a\n--\nw a", "f101:/b=/c"),
    ];
    for (rule, layers, expected) in table {
        let found = merged(layers).unwrap_or_else(|error| panic!("{rule}: {error}"));
        assert_eq!(&found, expected, "{rule}");
        let kept = merged_of(layers, kept_layer).unwrap();
        assert_eq!(&kept, expected, "{rule}, without what is overwritten");
    }
}

#[test]
fn what_makes_no_sense() {
    let many: String = (0..41).map(|at| format!("s l{at} l{}\n", at + 1)).collect();
    let table: &[(&str, &str, &str)] = &[
        ("a path below a file of its layer", "f a\nf a/b", "below \"a\", which the same layer has as a regular file"),
        ("a path below a pipe", "p a\nf a/b", "named pipe"),
        ("the root as a file", "f ./", "the root must be a directory"),
        ("the root as a link", "f a\nh / a", "the root must be a directory"),
        ("a loop of links", "s a b\ns b a\nf a/x", "more than 40 symbolic links"),
        ("a loop of links below", "s a a\n--\nw a/x", "more than 40 symbolic links"),
        ("too many links", &format!("{many}\nd l41\nf l0/x"), "more than 40 symbolic links"),
        ("a hard link to a later entry", "h a b\nf b", "no earlier entry or lower layer has"),
        ("a hard link to nothing", "h a b", "hard link to \"b\""),
        ("a hard link to itself", "h a a", "to itself"),
        ("a hard link to itself over a file", "f a\n--\nh a a", "to itself"),
        ("a hard link to itself through a link", "d d\nf d/a\ns l d\nh l/a d/a", "to itself"),
        ("a hard link to a directory", "d d\nh a d", "which is a directory"),
        ("a hard link to the root", "h a /", "which is a directory"),
        ("a hard link to a whiteout", "f b\nw a\nh c a", "no earlier entry"),
    ];
    for (rule, layers, expected) in table {
        let error = merged(layers).expect_err(rule).to_string();
        assert!(error.contains(expected), "{rule}: {error}");
        assert_eq!(merged_of(layers, kept_layer).expect_err(rule).to_string(), error);
    }
    let forty: String = (0..40).map(|at| format!("s l{at} l{}\n", at + 1)).collect();
    assert!(merged(&format!("{forty}\nd l40\nf l0/x")).is_ok(), "forty links are not too many");
}

#[test]
fn deep_paths_are_looked_up_once() {
    let deep = "d/".repeat(1000);
    let mut text = String::new();
    for file in 0..20_000 {
        text.push_str(&format!("f {deep}{file}\n"));
    }
    let tree = merge(&[&layer(1, &text)], Time::default()).unwrap();
    assert_eq!(tree.inode_count(), 21_001);
}

#[test]
fn long_detours_end() {
    // Each link leads over the next one, and its target has as many names as fit.
    let mut text = String::from("d d\nd end\n");
    for number in (0..40).rev() {
        let next = if number == 39 { "end".to_owned() } else { format!("l{}", number + 1) };
        text.push_str(&format!("s l{number} {}{next}\n", "d/../".repeat(800)));
    }
    let with = |files: u32| {
        let mut text = text.clone();
        // A link that goes away could be on the way, so that the way has to be looked for again.
        (0..files).for_each(|file| text.push_str(&format!("s s x\nf l0/f{file}\n")));
        merged(&text)
    };
    assert!(with(30).is_ok());
    assert!(matches!(with(1000), Err(Error::Merge { problem: Problem::Detours, .. })));
}

/// An entry of few names and fewer directories, so that they get in each other's way.
fn some_entry() -> impl Strategy<Value = String> {
    let path = prop::sample::select(&["a", "b", "a/a", "a/b", "b/a", "b/b", "a/a/b", "a/b/a", "b/a/b", "./"][..]);
    let target = prop::sample::select(&["a", "b", "a/b", "b/a", ".", "/", "..", "b/..", "a/a/..", "/b/b"][..]);
    let kind = prop::sample::select(&["d", "d", "d", "p", "p", "s", "s", "h", "h", "w", "o"][..]);
    (kind, path.clone(), target, path).prop_map(|(kind, path, target, other)| match kind {
        "s" => format!("s {path} {target}\n"),
        "h" => format!("h {path} {other}\n"),
        kind => format!("{kind} {path}\n"),
    })
}

fn some_layers() -> impl Strategy<Value = String> {
    // A third comes twice, at once or later: by chance alone few entries would be overwritten with
    // nothing in between.
    let entries = prop::collection::vec((some_entry(), 0usize..9), 1..30).prop_map(|entries| {
        let mut lines: Vec<String> = Vec::new();
        for (entry, back) in entries {
            let again = lines.len().checked_sub(back + 1).filter(|_| back < 3).map(|at| lines[at].clone());
            lines.push(entry);
            lines.extend(again);
        }
        lines.concat()
    });
    prop::collection::vec(entries, 1..4).prop_map(|layers| layers.join("--\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_overwritten_is_not_missed(layers in some_layers()) {
        let all = merged(&layers).map_err(|error| error.to_string());
        prop_assert_eq!(merged_of(&layers, kept_layer).map_err(|error| error.to_string()), all);
    }
}

#[test]
fn what_is_overwritten_goes() {
    let table: &[(&str, &str, usize)] = &[
        ("one name", "p a\np a\np a", 1),
        ("two in turn", "p a\np b\np a\np b", 2),
        ("other kinds", "s a x\np a\ns a y", 1),
        ("in a directory", "d d\np d/a\np d/a", 2),
        ("directories", "d d\np d/a\nd d\nd d\nd ./\nd ./", 3),
        ("hard links", "p a\nh b a\nh b a\nh c b\nh b a", 4),
        ("markers", "w a\no d\nw a\no d\np a", 3),
        ("a marker says nothing of its name", "p a\nw a\np a\nw a", 2),
        ("not below a directory that may be a link", "p d/a\np d/a", 2),
        ("not what a hard link keeps", "p a\nh b a\np a", 3),
        ("not what a hard link may keep", "p a\nh b l/a\np a", 3),
        ("not a hard link to itself, which is an error", "p a\nh a a\np a", 3),
        ("not a hard link to a directory, which is an error", "d a\nh b a\np b", 3),
        ("not what hides a directory below", "p a\nd a", 2),
        ("not what had children", "d a\np a/x\np a", 3),
        ("not across another meaning of a path", "d d\np d/a\np d\nd d\np d/a", 5),
    ];
    for (rule, text, expected) in table {
        assert_eq!(kept_layer(1, text).entry_count(), *expected, "{rule}");
    }
}

#[test]
fn what_is_overwritten_goes_while_there_is_more() {
    // Files first, so that numbers change below what comes later.
    let mut text: String = (0..2000).map(|at| format!("d {at}\np {at}/f\n")).collect();
    for round in 0..20 {
        (0..2000).for_each(|at| text.push_str(&format!("p {at}/f\np {at}/{round}\n")));
    }
    let kept = kept_layer(1, &text);
    assert_eq!(kept.entry_count(), 2000 * 22);
    assert_eq!(merge(&[&kept], Time::default()).unwrap(), merge(&[&layer(1, &text)], Time::default()).unwrap());
}
