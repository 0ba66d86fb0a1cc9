//! Inflating, side by side: this crate, flate2 with zlib-rs as a stream in equally large pieces,
//! and libdeflate, which needs the whole input and output in memory and sets the mark.
//!
//! ```sh
//! cargo bench -p cvbake-inflate                     # data made of the programs of this machine
//! cargo bench -p cvbake-inflate -- LAYER.tar.gz …   # gzip files, with one member each
//! ```
//!
//! The contestants take turns and the fastest turn of each counts, so that other load on the
//! machine hits all alike. Each checks CRC and length.
#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::hint::black_box;
use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use cvbake_inflate::GzipReader;
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// How often everybody gets a turn.
const TURNS: usize = 15;

/// How much is taken of the programs of this machine.
const SAMPLE: usize = 64 << 20;

/// Inflates a stream; into this memory, where it needs it.
type Contestant = fn(&[u8], &mut [u8]);

const CONTESTANTS: [Contestant; 3] = [ours, zlib_rs, libdeflate];

fn main() {
    // `cargo test` runs benchmarks, too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let files: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    println!(
        "{:32} {:>10} {:>10} {:>10}   {:>10} {:>10}",
        "MB/s of output", "ours", "zlib-rs", "libdeflate", "/zlib-rs", "/libdefl."
    );
    for file in &files {
        let gzip = std::fs::read(file).expect("a file that can be read");
        compare(Path::new(file).file_name().unwrap_or_default().to_string_lossy().as_ref(), &gzip);
    }
    if files.is_empty() {
        let plain = programs();
        for level in [1, 6, 9] {
            compare(&format!("programs, level {level}"), &compress(&plain, level));
        }
        compare("text, level 6", &compress(&text(SAMPLE / 4), 6));
    }
}

fn compare(name: &str, gzip: &[u8]) {
    let mut plain = Vec::new();
    GzipReader::new(gzip).read_to_end(&mut plain).expect("a gzip stream");
    let mut best = [Duration::MAX; CONTESTANTS.len()];
    for _ in 0..TURNS {
        for (run, best) in CONTESTANTS.iter().zip(&mut best) {
            let start = Instant::now();
            run(black_box(gzip), &mut plain);
            *best = start.elapsed().min(*best);
        }
    }
    let [ours, zlib_rs, libdeflate] = best.map(|best| plain.len() as f64 / 1e6 / best.as_secs_f64());
    let (to_zlib_rs, to_libdeflate) = (ours / zlib_rs, ours / libdeflate);
    println!("{name:32} {ours:10.0} {zlib_rs:10.0} {libdeflate:10.0}   {to_zlib_rs:10.3} {to_libdeflate:10.3}");
}

fn ours(gzip: &[u8], plain: &mut [u8]) {
    let mut reader = GzipReader::new(gzip);
    let mut total = 0;
    loop {
        let piece = black_box(reader.fill_buf().expect("a gzip stream")).len();
        if piece == 0 {
            break;
        }
        reader.consume(piece);
        total += piece;
    }
    assert_eq!(total, plain.len());
}

/// As a stream is read with it: 128 KiB in, 256 KiB out.
fn zlib_rs(gzip: &[u8], plain: &mut [u8]) {
    let (mut inflater, mut crc) = (Decompress::new(false), Crc::new());
    let mut output = vec![0; 256 << 10];
    let mut input = &gzip[header(gzip)..];
    loop {
        let (before, made) = (inflater.total_in(), inflater.total_out());
        let piece = &input[..input.len().min(128 << 10)];
        let status = inflater.decompress(piece, &mut output, FlushDecompress::None).expect("deflate data");
        input = &input[usize::try_from(inflater.total_in() - before).expect("a piece")..];
        crc.update(black_box(&output[..usize::try_from(inflater.total_out() - made).expect("a piece")]));
        if status == Status::StreamEnd {
            break;
        }
    }
    assert_eq!(crc.sum().to_le_bytes(), input[..4]);
    assert_eq!(inflater.total_out(), plain.len() as u64);
}

fn libdeflate(gzip: &[u8], plain: &mut [u8]) {
    let made = libdeflater::Decompressor::new().gzip_decompress(gzip, plain).expect("one member");
    assert_eq!(made, plain.len());
}

/// How long the header of a member is.
fn header(gzip: &[u8]) -> usize {
    let mut at = 10;
    let flags = gzip[3];
    if flags & 4 != 0 {
        at += 2 + usize::from(u16::from_le_bytes([gzip[10], gzip[11]]));
    }
    for text in [8, 16] {
        if flags & text != 0 {
            at += gzip[at..].iter().position(|&byte| byte == 0).expect("an end") + 1;
        }
    }
    at + usize::from(flags & 2)
}

fn compress(plain: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}

/// The programs of this machine one behind the other, as far as they can be read.
fn programs() -> Vec<u8> {
    let mut files: Vec<_> =
        std::fs::read_dir("/usr/bin").into_iter().flatten().flatten().map(|file| file.path()).collect();
    files.sort();
    let mut plain = text(1 << 20);
    for file in files {
        plain.extend(std::fs::read(file).unwrap_or_default());
        if plain.len() > SAMPLE {
            break;
        }
    }
    plain
}

/// Words of made-up frequency.
fn text(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let words: Vec<Vec<u8>> = (0..5000)
        .map(|_| {
            (0..2 + below(9)).map(|_| b"etaoinshrdlucmfwypvbgkjqxz"[(below(26) * below(26) / 26) as usize]).collect()
        })
        .collect();
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        let rank = below(5000) * below(5000) / 5000;
        text.extend_from_slice(&words[rank as usize]);
        text.push(if below(12) == 0 { b'\n' } else { b' ' });
    }
    text
}
