//! Plain bytes → compressed bytes, the same ones each time.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use zstd::stream::write::Encoder;

use super::Compression;

/// How much an encoder is given at once, but for the last piece. What gzip encoders write depends
/// on where their input is cut: a stream that comes through a pipe in pieces of any length would be
/// another blob, with another digest, each time.
const PIECE: usize = 256 << 10;

/// Writes a stream compressed: the output is a function of the input and of the versions of the
/// libraries, however the input is cut.
///
/// To flush it does nothing: a flush has its mark in the compressed stream. [`Compressor::finish`]
/// writes everything.
pub struct Compressor<W: Write> {
    engine: Engine<W>,
    /// What is not a whole piece yet.
    piece: Vec<u8>,
}

enum Engine<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd(Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    /// Starts a stream; gzip has neither a name nor a time in it, zstd has a checksum.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(out: W, compression: Compression) -> io::Result<Compressor<W>> {
        /// What the programs use unless they are told otherwise.
        const GZIP_LEVEL: u32 = 6;
        const ZSTD_LEVEL: i32 = 3;
        let engine = match compression {
            Compression::None => Engine::Plain(out),
            Compression::Gzip => Engine::Gzip(GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL))),
            Compression::Zstd => {
                let mut encoder = Encoder::new(out, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Engine::Zstd(encoder)
            }
        };
        Ok(Compressor { engine, piece: Vec::new() })
    }

    /// Ends the stream and gives the writer back.
    ///
    /// # Errors
    /// When the end can't be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.engine.encode(&self.piece)?;
        match self.engine {
            Engine::Plain(out) => Ok(out),
            Engine::Gzip(encoder) => encoder.finish(),
            Engine::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Engine<W> {
    fn encode(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Engine::Plain(out) => out.write_all(piece),
            Engine::Gzip(encoder) => encoder.write_all(piece),
            Engine::Zstd(encoder) => encoder.write_all(piece),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Engine::Plain(out) = &mut self.engine {
            return out.write(bytes);
        }
        if let (true, Some(piece)) = (self.piece.is_empty(), bytes.get(..PIECE)) {
            self.engine.encode(piece)?;
            return Ok(PIECE);
        }
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.engine.encode(&self.piece)?;
            self.piece.clear();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.engine {
            Engine::Plain(out) => out.flush(),
            Engine::Gzip(_) | Engine::Zstd(_) => Ok(()),
        }
    }
}

impl<W: Write> std::fmt::Debug for Compressor<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::Decompressor;

    #[test]
    fn what_is_compressed_is_read_again() {
        let plain: Vec<u8> = (0..1_000_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let compress = || {
                let mut compressor = Compressor::new(Vec::new(), compression).unwrap();
                compressor.write_all(&plain).unwrap();
                compressor.finish().unwrap()
            };
            let compressed = compress();
            assert_eq!(compressed, compress(), "{compression}: the same bytes each time");
            assert_eq!(Compression::detect(&compressed), compression);
            let mut read = Vec::new();
            Decompressor::new(&compressed[..]).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == plain, "{compression}");
        }
    }

    /// Takes no more than a few bytes at once.
    struct Slow(Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(1021);
            self.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn where_the_input_is_cut_does_not_matter() {
        // Half of it can't be compressed, and the whole is no multiple of anything.
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let plain: Vec<u8> =
            (0..2_345_679_u32).map(|at| if at / 50_000 % 2 == 0 { noise() } else { at.to_le_bytes()[1] }).collect();
        let compress = |compression, cuts: &[usize], flushes: bool| {
            let mut compressor = Compressor::new(Slow(Vec::new()), compression).unwrap();
            let mut rest = &plain[..];
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                compressor.write_all(piece).unwrap();
                if flushes {
                    compressor.flush().unwrap();
                }
                rest = after;
                if rest.is_empty() {
                    return compressor.finish().unwrap().0;
                }
            }
            unreachable!("cuts are repeated")
        };
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let whole = compress(compression, &[plain.len()], false);
            let cuts: [&[usize]; 7] =
                [&[4096], &[65536], &[1, 70_001, 3], &[PIECE], &[PIECE - 1], &[PIECE + 1, 5], &[1_000_003, 17]];
            for cuts in cuts {
                assert!(compress(compression, cuts, false) == whole, "{compression}, {cuts:?}");
                assert!(compress(compression, cuts, true) == whole, "{compression}, {cuts:?}, flushed");
            }
        }
        let empty = |compression| Compressor::new(Vec::new(), compression).unwrap().finish().unwrap();
        assert_eq!(Compression::detect(&empty(Compression::Gzip)), Compression::Gzip);
    }
}
