//! Reading a stream on a thread of its own, some buffers ahead of whoever uses it.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// How much is handed over at once: large enough that a hand-over costs nothing against filling it, small enough that a
/// buffer is still in the cache when it is used.
const BUFFER: usize = 256 * 1024;

/// How many buffers are on the way: one being filled, one being used, and some to even out.
const BUFFERS: usize = 6;

type Filled = io::Result<Vec<u8>>;

/// Does `work` on what `source` gives, which is read on another thread meanwhile.
///
/// The thread ends when the source does or `work` returns; a source that can wait for ever may hold that up.
pub(crate) fn read_ahead<T>(source: impl BufRead + Send, work: impl FnOnce(&mut ReadAhead) -> T) -> T {
    let (filled, to_use) = sync_channel(BUFFERS);
    let (used, to_fill) = channel();
    for _ in 0..BUFFERS {
        used.send(Vec::with_capacity(BUFFER)).expect("the receiver is here");
    }
    thread::scope(|scope| {
        scope.spawn(|| fill(source, to_fill, filled));
        let mut ahead = ReadAhead { to_use, used, current: Vec::new(), position: 0, ended: false };
        work(&mut ahead)
    })
}

/// Fills buffers until the source ends or fails, or nobody wants more.
fn fill(mut source: impl BufRead, to_fill: Receiver<Vec<u8>>, filled: SyncSender<Filled>) {
    for mut buffer in to_fill {
        buffer.clear();
        let read = source.by_ref().take(BUFFER as u64).read_to_end(&mut buffer);
        let ended = buffer.is_empty() || read.is_err();
        let handed = match read {
            Ok(_) => filled.send(Ok(buffer)),
            // What was read before the error counts: the reader sees the same bytes as without the thread.
            Err(error) => filled.send(Ok(buffer)).and_then(|()| filled.send(Err(error))),
        };
        if ended || handed.is_err() {
            return;
        }
    }
}

/// The using end.
pub(crate) struct ReadAhead {
    to_use: Receiver<Filled>,
    used: Sender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
    ended: bool,
}

impl BufRead for ReadAhead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.current.len() && !self.ended {
            // At the end nobody fills any more; then the buffer is no loss.
            let _ = self.used.send(std::mem::take(&mut self.current));
            self.position = 0;
            match self.to_use.recv() {
                Ok(Ok(buffer)) => self.current = buffer,
                Ok(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Err(_) => self.ended = true,
            }
        }
        Ok(&self.current[self.position..])
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount;
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn the_same_bytes_in_the_same_order() {
        let bytes: Vec<u8> =
            (0..2_000_003u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
        for capacity in [1000, 1 << 20] {
            let source = BufReader::with_capacity(capacity, &bytes[..]);
            let mut read = Vec::new();
            read_ahead(source, |ahead| ahead.read_to_end(&mut read)).unwrap();
            assert!(read == bytes);
        }
    }

    #[test]
    fn an_error_comes_after_the_bytes_before_it() {
        struct Failing(usize);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let count = self.0.min(buffer.len());
                self.0 -= count;
                if count == 0 { Err(io::Error::other("broken")) } else { Ok(count) }
            }
        }
        let mut read = Vec::new();
        let error = read_ahead(BufReader::new(Failing(300_000)), |ahead| ahead.read_to_end(&mut read)).unwrap_err();
        assert_eq!((error.to_string(), read.len()), ("broken".to_owned(), 300_000));
    }

    #[test]
    fn whoever_has_enough_may_leave() {
        let first = read_ahead(BufReader::new(io::repeat(7)), |ahead| ahead.fill_buf().map(|bytes| bytes[0]));
        assert_eq!(first.unwrap(), 7);
    }
}
