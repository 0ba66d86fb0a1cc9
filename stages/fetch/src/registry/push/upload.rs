//! One blob on its way to a registry.
//!
//! ```text
//! POST ─→ location ─→ PUT with all of it                    ─→ done
//!            │        PATCH, PATCH, …, and PUT with nothing ─→ done
//!            │  any of them breaks
//!            └→ GET: how much is there? ─→ PATCH from there on;  404: POST
//! ```

use std::io::{self, Read};
use std::num::NonZeroU64;

use cvbake_verify::{CheckedReader, Digest};
use reqwest::{Method, Url};

use super::{Put, check_digest};
use crate::Event;
use crate::registry::http::{Content, Reply, Stream, upload_location};
use crate::registry::problem::Problem;
use crate::registry::retry::{Attempts, Failure};
use crate::registry::session::{Answer, Call, Session, To};

/// How many bytes must have arrived since the last failure for it to be forgotten.
const MIN_PROGRESS: u64 = 64 << 10;

/// Opens what is sent, from its first byte.
type Open<'a> = &'a dyn Fn() -> Result<Box<dyn Read + Send + 'a>, Problem>;

pub(super) struct Upload<'a> {
    session: &'a Session<'a>,
    digest: Digest,
    size: u64,
    open: Open<'a>,
    /// How much is sent at once; all of it if nobody says.
    chunk: Option<NonZeroU64>,
    on: &'a dyn Fn(Event),
    attempts: Attempts,
    /// Where the upload goes on, once there is one.
    location: Option<Url>,
    /// The smallest chunk that the registry takes, but for the last.
    min_chunk: u64,
    /// How many bytes the registry has.
    arrived: u64,
    /// The most it has had, and how many of the bytes have been told to be sent.
    best: u64,
    told: u64,
    /// Whether something broke, so that only the registry knows how much it has.
    unsure: bool,
    /// Whether fresh authorization came, and no byte has arrived since.
    renewed: bool,
    /// Gives the bytes from `arrived` on, if it is there.
    reader: Option<Box<dyn Read + 'a>>,
}

