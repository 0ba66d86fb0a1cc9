//! How slow a server may be.

use std::time::Duration;

use crate::registry::problem::Problem;

/// What a server moves at the least while it is waited for, in bytes per second. The slowest lines
/// that people have bring several times as much; a server that moves less may as well be one that
/// only wants to keep us waiting.
pub(super) const MIN_RATE: u64 = 1 << 10;

/// Holds a server to [`MIN_RATE`], over a time in which it may also be silent. Only time counts in
/// which it is waited for: who reads from it, or gives it something, may take longer.
#[derive(Debug)]
pub(super) struct Pace {
    limit: Duration,
    /// How long it has been waited for since it last had moved enough, and how much it has moved
    /// since.
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(limit: Duration) -> Pace {
        Pace { limit, waited: Duration::ZERO, bytes: 0 }
    }

    /// How much has to be moved before the time is over.
    fn expected(&self) -> u64 {
        u64::try_from(u128::from(MIN_RATE) * self.limit.as_millis() / 1000).unwrap_or(u64::MAX).max(1)
    }

    /// How long it may still be waited for.
    pub(super) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.waited)
    }

    /// It was waited for so long, and moved so much.
    pub(super) fn moved(&mut self, waited: Duration, bytes: u64) {
        self.waited += waited;
        self.bytes += bytes;
        if self.bytes >= self.expected() {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
    }

    /// What is wrong with it when the time is over: `did` says what the bytes had to be.
    pub(super) fn problem(&self, host: &str, did: &'static str) -> Problem {
        let (host, limit) = (host.to_owned(), self.limit);
        match self.bytes {
            0 => Problem::Stalled { host, did, limit },
            found => Problem::Slow { host, did, expected: self.expected(), found, limit },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces() {
        let seconds = Duration::from_secs;
        // So many bytes every so many seconds: whether there is an end to it.
        let table = [
            (1, 15, true),
            (1, 1, true),
            (1023, 1, true),
            (1024, 1, false),
            (4096, 1, false),
            (15 << 10, 29, true),
            (30 << 10, 29, false),
            (1 << 20, 29, false),
        ];
        for (bytes, every, ends) in table {
            let mut pace = Pace::new(seconds(30));
            let mut moves = 0;
            // What takes longer is not waited for.
            while seconds(every) <= pace.left() && moves < 10_000 {
                pace.moved(seconds(every), bytes);
                moves += 1;
            }
            assert_eq!(moves < 10_000, ends, "{bytes} bytes every {every} s");
            assert!(!ends || moves * every <= 30, "{bytes} bytes every {every} s: noticed after {moves} times");
        }
        let mut pace = Pace::new(seconds(30));
        assert_eq!(pace.problem("h", "sent").to_string(), "h sent nothing for 30 s");
        pace.moved(seconds(29), 7);
        assert_eq!(pace.problem("h", "took").to_string(), "h took 7 bytes in 30 s; expected at least 30720");
    }
}
