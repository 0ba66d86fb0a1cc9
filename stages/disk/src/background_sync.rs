//! Bringing a file to stable storage while it is still being written.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// After how many bytes the thread is asked: enough for a storage device to be quick at it.
const STEP: u64 = 32 << 20;

/// A thread that syncs a file whenever much was written and it has nothing to do: nobody waits for
/// it but who wants all of the file synced, and then most of it is.
#[derive(Debug, Default)]
pub(crate) struct BackgroundSync {
    /// What was written since the thread was asked last.
    unsynced: AtomicU64,
    thread: Mutex<Option<Syncing>>,
}

#[derive(Debug)]
struct Syncing {
    ask: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl BackgroundSync {
    /// So many more bytes were written.
    pub(crate) fn wrote(&self, file: &File, bytes: u64) {
        if self.unsynced.fetch_add(bytes, Ordering::Relaxed) + bytes < STEP {
            return;
        }
        self.unsynced.store(0, Ordering::Relaxed);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            *thread = Syncing::start(file).ok();
        }
        // Who is busy will be asked again.
        let _ = thread.as_ref().map(|syncing| syncing.ask.try_send(()));
    }

    /// Waits for the thread, if there is one: the first error that it met.
    pub(crate) fn end(&self) -> io::Result<()> {
        let syncing = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Syncing { ask, thread }) = syncing else { return Ok(()) };
        drop(ask);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs the file has panicked")))
    }
}

impl Syncing {
    fn start(file: &File) -> io::Result<Syncing> {
        let file = file.try_clone()?;
        let (ask, asked) = sync_channel(1);
        let run = move || asked.into_iter().try_for_each(|()| file.sync_data());
        let thread = thread::Builder::new().name("sync".to_owned()).spawn(run)?;
        Ok(Syncing { ask, thread })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn asking_never_waits_and_the_end_does() {
        let mut file = tempfile::tempfile().unwrap();
        let sync = BackgroundSync::default();
        assert!(sync.end().is_ok());
        for _ in 0..100 {
            file.write_all(&[7; 5000]).unwrap();
            sync.wrote(&file, 5000);
            sync.wrote(&file, STEP);
        }
        assert!(sync.end().is_ok());
        sync.wrote(&file, STEP);
        assert!(sync.end().is_ok());
    }

    #[test]
    fn an_error_is_kept_for_the_end() {
        // A pipe can't be synced.
        let (_reader, writer) = io::pipe().unwrap();
        let sync = BackgroundSync::default();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        sync.wrote(&file, STEP - 1);
        assert!(sync.end().is_ok(), "too little to be synced");
        sync.wrote(&file, 1);
        assert!(sync.end().is_err());
    }
}