impl<'a> Upload<'a> {
    pub(super) fn new(
        session: &'a Session<'a>,
        digest: Digest,
        size: u64,
        open: Open<'a>,
        chunk: Option<NonZeroU64>,
        on: &'a dyn Fn(Event),
    ) -> Upload<'a> {
        Upload {
            session,
            digest,
            size,
            open,
            chunk,
            on,
            attempts: Attempts::new(),
            location: None,
            min_chunk: 0,
            arrived: 0,
            best: 0,
            told: 0,
            unsure: false,
            renewed: false,
            reader: None,
        }
    }

    /// Sends it, or has it mounted from another repository.
    pub(super) fn run(mut self, mount: Option<&str>) -> Result<Put, Problem> {
        if let Some(from) = mount
            && self.mount(from)?
        {
            return Ok(Put::Mounted { from: from.to_owned() });
        }
        loop {
            match self.step() {
                Ok(true) => return Ok(Put::Sent),
                Ok(false) => {}
                Err(failure) => {
                    self.reader = None;
                    self.unsure = self.location.is_some();
                    if let Err(problem) = self.session.failed(&mut self.attempts, failure) {
                        if answers(&problem) {
                            self.abandon();
                        }
                        return Err(problem);
                    }
                }
            }
        }
    }

    /// The next thing to do; whether it was the last.
    fn step(&mut self) -> Result<bool, Failure> {
        let Some(location) = self.location.clone() else {
            self.begin()?;
            return Ok(false);
        };
        if self.unsure {
            return self.ask(location);
        }
        if self.chunk.is_none() && self.arrived == 0 {
            return self.put(location, self.size);
        }
        if self.arrived < self.size {
            self.patch(location)?;
            return Ok(false);
        }
        self.put(location, 0)
    }

    /// Whether the registry has taken it from another repository. If not, it has begun an upload,
    /// or has not.
    fn mount(&mut self, from: &str) -> Result<bool, Problem> {
        let mut query = Url::parse("query:").expect("a URL");
        query.query_pairs_mut().append_pair("mount", &self.digest.to_string()).append_pair("from", from);
        let path = format!("blobs/uploads/?{}", query.query().unwrap_or_default());
        loop {
            let call = Call::new(Method::POST, To::Path(path.clone()));
            match self.reply(call) {
                Ok(Some((mut reply, url))) => match reply.status() {
                    201 => {
                        check_digest(reply.header("Docker-Content-Digest"), &self.digest)?;
                        return Ok(true);
                    }
                    202 => {
                        self.begun(&reply, &url)?;
                        return Ok(false);
                    }
                    status if status >= 500 || status == 429 => {
                        let failure = self.session.refusal(&mut reply, "201 or 202");
                        self.session.failed(&mut self.attempts, failure)?;
                    }
                    // It does not give, or does not know how: then it is sent.
                    _ => return Ok(false),
                },
                Ok(None) => {}
                Err(failure) => self.session.failed(&mut self.attempts, failure)?,
            }
        }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let call = Call::new(Method::POST, To::Path("blobs/uploads/".to_owned()));
        let Some((mut reply, url)) = self.reply(call)? else { return Ok(()) };
        match reply.status() {
            202 => Ok(self.begun(&reply, &url)?),
            _ => Err(self.session.refusal(&mut reply, "202")),
        }
    }

    fn begun(&mut self, reply: &Reply, url: &Url) -> Result<(), Problem> {
        if reply.header("Location").is_none() {
            let reason = "it is missing from an answer with status 202".to_owned();
            return Err(Problem::Malformed { what: "the header Location", reason });
        }
        (self.arrived, self.unsure, self.reader) = (0, false, None);
        self.min_chunk = reply.header("OCI-Chunk-Min-Length").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        self.follow(reply, url)
    }

    /// Remembers where to go on.
    fn follow(&mut self, reply: &Reply, url: &Url) -> Result<(), Problem> {
        if let Some(location) = reply.header("Location") {
            self.location = Some(upload_location(url, location)?);
        }
        Ok(())
    }

    /// How much is there?
    fn ask(&mut self, location: Url) -> Result<bool, Failure> {
        self.reader = None;
        let call = Call::new(Method::GET, To::Url(location));
        let Some((mut reply, url)) = self.reply(call)? else { return Ok(false) };
        match reply.status() {
            200..=204 => {
                self.follow(&reply, &url)?;
                match range_end(&reply).filter(|&end| end <= self.size) {
                    Some(arrived) => self.arrived(arrived),
                    None => self.location = None,
                }
                self.unsure = false;
                if let Some(from) = Some(self.arrived).filter(|_| self.location.is_some()) {
                    (self.on)(Event::UploadResumed { digest: self.digest, from, size: self.size });
                }
                Ok(false)
            }
            401 | 403 | 408 | 429 | 500.. => Err(self.session.refusal(&mut reply, "204")),
            // Many registries know nothing any more of what broke off; or it is finished, and only
            // the answer did not come through.
            _ => {
                self.location = None;
                Ok(self.session.head(&format!("blobs/{}", self.digest), "*/*")?.is_some())
            }
        }
    }

    /// Sends the next chunk.
    fn patch(&mut self, location: Url) -> Result<(), Failure> {
        let left = self.size - self.arrived;
        let count = self.chunk.map_or(left, |chunk| chunk.get().max(self.min_chunk).min(left));
        let range = format!("{}-{}", self.arrived, self.arrived + count - 1);
        let call = Call::new(Method::PATCH, To::Url(location)).header("content-range", &range)?;
        let Some((mut reply, url)) = self.send(call, count)? else { return Ok(()) };
        match reply.status() {
            200..=204 => {
                self.follow(&reply, &url)?;
                let expected = self.arrived + count;
                let arrived = range_end(&reply).unwrap_or(expected);
                self.arrived(arrived.min(expected));
                match arrived == expected {
                    true => Ok(()),
                    false => Err(Problem::OutOfStep { host: reply.host.clone(), position: expected }.into()),
                }
            }
            404 => self.lost(&reply),
            416 => Err(Problem::OutOfStep { host: reply.host, position: self.arrived }.into()),
            _ => Err(self.session.refusal(&mut reply, "202")),
        }
    }

    /// Finishes the upload, with the last bytes if there are any left.
    fn put(&mut self, mut location: Url, count: u64) -> Result<bool, Failure> {
        location.query_pairs_mut().append_pair("digest", &self.digest.to_string());
        let call = Call::new(Method::PUT, To::Url(location));
        let sent = match count {
            0 => self.reply(call.header("content-type", OCTETS)?)?,
            _ => self.send(call, count)?,
        };
        let Some((mut reply, _)) = sent else { return Ok(false) };
        match reply.status() {
            200..=204 => {
                check_digest(reply.header("Docker-Content-Digest"), &self.digest)?;
                self.arrived(self.size);
                Ok(true)
            }
            404 => self.lost(&reply).map(|()| false),
            400 => {
                let (host, digest) = (reply.host.clone(), Box::new(self.digest));
                let failure = self.session.refusal(&mut reply, "201");
                match failure.problem {
                    Problem::Status { message, .. } if message.contains("DIGEST_INVALID") => {
                        self.location = None;
                        Err(Problem::Garbled { host, digest, message }.into())
                    }
                    problem => Err(problem.into()),
                }
            }
            _ => Err(self.session.refusal(&mut reply, "201")),
        }
    }

    fn lost(&mut self, reply: &Reply) -> Result<(), Failure> {
        Err(Problem::UploadLost { host: reply.host.clone() }.into())
    }

    /// Sends the next bytes.
    fn send(&mut self, call: Call<'_>, count: u64) -> Result<Option<(Reply, Url)>, Failure> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.open()?,
        };
        let (mut position, mut told, on) = (self.arrived, self.told, self.on);
        let mut on_sent = |bytes: u64| {
            position += bytes;
            // What is sent again is not told again.
            if position > told {
                on(Event::Sent { bytes: position - told });
                told = position;
            }
        };
        let stream = Stream { reader: &mut *reader, bytes: count, on_sent: &mut on_sent };
        let call = call.header("content-type", OCTETS)?.content(Content::Stream(stream));
        let sent = self.reply(call);
        self.told = told;
        if let Ok(Some(_)) = &sent {
            self.reader = Some(reader);
        }
        sent
    }

    /// From the first byte that has not arrived; what holds bytes to their digest has to see all of
    /// them.
    fn open(&self) -> Result<Box<dyn Read + 'a>, Problem> {
        let mut reader = CheckedReader::new((self.open)()?, self.digest, self.size);
        let skipped = io::copy(&mut reader.by_ref().take(self.arrived), &mut io::sink());
        skipped.map_err(|source| Problem::Local { source })?;
        Ok(Box::new(reader))
    }

    /// One request; nothing, if all that came of it is fresh authorization.
    fn reply(&mut self, call: Call<'_>) -> Result<Option<(Reply, Url)>, Failure> {
        match self.session.exchange(call)? {
            Answer::Reply { reply, url } => Ok(Some((*reply, url))),
            // A registry that always wants another token would go on for ever.
            Answer::Renewed if self.renewed => Err(self.session.denied(401, String::new()).into()),
            Answer::Renewed => {
                (self.unsure, self.renewed, self.reader) = (true, true, None);
                Ok(None)
            }
        }
    }

    fn arrived(&mut self, bytes: u64) {
        if bytes >= self.best + MIN_PROGRESS {
            self.attempts.progress();
        }
        self.renewed &= bytes <= self.best;
        self.best = self.best.max(bytes);
        self.arrived = bytes;
    }

    /// Leaves nothing half done on the registry, if it is easily had.
    fn abandon(&mut self) {
        self.reader = None;
        if let Some(location) = self.location.take() {
            // Registries forget uploads by themselves, too.
            let _ = self.session.exchange(Call::new(Method::DELETE, To::Url(location)));
        }
    }
}

