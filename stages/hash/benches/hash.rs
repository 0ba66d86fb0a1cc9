//! Streams hashed at once, beside the same streams one after the other.
//!
//! ```sh
//! cargo bench -p cvbake-hash
//! ```
//!
//! Megabytes per second of all streams together, the best of several turns, which the two take
//! alternately.
#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cvbake_hash::Stream;
use cvbake_verify::{Algorithm, Hasher};

const TURNS: usize = 7;
const PIECE: usize = 256 << 10;
const PIECES: usize = 200;

fn main() {
    // `cargo test` runs benchmarks, too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let piece: Arc<Vec<u8>> = Arc::new((0..PIECE).map(|at| ((at * at) >> 7).to_le_bytes()[0]).collect());
    println!("{:>7} {:>10} {:>10} {:>7}", "streams", "at once", "in turn", "ratio");
    for streams in [1, 2, 3, 4, 6, 8, 12, 16] {
        let [at_once, in_turn] = (0..TURNS)
            .map(|_| [timed(|| at_once(streams, &piece)), timed(|| in_turn(streams, &piece))])
            .reduce(|best, now| [best[0].min(now[0]), best[1].min(now[1])])
            .unwrap_or_default()
            .map(|time| (streams * PIECES * PIECE) as f64 / 1e6 / time.as_secs_f64());
        println!("{streams:>7} {at_once:>10.0} {in_turn:>10.0} {:>7.2}", at_once / in_turn);
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn at_once(streams: usize, piece: &Arc<Vec<u8>>) {
    thread::scope(|scope| {
        for _ in 0..streams {
            scope.spawn(|| {
                let mut stream = Stream::aside(Algorithm::Sha256);
                (0..PIECES).for_each(|_| stream.update(Shared(Arc::clone(piece))));
                std::hint::black_box(stream.finish());
            });
        }
    });
}

fn in_turn(streams: usize, piece: &Arc<Vec<u8>>) {
    for _ in 0..streams {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        (0..PIECES).for_each(|_| hasher.update(piece));
        std::hint::black_box(hasher.finish());
    }
}

struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
