//! The registries that have an image: its mirrors and the one that it is named after, one asked
//! after the other.
//!
//! The first that answers for a tag decides; everything else is asked for by digest, so that
//! nothing of two images is mixed, whoever gives it. What one does not have, or not as its digest
//! says, the next is asked for. Each is a session of its own, with its own credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cvbake_verify::Digest;

use super::config::Endpoint;
use super::problem::Problem;
use super::retry::Attempts;
use super::session::Session;
use super::slots::Slots;
use super::{Options, Repository};
use crate::{Error, Event, Observer};

/// How many attempts in a row one of several registries gets: another one is better than patience.
const IMPATIENT_ATTEMPTS: u32 = 2;

/// The registries that have an image, in the order in which they are asked.
pub(super) struct Endpoints<'s> {
    /// What the image is called.
    repository: Repository,
    sessions: Vec<Arc<Session<'s>>>,
    /// The one that has served best so far.
    first: AtomicUsize,
    suspicions: Mutex<BTreeMap<Digest, Suspicion>>,
    /// Blobs of the store that can't be read, until others have taken their places.
    given_up: Mutex<BTreeSet<Digest>>,
    /// For the blobs that are received.
    slots: Arc<Slots>,
    on: Observer<'s>,
}

/// Who sent what is not the blob.
#[derive(Default)]
struct Suspicion {
    senders: BTreeSet<usize>,
    /// Whether nobody has acted on it.
    fresh: bool,
}

