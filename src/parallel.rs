//! Work on many things with a few threads, which stop when one of them fails.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::control::Control;
use crate::error::Error;

/// Tells work in progress that it is for nothing, because something else failed, or nobody wants it
/// any more.
#[derive(Debug)]
pub(crate) struct Stop<'c> {
    failed: AtomicBool,
    control: &'c Control,
}

/// Why work ended that was for nothing. Nobody is told: the failure is what counts.
#[derive(Debug, thiserror::Error)]
#[error("stopped, because it is for nothing")]
pub(crate) struct Stopped;

impl Stop<'_> {
    /// An error if it is time to stop: for readers, which long work asks again and again.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.failed.load(Ordering::Relaxed) || self.control.is_cancelled() {
            true => Err(io::Error::other(Stopped)),
            false => Ok(()),
        }
    }
}

/// Does the work on all items with a number of threads, which begin with the first, and returns the
/// results in the order of the items; at the first error the others stop as soon as they ask.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    control: &Control,
    jobs: usize,
    items: &[T],
    work: &(dyn Fn(&T, &Stop<'_>) -> Result<R, Error> + Sync),
) -> Result<Vec<R>, Error> {
    let next = AtomicUsize::new(0);
    let stop = Stop { failed: AtomicBool::new(false), control };
    let results = Mutex::new((Vec::with_capacity(items.len()), Vec::new()));
    let worker = || {
        while stop.check().is_ok()
            && let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(at)
        {
            let result = work(item, &stop);
            let mut results = results.lock().expect("no worker panics while it holds the results");
            match result {
                Ok(result) => results.0.push((at, result)),
                Err(error) => {
                    stop.failed.store(true, Ordering::Relaxed);
                    results.1.push((at, error));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.min(items.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    let (mut results, mut errors) = results.into_inner().expect("no worker panics while it holds the results");
    // Those that merely stopped come last: there is one that made them.
    errors.sort_by_key(|(at, error)| (error.has_cause::<Stopped>(), *at));
    // What ends because it was asked to may fail in any way.
    control.check()?;
    match errors.into_iter().next() {
        Some((_, error)) => Err(error),
        None => {
            results.sort_by_key(|(at, _)| *at);
            Ok(results.into_iter().map(|(_, result)| result).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_the_first_error() {
        let items: Vec<usize> = (0..100).collect();
        let squares = in_parallel(&Control::new(), 4, &items, &|&at, _| Ok(at * at)).unwrap();
        assert_eq!(squares, items.iter().map(|at| at * at).collect::<Vec<_>>());
    }

    #[test]
    fn who_cancels_ends_all() {
        let control = Control::new();
        let work = |&at: &usize, stop: &Stop<'_>| {
            if at == 3 {
                control.cancel();
            }
            loop {
                stop.check()?;
                std::thread::yield_now();
            }
        };
        let error = in_parallel::<_, ()>(&control, 4, &[0, 1, 2, 3], &work).unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
        assert!(matches!(in_parallel(&control, 1, &[0], &|&at, _| Ok(at)), Err(Error::Cancelled)));
    }

    #[test]
    fn a_failure_stops_work_that_would_never_end() {
        let endless = |stop: &Stop<'_>| loop {
            if let Err(error) = stop.check() {
                return Err(Error::from(error));
            }
            std::thread::yield_now();
        };
        let failing = || Error::NotInRegistry;
        let work = |&at: &usize, stop: &Stop<'_>| if at == 0 { endless(stop) } else { Err(failing()) };
        let error = in_parallel::<_, ()>(&Control::new(), 2, &[0, 1], &work).unwrap_err();
        assert!(matches!(error, Error::NotInRegistry), "{error}");
    }
}
