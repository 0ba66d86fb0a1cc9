//! The right to work on a layer.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use cvbake_verify::Digest;

use crate::dir::Dir;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::lock_file::LockFile;
use crate::patience::{Enough, Patience, Vigil};

/// How often the holder of a layer notes how far he is: often beside the time in which something
/// has to come of it.
const NOTES: Duration = Duration::from_millis(50);

/// The right to work on a layer; released when dropped, and by the kernel when the process ends.
#[derive(Debug)]
pub struct LayerLock {
    /// Nothing, if somebody else has it who was waited for long enough.
    lock: Option<LockFile>,
    /// How far the work is, and when that was noted last, for those who wait.
    bytes: u64,
    noted: Option<Instant>,
}

impl LayerLock {
    pub(crate) fn wait(dir: Dir, layer: &Digest, patience: Patience, on: Observer<'_>) -> Result<LayerLock, Error> {
        let name = OsString::from(format!("{}-{}", layer.algorithm(), layer.hex()));
        let (mut vigil, mut told) = (Vigil::new(patience), false);
        let lock = LockFile::take(dir, &name, &mut |file| {
            let tell = || {
                if !told {
                    on(Event::Waiting { layer: *layer });
                    told = true;
                }
            };
            let locked = vigil.lock(file, &|| Some(noted(file)), tell)?;
            if let Err(Enough { waited, found }) = locked {
                on(Event::Waited { layer: *layer, waited, found });
            }
            Ok(locked.is_ok())
        })?;
        Ok(LayerLock { lock, bytes: 0, noted: None })
    }

    /// Whether nobody else works on the layer.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.lock.is_some()
    }

    /// So many more bytes of the layer are unpacked: whoever waits goes on with it as long as they
    /// become more.
    pub fn unpacked(&mut self, bytes: u64) {
        self.bytes += bytes;
        let Some(lock) = &self.lock else { return };
        if self.noted.is_none_or(|noted| noted.elapsed() >= NOTES) {
            // Where it can't be written, nobody is waited for as long.
            let _ = lock.file().write_all_at(&self.bytes.to_le_bytes(), 0);
            self.noted = Some(Instant::now());
        }
    }
}

/// How many bytes of a layer its holder has unpacked, as far as he says.
fn noted(file: &File) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0).map_or(0, |()| u64::from_le_bytes(bytes))
}
