//! What goes wrong between us and a registry.

mod judgement;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use cvbake_verify::Digest;

/// Why something could not be fetched from a registry, or pushed to one. Texts from servers are cut
/// and escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is no such thing.
    #[error("not found (status 404{})", said(message))]
    NotFound {
        /// The status that should have come.
        expected: &'static str,
        /// What the registry says about it.
        message: String,
    },
    /// A repository has no such tag, but others.
    #[error("not found (status 404{}); the tags there are {}{}", said(message), tags.join(", "), and_more(*more))]
    NoSuchTag {
        /// What the registry says about it.
        message: String,
        /// Those that may be meant.
        tags: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// A registry has no such repository.
    #[error("there is no such repository (status 404{})", said(message))]
    NoSuchRepository {
        /// What the registry says about it.
        message: String,
    },
    /// Credentials are missing or not sufficient.
    #[error("access denied (status {status}{}) with {with}", said(message))]
    Denied {
        /// The status.
        status: u16,
        /// What was presented.
        with: String,
        /// What the registry says about it.
        message: String,
    },
    /// An answer of another kind than expected.
    #[error("{host} answered with status {status}{}; expected {expected}", said(message))]
    Status {
        /// Who answered.
        host: String,
        /// The status.
        status: u16,
        /// The status that should have come.
        expected: &'static str,
        /// What the server says about it.
        message: String,
    },
    /// The registry wants to be left alone for longer than anybody waits.
    #[error("{host} answered with status {status} and asks to wait {} s; expected at most {} s", wait.as_secs(), limit.as_secs())]
    Wait {
        /// Who answered.
        host: String,
        /// The status.
        status: u16,
        /// How long it wants us to wait.
        wait: Duration,
        /// How long we would.
        limit: Duration,
    },
    /// No connection, or a broken one.
    #[error("{what} {host}: {reason}")]
    Transport {
        /// What was being done.
        what: &'static str,
        /// With whom.
        host: String,
        /// All that is known of the cause.
        reason: String,
        /// Whether there never was a connection.
        connecting: bool,
        /// Whether what came is no HTTP.
        foreign: bool,
    },
    /// Nothing moves any more.
    #[error("{host} {did} nothing for {} s", limit.as_secs_f32())]
    Stalled {
        /// Who is silent.
        host: String,
        /// What it should do: `sent`, or `took`.
        did: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// Next to nothing moves.
    #[error("{host} {did} {found} bytes in {} s; expected at least {expected}", limit.as_secs_f32())]
    Slow {
        /// Who is slow.
        host: String,
        /// What it does: `sent`, or `took`.
        did: &'static str,
        /// How many bytes there should be in this time.
        expected: u64,
        /// How many there were.
        found: u64,
        /// In which time.
        limit: Duration,
    },
    /// No answer, or not even all of its head.
    #[error("{host} did not answer; expected an answer within {} s", limit.as_secs_f32())]
    Late {
        /// Who was asked.
        host: String,
        /// How long an answer may take.
        limit: Duration,
    },
    /// A blob whose end came too early.
    #[error("the connection to {host} ended after {found} of {expected} bytes")]
    Cut {
        /// Who sent it.
        host: String,
        /// The size.
        expected: u64,
        /// How much came.
        found: u64,
    },
    /// The same problem again and again.
    #[error("gave up after {attempts} attempts")]
    GaveUp {
        /// How many attempts made no progress.
        attempts: u32,
        /// The last one's problem.
        source: Box<Problem>,
    },
    /// An answer larger than anything of its kind.
    #[error("the answer of {host} is too large: expected at most {limit} bytes")]
    TooLarge {
        /// Who sent it.
        host: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// An answer that is something else.
    #[error("{host} sent {found:?}; expected {expected}: a login page or proxy may answer in the registry's place")]
    ContentType {
        /// Who sent it.
        host: String,
        /// What it says it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A blob compressed for transport, which nobody asked for: its bytes are not the blob's.
    #[error("{host} sent the content with Content-Encoding {found:?}; expected none")]
    Encoding {
        /// Who sent it.
        host: String,
        /// The encoding.
        found: String,
    },
    /// Content that is not what its digest names.
    #[error("{host} sent content with digest {found}; expected {expected}")]
    Digest {
        /// Who sent it.
        host: String,
        /// What was asked for.
        expected: Box<Digest>,
        /// What came.
        found: Box<Digest>,
    },
    /// Content of another length.
    #[error("{host} sends {found} bytes; expected {expected}")]
    Length {
        /// Who sent it.
        host: String,
        /// What was asked for.
        expected: u64,
        /// What it announces.
        found: u64,
    },
    /// A header that contradicts the body.
    #[error("the header Docker-Content-Digest says {header:?}; expected {found}, the digest of the content")]
    HeaderDigest {
        /// The header.
        header: String,
        /// The digest of the bytes.
        found: Box<Digest>,
    },
    /// A header or a document that can't be understood.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A place for an upload that nothing is sent to.
    #[error("{host} directs the upload to {to:?}, which is refused: {reason}")]
    Location {
        /// Who says so.
        host: String,
        /// Where to, without query.
        to: String,
        /// Why not.
        reason: String,
    },
    /// A registry, or a part of one, that nothing can be pushed to.
    #[error("{host} does not accept pushes (status {status}{})", said(message))]
    ReadOnly {
        /// Who answered.
        host: String,
        /// The status.
        status: u16,
        /// What the registry says about it.
        message: String,
    },
    /// More than the registry, or a proxy before it, takes at once.
    #[error("{host} refuses it as too large (status 413{})", said(message))]
    Oversize {
        /// Who answered.
        host: String,
        /// What the registry says about it.
        message: String,
    },
    /// An upload that the registry has forgotten.
    #[error("{host} has lost the upload (status 404)")]
    UploadLost {
        /// Who has.
        host: String,
    },
    /// An upload of which the registry has another part than it said.
    #[error("{host} does not continue the upload at byte {position}")]
    OutOfStep {
        /// Who does not.
        host: String,
        /// Where it should go on.
        position: u64,
    },
    /// What arrived is not what was sent.
    #[error("{host} received content that does not match {digest} (status 400{})", said(message))]
    Garbled {
        /// Who did.
        host: String,
        /// What was sent.
        digest: Box<Digest>,
        /// What the registry says about it.
        message: String,
    },
    /// What is to be pushed can't be read.
    #[error("cannot read the blob")]
    Local {
        /// Why.
        source: std::io::Error,
    },
    /// A name by digest for something with another one.
    #[error("the name asks for the digest {expected}, but the image has {found}")]
    OtherDigest {
        /// The digest in the name.
        expected: Box<Digest>,
        /// That of what is to be pushed.
        found: Box<Digest>,
    },
    /// A redirect that must not be followed.
    #[error("{host} redirects to {to:?}, which is refused: {reason}")]
    Redirect {
        /// Who redirects.
        host: String,
        /// Where to, without query.
        to: String,
        /// Why not.
        reason: String,
    },
    /// A token server that must not be asked.
    #[error("the token server {realm:?} is refused: {reason}")]
    Realm {
        /// Where it is.
        realm: String,
        /// Why not.
        reason: String,
    },
    /// No token.
    #[error("cannot get a token from {realm}")]
    Token {
        /// The token server.
        realm: String,
        /// Why not.
        source: Box<Problem>,
    },
    /// A name that leads to an address that is nobody's business.
    #[error("{}, to which the registry {registry} must not lead", whereabouts(host, address, reason))]
    Address {
        /// The name.
        host: String,
        /// The address.
        address: IpAddr,
        /// What such addresses are for.
        reason: &'static str,
        /// The registry.
        registry: String,
    },
    /// Stored credentials that can't be used.
    #[error("cannot use the credentials in {}: {reason}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificates that can't be used.
    #[error("cannot use the certificates in {}: {reason}", path.display())]
    Certificates {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// One of both sides does not accept what the other shows.
    #[error("no secure connection to {host}: {reason}")]
    Untrusted {
        /// With whom.
        host: String,
        /// Why.
        reason: String,
    },
    /// A proxy of a kind that is not supported, or none at all.
    #[error("the proxy for {scheme} is {found:?}; expected http://HOST:PORT")]
    Proxy {
        /// What it is for.
        scheme: &'static str,
        /// What it is, without user and password.
        found: String,
    },
    /// The configuration forbids the name.
    #[error("blocked: the configuration forbids names that begin with {prefix:?}")]
    Blocked {
        /// What they begin with.
        prefix: String,
    },
    /// The configuration leads to what is no name of an image.
    #[error("the configuration leads to {name:?}, which {reason}")]
    Configured {
        /// Where it leads.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// None of several registries that stand for one another.
    #[error("the mirrors failed ({others}), and so did {host}")]
    Mirrors {
        /// What went wrong with those that were asked first.
        others: String,
        /// Who was asked last.
        host: String,
        /// What went wrong there.
        source: Box<Problem>,
    },
    /// Only what is stored may be used, and this isn't.
    #[error("not in the store, and it must not be fetched")]
    NotStored,
    /// The store does not work.
    #[error("cannot use the store")]
    Store {
        /// Why.
        source: Box<cvbake_store::Error>,
    },
    /// No HTTP client can be made.
    #[error("cannot set up connections: {reason}")]
    Setup {
        /// Why.
        reason: String,
    },
}

/// What a server says, if it says anything, behind its status.
fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(", {message:?}") }
}

/// How many more there are than are named.
fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" and {more} more") }
}

/// Says where somebody is who must not be asked.
fn whereabouts(host: &str, address: &IpAddr, reason: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(_) => format!("{address} is a private address ({reason})"),
        Err(_) => format!("{} is at the private address {address} ({reason})", shorten(host)),
    }
}

/// A server's text, fit for an error message.
pub(super) fn shorten(text: &str) -> String {
    cvbake_verify::shorten(text.trim())
}

/// The text of an error of the system, without its number, which means nothing to most users.
pub(super) fn plain(text: &str) -> &str {
    text.rsplit_once(" (os error ").map_or(text, |(words, _)| words)
}
