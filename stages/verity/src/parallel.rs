//! Ranges of work, taken by a few threads in their order.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

/// Does the work on the numbers below `count`, and returns the error of the lowest number that has
/// one: what is behind it is no longer begun, and what is in front of it is.
pub(crate) fn in_parallel(
    count: u64,
    jobs: NonZeroUsize,
    work: &(dyn Fn(u64) -> Result<(), Error> + Sync),
) -> Result<(), Error> {
    let (next, end) = (AtomicU64::new(0), AtomicU64::new(count));
    let first = Mutex::new(None::<(u64, Error)>);
    let worker = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= end.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = work(number) {
                end.fetch_min(number, Ordering::Relaxed);
                let mut first = first.lock().expect("nobody panics while it is locked");
                if first.as_ref().is_none_or(|(other, _)| number < *other) {
                    *first = Some((number, error));
                }
            }
        }
    };
    let threads = usize::try_from(count).map_or(jobs.get(), |count| jobs.get().min(count));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Without another thread, this one does it.
            if std::thread::Builder::new().name("verity".to_owned()).spawn_scoped(scope, worker).is_err() {
                break;
            }
        }
        worker();
    });
    first.into_inner().expect("all threads have ended").map_or(Ok(()), |(_, error)| Err(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_told_and_all_before_it_is_done() {
        for jobs in [1, 4] {
            let done = AtomicU64::new(0);
            let work = |number| {
                done.fetch_add(1, Ordering::Relaxed);
                match number {
                    40.. => Err(Error::Length { len_bytes: number }),
                    _ => Ok(()),
                }
            };
            let error = in_parallel(1000, NonZeroUsize::new(jobs).unwrap(), &work).unwrap_err();
            assert!(matches!(error, Error::Length { len_bytes: 40 }), "{error}");
            assert!((41..=80).contains(&done.load(Ordering::Relaxed)), "{done:?}");
        }
        assert!(in_parallel(0, NonZeroUsize::MIN, &|_| Err(Error::Stopped)).is_ok());
    }
}
