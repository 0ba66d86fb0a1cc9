//! Much of everything: entries in one directory, directories in one another, layers, names; with a
//! bound on memory.

use crate::registry::pull_and_build;
use crate::support::bake::Place;
use crate::support::image::{Compression, Images, Layer};
use crate::support::run::Outcome;
use crate::support::server::{Answer, Server};
use crate::support::tar::{Member, Tar};
use crate::support::{ext4, oracle, sample};

/// What a bake may use: 64 MiB and 200 bytes for every entry, and something for a build that is not
/// optimised.
fn assert_small(outcome: &Outcome, entries: u64) {
    let limit = 64 * 1024 + entries * 200 / 1024;
    eprintln!("{entries} entries: {} KiB at most, {limit} KiB allowed", outcome.peak_kib);
    assert!(outcome.peak_kib <= limit, "{} KiB for {entries} entries, {limit} allowed", outcome.peak_kib);
}

fn place(members: &[Member]) -> Place {
    Place::with(&Images::of(vec![Layer::new(Tar::of(members), Compression::Gzip)]))
}

/// Entries without the end of an archive.
fn entries(members: &[Member]) -> Vec<u8> {
    let mut tar = Tar::of(members).finish();
    tar.truncate(tar.len() - 1024);
    tar
}

/// A layer that goes on with the same piece many times over, in little memory.
fn repeating(head: &[u8], piece: &[u8], times: usize) -> Layer {
    let mut hasher = <sha2::Sha256 as sha2::Digest>::new();
    let mut blob = Vec::new();
    for (part, times) in [(head, 1), (piece, times), (&[0; 1024], 1)] {
        let member = Compression::Gzip.compress(part);
        for _ in 0..times {
            blob.extend_from_slice(&member);
            sha2::Digest::update(&mut hasher, part);
        }
    }
    let mut layer = Layer::from_bytes(Vec::new(), Compression::Gzip);
    layer.digest = crate::support::image::digest("sha256", &blob);
    layer.size = blob.len() as u64;
    layer.blob = blob;
    layer.diff_id = format!("sha256:{}", crate::support::image::hex(&sha2::Digest::finalize(hasher)));
    layer
}

/// 120 layers, each with a file of its own, one that all have, and a whiteout of the one before.
pub(crate) fn many_layers() -> Images {
    let layer = |number: u32| {
        let text = format!(
            "file own{number} \"{number}\"\nfile all \"{number}\"\nfile dir/{number}/f \"{number}\"\nfile .wh.own{}",
            number.wrapping_sub(1)
        );
        sample::layer(&text, if number.is_multiple_of(2) { Compression::Gzip } else { Compression::Zstd })
    };
    Images::of((0..120).map(layer).collect())
}

#[test]
fn layers() {
    let place = Place::with(&many_layers());
    let outcome = place.bake().ok();
    let listing = oracle::agreed_listing(&place.disk());
    assert_eq!(listing.lines().count(), 1 + 1 + 120 * 2 + 1 + 1, "{listing:.2000}");
    assert!(listing.contains("/own119 file"));
    assert_small(&outcome, 500);
}

#[test]
fn entries_in_one_directory() {
    const COUNT: u64 = 100_000;
    let members: Vec<_> =
        (0..COUNT).map(|at| Member::file(format!("dir/a-file-with-number-{at}").as_bytes(), b"")).collect();
    let place = place(&members);
    let outcome = place.bake().ok();
    oracle::fsck(&place.disk());
    assert_eq!(ext4::listing(&place.disk()).lines().count() as u64, COUNT + 2);
    assert_small(&outcome, COUNT);
    let outcome = place.bake().arg("--force").ok();
    assert_small(&outcome, COUNT);
    if crate::support::tools::needs_mounts("what the kernel finds on the disk") {
        // The kernel finds names through the index, not by reading everything.
        let mount = oracle::Mount::read_only(&place.disk());
        for at in (0..COUNT).step_by(997) {
            assert!(mount.root.join(format!("dir/a-file-with-number-{at}")).exists(), "{at}");
        }
        assert!(!mount.root.join("dir/a-file-with-number-x").exists());
        mount.unmount();
    }
}