/// Whether somebody is there to be told.
fn answers(problem: &Problem) -> bool {
    match problem {
        Problem::GaveUp { source, .. } => answers(source),
        Problem::Transport { connecting, .. } => !connecting,
        Problem::Stalled { .. } | Problem::Slow { .. } | Problem::Late { .. } => false,
        _ => true,
    }
}

const OCTETS: &str = "application/octet-stream";

/// How many bytes a registry says to have. `0-0` is said of nothing as well as of one byte, so it
/// says nothing.
fn range_end(reply: &Reply) -> Option<u64> {
    parse_range(reply.header("Range")?)
}

fn parse_range(text: &str) -> Option<u64> {
    let text = text.trim();
    let (first, last) = text.strip_prefix("bytes=").unwrap_or(text).split_once('-')?;
    let last: u64 = last.parse().ok()?;
    (first == "0" && last > 0).then(|| last.checked_add(1)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What the registry says it has begins at its beginning, and is no more than a number can
        /// say.
        #[test]
        fn whatever_registries_write(text in "(bytes=)?[0-9]{0,21}-?[0-9]{0,21}", any in "\\PC*", last in 1..u64::MAX) {
            prop_assert_eq!(parse_range(&format!("0-{last}")), Some(last + 1));
            prop_assert_eq!(parse_range(&format!("1-{last}")), None);
            for text in [text, any] {
                if let Some(end) = parse_range(&text) {
                    let said = text.trim().trim_start_matches("bytes=");
                    prop_assert!(said.starts_with("0-") && end > 1, "{:?}: {}", text, end);
                    prop_assert_eq!(parse_range(&format!("0-{}", end - 1)), Some(end));
                }
            }
        }
    }

    #[test]
    fn ranges() {
        let table = [
            ("0-99", Some(100)),
            ("bytes=0-1", Some(2)),
            (" 0-5 ", Some(6)),
            ("0-0", None),
            ("1-5", None),
            ("0--1", None),
            ("0-", None),
            ("5", None),
            ("", None),
            ("0-18446744073709551615", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_range(text), expected, "{text:?}");
        }
    }
}
