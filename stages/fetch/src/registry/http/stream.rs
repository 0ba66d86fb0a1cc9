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

use super::{Http, explain};
use crate::registry::problem::Problem;

/// How much is read at once.
const PIECE: usize = 256 << 10;

/// How many pieces wait to be sent.
const AHEAD: usize = 2;

/// How often progress is told and looked for.
const TICK: Duration = Duration::from_millis(100);

/// How fast a registry hashes and moves what it has received, at the least, before it answers: a slow disk's speed, in bytes per
/// second.
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
    sent: Arc<AtomicU64>,
    told: u64,
    silent_since: Instant,
    on_sent: &'a mut dyn FnMut(u64),
}

/// Sends a request with its content, and waits for the head of the answer as long as anything moves.
pub(super) fn send(http: &Http, host: &str, builder: RequestBuilder, stream: Stream<'_>) -> Result<Response, Problem> {
    let Stream { reader, bytes, on_sent } = stream;
    let (pieces, receiver) = mpsc::channel(AHEAD);
    let sent = Arc::<AtomicU64>::default();
    let body = Body { pieces: receiver, left: bytes, sent: Arc::clone(&sent) };
    let task = http.runtime.spawn(builder.body(reqwest::Body::wrap(body)).send());
    let mut sending = Sending { http, host, task, sent, told: 0, silent_since: Instant::now(), on_sent };
    let fed = sending.feed(reader, bytes, pieces);
    if fed.is_err() {
        sending.task.abort();
    }
    fed?;
    sending.answer(bytes)
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
            let room = self.http.runtime.block_on(async { tokio::time::timeout(TICK, pieces.reserve()).await });
            self.tell();
            let permit = match room {
                Ok(Ok(permit)) => permit,
                Ok(Err(_)) => return Ok(()),
                Err(_) => {
                    self.check_silence(self.http.stall)?;
                    continue;
                }
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

    fn answer(&mut self, total: u64) -> Result<Response, Problem> {
        loop {
            let task = &mut self.task;
            let answer = self.http.runtime.block_on(async { tokio::time::timeout(TICK, task).await });
            self.tell();
            match answer {
                Ok(Ok(answer)) => return answer.map_err(|error| explain(error, "cannot reach", self.host.to_owned())),
                Ok(Err(error)) => return Err(Problem::Setup { reason: error.to_string() }),
                Err(_) => {
                    let digestion = if self.told == total { total / DIGESTION } else { 0 };
                    let limit = self.http.stall + Duration::from_secs(digestion);
                    if let Err(problem) = self.check_silence(limit) {
                        self.task.abort();
                        return Err(problem);
                    }
                }
            }
        }
    }

    /// Tells what is new.
    fn tell(&mut self) {
        let sent = self.sent.load(Ordering::Relaxed);
        if sent > self.told {
            (self.on_sent)(sent - self.told);
            (self.told, self.silent_since) = (sent, Instant::now());
        }
    }

    fn check_silence(&self, limit: Duration) -> Result<(), Problem> {
        if self.silent_since.elapsed() < limit {
            return Ok(());
        }
        Err(Problem::Stalled { host: self.host.to_owned(), limit })
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
    left: u64,
    sent: Arc<AtomicU64>,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let body = self.get_mut();
        Poll::Ready(match ready!(body.pieces.poll_recv(cx)) {
            Some(Ok(bytes)) => {
                body.left = body.left.saturating_sub(bytes.len() as u64);
                body.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Some(Ok(Frame::data(bytes)))
            }
            None if body.left == 0 => None,
            Some(Err(Broken)) | None => Some(Err(Broken)),
        })
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
