//! A blob, as it arrives: handed on at once, kept in the store meanwhile, and gone on with after
//! every interruption.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use cvbake_hash::Stream;
use cvbake_store::Partial;
use cvbake_verify::Digest;

use super::endpoints::{Endpoints, Turns};
use super::http::Reply;
use super::problem::{Problem, shorten};
use super::retry::{Attempts, Failure};
use super::slots::Slot;
use crate::Event;

/// How many bytes must have come since the last failure for it to be forgotten. A server that gives
/// less each time is as good as none.
const MIN_PROGRESS: u64 = 64 << 10;

/// How much of what is on disk already is read at once.
const BUFFER: usize = 256 << 10;

/// Reads a blob from a registry, or one after the other. The last bytes are handed out only when
/// the digest is right.
pub(super) struct Download<'s> {
    endpoints: Arc<Endpoints<'s>>,
    turns: Turns,
    /// The first of those that something came from.
    sender: Option<usize>,
    /// Whether it began with what an earlier run has left.
    resumed: bool,
    digest: Digest,
    size: u64,
    /// Where what comes is kept, until it is a blob.
    kept: Option<Partial>,
    hash: Stream,
    /// How many bytes are hashed, or are being, and have been, or are being, handed out.
    position: u64,
    /// How many bytes have been handed out.
    handed: u64,
    chunk: Bytes,
    body: Option<Body>,
    attempts: Attempts,
    gained: u64,
    /// The server answered a range with something else: it gets no second chance.
    no_ranges: bool,
    state: State,
    /// Held as long as there may be a connection.
    slot: Option<Slot>,
    begun: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Complete,
    Failed,
}

#[derive(Debug)]
struct Body {
    reply: Reply,
    /// How many bytes come before the first that is wanted.
    skip: u64,
    /// Whether nothing says where it ends.
    open: bool,
}

