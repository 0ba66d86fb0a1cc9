//! What a filesystem holds, as a tree; and its content, as packs.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use cvbake_tree::read::Contents;

use super::{Content, Filesystem};

/// All files of a filesystem.
pub type Files = cvbake_tree::read::Files<Filesystem>;

impl Contents for Filesystem {
    fn open(&self, inode: u64) -> io::Result<Arc<dyn cvbake_tree::read::Content>> {
        let ino = u32::try_from(inode).map_err(|_| io::ErrorKind::NotFound)?;
        let content = self.node(ino).and_then(|node| self.content(&node));
        Ok(Arc::new(content.map_err(io::Error::other)?))
    }
}

impl cvbake_tree::read::Content for Content {
    fn len_bytes(&self) -> u64 {
        self.len_bytes()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_at(offset, bytes).map_err(io::Error::other)
    }

    fn next_content(&self, offset: u64) -> Option<Range<u64>> {
        self.next_content(offset)
    }
}
