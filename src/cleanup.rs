//! Paths that must not outlive the process, even when a signal ends it.
//!
//! A killed process cannot clean up, so the next run removes its leftovers (`disk` and `store` see to that). A process that
//! is *asked* to stop leaves none: code that makes a temporary file or directory does so under [`Cleanup::during`], and
//! the handler of the signal calls [`Cleanup::run`] and exits while no new one can be made.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cvbake_durable::Temporary;

/// The temporary files and directories of a process.
#[derive(Debug, Default)]
pub struct Cleanup {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// As long as whoever has made them keeps them.
    temporaries: Vec<Weak<Temporary>>,
    finished: bool,
}

/// What [`Cleanup::run`] found.
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

impl Cleanup {
    /// Nothing to clean up yet.
    #[must_use]
    pub const fn new() -> Cleanup {
        Cleanup { state: Mutex::new(State { temporaries: Vec::new(), finished: false }) }
    }

    /// Makes something temporary and remembers it, in one step as a signal sees it. Nothing that may take long belongs in it.
    ///
    /// # Errors
    /// What `make` returns.
    pub fn during<T, E>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
        temporary: impl FnOnce(&T) -> Option<&Arc<Temporary>>,
    ) -> Result<T, E> {
        let mut state = self.lock();
        let made = make()?;
        state.temporaries.retain(|known| known.strong_count() > 0);
        state.temporaries.extend(temporary(&made).map(Arc::downgrade));
        Ok(made)
    }

    /// Does the last step of the work, which gives something temporary its final name: before it a signal stops everything,
    /// after it nothing.
    ///
    /// # Errors
    /// What `last` returns; then the work is not done.
    pub fn finish<T, E>(&self, last: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut state = self.lock();
        let done = last()?;
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

/// Removes a file or a directory with all that is in it. What can't be removed is left to the next run.
fn remove(temporary: &Temporary) {
    /// Other threads go on meanwhile, and what they add to a directory can keep it alive. They add a file per layer.
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
            let cleanup = Cleanup::new();
            let (file, directory) = (dir.path().join("file"), dir.path().join("directory"));
            fs::write(&file, "x").unwrap();
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("file"), "x").unwrap();
            let _kept = [&file, &directory].map(|path| cleanup.during(|| temporary(path), |made| Some(made)).unwrap());
            if finish {
                cleanup.finish(|| Ok::<_, ()>(())).unwrap();
            } else {
                cleanup.finish(|| Err::<(), _>(())).unwrap_err();
            }
            assert_eq!(matches!(cleanup.run(), Stop::TooLate), finish);
            assert_eq!((file.exists(), directory.exists()), (finish, finish));
        }
    }

    /// After a bake that failed its names are free again, and may be another process's.
    #[test]
    fn what_nobody_keeps_any_more_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let cleanup = Cleanup::new();
        drop(cleanup.during(|| temporary(&file), |made| Some(made)).unwrap());
        assert!(matches!(cleanup.run(), Stop::Clean(_)));
        assert!(file.exists());
    }
}
