//! Seats for threads that work: more layers arrive at once than processors can work on.
//!
//! Most of the time, a thread with a layer waits for the registry: for round trips if the layer is
//! small, for the line if it is large. So there are more threads than a bake has jobs, and as many
//! seats as jobs: a thread has a seat while it works, and gives it back while it waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who has waited for so long goes before those of better rank: what stands still for much longer
/// is taken for dead, by the server that sends it and by other processes that wait for the same
/// layer.
const AGED: Duration = Duration::from_secs(1);

/// Seats for those who work.
#[derive(Debug)]
pub(crate) struct Seats {
    state: Mutex<State>,
    given: Condvar,
}

#[derive(Debug)]
struct State {
    /// None is free while somebody waits.
    free: usize,
    waiting: Vec<Waiting>,
    /// The tickets of those who were given a seat and have not noticed yet.
    given: Vec<u64>,
    next_ticket: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    ticket: u64,
    rank: usize,
    since: Instant,
}

/// A seat, and the right to come back to one.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    seats: &'a Seats,
    rank: usize,
    held: AtomicBool,
}

impl Seats {
    pub(crate) fn new(count: usize) -> Seats {
        let state = State { free: count.max(1), waiting: Vec::new(), given: Vec::new(), next_ticket: 0 };
        Seats { state: Mutex::new(state), given: Condvar::new() }
    }

    /// Waits for a seat; of several who wait, the lowest rank gets the next one.
    pub(crate) fn take(&self, rank: usize) -> Seat<'_> {
        self.sit(rank);
        Seat { seats: self, rank, held: AtomicBool::new(true) }
    }

    fn sit(&self, rank: usize) {
        let mut state = self.lock();
        if state.free > 0 {
            state.free -= 1;
            return;
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push(Waiting { ticket, rank, since: Instant::now() });
        while !state.given.contains(&ticket) {
            state = self.given.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.given.retain(|&given| given != ticket);
    }

    fn stand_up(&self) {
        let mut state = self.lock();
        match state.next() {
            Some((at, _)) => {
                let Waiting { ticket, .. } = state.waiting.remove(at);
                state.given.push(ticket);
                self.given.notify_all();
            }
            None => state.free += 1,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is in it is whole at any time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who gets the next seat: who has waited too long, or else the one of the best rank; and
    /// whether it is for the waiting.
    fn next(&self) -> Option<(usize, bool)> {
        let aged = |waiting: &Waiting| waiting.since.elapsed() >= AGED;
        let all = || self.waiting.iter().enumerate();
        let oldest = all().filter(|(_, waiting)| aged(waiting)).min_by_key(|(_, waiting)| waiting.ticket);
        match oldest {
            Some((at, _)) => Some((at, true)),
            None => all().min_by_key(|(_, waiting)| (waiting.rank, waiting.ticket)).map(|(at, _)| (at, false)),
        }
    }
}

impl Seat<'_> {
    /// Waits for something, while somebody else works.
    pub(crate) fn without<T>(&self, wait: impl FnOnce() -> T) -> T {
        if !self.leave() {
            // It has been given back by whoever called.
            return wait();
        }
        let came = wait();
        self.seats.sit(self.rank);
        self.held.store(true, Ordering::Relaxed);
        came
    }

    /// Lets somebody else work who goes before, and comes back.
    pub(crate) fn offer(&self) {
        let goes_before = {
            let state = self.seats.lock();
            state.next().is_some_and(|(at, aged)| aged || state.waiting[at].rank < self.rank)
        };
        if goes_before {
            self.without(|| ());
        }
    }

    /// Gives the seat back; whether there was one.
    fn leave(&self) -> bool {
        let held = self.held.swap(false, Ordering::Relaxed);
        if held {
            self.seats.stand_up();
        }
        held
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn no_more_work_at_once_than_there_are_seats() {
        let (seats, working, most) = (Seats::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for rank in 0..8 {
                let (seats, working, most) = (&seats, &working, &most);
                scope.spawn(move || {
                    let seat = seats.take(rank);
                    for _ in 0..200 {
                        most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        working.fetch_sub(1, Ordering::SeqCst);
                        seat.offer();
                        seat.without(thread::yield_now);
                    }
                });
            }
        });
        assert!((1..=2).contains(&most.into_inner()));
        assert_eq!(seats.lock().free, 2);
    }

    #[test]
    fn who_waits_for_something_else_keeps_nobody_from_working() {
        let seats = Seats::new(1);
        let (say, said) = channel();
        thread::scope(|scope| {
            let seat = seats.take(0);
            scope.spawn(|| {
                let _other = seats.take(1);
                say.send(()).unwrap();
            });
            // Only the other one can end this.
            seat.without(|| said.recv().unwrap());
        });
        assert_eq!(seats.lock().free, 1);
    }

    #[test]
    fn the_best_rank_is_next_unless_another_has_waited_too_long() {
        let now = Instant::now();
        let waiting = |ticket, rank, since| Waiting { ticket, rank, since };
        let state = |waiting| State { free: 0, waiting, given: Vec::new(), next_ticket: 9 };
        assert_eq!(state(vec![waiting(0, 5, now), waiting(1, 2, now), waiting(2, 2, now)]).next(), Some((1, false)));
        let Some(long_ago) = now.checked_sub(AGED * 2) else { return };
        assert_eq!(state(vec![waiting(1, 2, now), waiting(0, 5, long_ago)]).next(), Some((1, true)));
        assert_eq!(state(Vec::new()).next(), None);
    }

    #[test]
    fn a_panic_while_waiting_gives_back_one_seat_and_not_two() {
        let seats = Seats::new(1);
        let seat = seats.take(0);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| seat.without(|| panic!("of a reader"))));
        assert!(caught.is_err());
        drop(seat);
        assert_eq!(seats.lock().free, 1);
    }
}
