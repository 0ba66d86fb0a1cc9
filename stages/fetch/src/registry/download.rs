//! A blob, as it arrives: handed on at once, kept in the store meanwhile, and gone on with after
//! every interruption.
//!
//! ```text
//!  Replaying ──→ Asking ──→ Receiving ──→ Complete
//!   │  ↑          ↑  ↑ │        │  │          ↑
//!   │  │          │  └─┘        │  │          │
//!   │  │          └─────────────┘  │          │
//!   │  │            breaks off     │          │
//!   │  └───────────────────────────┘          │
//!   │     the digest is wrong                 │
//!   └─────────────────────────────────────────┘
//!     an earlier run has left all of it
//! ```
//!
//! An error leads from each of them to `Failed`. Whose digest is wrong begins again only as long as
//! nothing was handed out: who has read a part of it must begin again too. A phase is taken out,
//! and the next one put in its place, so a connection and the lock of the blob end with their
//! phase.

use std::io::{self, Read};
use std::mem;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use cvbake_hash::Stream;
use cvbake_store::Partial;
use cvbake_verify::Digest;

use super::endpoints::{EndpointOrder, Endpoints};
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
    digest: Digest,
    size: u64,
    phase: Phase,
    server: Server,
    /// Where the first bytes came from, once there are any.
    origin: Option<Origin>,
    /// How many bytes have been hashed or are being hashed.
    position: u64,
    /// The last of them, which are not handed out yet.
    chunk: Bytes,
    begun: Instant,
}

enum Phase {
    /// The bytes that an earlier run has left in the store are read, if there are any.
    Replaying(Intake),
    /// A registry has to be asked for the rest.
    Asking(Intake),
    /// A registry sends the rest.
    Receiving(Intake, Box<Body>),
    /// The digest was right. Only the last bytes have to be handed out.
    Complete,
    Failed,
}

/// What takes the bytes in. When it is dropped, others may receive, and have the blob.
struct Intake {
    hash: Stream,
    /// Where the bytes are kept until they are a blob, if there is a store.
    kept: Option<Partial>,
    _slot: Slot,
}

#[derive(Debug)]
struct Body {
    reply: Reply,
    /// How many bytes come before the first that is wanted.
    skip: u64,
    /// Whether nothing says where it ends.
    open: bool,
}

/// Who is asked, and what came of it so far.
struct Server {
    order: EndpointOrder,
    attempts: Attempts,
    /// How many bytes have come since the last failure.
    gained: u64,
    /// Whether it answered a range with something else: it gets no second chance.
    refuses_ranges: bool,
}

impl Server {
    fn new(order: EndpointOrder) -> Server {
        Server { attempts: order.attempts(), order, gained: 0, refuses_ranges: false }
    }

    fn gain(&mut self, bytes: u64) {
        self.gained += bytes;
        if self.gained >= MIN_PROGRESS {
            self.attempts.progress();
        }
    }
}

/// Where the first bytes of a blob came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// An earlier run.
    Store,
    /// The registry with this number.
    Registry(usize),
}

impl Intake {
    /// How many bytes are in the store.
    fn kept_bytes(&self) -> u64 {
        self.kept.as_ref().map_or(0, Partial::len)
    }

    /// Throws away the bytes in the store.
    fn clear(&mut self) -> Result<(), Problem> {
        self.kept.as_mut().map_or(Ok(()), Partial::restart).map_err(store)
    }
}