#[test]
fn directories_in_one_directory() {
    const COUNT: u64 = 70_000;
    let members: Vec<_> = (0..COUNT).map(|at| Member::dir(format!("dir/{at}/").as_bytes())).collect();
    let place = place(&members);
    let outcome = place.bake().ok();
    oracle::fsck(&place.disk());
    assert_eq!(ext4::listing(&place.disk()).lines().count() as u64, COUNT + 2);
    assert_small(&outcome, COUNT);
}

#[test]
fn directories_in_one_another() {
    let path = vec!["d"; 1000].join("/");
    let place = place(&[Member::file(format!("{path}/file").as_bytes(), b"deep")]);
    place.bake().ok();
    let listing = oracle::agreed_listing(&place.disk());
    assert_eq!(listing.lines().count(), 1002);
    assert!(listing.contains(&format!("/{path}/file file")));
}

#[test]
fn directories_in_one_another_and_away_again() {
    let path = vec!["d"; 1000].join("/");
    let deep = |text: &str| sample::layer(text, Compression::Gzip);
    let layers =
        vec![deep(&format!("file {path}/file \"x\"")), deep("file .wh.d"), deep(&format!("file {path}/other \"y\""))];
    let place = Place::with(&Images::of(layers));
    place.bake().ok();
    let listing = oracle::agreed_listing(&place.disk());
    assert_eq!(listing.lines().count(), 1002);
    assert!(listing.contains(&format!("/{path}/other file")) && !listing.contains("/file "));
}

#[test]
fn many_small_files_in_many_directories() {
    const COUNT: u64 = 60_000;
    let file = |at: u64| {
        Member::file(format!("node_modules/p{}/lib/{}/f{at}.js", at / 60, at % 7).as_bytes(), &at.to_le_bytes())
    };
    let members: Vec<_> = (0..COUNT).map(file).collect();
    let place = place(&members);
    let outcome = place.bake().ok();
    oracle::fsck(&place.disk());
    let directories = 1 + 1000 * 9;
    assert_eq!(ext4::listing(&place.disk()).lines().count() as u64, 1 + directories + COUNT);
    assert_small(&outcome, COUNT + directories);
}

/// 1 GiB of zeros in a few kilobytes: memory is bounded by what is kept, and zeros are holes.
#[test]
fn a_layer_that_is_large_unpacked() {
    const PIECE: usize = 16 << 20;
    const PIECES: usize = 64;
    let head =
        Member { pax: vec![(b"size".to_vec(), (PIECE * PIECES).to_string().into())], ..Member::file(b"big", b"") };
    let layer = repeating(&entries(&[head]), &vec![0; PIECE], PIECES);
    let place = Place::with(&Images::of(vec![layer]));
    let outcome = place.bake().args(["--size", "min"]).ok();
    assert_small(&outcome, 1);
    oracle::fsck(&place.disk());
    let meta = std::fs::metadata(place.disk()).unwrap();
    let allocated = std::os::unix::fs::MetadataExt::blocks(&meta) * 512;
    assert!(allocated < 64 << 20, "zeros are holes: {allocated} bytes allocated of {}", meta.len());
    assert!(ext4::listing(&place.disk()).contains("/big file 0644 0:0 mtime=1.000000000 size=1073741824"));
}

