//! The threads that take many streams forward at once: one for every eight streams, as far as there
//! are processors.
//!
//! They live as long as there are streams for them. Hashing two streams costs hardly more than
//! hashing one, and eight less than twice as much, so they wait until either every stream has
//! something for them, or one of them presses: it has come to its end, or has so much waiting that
//! its reader would have to wait soon. A stream that presses is therefore never waited for in vain,
//! and the others lose nothing: they have nothing to do for whoever reads them until they press
//! themselves.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::num::NonZero;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::lane::{Lane, hash, padding};
use crate::lanes::{Block, Engine, LANES, State, engine};
use crate::piece::Piece;

/// All streams of the process, if the processor is one for a team.
static TEAM: LazyLock<Option<Arc<Team>>> = LazyLock::new(|| engine().map(|engine| Arc::new(Team::new(engine))));

/// From so many waiting bytes on a stream presses.
const PRESSING: usize = 512 << 10;

/// So many waiting bytes, and whoever brings more waits. A stream presses long before; but the
/// thread may get no core for some milliseconds, and whoever brings should not stand still then,
/// nor have nothing to bring afterwards.
pub(crate) const MOST: usize = 4 << 20;

/// What a piece counts for beside its bytes: with tiny ones, what they stand in is most of the
/// memory.
const PER_PIECE: usize = 256;

/// So many blocks each stream is taken forward at most before the others are looked at again: a
/// part of what may wait, so that those that were waited for bring more meanwhile, and all go on
/// together.
const STEP: usize = (128 << 10) / size_of::<Block>();

/// A new stream of the process; `None` if the processor is none for a team.
pub(crate) fn join() -> Option<io::Result<Membership>> {
    TEAM.as_ref().map(Team::join)
}

/// Streams, and the threads that hash them.
pub(crate) struct Team {
    engine: Box<dyn Engine>,
    most_threads: usize,
    shared: Mutex<Shared>,
    /// There may be work.
    work: Condvar,
    /// Some was done.
    done: Condvar,
}

#[derive(Default)]
struct Shared {
    /// By number; a number is used again when its stream is gone.
    members: Vec<Option<Member>>,
    threads: usize,
    /// A thread has panicked, so nobody may wait for what it had.
    broken: bool,
}

/// A stream, as it is known to both sides.
struct Member {
    /// Not here while it is worked on.
    lane: Option<Lane>,
    arrived: VecDeque<Piece>,
    /// The weight of what was brought and not given back.
    waiting: usize,
    ended: bool,
    /// Nobody wants to know any more.
    left: bool,
}

impl Member {
    fn presses(&self) -> bool {
        self.ended || self.waiting >= PRESSING
    }

    fn has_work(&self) -> bool {
        self.lane.as_ref().is_some_and(|lane| !self.arrived.is_empty() || !lane.blocks().is_empty())
    }

    fn is_hashed(&self) -> Option<[u8; 32]> {
        let lane = self.lane.as_ref()?;
        (self.ended && !self.has_work()).then(|| hash(&lane.state))
    }
}

impl Team {
    pub(crate) fn new(engine: Box<dyn Engine>) -> Team {
        let most_threads = thread::available_parallelism().map_or(1, NonZero::get);
        Team { engine, most_threads, shared: Mutex::default(), work: Condvar::new(), done: Condvar::new() }
    }

    /// Takes in a stream.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(crate) fn join(self: &Arc<Team>) -> io::Result<Membership> {
        let mut shared = self.lock();
        if shared.broken {
            return Err(io::Error::other("a thread that hashes has panicked"));
        }
        if shared.threads < self.most_threads && shared.present().count() >= shared.threads * LANES {
            let team = Arc::clone(self);
            match thread::Builder::new().name("hashing".to_owned()).spawn(move || team.run()) {
                Ok(_) => shared.threads += 1,
                // Those that are there will do.
                Err(_) if shared.threads > 0 => {}
                Err(error) => return Err(error),
            }
        }
        let member =
            Member { lane: Some(Lane::new()), arrived: VecDeque::new(), waiting: 0, ended: false, left: false };
        let free = shared.members.iter().position(Option::is_none);
        let number = free.unwrap_or(shared.members.len());
        if number == shared.members.len() {
            shared.members.push(None);
        }
        shared.members[number] = Some(member);
        Ok(Membership { team: Arc::clone(self), number, len: 0 })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // What a panic leaves of a stream is nobody's result.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until there are streams for the other threads only.
    fn run(&self) {
        let _alarm = Alarm(self);
        let mut shared = self.lock();
        while !shared.has_threads_to_spare() {
            let members = shared.to_work_on();
            let mut lanes = members.iter().map(|&number| shared.member(number).take_lane()).collect::<Vec<_>>();
            drop(shared);
            self.take_forward(&mut lanes);
            shared = self.lock();
            for (number, mut lane) in members.into_iter().zip(lanes) {
                let member = shared.member(number);
                member.waiting -= lane.take_given_back();
                member.lane = Some(lane);
                if member.left {
                    shared.members[number] = None;
                }
            }
            self.done.notify_all();
            while !shared.may_work() && !shared.has_threads_to_spare() {
                shared = self.work.wait(shared).unwrap_or_else(PoisonError::into_inner);
            }
        }
        shared.threads -= 1;
        // It may have been woken for what another has to do now.
        self.work.notify_one();
    }

