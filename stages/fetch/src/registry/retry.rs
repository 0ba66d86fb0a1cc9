//! When to try again.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, SystemTime};

use super::options::Options;
use super::problem::Problem;
use crate::{Event, Observer};

/// How often a server is tried that never answered: a name may be wrong, and nobody likes to wait
/// to be told so.
const UNREACHABLE_ATTEMPTS: u32 = 2;

/// The attempts at one thing.
#[derive(Debug)]
pub(super) struct Attempts {
    failed: u32,
    limit: u32,
    /// Whether who is asked has answered before: then the name is right, and who refuses
    /// connections may only be starting again.
    answered: bool,
}

impl Attempts {
    /// As many as the options say.
    pub(super) fn new() -> Attempts {
        Attempts::at_most(u32::MAX)
    }

    /// As many as the options say, and no more than this.
    pub(super) fn at_most(limit: u32) -> Attempts {
        Attempts { failed: 0, limit, answered: false }
    }

    /// Something was gained: what failed before does not count.
    pub(super) fn progress(&mut self) {
        self.failed = 0;
    }

    /// Who is asked has answered, to this or to something else.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// Waits as long as is good before the next attempt at `host`, or says that there should be
    /// none.
    pub(super) fn failed(
        &mut self,
        options: &Options,
        host: &str,
        failure: Failure,
        on: Observer<'_>,
    ) -> Result<(), Problem> {
        let Failure { problem, wait } = failure;
        if !problem.is_passing() {
            return Err(problem);
        }
        self.failed += 1;
        self.answered |= !problem.is_unreachable();
        let attempts = match problem.is_unreachable() && !self.answered {
            true => options.attempts.min(UNREACHABLE_ATTEMPTS),
            false => options.attempts,
        }
        .min(self.limit);
        if self.failed >= attempts {
            return Err(match self.failed {
                1 => problem,
                attempts => Problem::GaveUp { attempts, source: Box::new(problem) },
            });
        }
        let wait = match (wait, &problem) {
            (Some(wait), Problem::Status { host, status, .. }) if wait > options.longest_wait => {
                let (host, status, limit) = (host.clone(), *status, options.longest_wait);
                return Err(Problem::Wait { host, status, wait, limit });
            }
            (wait, _) => wait.unwrap_or_default().max(self.backoff(options)),
        };
        tracing::debug!("asking {host} again in {} ms: {}", wait.as_millis(), problem.line());
        on(Event::Waiting { host: host.to_owned(), wait, problem: problem.line() });
        thread::sleep(wait);
        Ok(())
    }

    /// Doubles with every failure; somewhere between half of that and all of it, so that clients
    /// that failed together don't come back together.
    fn backoff(&self, options: &Options) -> Duration {
        let doubled = options.first_wait.saturating_mul(1 << (self.failed - 1).min(16));
        let full = doubled.min(options.longest_wait);
        let random = u32::try_from(RandomState::new().hash_one(self.failed) & 0xffff).expect("16 bits");
        full / 2 + full / 2 * random / 0xffff
    }
}

/// An attempt that failed, and how long the server asks to wait.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) problem: Problem,
    pub(super) wait: Option<Duration>,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure { problem, wait: None }
    }
}

/// What `Retry-After` says, in seconds or as a date.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The time of day, which nothing depends on but how long a server is left alone.
pub(super) fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "an HTTP date can only be waited for; no output depends on it")]
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waiting() {
        let now = httpdate::parse_http_date("Fri, 20 Nov 2026 12:00:00 GMT").unwrap();
        let table = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Fri, 20 Nov 2026 12:00:30 GMT", Some(30)),
            ("Fri, 20 Nov 2026 11:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(retry_after(text, now), expected.map(Duration::from_secs), "{text:?}");
        }
    }

    proptest! {
        /// Only a number and a date mean something, and a date is never waited for longer than
        /// there are dates.
        #[test]
        fn whatever_servers_write(text in "\\PC*", number: u64, seconds in 0..4_000_000_000u64) {
            let (then, now) = (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), SystemTime::UNIX_EPOCH);
            prop_assert_eq!(retry_after(&httpdate::fmt_http_date(then), now), Some(Duration::from_secs(seconds)));
            prop_assert_eq!(retry_after(&number.to_string(), now), Some(Duration::from_secs(number)));
            if let Some(wait) = retry_after(&text, now) {
                let is_number = text.trim().trim_start_matches('+').bytes().all(|byte| byte.is_ascii_digit());
                prop_assert!(is_number || wait < Duration::from_secs(1 << 40), "{:?}: {:?}", text, wait);
            }
        }
    }

    #[test]
    fn backoff() {
        let options = Options::default();
        for failed in 1..200 {
            let wait = Attempts { failed, limit: u32::MAX, answered: false }.backoff(&options);
            assert!(wait >= options.first_wait / 2 && wait <= options.longest_wait, "{failed}: {wait:?}");
        }
    }
}
