//! Bringing to stable storage what has its name already, while the run goes on.
//!
//! Entry by entry a run would wait for the medium twice each: for the file, then for its directory.
//! A thread does that for all that have come meanwhile, and is waited for once, in the end. Should
//! the machine crash before, an entry may not be what it should: that is found out when it is used,
//! as with a medium that rots.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::iter;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::dir::Dir;
use crate::error::Error;

/// How many files may wait, open.
const WAITING: usize = 4;

/// How many directories are kept open for them: a bake puts something into half as many.
const DIRS: usize = 8;

/// The thread, once there is something to do for it.
#[derive(Debug, Default)]
pub(crate) struct SyncQueue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    never: bool,
    thread: Option<Syncing>,
}

#[derive(Debug)]
struct Syncing {
    put: SyncSender<Put>,
    thread: JoinHandle<Result<(), Error>>,
    /// The directories that something was put into: each is open once.
    dirs: BTreeMap<PathBuf, Arc<Dir>>,
}

/// A file that was put into a directory.
#[derive(Debug)]
struct Put {
    dir: Arc<Dir>,
    name: OsString,
    file: File,
}

impl SyncQueue {
    /// Whether anything is brought to stable storage from now on; it is, unless told otherwise.
    pub(crate) fn set_wanted(&self, wanted: bool) {
        self.lock().never = !wanted;
    }

    pub(crate) fn is_wanted(&self) -> bool {
        !self.lock().never
    }

    /// Has a file and its name in a directory brought to stable storage.
    ///
    /// Whoever calls waits for this one at most: where there is no thread, or one that has enough
    /// to do, it is done at once.
    pub(crate) fn push(&self, dir: &Dir, name: OsString, file: File) -> Result<(), Error> {
        let put = {
            let mut state = self.lock();
            if state.never {
                return Ok(());
            }
            if state.thread.is_none() {
                state.thread = Syncing::start().ok();
            }
            let put = state.thread.as_mut().and_then(|syncing| Some((syncing.dir(dir)?, syncing.put.clone())));
            let Some((dir, put)) = put else {
                drop(state);
                return sync_file(dir, &name, &file).and(dir.sync());
            };
            put.try_send(Put { dir, name, file })
        };
        match put {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(put) | TrySendError::Disconnected(put)) => sync_all([put]),
        }
    }

    /// Waits for all of it: the first error.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let syncing = self.lock().thread.take();
        let Some(Syncing { put, thread, dirs: _ }) = syncing else { return Ok(()) };
        drop(put);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Syncing {
    fn start() -> std::io::Result<Syncing> {
        let (put, puts) = sync_channel(WAITING);
        let thread = thread::Builder::new().name("store sync".to_owned()).spawn(move || run(&puts))?;
        Ok(Syncing { put, thread, dirs: BTreeMap::new() })
    }

    /// The directory, for the thread; `None` if no more may be open.
    fn dir(&mut self, dir: &Dir) -> Option<Arc<Dir>> {
        if let Some(known) = self.dirs.get(&dir.path) {
            return Some(Arc::clone(known));
        }
        if self.dirs.len() == DIRS {
            return None;
        }
        let new = Arc::new(dir.clone());
        self.dirs.insert(dir.path.clone(), Arc::clone(&new));
        Some(new)
    }
}

fn run(puts: &Receiver<Put>) -> Result<(), Error> {
    let mut result = Ok(());
    while let Ok(first) = puts.recv() {
        result = result.and(sync_all(iter::once(first).chain(puts.try_iter())));
    }
    result
}

/// Brings all to stable storage, whatever happens to some: the first error.
fn sync_all(puts: impl IntoIterator<Item = Put>) -> Result<(), Error> {
    let mut result = Ok(());
    let mut dirs: BTreeMap<PathBuf, Arc<Dir>> = BTreeMap::new();
    for Put { dir, name, file } in puts {
        result = result.and(sync_file(&dir, &name, &file));
        dirs.entry(dir.path.clone()).or_insert(dir);
    }
    dirs.into_values().fold(result, |result, dir| result.and(dir.sync()))
}

/// The file, without its name.
fn sync_file(dir: &Dir, name: &OsStr, file: &File) -> Result<(), Error> {
    file.sync_all().map_err(|source| {
        // Nobody knows what is there now.
        if dir.names_file(name, file) {
            let _ = dir.remove(name);
        }
        Error::Write { path: dir.join(name), source }
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    /// A file that can't be synced.
    fn pipe() -> File {
        File::from(OwnedFd::from(std::io::pipe().unwrap().1))
    }

    #[test]
    fn all_is_waited_for_and_the_first_error_told() {
        let path = tempfile::tempdir().unwrap();
        std::fs::set_permissions(path.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let dir = Dir::open_root(path.path()).unwrap();
        let queue = SyncQueue::default();
        assert!(queue.flush().is_ok(), "there is nothing to wait for");
        for round in 0..3 {
            for number in 0..5 * WAITING {
                let name = OsString::from(format!("{round}-{number}"));
                let file = File::create(path.path().join(&name)).unwrap();
                queue.push(&dir, name, file).unwrap();
            }
            assert!(queue.flush().is_ok());
        }
        let told: Vec<_> = ["first", "second"].iter().map(|name| queue.push(&dir, name.into(), pipe())).collect();
        let told: Vec<_> = told.into_iter().chain([queue.flush()]).filter_map(Result::err).collect();
        assert!(told[0].to_string().contains("first"), "{told:?}");
        assert!(queue.flush().is_ok(), "it was told");
        queue.set_wanted(false);
        queue.push(&dir, "third".into(), pipe()).unwrap();
        assert!(queue.flush().is_ok());
    }

    #[test]
    fn what_can_not_be_synced_is_removed() {
        let path = tempfile::tempdir().unwrap();
        std::fs::set_permissions(path.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let dir = Dir::open_root(path.path()).unwrap();
        let (entry, other) = (path.path().join("entry"), path.path().join("other"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &entry, rustix::fs::Mode::RWXU).unwrap();
        std::fs::write(&other, "somebody else's").unwrap();
        let unsyncable = || File::options().read(true).write(true).open(&entry).unwrap();
        let second = unsyncable();
        sync_all([Put { dir: Arc::new(dir), name: "entry".into(), file: unsyncable() }]).unwrap_err();
        assert!(!entry.exists());
        let dir = Dir::open_root(path.path()).unwrap();
        sync_all([Put { dir: Arc::new(dir), name: "other".into(), file: second }]).unwrap_err();
        assert!(other.exists());
    }
}
