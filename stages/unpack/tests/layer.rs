//! Whole layers through the public interface: archive → index + pack → tree, and the pack again
//! from the index.

use std::io::{BufReader, Write as _};

use cvbake_tree::{Kind, Packs as _, Time};
use cvbake_unpack::{Index, merge, replay, unpack};

/// An archive of regular files, with the contents given.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o100_644);
        header.set_mtime(1);
        header.set_cksum();
        tar.append_data(&mut header, path, *content).expect("memory takes everything");
    }
    tar.into_inner().expect("memory takes everything")
}

/// Unpacks in pieces of odd lengths.
fn unpacked(archive: &[u8]) -> Result<(Index, Vec<u8>), cvbake_unpack::Error> {
    let mut pack = Vec::new();
    let mut out = |offset: u64, piece: &[u8]| {
        assert_eq!(offset, pack.len() as u64, "pieces come in order");
        pack.write_all(piece)
    };
    let index = unpack(&mut BufReader::with_capacity(777, archive), &mut out)?;
    Ok((index, pack))
}

fn contents() -> Vec<(String, Vec<u8>)> {
    let mut state = 1u32;
    let mut noise = |len: usize| -> Vec<u8> {
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(len)
        .collect()
    };
    let mut files: Vec<(String, Vec<u8>)> = [0, 1, 511, 512, 513, 4095, 4096, 4097, 1 << 20, (1 << 20) + 1, 3_000_000]
        .iter()
        .map(|&len| (format!("dir/noise{len}"), noise(len)))
        .collect();
    let mut holes = noise(100_000);
    holes[4096..40_960].fill(0);
    holes[90_000..].fill(0);
    files.push(("dir/holes".to_owned(), holes));
    files.push(("zeros".to_owned(), vec![0; 123_456]));
    files
}

#[test]
fn contents_arrive_and_can_be_replayed() {
    let files = contents();
    let borrowed: Vec<(&str, &[u8])> = files.iter().map(|(path, content)| (&**path, &**content)).collect();
    let archive = archive(&borrowed);
    let (index, pack) = unpacked(&archive).unwrap();
    assert_eq!(index.seal().len, pack.len() as u64);

    let tree = merge(&[&index], Time::default()).unwrap();
    let packs = vec![pack.clone()];
    assert!(packs.read_at(0, pack.len() as u64, &mut [0]).is_err());
    for (path, content) in &files {
        let Kind::File(data) = tree.lookup(path.as_bytes()).unwrap().kind() else { panic!("{path} is no file") };
        let mut read = Vec::new();
        data.read(&packs, &mut |bytes| read.write_all(bytes)).unwrap();
        assert!(&read == content, "{path} differs");
        let blocks = content.chunks(4096).filter(|block| block.iter().any(|&byte| byte != 0)).count();
        assert_eq!(data.stored_blocks(), blocks as u64, "{path}");
    }

    let index = Index::decode(&index.encode()).unwrap();
    let mut again = Vec::new();
    replay(&mut BufReader::with_capacity(999, &archive[..]), &index, &mut |_, piece| again.write_all(piece)).unwrap();
    assert!(again == pack, "the replayed pack differs");
}

#[test]
fn replaying_another_layer_is_noticed() {
    let (index, _) = unpacked(&archive(&[("a", b"one"), ("b", &[7; 5000])])).unwrap();
    for other in [
        archive(&[("a", b"two"), ("b", &[7; 5000])]),
        archive(&[("a", &[0; 3]), ("b", &[7; 5000])]),
        archive(&[("a", b"one")]),
        Vec::new(),
    ] {
        assert!(replay(&mut &other[..], &index, &mut |_, _| Ok(())).is_err());
    }
}

#[test]
fn names_with_a_meaning() {
    let (index, _) = unpacked(&archive(&[("a/x", b""), ("b/x", b""), ("c", b"")])).unwrap();
    let markers = [("a/.wh..wh..opq", &b""[..]), (".wh.c", b""), (".wh..wh.aufs", b""), (".wh..wh.plnk/1.2", b"x")];
    let (above, pack) = unpacked(&archive(&markers)).unwrap();
    assert!(pack.is_empty(), "leftovers have no content");
    let tree = merge(&[&index, &above], Time::default()).unwrap();
    let mut listing = Vec::new();
    tree.listing(&mut |_| Ok(None), &mut listing).unwrap();
    let paths: Vec<&str> =
        std::str::from_utf8(&listing).unwrap().lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(paths, ["/", "/a", "/b", "/b/x"]);

    for (path, expected) in [
        (".wh.", "a whiteout of \"\""),
        ("a/.wh..", "a whiteout of \".\""),
        (".wh...", "a whiteout of \"..\""),
        (".wh.a/b", "reserved for whiteouts"),
    ] {
        let error = unpacked(&archive(&[(path, b"")])).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("offset 0"), "{path}: {error}");
    }
}

#[test]
fn paths_that_are_all_directories_end() {
    // Long names that go into extended headers as they are.
    let deep = |number: usize| format!("{number}/{}f", "d/".repeat(30_000));
    let paths: Vec<String> = (0..40).map(deep).collect();
    let files: Vec<(&str, &[u8])> = paths.iter().map(|path| (&**path, &b""[..])).collect();
    assert!(unpacked(&archive(&files[..30])).is_ok());
    let error = unpacked(&archive(&files)).unwrap_err().to_string();
    assert!(error.starts_with("entry \"34/d/") && error.contains("too many for the entries"), "{error:.100}");
}