impl<'s> Endpoints<'s> {
    pub(super) fn new(
        repository: Repository,
        all: Vec<Endpoint>,
        options: &Options,
        on: Observer<'s>,
    ) -> Endpoints<'s> {
        let last = all.len().saturating_sub(1);
        let session = |(at, mut endpoint): (usize, Endpoint)| {
            let mut options = options.clone();
            if at != last {
                options.credentials = None;
                options.certificates.given = None;
            }
            let listed = options.insecure.hosts.iter().any(|host| host.eq_ignore_ascii_case(&endpoint.registry));
            endpoint.insecure |= listed || (options.insecure.asked && at == last);
            Arc::new(Session::new(endpoint, options, on))
        };
        let sessions = all.into_iter().enumerate().map(session).collect();
        Endpoints {
            repository,
            sessions,
            first: AtomicUsize::new(0),
            suspicions: Mutex::default(),
            given_up: Mutex::default(),
            slots: Slots::new(options.connections),
            on,
        }
    }

    /// Those for the blobs that are received at once.
    pub(super) fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }

    /// An error about something of the image.
    pub(super) fn error(&self, object: &str, problem: Problem) -> Error {
        self.repository.error(object, problem)
    }

    /// Tells whoever wants to know.
    pub(super) fn tell(&self, event: Event) {
        (self.on)(event);
    }

    /// Whom to ask for something, one after the other.
    pub(super) fn order(&self, digest: Option<&Digest>) -> EndpointOrder {
        let first = self.first.load(Ordering::Relaxed);
        let suspicions = self.suspicions();
        let suspects = digest.and_then(|digest| suspicions.get(digest));
        let trusted = |at: &usize| !suspects.is_some_and(|suspicion| suspicion.senders.contains(at));
        let others = (0..self.sessions.len()).filter(|&at| at != first);
        let mut order: Vec<usize> = [first].into_iter().chain(others).filter(trusted).collect();
        if order.is_empty() {
            // Then it is one of them all the same.
            order.push(self.sessions.len() - 1);
        }
        EndpointOrder { all: order, at: 0, failed: Vec::new() }
    }

    pub(super) fn session(&self, order: &EndpointOrder) -> &Arc<Session<'s>> {
        &self.sessions[order.current()]
    }

    /// The registry that the image is named after.
    pub(super) fn last(&self) -> &Session<'s> {
        self.sessions.last().expect("a name leads to one at least")
    }

    /// It answered: it is asked first from now on.
    pub(super) fn prefer(&self, order: &EndpointOrder) {
        self.first.store(order.current(), Ordering::Relaxed);
    }

    /// Goes on to the next one after a problem, if there is one and it may help.
    pub(super) fn next(&self, order: &mut EndpointOrder, problem: Problem) -> Result<(), Problem> {
        if problem.is_ours() {
            return Err(problem);
        }
        let (current, host) = (order.current(), self.called(order.current()));
        let Some(&next) = order.all.get(order.at + 1) else { return Err(order.give_up(host, problem)) };
        let missing = matches!(problem, Problem::NotFound { .. });
        if !missing {
            // Who fails now is not asked first for the rest.
            let _ = self.first.compare_exchange(current, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        let text = problem.line();
        let next = self.called(next);
        tracing::debug!("{host}: {text}; asking {next}");
        (self.on)(Event::Elsewhere { host: host.clone(), next, problem: text.clone(), missing });
        order.failed.push(format!("{host}: {text}"));
        order.at += 1;
        Ok(())
    }

    /// What messages call one: its host, and the path where another has the same host.
    fn called(&self, at: usize) -> String {
        let session = &self.sessions[at];
        let alike = self.sessions.iter().filter(|other| other.host() == session.host()).count();
        if alike > 1 { session.repository() } else { session.host().to_owned() }
    }

    fn suspicions(&self) -> MutexGuard<'_, BTreeMap<Digest, Suspicion>> {
        // What is in it is whole at any time.
        self.suspicions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that what this one sent is not the blob, or makes no sense.
    pub(super) fn suspect(&self, digest: Digest, sender: usize) {
        let mut suspicions = self.suspicions();
        let suspicion = suspicions.entry(digest).or_default();
        suspicion.fresh |= suspicion.senders.insert(sender);
    }

    /// Notes the same of what an earlier run has left of the blob, whoever sent that.
    pub(super) fn suspect_kept(&self, digest: Digest) {
        self.suspicions().entry(digest).or_default().fresh = true;
    }

    fn given_up(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        // What is in it is whole at any time.
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the store's blob can't be read.
    pub(super) fn give_up(&self, digest: Digest) {
        self.given_up().insert(digest);
    }

    /// Whether the store's blob can't be read.
    pub(super) fn is_given_up(&self, digest: &Digest) -> bool {
        self.given_up().contains(digest)
    }

    /// Notes that the store has a new blob.
    pub(super) fn arrived(&self, digest: &Digest) {
        self.given_up().remove(digest);
    }

    /// Whether somebody sent something else for the blob before.
    pub(super) fn is_suspect(&self, digest: &Digest) -> bool {
        self.suspicions().contains_key(digest)
    }

    /// Whether somebody, or what was kept, is under suspicion since this was last asked, and there
    /// is another to have it from.
    pub(super) fn has_alternative(&self, digest: &Digest) -> bool {
        let mut suspicions = self.suspicions();
        let Some(suspicion) = suspicions.get_mut(digest) else { return false };
        let fresh = std::mem::take(&mut suspicion.fresh);
        fresh && suspicion.senders.len() < self.sessions.len()
    }
}

/// Whom to ask for one thing.
#[derive(Debug)]
pub(super) struct EndpointOrder {
    /// The numbers of the registries, without those under suspicion.
    all: Vec<usize>,
    /// Which of them it is at.
    at: usize,
    failed: Vec<String>,
}

impl EndpointOrder {
    /// Whose turn it is.
    pub(super) fn current(&self) -> usize {
        self.all[self.at]
    }

    /// The attempts that the current one gets.
    pub(super) fn attempts(&self) -> Attempts {
        match self.at + 1 == self.all.len() {
            true => Attempts::new(),
            false => Attempts::at_most(IMPATIENT_ATTEMPTS),
        }
    }

    fn give_up(&mut self, host: String, problem: Problem) -> Problem {
        let others = std::mem::take(&mut self.failed);
        if others.is_empty() {
            return problem;
        }
        Problem::Mirrors { others: others.join("; "), host, source: Box::new(problem) }
    }
}