/// As many layers as may be under way at once, and some more, all of which begin to arrive at the
/// same moment: none of them is held in memory, whatever it is compressed with and however many
/// threads read them.
#[test]
fn large_layers_that_arrive_at_once() {
    const CONNECTIONS: usize = 8;
    const LAYERS: usize = 12;
    const LEN: usize = 8 << 20;
    let layer = |number: usize| {
        let compression = [Compression::Gzip, Compression::Zstd, Compression::Plain][number % 3];
        sample::layer(&format!("file large{number} rand:{LEN}:{number}"), compression)
    };
    let images = Images::of((0..LAYERS).map(layer).collect());
    let layers: Vec<String> = images.images[0].layers.iter().map(|layer| layer.digest.clone()).collect();
    let place = Place::with(&images);
    for (stored, jobs) in [(true, "1"), (true, "2"), (false, "2"), (true, "8"), (false, "8")] {
        let layers = layers.clone();
        let is_layer = move |path: &str| layers.iter().any(|layer| path.ends_with(layer.as_str()));
        let server =
            Server::start(&place, move |asked| if is_layer(&asked.path) { Answer::Held(0) } else { Answer::Right });
        let _ = std::fs::remove_dir_all(place.store());
        let bake = pull_and_build(&place, &server.name()).args(["--size", "min", "--jobs", jobs]);
        let run = if stored { bake } else { bake.no_cache() }.spawn();
        server.wait_held(CONNECTIONS);
        server.open();
        let outcome = run.wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
        assert_eq!(server.most_at_once(), CONNECTIONS);
        // What they have in all would be more than that.
        const { assert!(LAYERS * LEN > 80 << 20) };
        // Each thread has a megabyte of its own.
        let limit = (64 + jobs.parse::<u64>().unwrap()) * 1024;
        eprintln!("{jobs} threads, with a store: {stored}: {} KiB at most, {limit} KiB allowed", outcome.peak_kib);
        assert!(outcome.peak_kib <= limit, "{} KiB with {jobs} threads, {limit} allowed", outcome.peak_kib);
    }
    oracle::fsck(&place.disk());
}

/// These entries in turn, over and over, more than a million in all.
fn over_and_over(head: &[Member], members: &[Member]) -> Place {
    const COUNT: usize = 1_200_000;
    // Pieces large enough that compressing them pays.
    let piece: Vec<Member> = members.iter().cycle().take(members.len() * (20_000 / members.len())).cloned().collect();
    let layer = repeating(&entries(head), &entries(&piece), COUNT / piece.len());
    Place::with(&Images::of(vec![layer]))
}

/// A million entries of one name are one file, in memory, too.
#[test]
fn one_name_over_and_over() {
    let place = over_and_over(&[], &[Member::file(b"f", b"")]);
    let outcome = place.bake().ok();
    assert_eq!(ext4::listing(&place.disk()).lines().count(), 2);
    assert_small(&outcome, 1);
    let outcome = place.bake().arg("--force").ok();
    assert_small(&outcome, 1);
}

/// As many of a few names in turn, of every kind, in several spellings.
#[test]
fn few_names_over_and_over() {
    let xattr = (b"SCHILY.xattr.user.a".to_vec(), b"1".to_vec());
    let times = [(b"atime".to_vec(), b"5".to_vec()), (b"ctime".to_vec(), b"6".to_vec())];
    let members = [
        Member::dir(b"d"),
        Member::file(b"d/f", b""),
        Member { pax: vec![xattr], ..Member::file(b"./d//g", b"") },
        Member { pax: times.to_vec(), ..Member::file(b"/d/x/../f", b"") },
        Member::link(b'2', b"d/l", b"one target"),
        Member::link(b'2', b"d/l", b"another"),
        Member::link(b'1', b"d/h", b"once"),
        Member { device: Some((1, 3)), ..Member::new(b'3', b"d/n") },
        Member::file(b"d/.wh.w", b""),
        Member::file(b"d/.wh..wh..opq", b""),
        Member::file(b".wh..wh.plnk/1.2", b""),
        Member::new(b'6', b"d/l"),
    ];
    let place = over_and_over(&[Member::file(b"once", b"once")], &members);
    let outcome = place.bake().ok();
    let listing = oracle::agreed_listing(&place.disk());
    assert_eq!(listing.lines().count(), 7, "{listing}");
    assert!(listing.contains("/d/l fifo") && listing.contains("link:/once"), "{listing}");
    assert_small(&outcome, 7);
}

