//! Tar bytes → the blob of a layer, in every legal and many an illegal compression.
//!
//! ```text
//! layer [gzip|zstd|plain]      gzip where nothing is said
//!   members=N                  gzip members or zstd frames, the tar cut into so many pieces
//!   skippable=CONTENT          a skippable zstd frame before, between and behind the others
//!   window=LOG                 a zstd frame of raw blocks that claims a window of 2^LOG bytes
//!   tarcut=N                   N bytes less of tar
//!   cut=N append=CONTENT       N bytes less of compressed data, then more bytes
//!   flip=OFFSET                one bit of the compressed data changed (counted from the end if negative)
//!   blob=CONTENT               the compressed data as it is
//!   media=TYPE digest=TEXT size=N diffid=TEXT alg=sha256|sha512   what manifest and config claim
//! ```

use std::io::Write as _;

use super::digest;
use crate::tar::Tar;
use crate::text::Line;

/// A layer as it stands in an image.
#[derive(Debug, Clone)]
pub struct Layer {
    pub tar: Vec<u8>,
    pub blob: Vec<u8>,
    pub compression: Compression,
    pub media: Option<String>,
    pub digest: String,
    pub size: u64,
    pub diff_id: String,
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    Gzip,
    Zstd,
}

impl Compression {
    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Compression::Plain => bytes.to_vec(),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).expect("memory takes everything");
                encoder.finish().expect("memory takes everything")
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("level 1 exists");
                encoder.include_checksum(true).expect("zstd has checksums");
                encoder.write_all(bytes).expect("memory takes everything");
                encoder.finish().expect("memory takes everything")
            }
        }
    }
}

impl Layer {
    /// A layer that tells the truth.
    pub fn new(tar: Tar, compression: Compression) -> Layer {
        Layer::from_bytes(tar.finish(), compression)
    }

    /// A layer that tells the truth about bytes which may be no archive.
    pub fn from_bytes(tar: Vec<u8>, compression: Compression) -> Layer {
        let blob = compression.compress(&tar);
        Layer {
            compression,
            media: None,
            digest: digest("sha256", &blob),
            size: blob.len() as u64,
            diff_id: digest("sha256", &tar),
            tar,
            blob,
        }
    }

    /// A layer as a `layer` line of a fixture describes it.
    pub fn from_line(line: &Line, tar: Tar) -> Layer {
        let exact = ["members", "skippable", "window", "tarcut", "cut", "append", "flip", "blob"];
        line.only_keys(&[&exact[..], &["media", "digest", "size", "diffid", "alg"]].concat(), &[]);
        let compression = match line.words.first().map(Vec::as_slice) {
            None | Some(b"gzip") => Compression::Gzip,
            Some(b"zstd") => Compression::Zstd,
            Some(b"plain") => Compression::Plain,
            Some(other) => panic!("line {}: no compression is called {}", line.number, other.escape_ascii()),
        };
        let mut tar = tar.finish();
        tar.truncate(tar.len() - line.number::<usize>("tarcut").unwrap_or(0));
        let mut blob = compressed(line, &tar, compression);
        blob.truncate(blob.len() - line.number::<usize>("cut").unwrap_or(0));
        blob.extend_from_slice(line.key("append").unwrap_or_default());
        if let Some(offset) = line.number::<isize>("flip") {
            let at = if offset < 0 { blob.len() - offset.unsigned_abs() } else { offset.unsigned_abs() };
            blob[at] ^= 1;
        }
        let algorithm = line.key_text("alg").unwrap_or_else(|| "sha256".to_owned());
        Layer {
            compression,
            media: line.key_text("media"),
            digest: line.key_text("digest").unwrap_or_else(|| digest(&algorithm, &blob)),
            size: line.number("size").unwrap_or(blob.len() as u64),
            diff_id: line.key_text("diffid").unwrap_or_else(|| digest(&algorithm, &tar)),
            tar,
            blob,
        }
    }
}

fn compressed(line: &Line, tar: &[u8], compression: Compression) -> Vec<u8> {
    if let Some(blob) = line.key("blob") {
        return blob.to_vec();
    }
    if let Some(log) = line.number::<u8>("window") {
        return raw_frame(tar, log);
    }
    let pieces = line.number::<usize>("members").unwrap_or(1);
    let skippable = line.key("skippable").map(|content| {
        let len = u32::try_from(content.len()).expect("a small frame");
        [&0x184d_2a53_u32.to_le_bytes()[..], &len.to_le_bytes(), content].concat()
    });
    let mut blob = skippable.clone().unwrap_or_default();
    for piece in tar.chunks(tar.len().div_ceil(pieces).max(1)) {
        blob.extend(compression.compress(piece));
        blob.extend_from_slice(skippable.as_deref().unwrap_or_default());
    }
    blob
}

/// A zstd frame of stored blocks (RFC 8878): the only way to claim a window that no content of this
/// size needs.
fn raw_frame(bytes: &[u8], window_log: u8) -> Vec<u8> {
    const BLOCK: usize = 128 * 1024;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    let blocks = bytes.len().div_ceil(BLOCK);
    for (at, block) in bytes.chunks(BLOCK).enumerate() {
        let header = u32::try_from(block.len()).expect("a small block") << 3 | u32::from(at + 1 == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    frame
}

#[test]
fn other_programs_read_it() {
    let tar = crate::text::noise(300_000, 1);
    let lines = crate::text::lines(
        "layer gzip members=3\nlayer zstd members=3 skippable=\"skip\"\nlayer zstd window=20\nlayer plain",
    );
    for (line, program) in lines.iter().zip(["gzip", "zstd", "zstd", "cat"]) {
        let blob = compressed(line, &tar, Layer::from_line(line, Tar::default()).compression);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("blob");
        std::fs::write(&file, blob).unwrap();
        let args: &[&str] = if program == "cat" { &[] } else { &["-dc"] };
        let output = std::process::Command::new(program)
            .args(args)
            .stdin(std::fs::File::open(&file).unwrap())
            .output()
            .unwrap_or_else(|error| panic!("{program} does not run (Debian package {program}): {error}"));
        assert!(output.status.success() && output.stdout == tar, "{line:?}");
    }
}
