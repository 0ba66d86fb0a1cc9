//! Tables of a file, a page at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use crate::system;

/// Reads a file in pages and keeps those that were used last: a table may be as long as the disk
/// that it describes demands, and takes a few megabytes of memory all the same.
///
/// A page in a hole of the file is not read; what is behind the end of the file reads as zeros.
#[derive(Debug)]
pub struct Pages {
    file: Arc<File>,
    /// The last used first.
    kept: Mutex<Vec<(u64, Arc<[u8]>)>>,
    hole: Arc<[u8]>,
}

impl Pages {
    /// How many bytes a page has: a multiple of every entry of a table.
    pub const LEN: u64 = 64 << 10;

    /// How many pages are kept: 2 MiB. Who reads a disk in its order needs one of each table.
    const KEPT: usize = 32;

    /// Pages of a file.
    #[must_use]
    pub fn new(file: Arc<File>) -> Pages {
        let hole = vec![0; usize::try_from(Pages::LEN).expect("64 KiB")].into();
        Pages { file, kept: Mutex::default(), hole }
    }

    /// The page with a position of the file in it, and where in the page that is.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn page(&self, offset: u64) -> io::Result<(Arc<[u8]>, usize)> {
        let number = offset / Pages::LEN;
        let within = usize::try_from(offset % Pages::LEN).expect("within a page");
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(other, _)| *other == number) {
            kept[..=at].rotate_right(1);
            return Ok((Arc::clone(&kept[0].1), within));
        }
        drop(kept);
        let page = self.read(number * Pages::LEN)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(0, (number, Arc::clone(&page)));
        kept.truncate(Pages::KEPT);
        Ok((page, within))
    }

    fn read(&self, start: u64) -> io::Result<Arc<[u8]>> {
        let end = start.saturating_add(Pages::LEN);
        if system::next_content(&self.file, start, end).is_none() {
            return Ok(Arc::clone(&self.hole));
        }
        let mut page = self.hole.to_vec();
        let mut filled = 0;
        while filled < page.len() {
            match self.file.read_at(&mut page[filled..], start + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(page.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_the_file() {
        let file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..=250).cycle().take(200_000).collect();
        file.write_all_at(&content, 10 * Pages::LEN).unwrap();
        let pages = Pages::new(Arc::new(file));
        for round in 0..2 {
            for offset in (0..900_000).step_by(9_000) {
                let (page, within) = pages.page(offset).unwrap();
                let expected = usize::try_from(offset).unwrap().checked_sub(655_360).and_then(|at| content.get(at));
                assert_eq!(page[within], expected.copied().unwrap_or(0), "round {round}: {offset}");
            }
        }
        (0..1000).for_each(|page| drop(pages.page(page * Pages::LEN).unwrap()));
        assert!(pages.kept.lock().unwrap().len() <= Pages::KEPT);
    }
}