impl<'s> Download<'s> {
    pub(super) fn new(
        endpoints: Arc<Endpoints<'s>>,
        digest: Digest,
        size: u64,
        kept: Option<Partial>,
        slot: Slot,
    ) -> Download<'s> {
        let turns = endpoints.turns(Some(&digest));
        Download {
            attempts: turns.attempts(),
            endpoints,
            turns,
            sender: None,
            resumed: kept.as_ref().is_some_and(|kept| !kept.is_empty()),
            digest,
            size,
            kept,
            hash: Stream::new(digest.algorithm(), size),
            position: 0,
            handed: 0,
            chunk: Bytes::new(),
            body: None,
            gained: 0,
            no_ranges: false,
            state: State::Running,
            slot: Some(slot),
            begun: Instant::now(),
        }
    }

    fn new_hash(&self) -> Stream {
        Stream::new(self.digest.algorithm(), self.size)
    }

    fn fill(&mut self) -> Result<(), Problem> {
        while self.chunk.is_empty() && self.state == State::Running {
            let on_disk = self.kept.as_ref().map_or(0, Partial::len);
            if on_disk > self.size {
                self.restart()?;
            } else if self.position < on_disk {
                self.read_kept(on_disk)?;
            } else if self.position < self.size {
                match self.receive() {
                    Ok(()) => {}
                    Err(failure) => {
                        self.body = None;
                        self.gained = 0;
                        let session = self.endpoints.session(&self.turns);
                        match session.failed(&mut self.attempts, failure) {
                            Ok(()) => {}
                            Err(problem) => self.turn(problem)?,
                        }
                    }
                }
            }
            if self.position == self.size
                && let Err(problem) = self.complete()
            {
                if !matches!(problem, Problem::Digest { .. }) {
                    return Err(problem);
                }
                let resumed = self.resumed;
                if resumed {
                    self.endpoints.tell(Event::Damaged { digest: self.digest, again: true });
                }
                self.suspect();
                if self.handed > 0 {
                    // Who has read the rest must begin again.
                    return Err(problem);
                }
                if resumed {
                    (self.body, self.resumed) = (None, false);
                } else {
                    self.turn(problem)?;
                }
                (self.position, self.sender, self.chunk) = (0, None, Bytes::new());
                self.hash = self.new_hash();
            }
        }
        Ok(())
    }

    /// Something of this was wrong: what an earlier run has left, if there was anything, or else
    /// what was sent now.
    fn suspect(&self) {
        match self.sender {
            _ if self.resumed => self.endpoints.suspect_kept(self.digest),
            Some(sender) => self.endpoints.suspect(self.digest, sender),
            None => {}
        }
    }

    /// The next registry is asked for the rest.
    fn turn(&mut self, problem: Problem) -> Result<(), Problem> {
        self.endpoints.next(&mut self.turns, problem)?;
        (self.body, self.no_ranges, self.attempts) = (None, false, self.turns.attempts());
        Ok(())
    }

    /// What an earlier run received.
    fn read_kept(&mut self, on_disk: u64) -> Result<(), Problem> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let wanted = usize::try_from(on_disk - self.position).map_or(BUFFER, |left| left.min(BUFFER));
        let mut buffer = vec![0; wanted];
        if let Err(source) = kept.file().read_exact_at(&mut buffer, self.position) {
            let of_medium = Partial::is_of_medium(&source);
            let problem = store(kept.unreadable(source));
            return if of_medium { self.give_up_kept(problem) } else { Err(problem) };
        }
        self.position += wanted as u64;
        self.chunk = buffer.into();
        self.hash.update(self.chunk.clone());
        Ok(())
    }

    /// What an earlier run received can't be read, and is received again.
    fn give_up_kept(&mut self, problem: Problem) -> Result<(), Problem> {
        if self.restart().is_err() {
            return Err(problem);
        }
        self.endpoints.tell(Event::Damaged { digest: self.digest, again: true });
        self.endpoints.suspect_kept(self.digest);
        if self.handed > 0 {
            // Who has read the rest must begin again.
            return Err(problem);
        }
        (self.position, self.resumed) = (0, false);
        self.hash = self.new_hash();
        Ok(())
    }

    /// The next bytes from the network.
    fn receive(&mut self) -> Result<(), Failure> {
        if self.body.is_none() {
            self.body = self.start()?;
        }
        let Some(body) = &mut self.body else { return Ok(()) };
        let Some(mut bytes) = body.reply.chunk()? else {
            let host = body.reply.host.clone();
            return Err(Problem::Cut { host, expected: self.size, found: self.position }.into());
        };
        let skipped = usize::try_from(body.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        body.skip -= skipped as u64;
        let _ = bytes.split_to(skipped);
        let found = self.position + bytes.len() as u64;
        if found > self.size {
            return Err(self.too_long(found).into());
        }
        if let Some(kept) = &mut self.kept {
            kept.append(&bytes).map_err(store)?;
        }
        self.hash.update(bytes.clone());
        self.position = found;
        self.sender.get_or_insert(self.turns.current());
        self.gained += bytes.len() as u64;
        if self.gained >= MIN_PROGRESS {
            self.attempts.progress();
        }
        self.chunk = bytes;
        Ok(())
    }

    fn too_long(&mut self, found: u64) -> Problem {
        let host = self.body.as_ref().map(|body| body.reply.host.clone()).unwrap_or_default();
        Problem::Length { host, expected: self.size, found }
    }

    /// Asks for what is missing. `None`: to be asked again, otherwise.
    fn start(&mut self) -> Result<Option<Body>, Failure> {
        let from = (self.position > 0 && !self.no_ranges).then_some(self.position);
        let path = format!("blobs/{}", self.digest);
        let wanted = if from.is_some() { "206" } else { "200" };
        let reply = self.endpoints.session(&self.turns).try_get(&path, "*/*", from, wanted)?;
        let host = || reply.host.clone();
        let plain = |found: &&str| found.is_empty() || found.eq_ignore_ascii_case("identity");
        if let Some(found) = reply.header("Content-Encoding").filter(|found| !plain(found)) {
            return Err(Problem::Encoding { host: host(), found: shorten(found) }.into());
        }
        if let Some(found) = reply.content_type().filter(|found| found == "text/html") {
            return Err(Problem::ContentType { host: host(), found, expected: "a blob" }.into());
        }
        let (begins, expected) = match reply.status() {
            206 if range_begins(&reply, self.size) == Some(self.position) => (self.position, self.size - self.position),
            206 | 416 => {
                self.no_ranges = true;
                return Ok(None);
            }
            _ => (0, self.size),
        };
        let length = reply.content_length();
        match length {
            Some(found) if found != expected => Err(Problem::Length { host: host(), expected, found }.into()),
            _ => Ok(Some(Body { reply, skip: self.position - begins, open: length.is_none() })),
        }
    }

    /// Checks the whole, and keeps it.
    fn complete(&mut self) -> Result<(), Problem> {
        let host = self.body.as_ref().map_or_else(|| "the store".to_owned(), |body| body.reply.host.clone());
        if let Some(body) = self.body.as_mut().filter(|body| body.open)
            && let Ok(Some(more)) = body.reply.chunk()
            && !more.is_empty()
        {
            let found = self.size + more.len() as u64;
            return Err(self.too_long(found));
        }
        let hash = std::mem::replace(&mut self.hash, Stream::new(self.digest.algorithm(), 0));
        let found = hash.finish();
        if found != self.digest {
            self.restart()?;
            return Err(Problem::Digest { host, expected: Box::new(self.digest), found: Box::new(found) });
        }
        tracing::debug!("{} from {host}: {} bytes in {} ms", self.digest, self.size, self.begun.elapsed().as_millis());
        if let Some(kept) = self.kept.take() {
            kept.commit().map_err(store)?;
            self.endpoints.arrived(&self.digest);
        }
        (self.body, self.slot) = (None, None);
        self.state = State::Complete;
        Ok(())
    }

    /// Throws away what is kept.
    fn restart(&mut self) -> Result<(), Problem> {
        self.kept.as_mut().map_or(Ok(()), Partial::restart).map_err(store)
    }
}

/// Where the content of a 206 begins, if it is of the blob at all.
fn range_begins(reply: &Reply, size: u64) -> Option<u64> {
    let (range, total) = reply.header("Content-Range")?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let whole = total == "*" || total.parse() == Ok(size);
    (whole && last.parse::<u64>() == Ok(size.checked_sub(1)?)).then(|| first.parse().ok()).flatten()
}

pub(super) fn store(source: cvbake_store::Error) -> Problem {
    Problem::Store { source: Box::new(source) }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.state == State::Failed {
            return Err(io::Error::other(format!("the download of {} has failed", self.digest)));
        }
        if let Err(problem) = self.fill() {
            self.state = State::Failed;
            (self.body, self.kept, self.slot) = (None, None, None);
            return Err(self.endpoints.error(&format!("blob {}", self.digest), problem).into_io());
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk[..count]);
        let _ = self.chunk.split_to(count);
        self.handed += count as u64;
        Ok(count)
    }
}

impl Drop for Download<'_> {
    /// Who stops reading may have found nonsense: if it was, another registry may have something
    /// better, or this one from the beginning.
    fn drop(&mut self) {
        if self.state == State::Running && self.handed > 0 {
            self.suspect();
        }
    }
}
