//! A command while it runs: what ends it early, and what it must not leave behind.
//!
//! A killed process cannot clean up, so the next run removes what it left (`disk` and `store` see
//! to that). A command that is *asked* to stop leaves nothing. There are two ways to ask:
//!
//! * [`Control::cancel`], from any thread: the command ends with [`Error::Cancelled`] as soon as it
//!   notices, which is between two pieces of what it reads, and what is temporary goes with it. The
//!   process goes on.
//! * [`Control::run`], for whoever ends the process: what is temporary is removed at once, and no
//!   more can be made.
//!
//! Neither comes in between when a result gets its final name: either it is there, or nothing is.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cvbake_durable::Temporary;

use crate::error::Error;

/// The control of a command. Several commands of a process may have one each, or share one to be
/// ended together.
#[derive(Debug, Default)]
pub struct Control {
    state: Mutex<State>,
    cancelled: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// As long as whoever has made them keeps them.
    temporaries: Vec<Weak<Temporary>>,
    /// Whether something has its final name, and nothing temporary was made since.
    finished: bool,
}

/// What [`Control::run`] found.
#[derive(Debug)]
pub enum Stop<'c> {
    /// Nothing temporary is left, and none can be made as long as this is kept.
    Clean(Halt<'c>),
    /// The work is done: its result stands, and it is too late to stop.
    TooLate,
}

/// Holds up whoever wants to make something temporary.
#[derive(Debug)]
pub struct Halt<'c> {
    _state: MutexGuard<'c, State>,
}

impl Control {
    /// Nothing to clean up yet.
    #[must_use]
    pub const fn new() -> Control {
        Control {
            state: Mutex::new(State { temporaries: Vec::new(), finished: false }),
            cancelled: AtomicBool::new(false),
        }
    }

    /// Asks the command to end, and all that are begun with this control later. Whatever has its
    /// final name keeps it.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the command was asked to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Whether there is a reason to go on.
    ///
    /// # Errors
    /// When the command was asked to end.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Makes something temporary and remembers it, in one step as a signal sees it. Nothing that
    /// may take long belongs in it.
    pub(crate) fn during<T, E: Into<Error>>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
        temporary: impl FnOnce(&T) -> Option<&Arc<Temporary>>,
    ) -> Result<T, Error> {
        let mut state = self.lock();
        self.check()?;
        let made = make().map_err(Into::into)?;
        state.temporaries.retain(|known| known.strong_count() > 0);
        if let Some(temporary) = temporary(&made) {
            state.temporaries.push(Arc::downgrade(temporary));
            state.finished = false;
        }
        Ok(made)
    }

    /// Does the last step of the work, which gives something temporary its final name: before it a
    /// signal stops everything, after it nothing.
    pub(crate) fn commit<T, E: Into<Error>>(&self, last: impl FnOnce() -> Result<T, E>) -> Result<T, Error> {
        let mut state = self.lock();
        self.check()?;
        let done = last().map_err(Into::into)?;
        state.finished = true;
        Ok(done)
    }

    /// Removes all that is remembered, the last first, unless the work is done.
    pub fn run(&self) -> Stop<'_> {
        let mut state = self.lock();
        if state.finished {
            return Stop::TooLate;
        }
        state.temporaries.drain(..).rev().filter_map(|known| known.upgrade()).for_each(|temporary| remove(&temporary));
        Stop::Clean(Halt { _state: state })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that hold the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a file or a directory with all that is in it. What can't be removed is left to the next
/// run.
fn remove(temporary: &Temporary) {
    /// Other threads go on meanwhile, and what they add to a directory can keep it alive. They add
    /// a file per layer.
    const ATTEMPTS: usize = 100;
    for _ in 0..ATTEMPTS {
        match temporary.remove() {
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;

    use super::*;

    fn temporary(path: &Path) -> Result<Arc<Temporary>, std::io::Error> {
        let parent = Arc::new(File::open(path.parent().unwrap())?.into());
        Temporary::new(parent, path.file_name().unwrap().to_owned(), File::open(path)?).map(Arc::new)
    }

    #[test]
    fn only_what_is_unfinished_goes() {
        for finish in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let control = Control::new();
            let (file, directory) = (dir.path().join("file"), dir.path().join("directory"));
            fs::write(&file, "x").unwrap();
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("file"), "x").unwrap();
            let _kept = [&file, &directory].map(|path| control.during(|| temporary(path), |made| Some(made)).unwrap());
            if finish {
                control.commit(|| Ok::<_, Error>(())).unwrap();
            } else {
                control.commit(|| Err::<(), _>(Error::Unread)).unwrap_err();
            }
            assert_eq!(matches!(control.run(), Stop::TooLate), finish);
            assert_eq!((file.exists(), directory.exists()), (finish, finish));
        }
    }

    #[test]
    fn what_is_cancelled_makes_nothing_and_finishes_nothing() {
        let control = Control::new();
        control.cancel();
        let made = control.during(|| -> Result<(), Error> { panic!("it was cancelled") }, |()| None);
        assert!(matches!(made, Err(Error::Cancelled)));
        let committed = control.commit(|| -> Result<(), Error> { panic!("it was cancelled") });
        assert!(matches!(committed, Err(Error::Cancelled)));
    }

    /// What comes after something that is finished is not.
    #[test]
    fn a_second_command_can_be_ended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let control = Control::new();
        control.commit(|| Ok::<_, Error>(())).unwrap();
        assert!(matches!(control.run(), Stop::TooLate));
        let _kept = control.during(|| temporary(&file), |made| Some(made)).unwrap();
        assert!(matches!(control.run(), Stop::Clean(_)));
        assert!(!file.exists());
    }

    /// After a bake that failed its names are free again, and may be another process's.
    #[test]
    fn what_nobody_keeps_any_more_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let control = Control::new();
        drop(control.during(|| temporary(&file), |made| Some(made)).unwrap());
        assert!(matches!(control.run(), Stop::Clean(_)));
        assert!(file.exists());
    }
}
