//! What a reader brings its bytes to.

use std::fmt;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use cvbake_verify::{Algorithm, Digest, Hasher};

use crate::piece::Piece;
use crate::team::{self, Membership};

/// A shorter stream is hashed before the team knows of it.
const LONG: u64 = 256 << 10;

/// How many pieces wait at most for a thread of their own.
const PIECES: usize = 8;

/// A stream whose bytes are hashed on another thread, if that is worth while.
pub struct Stream(Way);

enum Way {
    Team(Membership),
    Alone(SyncSender<Piece>, JoinHandle<Digest>),
    Here(Hasher),
}

impl Stream {
    /// A stream of about so many bytes. It is hashed by the team, or else, if it is short or there
    /// is none, by whoever brings the bytes.
    #[must_use]
    pub fn new(algorithm: Algorithm, len: u64) -> Stream {
        let membership = if len >= LONG { join(algorithm).and_then(Result::ok) } else { None };
        Stream(membership.map_or_else(|| Way::Here(Hasher::new(algorithm)), Way::Team))
    }

    /// A stream that is hashed by another thread than the one that brings the bytes, even if there
    /// is no team.
    #[must_use]
    pub fn aside(algorithm: Algorithm) -> Stream {
        let way = join(algorithm).map_or_else(|| alone(algorithm), |joined| joined.map(Way::Team));
        // There may be no more threads.
        Stream(way.unwrap_or_else(|_| Way::Here(Hasher::new(algorithm))))
    }

    /// Brings the next bytes. Waits if too much has been brought that is not hashed yet.
    ///
    /// # Panics
    /// If a thread that hashes has panicked, as what a piece does when it is read or dropped can
    /// make it.
    pub fn update(&mut self, piece: impl AsRef<[u8]> + Send + 'static) {
        match &mut self.0 {
            Way::Team(membership) => membership.update(Box::new(piece)),
            // The thread ends when there is nobody to send anything.
            Way::Alone(sender, _) => sender.send(Box::new(piece)).expect("the thread is waiting"),
            Way::Here(hasher) => hasher.update(piece.as_ref()),
        }
    }

    /// The digest of all bytes.
    ///
    /// # Panics
    /// As [`Stream::update`].
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            Way::Team(membership) => Digest::from_sha256(membership.finish()),
            Way::Alone(sender, thread) => {
                drop(sender);
                thread.join().expect("hashing has no reason to panic")
            }
            Way::Here(hasher) => hasher.finish(),
        }
    }
}

fn join(algorithm: Algorithm) -> Option<io::Result<Membership>> {
    if algorithm == Algorithm::Sha256 { team::join() } else { None }
}

fn alone(algorithm: Algorithm) -> io::Result<Way> {
    let (sender, pieces) = sync_channel::<Piece>(PIECES);
    let thread = thread::Builder::new().name("hashing".to_owned()).spawn(move || {
        let mut hasher = Hasher::new(algorithm);
        pieces.into_iter().for_each(|piece| hasher.update((*piece).as_ref()));
        hasher.finish()
    })?;
    Ok(Way::Alone(sender, thread))
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_algorithms() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for len in [0, 1, 63, 64, 1_000_000_usize] {
                let all: Vec<u8> = (0..len).map(|at| (at * 31).to_le_bytes()[0]).collect();
                for mut stream in [Stream::new(algorithm, len as u64), Stream::aside(algorithm)] {
                    all.chunks(777).for_each(|piece| stream.update(piece.to_vec()));
                    assert_eq!(stream.finish(), Digest::for_bytes(algorithm, &all));
                }
            }
            let mut left = Stream::aside(algorithm);
            left.update(vec![0; 100]);
        }
    }
}
