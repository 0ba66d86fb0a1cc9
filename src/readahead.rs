//! Reading a stream on threads of its own: one fills buffers ahead of whoever uses them, one looks at what passes.
//!
//! A layer costs inflating, hashing and unpacking, each about as much as the others. With a thread for each, an image of one
//! layer keeps as many cores busy as one of many.

use std::io::{self, BufRead, Read};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// How much is handed over at once: large enough that a hand-over costs nothing against filling it, small enough that a
/// buffer is still in the cache when it is used.
const BUFFER: usize = 256 * 1024;

/// How many buffers are on the way: one being filled, one being used, one being looked at, and some to even out.
const BUFFERS: usize = 8;

/// A buffer, and where it goes when nobody uses it any more.
struct Shared {
    bytes: Vec<u8>,
    used: Sender<Vec<u8>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // At the end nobody fills any more; then the buffer is no loss.
        let _ = self.used.send(mem::take(&mut self.bytes));
    }
}

type Filled = io::Result<Arc<Shared>>;

/// Does `work` on what `source` gives, which is read on another thread meanwhile; `watch`, if there is one, sees on a third one
/// every byte that `work` may see, in order.
///
/// The threads end when the source does or `work` returns; a source that can wait for ever may hold that up.
pub(crate) fn read_ahead<T>(
    source: impl BufRead + Send,
    watch: Option<impl FnMut(&[u8]) + Send>,
    work: impl FnOnce(&mut ReadAhead) -> T,
) -> T {
    let (filled, to_use) = sync_channel(BUFFERS);
    let (passed, to_watch) = sync_channel::<Arc<Shared>>(BUFFERS);
    let (used, to_fill) = channel();
    for _ in 0..BUFFERS {
        used.send(Vec::with_capacity(BUFFER)).expect("the receiver is here");
    }
    thread::scope(|scope| {
        let passed = watch.is_some().then_some(passed);
        scope.spawn(move || fill(source, to_fill, used, filled, passed));
        if let Some(mut watch) = watch {
            scope.spawn(move || to_watch.into_iter().for_each(|shared| watch(&shared.bytes)));
        }
        let mut ahead = ReadAhead { to_use, current: None, position: 0, ended: false };
        work(&mut ahead)
    })
}

/// Fills buffers until the source ends or fails, or nobody wants more.
fn fill(
    mut source: impl BufRead,
    to_fill: Receiver<Vec<u8>>,
    used: Sender<Vec<u8>>,
    filled: SyncSender<Filled>,
    passed: Option<SyncSender<Arc<Shared>>>,
) {
    for mut bytes in to_fill {
        bytes.clear();
        let read = source.by_ref().take(BUFFER as u64).read_to_end(&mut bytes);
        let ended = bytes.is_empty() || read.is_err();
        let shared = Arc::new(Shared { bytes, used: used.clone() });
        // Who watches waits for nobody but this thread, and ends after it.
        let _ = passed.as_ref().map(|passed| passed.send(Arc::clone(&shared)));
        let handed = match read {
            Ok(_) => filled.send(Ok(shared)),
            // What was read before the error counts: the reader sees the same bytes as without the thread.
            Err(error) => filled.send(Ok(shared)).and_then(|()| filled.send(Err(error))),
        };
        if ended || handed.is_err() {
            return;
        }
    }
}

/// The using end.
pub(crate) struct ReadAhead {
    to_use: Receiver<Filled>,
    current: Option<Arc<Shared>>,
    position: usize,
    ended: bool,
}

impl ReadAhead {
    fn rest(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |shared| &shared.bytes[self.position..])
    }
}

impl BufRead for ReadAhead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.rest().is_empty() && !self.ended {
            (self.current, self.position) = (None, 0);
            match self.to_use.recv() {
                Ok(Ok(shared)) => self.current = Some(shared),
                Ok(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Err(_) => self.ended = true,
            }
        }
        Ok(self.rest())
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
            (0..3_000_003u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
        for capacity in [1000, 1 << 20] {
            let source = BufReader::with_capacity(capacity, &bytes[..]);
            let (mut read, mut watched) = (Vec::new(), Vec::new());
            read_ahead(source, Some(|bytes: &[u8]| watched.extend_from_slice(bytes)), |ahead| {
                ahead.read_to_end(&mut read)
            })
            .unwrap();
            assert!(read == bytes);
            assert!(watched == bytes);
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
        let (mut read, mut watched) = (Vec::new(), 0);
        let source = BufReader::new(Failing(300_000));
        let error =
            read_ahead(source, Some(|bytes: &[u8]| watched += bytes.len()), |ahead| ahead.read_to_end(&mut read));
        assert_eq!((error.unwrap_err().to_string(), read.len(), watched), ("broken".to_owned(), 300_000, 300_000));
    }

    #[test]
    fn whoever_has_enough_may_leave() {
        let source = || BufReader::new(io::repeat(7));
        let first = read_ahead(source(), Some(|_: &[u8]| ()), |ahead| ahead.fill_buf().map(|bytes| bytes[0]));
        assert_eq!(first.unwrap(), 7);
        let nobody: Option<fn(&[u8])> = None;
        assert_eq!(read_ahead(source(), nobody, |ahead| ahead.fill_buf().map(|bytes| bytes[1])).unwrap(), 7);
    }
}
