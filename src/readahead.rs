//! Reading a stream on threads of its own: one fills buffers ahead of whoever uses them, one hashes
//! what passes.
//!
//! A layer is received, inflated, hashed and unpacked. With a thread for each of these, an image of
//! one layer keeps as many cores busy as an image of many.

use std::io::{self, BufRead, Read};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread;

use cvbake_hash::Stream;
use cvbake_verify::Digest;

use crate::seats::Seat;

/// How much is handed over at once: large enough that a hand-over costs nothing against filling it,
/// small enough that a buffer is still in the cache when it is used.
const BUFFER: usize = 256 * 1024;

/// How many buffers are on the way at least: one being filled, one being used, up to four being
/// hashed, and some to even out. More than wait to be hashed before that begins.
pub(crate) const BUFFERS: usize = 8;

/// How many are worth having where there are fewer cores than threads: whoever got no core for a
/// while has something to do afterwards.
const ENOUGH: usize = 24;

/// How many buffers each of several streams gets that are read at once: not more than a limit for
/// all of them together, beside the least that each needs.
pub(crate) fn buffers_for(streams: usize) -> usize {
    (2 * ENOUGH / streams.max(1)).clamp(BUFFERS, ENOUGH)
}

/// Who makes way where there are fewer cores than threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Priority {
    Normal,
    /// After the others: what takes longest should not be what is left in the end, when there is
    /// nothing to do beside it.
    Low,
}

impl Priority {
    /// That of one of several that are in order, the one with most to do at their head.
    pub(crate) fn of<T: PartialEq>(one: &T, order: &[T]) -> Priority {
        if order.first() == Some(one) { Priority::Normal } else { Priority::Low }
    }

    /// From now on this thread has it. There is no way back for it.
    fn take(self) {
        /// A thread then gets a third of what another gets.
        const LOW: i32 = 5;
        if self == Priority::Low {
            // Nobody in the place of a number is this thread. Where it is not allowed, it is as
            // good as without.
            let _ = rustix::process::getpriority_process(None)
                .and_then(|nice| rustix::process::setpriority_process(None, nice + LOW));
        }
    }
}

/// A buffer, and where it goes when nobody uses it any more.
struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    used: Sender<Vec<u8>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // At the end nobody fills any more; then the buffer is no loss.
        let _ = self.used.send(mem::take(&mut self.bytes));
    }
}

/// A buffer that is used in two places.
#[derive(Clone)]
struct Shared(Arc<Buffer>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes[..self.0.len]
    }
}

type Filled = io::Result<Shared>;

/// Does `work` on what `source` gives, which is read on another thread meanwhile, and hashed where
/// the stream is, if there is a `hash` to be made. The digest is that of all that `work` could see.
///
/// The threads end when the source does or `work` returns; a source that can wait for ever may hold
/// that up.
pub(crate) fn read_ahead<'s, T>(
    source: impl Read + Send,
    buffers: usize,
    priority: Priority,
    hash: Option<Stream>,
    work: impl FnOnce(&mut ReadAhead<'s>) -> T,
) -> (T, Option<Digest>) {
    let (filled, to_use) = sync_channel(buffers);
    let (used, back) = channel();
    let spare = Spare { warm: Vec::new(), to_make: buffers, back };
    thread::scope(|scope| {
        let filling = scope.spawn(move || {
            priority.take();
            fill(source, spare, used, filled, hash)
        });
        let mut ahead = ReadAhead { to_use, current: None, position: 0, ended: false, seat: None };
        let made = work(&mut ahead);
        drop(ahead);
        let hash = filling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (made, hash.map(Stream::finish))
    })
}

/// The buffers to fill.
struct Spare {
    /// Those that were used, the last one used last.
    warm: Vec<Vec<u8>>,
    /// How many are not made yet.
    to_make: usize,
    back: Receiver<Vec<u8>>,
}

impl Spare {
    /// A buffer: the one that was used last, because most of it is in a cache; a new one only if
    /// there is none.
    fn take(&mut self) -> Vec<u8> {
        self.warm.extend(self.back.try_iter());
        if let Some(buffer) = self.warm.pop() {
            return buffer;
        }
        if self.to_make > 0 {
            self.to_make -= 1;
            return vec![0; BUFFER];
        }
        self.back.recv().expect("whoever fills can send, too")
    }
}