impl<'s> Download<'s> {
    pub(super) fn new(
        endpoints: Arc<Endpoints<'s>>,
        digest: Digest,
        size: u64,
        kept: Option<Partial>,
        slot: Slot,
    ) -> Download<'s> {
        let is_resumed = kept.as_ref().is_some_and(|kept| !kept.is_empty());
        let hash = Stream::new(digest.algorithm(), size);
        Download {
            server: Server::new(endpoints.order(Some(&digest))),
            endpoints,
            digest,
            size,
            phase: Phase::Replaying(Intake { hash, kept, _slot: slot }),
            origin: is_resumed.then_some(Origin::Store),
            position: 0,
            chunk: Bytes::new(),
            begun: Instant::now(),
        }
    }

    /// Whether somebody has read a part of the blob.
    fn is_handed_out(&self) -> bool {
        self.position > self.chunk.len() as u64
    }

    /// Has something to hand out, or is complete.
    fn fill(&mut self) -> Result<(), Problem> {
        while self.chunk.is_empty() && !matches!(self.phase, Phase::Complete) {
            // An error leaves `Failed` behind, and what the phase held is dropped.
            self.phase = match mem::replace(&mut self.phase, Phase::Failed) {
                Phase::Replaying(intake) => self.replay(intake)?,
                Phase::Asking(intake) => self.ask(intake)?,
                Phase::Receiving(intake, body) => self.receive(intake, body)?,
                ended @ (Phase::Complete | Phase::Failed) => ended,
            };
        }
        Ok(())
    }

    /// Reads what an earlier run received.
    fn replay(&mut self, mut intake: Intake) -> Result<Phase, Problem> {
        if intake.kept_bytes() > self.size {
            intake.clear()?;
        }
        if let Some(kept) = intake.kept.as_ref().filter(|kept| kept.len() > self.position) {
            let wanted = usize::try_from(kept.len() - self.position).map_or(BUFFER, |left| left.min(BUFFER));
            let mut buffer = vec![0; wanted];
            if let Err(source) = kept.file().read_exact_at(&mut buffer, self.position) {
                let of_medium = Partial::is_of_medium(&source);
                let problem = store(kept.unreadable(source));
                return if of_medium { self.give_up_kept(intake, problem) } else { Err(problem) };
            }
            self.take(&mut intake, buffer.into());
        }
        match self.position {
            all if all == self.size => self.complete(intake, None),
            some if some < intake.kept_bytes() => Ok(Phase::Replaying(intake)),
            _ => Ok(Phase::Asking(intake)),
        }
    }

    /// What an earlier run received can't be read, and is received again.
    fn give_up_kept(&mut self, mut intake: Intake, problem: Problem) -> Result<Phase, Problem> {
        if intake.clear().is_err() {
            return Err(problem);
        }
        self.endpoints.tell(Event::Damaged { digest: self.digest, again: true });
        self.endpoints.suspect_kept(self.digest);
        if self.is_handed_out() {
            return Err(problem);
        }
        Ok(self.start_over(intake))
    }

    /// Asks for what is missing.
    fn ask(&mut self, intake: Intake) -> Result<Phase, Problem> {
        match self.request() {
            Ok(Some(body)) => Ok(Phase::Receiving(intake, body)),
            Ok(None) => Ok(Phase::Asking(intake)),
            Err(failure) => self.ask_again(intake, failure),
        }
    }

    /// Takes the next bytes from the network.
    fn receive(&mut self, mut intake: Intake, mut body: Box<Body>) -> Result<Phase, Problem> {
        match self.take_next(&mut intake, &mut body) {
            Ok(()) if self.position == self.size => self.complete(intake, Some(body)),
            Ok(()) => Ok(Phase::Receiving(intake, body)),
            Err(failure) => {
                drop(body);
                self.ask_again(intake, failure)
            }
        }
    }

    /// Waits before the registry is asked for the rest, or the next one is.
    fn ask_again(&mut self, intake: Intake, failure: Failure) -> Result<Phase, Problem> {
        self.server.gained = 0;
        let session = self.endpoints.session(&self.server.order);
        if let Err(problem) = session.failed(&mut self.server.attempts, failure) {
            self.ask_next(problem)?;
        }
        Ok(Phase::Asking(intake))
    }

    /// Checks the whole, and keeps it.
    fn complete(&mut self, mut intake: Intake, mut body: Option<Box<Body>>) -> Result<Phase, Problem> {
        let host = body.as_ref().map_or_else(|| "the store".to_owned(), |body| body.reply.host.clone());
        if let Some(body) = body.as_mut().filter(|body| body.open)
            && let Ok(Some(more)) = body.reply.chunk()
            && !more.is_empty()
        {
            return Err(self.too_long(host, self.size + more.len() as u64));
        }
        let found = mem::replace(&mut intake.hash, Stream::new(self.digest.algorithm(), 0)).finish();
        if found != self.digest {
            intake.clear()?;
            let problem = Problem::Digest { host, expected: Box::new(self.digest), found: Box::new(found) };
            return self.begin_again(intake, problem);
        }
        tracing::debug!("{} from {host}: {} bytes in {} ms", self.digest, self.size, self.begun.elapsed().as_millis());
        if let Some(kept) = intake.kept.take() {
            kept.commit().map_err(store)?;
            self.endpoints.arrived(&self.digest);
        }
        Ok(Phase::Complete)
    }

    /// The digest was wrong: because of what an earlier run has left, if there was anything, or
    /// else because of what a registry sent, and the next one is asked.
    fn begin_again(&mut self, intake: Intake, problem: Problem) -> Result<Phase, Problem> {
        let is_resumed = self.origin == Some(Origin::Store);
        if is_resumed {
            self.endpoints.tell(Event::Damaged { digest: self.digest, again: true });
        }
        self.suspect();
        if self.is_handed_out() {
            return Err(problem);
        }
        if !is_resumed {
            self.ask_next(problem)?;
        }
        Ok(self.start_over(intake))
    }

    /// With nothing in the store, nothing received, and nothing handed out.
    fn start_over(&mut self, mut intake: Intake) -> Phase {
        (self.position, self.origin, self.chunk) = (0, None, Bytes::new());
        intake.hash = Stream::new(self.digest.algorithm(), self.size);
        Phase::Replaying(intake)
    }

    /// Who sent the first bytes is under suspicion.
    fn suspect(&self) {
        match self.origin {
            Some(Origin::Store) => self.endpoints.suspect_kept(self.digest),
            Some(Origin::Registry(sender)) => self.endpoints.suspect(self.digest, sender),
            None => {}
        }
    }

    /// The next registry is asked for the rest.
    fn ask_next(&mut self, problem: Problem) -> Result<(), Problem> {
        self.endpoints.next(&mut self.server.order, problem)?;
        (self.server.refuses_ranges, self.server.attempts) = (false, self.server.order.attempts());
        Ok(())
    }

    /// Hashes bytes, which are then handed out.
    fn take(&mut self, intake: &mut Intake, bytes: Bytes) {
        self.position += bytes.len() as u64;
        intake.hash.update(bytes.clone());
        self.chunk = bytes;
    }

    fn take_next(&mut self, intake: &mut Intake, body: &mut Body) -> Result<(), Failure> {
        let Some(mut bytes) = body.reply.chunk()? else {
            let host = body.reply.host.clone();
            return Err(Problem::Cut { host, expected: self.size, found: self.position }.into());
        };
        let skipped = usize::try_from(body.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        body.skip -= skipped as u64;
        let _ = bytes.split_to(skipped);
        let found = self.position + bytes.len() as u64;
        if found > self.size {
            return Err(self.too_long(body.reply.host.clone(), found).into());
        }
        if let Some(kept) = &mut intake.kept {
            kept.append(&bytes).map_err(store)?;
        }
        self.origin.get_or_insert(Origin::Registry(self.server.order.current()));
        self.server.gain(bytes.len() as u64);
        self.take(intake, bytes);
        Ok(())
    }

    fn too_long(&self, host: String, found: u64) -> Problem {
        Problem::Length { host, expected: self.size, found }
    }

    /// Asks for what is missing. `None`: to be asked again, otherwise.
    fn request(&mut self) -> Result<Option<Box<Body>>, Failure> {
        let from = (self.position > 0 && !self.server.refuses_ranges).then_some(self.position);
        let path = format!("blobs/{}", self.digest);
        let wanted = if from.is_some() { "206" } else { "200" };
        let reply = self.endpoints.session(&self.server.order).try_get(&path, "*/*", from, wanted)?;
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
                self.server.refuses_ranges = true;
                return Ok(None);
            }
            _ => (0, self.size),
        };
        let length = reply.content_length();
        match length {
            Some(found) if found != expected => Err(Problem::Length { host: host(), expected, found }.into()),
            _ => Ok(Some(Box::new(Body { reply, skip: self.position - begins, open: length.is_none() }))),
        }
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
        if let Phase::Failed = self.phase {
            return Err(io::Error::other(format!("the download of {} has failed", self.digest)));
        }
        if let Err(problem) = self.fill() {
            return Err(self.endpoints.error(&format!("blob {}", self.digest), problem).into_io());
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk[..count]);
        let _ = self.chunk.split_to(count);
        Ok(count)
    }
}

impl Drop for Download<'_> {
    /// Who stops reading may have found nonsense: if it was, another registry may have something
    /// better, or this one from the beginning.
    fn drop(&mut self) {
        if !matches!(self.phase, Phase::Complete | Phase::Failed) && self.is_handed_out() {
            self.suspect();
        }
    }
}