    /// Takes streams forward, by a step at most, as long as most of them have anything.
    fn take_forward(&self, lanes: &mut [Lane]) {
        let enough = lanes.len().div_ceil(2);
        let mut left = STEP;
        while left > 0 {
            let busy: Vec<usize> = (0..lanes.len()).filter(|&lane| !lanes[lane].blocks().is_empty()).collect();
            let Some(least) = busy.iter().map(|&lane| lanes[lane].blocks().len()).min() else { return };
            if busy.len() < enough {
                return;
            }
            let count = least.min(left);
            let mut states: Vec<State> = busy.iter().map(|&lane| lanes[lane].state).collect();
            let blocks: Vec<&[Block]> = busy.iter().map(|&lane| &lanes[lane].blocks()[..count]).collect();
            self.engine.compress(&mut states, &blocks);
            for (&lane, state) in busy.iter().zip(states) {
                lanes[lane].state = state;
                lanes[lane].pass(count);
            }
            left -= count;
        }
    }
}

/// Tells those who wait for a thread that it has panicked.
struct Alarm<'t>(&'t Team);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().broken = true;
            self.0.work.notify_all();
            self.0.done.notify_all();
        }
    }
}

/// What a piece counts for.
pub(crate) fn weight(piece: &Piece) -> usize {
    PER_PIECE + (**piece).as_ref().len()
}

impl Shared {
    fn member(&mut self, number: usize) -> &mut Member {
        self.members[number].as_mut().expect("a stream is there until both sides have left it")
    }

    fn present(&self) -> impl Iterator<Item = (usize, &Member)> {
        self.members.iter().enumerate().filter_map(|(number, member)| Some((number, member.as_ref()?)))
    }

    /// Whether some stream presses that can be helped, or all have something to do.
    fn may_work(&self) -> bool {
        let mut unfinished = self.present().filter(|(_, member)| member.is_hashed().is_none()).peekable();
        let any = unfinished.peek().is_some();
        any && (self.present().any(|(_, member)| member.presses() && member.has_work())
            || unfinished.all(|(_, member)| member.has_work()))
    }

    fn has_threads_to_spare(&self) -> bool {
        self.present().count() <= self.threads.saturating_sub(1) * LANES
    }

    /// The streams to take forward, those that press before others.
    fn to_work_on(&self) -> Vec<usize> {
        let mut members: Vec<_> = self.present().filter(|(_, member)| member.has_work()).collect();
        members.sort_by_key(|(_, member)| std::cmp::Reverse((member.ended, member.waiting)));
        members.truncate(LANES);
        members.into_iter().map(|(number, _)| number).collect()
    }
}

impl Member {
    fn take_lane(&mut self) -> Lane {
        let mut lane = self.lane.take().expect("it has work, so nobody has taken it");
        lane.push(&mut self.arrived);
        lane
    }
}

/// A stream, as its reader has it.
pub(crate) struct Membership {
    team: Arc<Team>,
    number: usize,
    len: u64,
}

impl Membership {
    pub(crate) fn update(&mut self, piece: Piece) {
        let len = (*piece).as_ref().len();
        if len == 0 {
            return;
        }
        self.len += len as u64;
        let mut shared = self.team.lock();
        while shared.member(self.number).waiting >= MOST {
            shared = self.wait(shared);
        }
        self.bring(&mut shared, piece);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        let mut shared = self.team.lock();
        self.bring(&mut shared, Box::new(padding(self.len)));
        shared.member(self.number).ended = true;
        self.team.work.notify_one();
        loop {
            if let Some(hash) = shared.member(self.number).is_hashed() {
                return hash;
            }
            shared = self.wait(shared);
        }
    }

    /// Waits until some work was done.
    fn wait<'s>(&self, shared: MutexGuard<'s, Shared>) -> MutexGuard<'s, Shared> {
        let shared = match shared.broken {
            true => shared,
            false => self.team.done.wait(shared).unwrap_or_else(PoisonError::into_inner),
        };
        let broken = shared.broken;
        // What the thread had of this stream may be lost, and the digest with it.
        assert!(!broken, "a thread that hashes has panicked");
        shared
    }

    fn bring(&self, shared: &mut Shared, piece: Piece) {
        let member = shared.member(self.number);
        member.waiting += weight(&piece);
        member.arrived.push_back(piece);
        if shared.may_work() {
            self.team.work.notify_one();
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut shared = self.team.lock();
        let member = shared.member(self.number);
        member.left = true;
        let here = mem::take(&mut member.arrived);
        let gone = member.lane.is_some().then(|| shared.members[self.number].take());
        // Others may have waited for this one, and threads may have nothing to do any more.
        self.team.work.notify_all();
        drop(shared);
        // What pieces do when they are dropped is nothing that needs the lock, nor may it ever need
        // a team.
        drop((here, gone));
    }
}
