//! Paths that must not outlive the process, even when a signal ends it.
//!
//! A killed process cannot clean up, so the next run removes what it left (`disk` and `store` see to that). A process that
//! is *asked* to stop leaves nothing: whatever makes a temporary file or directory does so under [`Cleanup::during`], and
//! whoever handles the signal calls [`Cleanup::run`] and exits while no new one can be made.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The temporary paths of a process.
#[derive(Debug, Default)]
pub struct Cleanup {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    paths: Vec<PathBuf>,
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
        Cleanup { state: Mutex::new(State { paths: Vec::new(), finished: false }) }
    }

    /// Makes something temporary and remembers its path, in one step as a signal sees it.
    ///
    /// # Errors
    /// What `make` returns.
    pub fn during<T, E>(&self, make: impl FnOnce() -> Result<T, E>, path: impl FnOnce(&T) -> &Path) -> Result<T, E> {
        let mut state = self.lock();
        let made = make()?;
        state.paths.push(path(&made).to_owned());
        Ok(made)
    }

    /// Does the last step of the work, which gives a temporary path its final name: before it a signal stops everything,
    /// after it nothing.
    ///
    /// # Errors
    /// What `last` returns; then the work is not done.
    pub fn finish<T, E>(&self, temporary: &Path, last: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut state = self.lock();
        let done = last()?;
        state.paths.retain(|path| path != temporary);
        state.finished = true;
        Ok(done)
    }

    /// Removes every remembered path, unless the work is done.
    pub fn run(&self) -> Stop<'_> {
        let mut state = self.lock();
        if state.finished {
            return Stop::TooLate;
        }
        state.paths.drain(..).for_each(|path| remove(&path));
        Stop::Clean(Halt { _state: state })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that hold the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a file or a directory with all that is in it. What can't be removed is left to the next run.
fn remove(path: &Path) {
    /// Other threads go on meanwhile, and what they add to a directory can keep it alive. They add a file per layer.
    const ATTEMPTS: usize = 100;
    if !path.is_dir() {
        let _ = fs::remove_file(path);
        return;
    }
    for _ in 0..ATTEMPTS {
        match cvbake_disk::remove_tree(path) {
            Err(error)
                if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) && path.exists() => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unfinished_goes() {
        for finish in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let cleanup = Cleanup::new();
            let file = dir.path().join("file");
            cleanup.during(|| fs::write(&file, "x").map(|()| file.clone()), PathBuf::as_path).unwrap();
            let directory = dir.path().join("directory");
            cleanup.during(|| fs::create_dir(&directory).map(|()| directory.clone()), PathBuf::as_path).unwrap();
            fs::write(directory.join("file"), "x").unwrap();
            if finish {
                cleanup.finish(&file, || Ok::<_, ()>(())).unwrap();
            } else {
                cleanup.finish(&file, || Err::<(), _>(())).unwrap_err();
            }
            assert_eq!(matches!(cleanup.run(), Stop::TooLate), finish);
            assert_eq!((file.exists(), directory.exists()), (finish, finish));
        }
    }
}
