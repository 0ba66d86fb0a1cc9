//! Runs that are ended from outside, at moments spread over the whole run: a run that is killed
//! leaves nothing that looks finished, the next one cleans up and makes the same bytes; a run that
//! is asked to end leaves nothing at all.
//!
//! How many moments there are depends on the machine's speed, what is asserted about each does not.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::bake::Place;
use crate::support::run::{Outcome, Running};
use crate::support::{ext4, sample};

/// Ends a run with a signal after a while, if it runs that long.
pub(crate) fn interrupted(mut run: Running, after: Duration, signal: Signal) -> Outcome {
    let start = Instant::now();
    while start.elapsed() < after && run.running() {
        std::thread::sleep(Duration::from_micros(500));
    }
    run.signal(signal);
    run.wait()
}

/// Calls `run` with ever later moments, until it says that the run came to its end.
pub(crate) fn at_many_moments(mut run: impl FnMut(Duration) -> bool) -> usize {
    let mut after = Duration::from_millis(1);
    let mut moments = 0;
    while !run(after) {
        moments += 1;
        after += Duration::from_millis(4) + after / 12;
        assert!(after < Duration::from_secs(120), "the run ends at last");
    }
    moments
}

fn bytes_of(place: &Place) -> String {
    ext4::bytes_of(&place.disk())
}

#[test]
fn sigkill_with_a_store_that_fills() {
    let place = Place::with(&sample::large());
    place.bake().ok();
    let expected = bytes_of(&place);
    for cold in [true, false] {
        let moments = at_many_moments(|after| {
            if cold {
                std::fs::remove_dir_all(place.store()).ok();
            }
            std::fs::remove_file(place.disk()).ok();
            let outcome = interrupted(place.bake().spawn(), after, Signal::KILL);
            if place.disk().exists() {
                assert_eq!(bytes_of(&place), expected, "what has its final name is whole");
            }
            outcome.code == Some(0)
        });
        assert!(moments > 0, "the run was killed at least once");
        place.bake().arg("--force").ok();
        assert_eq!(bytes_of(&place), expected);
        place.assert_no_leftovers(&["disk.ext4"]);
    }
}

#[test]
fn sigkill_then_the_same_store_again() {
    let place = Place::with(&sample::large());
    let other = Place::with(&sample::large());
    other.bake().ok();
    let expected = bytes_of(&other);
    // Each run finds what the ones before it have left, in the store and beside the output.
    for keep in ["never", "always"] {
        at_many_moments(|after| {
            let bake = place.bake().args(["--force", "--keep-packs", keep]);
            interrupted(bake.spawn(), after, Signal::KILL).code == Some(0)
        });
        assert_eq!(bytes_of(&place), expected, "packs kept: {keep}");
        place.assert_no_leftovers(&["disk.ext4"]);
    }
    place.bake().arg("--force").ok();
    assert_eq!(bytes_of(&place), expected, "from the packs");
}

#[test]
fn sigint_and_sigterm_leave_nothing() {
    for (signal, number, code) in [(Signal::INT, 2, 130), (Signal::TERM, 15, 143)] {
        let place = Place::with(&sample::large());
        let mut handled = 0;
        at_many_moments(|after| {
            std::fs::remove_dir_all(place.store()).ok();
            std::fs::remove_file(place.disk()).ok();
            let outcome = interrupted(place.bake().spawn(), after, signal);
            if outcome.code == Some(0) {
                return true;
            }
            // Before the program has set itself up, the signal ends it by itself.
            let early = outcome.signal == Some(number);
            assert!(early || outcome.code == Some(code), "{}", outcome.describe());
            let said = format!("cvbake: interrupted; nothing was written to {}\n", place.disk().display());
            assert!(early || outcome.stderr.ends_with(&said), "{}", outcome.describe());
            handled += usize::from(!early);
            place.assert_no_temporaries();
            false
        });
        assert!(handled > 0, "the program itself ended with {code} at least once");
    }
}

#[test]
fn a_killed_run_blocks_nobody() {
    let images = sample::large();
    let (first, second) = (Place::with(&images), Place::with(&images));
    at_many_moments(|after| {
        std::fs::remove_dir_all(first.store()).ok();
        std::fs::remove_file(first.disk()).ok();
        // Both work on the same layers of one store; the one that is killed may hold what the other
        // waits for.
        let victim = first.bake().spawn();
        let other = second.bake().arg("--force").store(&first.store()).spawn();
        let outcome = interrupted(victim, after, Signal::KILL);
        let other = other.wait();
        assert_eq!(other.code, Some(0), "{}", other.describe());
        outcome.code == Some(0)
    });
    first.assert_no_leftovers(&["disk.ext4"]);
    second.assert_no_leftovers(&["disk.ext4"]);
    assert_eq!(bytes_of(&first), bytes_of(&second));
}