/// Fills buffers until the source ends or fails, or nobody wants more.
fn fill(
    mut source: impl Read,
    mut spare: Spare,
    used: Sender<Vec<u8>>,
    filled: SyncSender<Filled>,
    mut hash: Option<Stream>,
) -> Option<Stream> {
    loop {
        let mut bytes = spare.take();
        let (len, read) = read_full(&mut source, &mut bytes);
        let ended = len < BUFFER;
        let shared = Shared(Arc::new(Buffer { bytes, len, used: used.clone() }));
        if let Some(hash) = &mut hash {
            hash.update(shared.clone());
        }
        let handed = match read {
            Ok(()) => filled.send(Ok(shared)),
            // What was read before the error counts: the reader sees the same bytes as without the
            // thread.
            Err(error) => filled.send(Ok(shared)).and_then(|()| filled.send(Err(error))),
        };
        if ended || handed.is_err() {
            break;
        }
    }
    hash
}

/// Fills a buffer as far as there is something to fill it with; gives how far, and why no farther
/// if that is an error.
fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> (usize, io::Result<()>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Err(error)),
        }
    }
    (filled, Ok(()))
}

/// The using end.
pub(crate) struct ReadAhead<'s> {
    to_use: Receiver<Filled>,
    current: Option<Shared>,
    position: usize,
    ended: bool,
    /// Given to others while there is nothing to use.
    seat: Option<&'s Seat<'s>>,
}

impl<'s> ReadAhead<'s> {
    /// From now on whoever reads works on a seat.
    pub(crate) fn sit(&mut self, seat: Option<&'s Seat<'s>>) {
        self.seat = seat;
    }

    fn next(&self) -> Result<Filled, RecvError> {
        let Some(seat) = self.seat else { return self.to_use.recv() };
        match self.to_use.try_recv() {
            Ok(filled) => {
                seat.offer();
                Ok(filled)
            }
            Err(TryRecvError::Empty) => seat.without(|| self.to_use.recv()),
            Err(TryRecvError::Disconnected) => Err(RecvError),
        }
    }

    fn rest(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |shared| &shared.as_ref()[self.position..])
    }
}

impl BufRead for ReadAhead<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.rest().is_empty() && !self.ended {
            (self.current, self.position) = (None, 0);
            match self.next() {
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

impl Read for ReadAhead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use cvbake_verify::Algorithm;

    use super::*;

    #[test]
    fn the_same_bytes_in_the_same_order() {
        let bytes: Vec<u8> =
            (0..3_000_003u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
        for capacity in [1000, 1 << 20] {
            let source = BufReader::with_capacity(capacity, &bytes[..]);
            let mut read = Vec::new();
            let stream = Stream::aside(Algorithm::Sha256);
            let (done, digest) =
                read_ahead(source, BUFFERS, Priority::Normal, Some(stream), |ahead| ahead.read_to_end(&mut read));
            done.unwrap();
            assert!(read == bytes);
            assert_eq!(digest, Some(Digest::sha256(&bytes)));
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
        let source = BufReader::new(Failing(300_000));
        let stream = Stream::aside(Algorithm::Sha512);
        let (done, digest) =
            read_ahead(source, BUFFERS, Priority::Normal, Some(stream), |ahead| ahead.read_to_end(&mut read));
        assert_eq!((done.unwrap_err().to_string(), read.len()), ("broken".to_owned(), 300_000));
        assert_eq!(digest, Some(Digest::for_bytes(Algorithm::Sha512, &read)));
    }

    #[test]
    fn whoever_has_enough_may_leave() {
        let source = || BufReader::new(io::repeat(7));
        for hash in [None, Some(Stream::aside(Algorithm::Sha256))] {
            let (first, _) =
                read_ahead(source(), BUFFERS, Priority::Low, hash, |ahead| ahead.fill_buf().map(|bytes| bytes[0]));
            assert_eq!(first.unwrap(), 7);
        }
    }
}
