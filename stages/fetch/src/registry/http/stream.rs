//! Long content of a request: read by whoever asks, a few pieces ahead of the network.

use std::fmt;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::{RequestBuilder, Response};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::failure::explain;
use super::{Http, Pace};
use crate::registry::problem::Problem;

/// How much is read at once.
const PIECE: usize = 256 << 10;

/// How much is sent at once: small beside what a slow line brings away while nothing may move, or
/// it would seem to stand.
const FRAME: usize = 16 << 10;

/// How many pieces wait to be sent.
const AHEAD: usize = 2;

/// How much of what is sent may still be on its way, in buffers of ours and the system's.
const ON_ITS_WAY: u64 = 1 << 20;

/// How often progress is told and looked for.
const TICK: Duration = Duration::from_millis(100);

/// How fast a registry hashes and moves what it has received, at the least, before it answers: a
/// slow disk's speed, in bytes per second.
const DIGESTION: u64 = 16 << 20;

/// The next so many bytes of something.
pub(in crate::registry) struct Stream<'a> {
    pub(in crate::registry) reader: &'a mut dyn Read,
    pub(in crate::registry) bytes: u64,
    /// Told how many more are on their way.
    pub(in crate::registry) on_sent: &'a mut dyn FnMut(u64),
}

/// A request that is being sent.
struct Sending<'a> {
    http: &'a Http,
    host: &'a str,
    task: JoinHandle<Result<Response, reqwest::Error>>,
    /// How much is to be sent, how much has left, and how much of that was told.
    total: u64,
    sent: Arc<AtomicU64>,
    told: u64,
    pace: Pace,
    /// How long the server was waited for, until all was taken.
    waited: Duration,
    on_sent: &'a mut dyn FnMut(u64),
}

/// Sends a request with its content, and waits for the head of the answer as long as anything
/// moves.
pub(super) fn send(http: &Http, host: &str, builder: RequestBuilder, stream: Stream<'_>) -> Result<Response, Problem> {
    let Stream { reader, bytes, on_sent } = stream;
    let (pieces, receiver) = mpsc::channel(AHEAD);
    let sent = Arc::<AtomicU64>::default();
    let body = Body { pieces: receiver, piece: Bytes::new(), left: bytes, sent: Arc::clone(&sent) };
    let task = http.runtime.spawn(builder.body(reqwest::Body::wrap(body)).send());
    let (pace, waited) = (Pace::new(http.stall), Duration::ZERO);
    let mut sending = Sending { http, host, task, total: bytes, sent, told: 0, pace, waited, on_sent };
    let fed = sending.feed(reader, bytes, pieces);
    if fed.is_err() {
        sending.task.abort();
    }
    fed?;
    sending.answer()
}

impl Sending<'_> {
    /// Reads and hands over, until there is nothing more, or nobody takes it any more.
    fn feed(
        &mut self,
        reader: &mut dyn Read,
        mut left: u64,
        pieces: mpsc::Sender<Result<Bytes, Broken>>,
    ) -> Result<(), Problem> {
        while left > 0 && !self.task.is_finished() {
            let start = Instant::now();
            let room = self.http.runtime.block_on(async { tokio::time::timeout(TICK, pieces.reserve()).await });
            self.tell(start.elapsed());
            let permit = match room {
                Ok(Ok(permit)) => permit,
                Ok(Err(_)) => return Ok(()),
                Err(_) if self.pace.left().is_zero() => return Err(self.pace.problem(self.host, "took")),
                Err(_) => continue,
            };
            match read_piece(reader, left) {
                Ok(piece) => {
                    left -= piece.len() as u64;
                    permit.send(Ok(piece));
                }
                Err(source) => {
                    // The request has to break off here: an end would look like one.
                    permit.send(Err(Broken));
                    return Err(Problem::Local { source });
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<Response, Problem> {
        // Since all is on its way.
        let mut silent = Duration::ZERO;
        loop {
            let (task, start) = (&mut self.task, Instant::now());
            let answer = self.http.runtime.block_on(async { tokio::time::timeout(TICK, task).await });
            let waited = start.elapsed();
            self.tell(waited);
            match answer {
                Ok(Ok(answer)) => return answer.map_err(|error| explain(error, "cannot reach", self.host.to_owned())),
                Ok(Err(error)) => return Err(Problem::Setup { reason: error.to_string() }),
                Err(_) => {}
            }
            let problem = if self.told < self.total {
                self.pace.left().is_zero().then(|| self.pace.problem(self.host, "took"))
            } else {
                silent += waited;
                let limit = self.http.stall + self.digestion();
                (silent >= limit).then(|| Problem::Late { host: self.host.to_owned(), limit })
            };
            if let Some(problem) = problem {
                self.task.abort();
                return Err(problem);
            }
        }
    }

    /// How long it may take until all that was sent is where it should be: as long as the same took
    /// on average, in whole tenths of a second, and then as long as the registry needs.
    fn digestion(&self) -> Duration {
        let tenths =
            self.waited.as_millis() * u128::from(self.total.min(ON_ITS_WAY)) / u128::from(self.total.max(1)) / 100;
        Duration::from_millis(u64::try_from(tenths * 100).unwrap_or(u64::MAX))
            + Duration::from_secs(self.total / DIGESTION)
    }

    /// Tells what is new, for which the server was waited for so long.
    fn tell(&mut self, waited: Duration) {
        // Behind the last byte, it is the answer that is waited for.
        if self.told < self.total {
            self.waited += waited;
        }
        let sent = self.sent.load(Ordering::Relaxed);
        let new = sent - self.told;
        self.pace.moved(waited, new);
        if new > 0 {
            (self.on_sent)(new);
            self.told = sent;
        }
    }
}

fn read_piece(reader: &mut dyn Read, left: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(left).map_or(PIECE, |left| left.min(PIECE))];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                piece.truncate(count);
                return Ok(piece.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The body of a request, whose length is known.
struct Body {
    pieces: mpsc::Receiver<Result<Bytes, Broken>>,
    /// What is left of the last one.
    piece: Bytes,
    left: u64,
    sent: Arc<AtomicU64>,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let body = self.get_mut();
        if body.piece.is_empty() {
            match ready!(body.pieces.poll_recv(cx)) {
                Some(Ok(piece)) => body.piece = piece,
                None if body.left == 0 => return Poll::Ready(None),
                Some(Err(Broken)) | None => return Poll::Ready(Some(Err(Broken))),
            }
        }
        let frame = body.piece.split_to(body.piece.len().min(FRAME));
        body.left = body.left.saturating_sub(frame.len() as u64);
        body.sent.fetch_add(frame.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// There is no more to be read, though there should be.
#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the content ends early")
    }
}

impl std::error::Error for Broken {}
