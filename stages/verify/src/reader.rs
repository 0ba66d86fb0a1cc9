//! Readers that know what they have read.

use std::io::{self, BufRead, Read};

use crate::{Algorithm, Digest, Error, Hasher};

/// Reads bytes that must turn out to be the content of a digest.
///
/// The end of the stream is reported only when size and digest match; the bytes that complete the
/// size are handed out only when the digest matches; a byte more than the size is an error at once.
/// Errors are [`io::ErrorKind::InvalidData`] around a [`crate::Error`], and come again on every
/// further call. Bytes handed out earlier are worth nothing until the end was reported.
#[derive(Debug)]
pub struct CheckedReader<R> {
    inner: R,
    digest: Digest,
    size: u64,
    read: u64,
    state: Check,
}

#[derive(Debug)]
enum Check {
    Running(Hasher),
    Passed,
    Failed(Error),
}

impl<R: Read> CheckedReader<R> {
    /// A reader of what should be `size` bytes with this digest.
    pub fn new(inner: R, digest: Digest, size: u64) -> CheckedReader<R> {
        let state = Check::Running(Hasher::new(digest.algorithm()));
        CheckedReader { inner, digest, size, read: 0, state }
    }

    fn fail(&mut self, error: Error) -> io::Error {
        self.state = Check::Failed(error.clone());
        invalid(error)
    }

    fn complete(&mut self) -> io::Result<()> {
        let Check::Running(hasher) = std::mem::replace(&mut self.state, Check::Passed) else { return Ok(()) };
        let found = hasher.finish();
        if found == self.digest {
            return Ok(());
        }
        Err(self.fail(Error::BlobDigest { expected: self.digest.into(), found: found.into() }))
    }
}

impl<R: Read> Read for CheckedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Check::Failed(error) = &self.state {
            return Err(invalid(error.clone()));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        let (digest, expected, found) = (self.digest, self.size, self.read);
        if found > expected {
            return Err(self.fail(Error::BlobTooLong { digest, expected }));
        }
        if count == 0 && found < expected {
            return Err(self.fail(Error::BlobTooShort { digest, expected, found }));
        }
        if let Check::Running(hasher) = &mut self.state {
            hasher.update(&buffer[..count]);
        }
        if found == expected {
            self.complete()?;
        }
        Ok(count)
    }
}

/// Hashes and counts everything that passes: what makes a layer's `diff_id` of its uncompressed
/// stream.
///
/// It borrows the buffer of what it wraps, so nothing is copied, and it hashes a whole buffer at
/// once.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    /// Bytes consumed.
    consumed: u64,
    /// Bytes at the start of the current buffer that are hashed and not yet consumed.
    ahead: usize,
}

impl<R: BufRead> HashingReader<R> {
    /// Nothing hashed yet.
    pub fn new(inner: R, algorithm: Algorithm) -> HashingReader<R> {
        HashingReader { inner, hasher: Hasher::new(algorithm), consumed: 0, ahead: 0 }
    }

    /// How many bytes have been consumed so far.
    pub fn position(&self) -> u64 {
        self.consumed
    }

    /// What it wraps.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// Reads what is left, and gives the digest and the length of the whole stream.
    ///
    /// # Errors
    /// What the wrapped reader returns.
    pub fn finish(mut self) -> io::Result<(Digest, u64)> {
        loop {
            let rest = match self.fill_buf() {
                Ok(rest) => rest.len(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if rest == 0 {
                return Ok((self.hasher.finish(), self.consumed));
            }
            self.consume(rest);
        }
    }
}

impl<R: BufRead> BufRead for HashingReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let buffer = self.inner.fill_buf()?;
        if let Some(fresh) = buffer.get(self.ahead..) {
            self.hasher.update(fresh);
        }
        self.ahead = buffer.len();
        Ok(buffer)
    }

    fn consume(&mut self, amount: usize) {
        self.ahead = self.ahead.checked_sub(amount).expect("only bytes that fill_buf returned can be consumed");
        self.consumed += amount as u64;
        self.inner.consume(amount);
    }
}

impl<R: BufRead> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

pub(crate) fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte per call, and `Interrupted` before each.
    struct Slow<'b>(&'b [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = buffer.len().min(1);
            self.0.read(&mut buffer[..count])
        }
    }

    fn error_of(error: &io::Error) -> &Error {
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        error.get_ref().and_then(|inner| inner.downcast_ref()).expect("a typed error")
    }

    fn read(content: &[u8], digest: Digest, size: u64) -> io::Result<Vec<u8>> {
        let mut reader = CheckedReader::new(Slow(content, false), digest, size);
        let mut out = Vec::new();
        reader.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn checked_content_passes() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for content in [&b""[..], b"x", b"some content"] {
                let digest = Digest::for_bytes(algorithm, content);
                assert_eq!(read(content, digest, content.len() as u64).unwrap(), content);
            }
        }
    }

    #[test]
    fn checked_content_differs() {
        let digest = Digest::sha256(b"content");
        let error = read(b"contenT", digest, 7).unwrap_err();
        assert!(matches!(error_of(&error), Error::BlobDigest { expected, .. } if **expected == digest));
        let error = read(b"conte", digest, 7).unwrap_err();
        assert!(matches!(error_of(&error), Error::BlobTooShort { expected: 7, found: 5, .. }));
        let error = read(b"contents", digest, 7).unwrap_err();
        assert!(matches!(error_of(&error), Error::BlobTooLong { expected: 7, .. }));
        let error = read(b"content", digest, 6).unwrap_err();
        assert!(matches!(error_of(&error), Error::BlobDigest { .. }));
        let error = read(b"x", Digest::sha256(b""), 0).unwrap_err();
        assert!(matches!(error_of(&error), Error::BlobTooLong { expected: 0, .. }));
        let error = read(b"", digest, 0).unwrap_err();
        assert!(matches!(error_of(&error), Error::BlobDigest { .. }));
    }

    #[test]
    fn the_last_bytes_wait_for_the_digest() {
        let mut reader = CheckedReader::new(&b"evil"[..], Digest::sha256(b"good"), 4);
        let mut buffer = [0; 4];
        assert_eq!(reader.read(&mut []).unwrap(), 0);
        for _ in 0..3 {
            let error = reader.read(&mut buffer).unwrap_err();
            assert!(matches!(error_of(&error), Error::BlobDigest { .. }));
        }
    }

    #[test]
    fn an_endless_stream_ends_at_its_size() {
        let mut reader = CheckedReader::new(io::repeat(0), Digest::sha256(b""), 1000);
        let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert!(matches!(error_of(&error), Error::BlobTooLong { expected: 1000, .. }));
    }

    #[test]
    fn hashing_sees_every_byte_once() {
        let content: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let digest = Digest::sha256(&content);
        for step in [1, 7, 64, 997] {
            let mut reader = HashingReader::new(io::BufReader::with_capacity(64, &content[..]), Algorithm::Sha256);
            assert_eq!(reader.fill_buf().unwrap().len(), 64);
            assert_eq!(reader.fill_buf().unwrap().len(), 64);
            reader.consume(3);
            let mut some = vec![0; step];
            reader.read_exact(&mut some).unwrap();
            assert_eq!(some, content[3..3 + step]);
            assert_eq!(reader.position(), 3 + step as u64);
            assert_eq!(reader.finish().unwrap(), (digest, 1000), "step {step}");
        }
    }

    #[test]
    fn hashing_passes_errors_on() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let reader = HashingReader::new(io::BufReader::new(Broken), Algorithm::Sha512);
        assert_eq!(reader.finish().unwrap_err().to_string(), "broken");
    }
}
