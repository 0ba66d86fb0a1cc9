//! Plain bytes → compressed bytes, the same ones each time.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use zstd::stream::write::Encoder;

use super::Compression;

/// Writes a stream compressed: the output is a function of the input and of the versions of the libraries.
pub struct Compressor<W: Write> {
    engine: Engine<W>,
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
        Ok(Compressor { engine })
    }

    /// Ends the stream and gives the writer back.
    ///
    /// # Errors
    /// When the end can't be written.
    pub fn finish(self) -> io::Result<W> {
        match self.engine {
            Engine::Plain(out) => Ok(out),
            Engine::Gzip(encoder) => encoder.finish(),
            Engine::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.engine {
            Engine::Plain(out) => out.write(bytes),
            Engine::Gzip(encoder) => encoder.write(bytes),
            Engine::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.engine {
            Engine::Plain(out) => out.flush(),
            Engine::Gzip(encoder) => encoder.flush(),
            Engine::Zstd(encoder) => encoder.flush(),
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
}