/// Leftovers of AUFS of many names concern no image, and are no names.
#[test]
fn leftovers_of_many_names() {
    const COUNT: usize = 700_000;
    let mut tar = Tar::default();
    for at in 0..COUNT {
        tar.member(&Member::file(format!(".wh..wh.plnk/{at}.{}", "n".repeat(75)).as_bytes(), b""));
    }
    let place = Place::with(&Images::of(vec![Layer::new(tar, Compression::Gzip)]));
    let outcome = place.bake().ok();
    assert_small(&outcome, 1);
}

/// The limit and the number of entries that an error about the bulk of a layer tells.
fn bulk(outcome: &Outcome) -> (u64, u64) {
    let error = outcome.error(&[4]);
    let after = |text: &str| {
        let (_, rest) = error.split_once(text).unwrap_or_else(|| panic!("no {text}: {error}"));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("a number after {text}: {error}"))
    };
    (after("overwrite, where "), after("are allowed for "))
}

/// What a layer may take that is refused for its bulk: that of all entries, and the bulk itself.
fn assert_bulky(outcome: &Outcome) -> u64 {
    let (limit, entries) = bulk(outcome);
    assert_small(outcome, entries + limit / 200);
    entries
}

/// What is overwritten and can't be dropped comes to an end: here a link in a layer below could
/// lead elsewhere each time, a hard link keeps each file, and a file has content.
#[test]
fn overwritten_and_needed() {
    let through_a_link = [Member::file(b"somewhere/f", b"")];
    let linked = [Member::file(b"a", b""), Member::link(b'1', b"b", b"a")];
    let with_content = [Member::file(b"f", b"x")];
    // Content takes a block each time: 2 GB that a directory for temporary files need not have, and
    // that a plan does without.
    for (members, options) in [(&through_a_link[..], &[][..]), (&linked, &[]), (&with_content, &["--dry-run"])] {
        let outcome = over_and_over(&[], &[members, members].concat()).bake().args(options).run();
        assert!(assert_bulky(&outcome) < 10);
    }
}

/// Long targets of links that are all the same are there once.
#[test]
fn links_of_one_target() {
    const COUNT: u64 = 20_000;
    let target = [&b"/a"[..]; 2000].concat();
    let link = |at: u64| Member::link(b'2', format!("l{at}").as_bytes(), &target);
    let place = place(&(0..COUNT).map(link).collect::<Vec<_>>());
    let outcome = place.bake().ok();
    oracle::fsck(&place.disk());
    assert_small(&outcome, COUNT);
    let outcome = place.bake().arg("--force").ok();
    assert_small(&outcome, COUNT);
}

/// Long attributes of files, all different, are refused before there are many.
#[test]
fn attributes_that_all_differ() {
    const COUNT: usize = 40_000;
    let file = |at: usize| {
        let value = format!("{at:06}{}", "v".repeat(3500));
        let pax = vec![(b"SCHILY.xattr.user.a".to_vec(), value.into_bytes())];
        Member { pax, ..Member::file(format!("f{at}").as_bytes(), b"") }
    };
    let outcome = place(&(0..COUNT).map(file).collect::<Vec<_>>()).bake().run();
    assert!(outcome.error(&[4]).contains("extended attributes"));
    assert_bulky(&outcome);
    // Signatures of ordinary length are within the limit, however many files have one.
    let signed = |at: usize| {
        let value = format!("{at:06}{}", "s".repeat(300));
        let pax = vec![(b"SCHILY.xattr.security.ima".to_vec(), value.into_bytes())];
        Member {
            pax,
            ..Member::file(format!("a-name-of-some-sixty-bytes-as-they-are-found-in-images-{at}").as_bytes(), b"")
        }
    };
    place(&(0..150_000).map(signed).collect::<Vec<_>>()).bake().args(["--dry-run"]).ok();
}
