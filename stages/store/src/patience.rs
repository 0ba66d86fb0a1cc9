//! How long one waits for another who is at the same thing.
//!
//! Two who make the same thing make it twice, which costs time and harms nothing: it is named by
//! its digest. Whom one waits for may be slow, or held by whoever it has the thing from, and nobody
//! may hold those who wait as well. So they look at what comes of it.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::lock_file::try_lock;

/// How long nothing need come of it, where nobody says.
const STALL: Duration = Duration::from_secs(30);

/// How fast another is believed to be at the least, in bytes per second, when all of it is
/// reckoned: a slow line's speed.
const WHOLE_RATE: u64 = 1 << 20;

/// How fast the other has to be while it is looked at: well below that, for lines have bad moments.
const RATE: u64 = WHOLE_RATE / 16;

/// The size of what nobody knows the size of: few layers are larger.
const UNKNOWN: u64 = 1 << 30;

/// How often one looks; at first more often, for most waits are short.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// How long one waits for another who makes the same thing.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    stall: Duration,
    bytes: u64,
}

impl Patience {
    /// For what is not waited for.
    pub(crate) const NONE: Patience = Patience { stall: Duration::ZERO, bytes: 0 };

    /// For something of so many bytes, where that is known.
    #[must_use]
    pub fn new(bytes: Option<u64>) -> Patience {
        Patience { stall: STALL, bytes: bytes.unwrap_or(UNKNOWN) }
    }

    /// With another time in which nothing need come of it.
    #[must_use]
    pub fn stall(self, stall: Duration) -> Patience {
        Patience { stall, ..self }
    }

    /// How long it may take in all.
    fn whole(self) -> Duration {
        self.stall.saturating_add(Duration::from_secs(self.bytes / WHOLE_RATE))
    }

    /// How much has to come of it, each time.
    fn share(self) -> u64 {
        u64::try_from(u128::from(RATE) * self.stall.as_millis() / 1000).unwrap_or(u64::MAX).max(1)
    }
}

/// One wait.
#[derive(Debug)]
pub(crate) struct Vigil {
    patience: Patience,
    begun: Instant,
    /// How much there was when enough had come the last time, and after how long that was.
    mark: Option<(u64, Duration)>,
}

/// Why one does not wait any longer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Enough {
    pub(crate) waited: Duration,
    /// How much there was by then.
    pub(crate) found: u64,
}

impl Vigil {
    pub(crate) fn new(patience: Patience) -> Vigil {
        Vigil { patience, begun: Instant::now(), mark: None }
    }

    /// Waits until the file is locked, or it has been enough. `made` says how much there is by now,
    /// nothing if the waiting is over; `waiting` is told before it begins.
    pub(crate) fn lock(
        &mut self,
        file: &File,
        made: &dyn Fn() -> Option<u64>,
        waiting: impl FnOnce(),
    ) -> io::Result<Result<(), Enough>> {
        if try_lock(file)? {
            return Ok(Ok(()));
        }
        waiting();
        let (mut pause, longest) = LOOKS;
        loop {
            let (waited, made) = (self.begun.elapsed(), made());
            match made {
                Some(made) if self.goes_on(waited, made) => {}
                made => return Ok(Err(Enough { waited, found: made.unwrap_or(0) })),
            }
            thread::sleep(pause);
            pause = (pause * 2).min(longest);
            if try_lock(file)? {
                return Ok(Ok(()));
            }
        }
    }

    /// Whether to go on after so long, when there is so much.
    fn goes_on(&mut self, waited: Duration, made: u64) -> bool {
        let (mark, since) = *self.mark.get_or_insert((made, waited));
        // It may have begun again, which brings nothing forward.
        let mark = mark.min(made);
        let enough = made - mark >= self.patience.share();
        let (mark, since) = if enough { (made, waited) } else { (mark, since) };
        self.mark = Some((mark, since));
        waited < self.patience.whole() && waited - since < self.patience.stall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the waiting ends for something of 100 MiB that grows like this, looked at every second.
    fn ends(made: impl Fn(u64) -> u64) -> u64 {
        let mut vigil = Vigil::new(Patience::new(Some(100 << 20)));
        (0..).find(|&second| !vigil.goes_on(Duration::from_secs(second), made(second))).unwrap()
    }

    #[test]
    fn waits_end() {
        let mib = |of: u64| of << 20;
        // Nothing, a drip, and what is just too slow.
        assert_eq!(ends(|_| 0), 30);
        assert_eq!(ends(|_| mib(50)), 30);
        assert_eq!(ends(|second| second), 30);
        assert_eq!(ends(|second| second * (RATE - 1)), 30);
        // Whoever is quick enough is waited for until it should be there.
        assert_eq!(ends(|second| second * RATE), 130);
        assert_eq!(ends(|second| 2 * mib(second)), 130);
        assert_eq!(ends(mib), 130);
        // Also after a slow start, but not for ever after a quick one.
        assert_eq!(ends(|second| if second < 29 { 0 } else { mib(second) }), 130);
        assert_eq!(ends(|second| mib(second.min(10))), 40);
        // What begins again and again comes to nothing.
        assert_eq!(ends(|second| mib(40 - second.min(40))), 30);
        assert_eq!(ends(|second| mib(second % 40)), 130);
    }

    #[test]
    fn sizes() {
        let whole = |bytes| Patience::new(bytes).stall(Duration::from_secs(2)).whole().as_secs();
        assert_eq!([whole(Some(0)), whole(Some(3 << 20)), whole(None)], [2, 5, 1026]);
        assert!(Patience::new(Some(u64::MAX)).stall(Duration::MAX).whole() == Duration::MAX);
        assert_eq!(Patience::new(None).stall(Duration::ZERO).share(), 1);
    }
}
