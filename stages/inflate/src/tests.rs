//! What is true of every stream, whatever its pieces.

mod boundaries;
mod differential;
mod hostile;
mod members;
mod write;

use std::io::{self, BufRead, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::{Code, CodeFault, Error, GzipReader, Problem};

/// Gives never more than `1` bytes at once, and is interrupted in between.
struct Trickle<'a>(&'a [u8], usize, bool);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.2 = !self.2;
        if self.2 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = buffer.len().min(self.1);
        self.0.read(&mut buffer[..len])
    }
}

/// The bytes of a gzip stream, and the error behind them.
type Outcome = (Vec<u8>, Option<Error>);

fn read(gzip: &[u8], step: usize, capacity: usize) -> Outcome {
    let prefix = gzip.len().min(step % 5);
    let rest = Trickle(&gzip[prefix..], step, false);
    let mut reader = GzipReader::with_capacities(&gzip[..prefix], rest, 0, capacity);
    let mut plain = Vec::new();
    let error = loop {
        match reader.fill_buf() {
            Ok([]) => break None,
            Ok(piece) => {
                // Some of it only, now and then.
                let len = if plain.len() % 3 == 1 { piece.len().div_ceil(2) } else { piece.len() };
                plain.extend_from_slice(&piece[..len]);
                reader.consume(len);
            }
            Err(error) => break Some(error.downcast::<Error>().expect("an error of ours")),
        }
    };
    let again = reader.fill_buf().map(<[u8]>::len);
    match &error {
        None => {
            assert_eq!(again.unwrap(), 0, "the end is final");
            assert_eq!(reader.compressed_offset(), gzip.len() as u64);
        }
        Some(error) => assert_eq!(again.unwrap_err().downcast::<Error>().unwrap(), *error, "an error is final"),
    }
    (plain, error)
}

/// Reads in one piece and in some others, with the same outcome.
fn outcome(gzip: &[u8]) -> Outcome {
    let whole = read(gzip, usize::MAX, 1 << 18);
    for (step, capacity) in [(1, 1), (7, 300), (50, 5000)] {
        assert!(read(gzip, step, capacity) == whole, "in pieces of {step} to {capacity} bytes");
    }
    whole
}

/// A member with a right checksum and length.
fn member(body: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(plain);
    let header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";
    [header, body, &crc.sum().to_le_bytes(), &crc.amount().to_le_bytes()].concat()
}

/// What zlib-rs makes of deflate data.
#[derive(PartialEq, Debug)]
enum Verdict {
    /// The data ends after so many bytes.
    Whole(usize),
    Truncated,
    Corrupt,
}

fn oracle(body: &[u8]) -> (Vec<u8>, Verdict) {
    let mut inflater = Decompress::new(false);
    let mut plain = vec![0; 1 << 20];
    let status = inflater.decompress(body, &mut plain, FlushDecompress::Finish);
    let used = usize::try_from(inflater.total_in()).unwrap();
    plain.truncate(usize::try_from(inflater.total_out()).unwrap());
    assert!(plain.len() < 1 << 20, "inputs here are small");
    let verdict = match status {
        Ok(Status::StreamEnd) => Verdict::Whole(used),
        Ok(_) => Verdict::Truncated,
        Err(_) => Verdict::Corrupt,
    };
    (plain, verdict)
}

/// Deflate data is read as zlib-rs reads it, and refused where it refuses it. Gives the problem.
fn same_as_oracle(body: &[u8]) -> Option<Problem> {
    let (plain, verdict) = oracle(body);
    if let Verdict::Whole(used) = verdict {
        let good = member(&body[..used], &plain);
        assert!(outcome(&good) == (plain, None), "zlib-rs accepts it, we say {:?}", outcome(&good).1);
        return None;
    }
    let (found, error) = outcome(&[b"\x1f\x8b\x08\0\0\0\0\0\0\xff", body].concat());
    let problem = error.expect("zlib-rs refuses it").problem;
    let is_truncated = matches!(problem, Problem::Truncated { inside: "a member's data" });
    // zlib-rs goes on with an empty code of code lengths, and may meet the end before it finds
    // fault with what comes of it.
    let early = matches!(problem, Problem::Code { code: Code::Lengths, fault: CodeFault::Incomplete });
    let agree = is_truncated == (verdict == Verdict::Truncated);
    assert!(agree || early, "{problem}, but zlib-rs says {verdict:?}");
    // How far zlib-rs came before it noticed is its own affair, but what both gave is the same.
    let both = found.len().min(plain.len());
    assert!(found[..both] == plain[..both], "the same bytes before the error");
    Some(problem)
}

/// Repeatable noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Text that compresses, but not to nothing.
fn sample(len: usize) -> Vec<u8> {
    let mut noise = Noise(7);
    let mut text = Vec::new();
    while text.len() < len {
        match noise.below(4) {
            0 => text.push(noise.byte()),
            1 => text.extend(vec![noise.byte(); noise.below(300)]),
            2 if !text.is_empty() => {
                let start = noise.below(text.len());
                text.extend_from_within(start..text.len().min(start + 40));
            }
            _ => text.extend((0..noise.below(20)).map(|_| b"etaoin shrdlu\n"[noise.below(14)])),
        }
    }
    text.truncate(len);
    text
}
