//! Whether there is room for an output, before the first byte of it is written.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use rustix::io::Errno;

use crate::{Draft, Error, system};

/// What `st_blocks` counts in, whatever the filesystem.
const ST_BLOCKS: u64 = 512;

/// How many bytes may still be written to a file's, or a directory's, filesystem; `None` where
/// nobody knows.
#[must_use]
pub fn free_bytes(file: &File) -> Option<u64> {
    // What is reserved is root's.
    free(file, rustix::process::geteuid().is_root())
}

/// With what is reserved or without.
fn free(file: &File, with_reserved: bool) -> Option<u64> {
    let stat = rustix::fs::fstatvfs(file).ok()?;
    // A tmpfs without a limit says that it has no blocks at all.
    if !system::is_plain(file) || stat.f_blocks == 0 {
        return None;
    }
    let blocks = if with_reserved { stat.f_bfree } else { stat.f_bavail };
    Some(blocks.saturating_mul(stat.f_frsize))
}

impl Draft {
    /// How many bytes the file may still take; `None` where nobody knows: where blocks are shared
    /// or compressed, or may be.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        if self.shares() { None } else { free_bytes(self.file()) }
    }

    /// Sees whether the file can get so many bytes of content, those that it has included.
    ///
    /// Holes take nothing, what a quota allows is not known, and what stands at the target stays
    /// until the end: so this fails only where writing would fail, too, and later.
    ///
    /// # Errors
    /// When there is certainly no room for it.
    pub fn check_room(&self, content_bytes: u64) -> Result<(), Error> {
        let has = self.file().metadata().map_or(0, |metadata| metadata.blocks().saturating_mul(ST_BLOCKS));
        // What is reserved may be this user's, by a mount option or a capability.
        match free(self.file(), true).filter(|_| !self.shares()) {
            Some(free) if content_bytes.saturating_sub(has) > free => {
                let source = Errno::NOSPC.into();
                Err(Error::NoRoom { path: self.target().to_owned(), needed: content_bytes, free: free + has, source })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn more_than_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::create(&dir.path().join("disk"), false).unwrap();
        let Some(free) = draft.free_bytes() else { return assert!(draft.check_room(u64::MAX).is_ok()) };
        // Others write at the same time.
        draft.check_room(free / 2).unwrap();
        let error = draft.check_room(u64::MAX).unwrap_err();
        let Error::NoRoom { needed, free, source, .. } = &error else { panic!("{error}") };
        assert_eq!((*needed, source.kind()), (u64::MAX, ErrorKind::StorageFull));
        assert!(*free < *needed);
        std::os::unix::fs::FileExt::write_all_at(draft.file(), &[7; 1 << 20], 0).unwrap();
        assert!(draft.check_room(1 << 20).is_ok());
    }
}
