//! What only one system has, and what stands in for it on all others: there, whoever calls does
//! without.
//!
//! Nothing outside of the files `system.rs` names such a thing, which `tests/layering.rs` checks.
//! The functions for other systems are compiled and tested on Linux, too.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

#[cfg(target_os = "linux")]
use linux as native;
#[cfg(not(target_os = "linux"))]
use portable as native;

/// Makes an empty file share all blocks of another one, holes included, if their filesystem can do
/// that; says whether it could.
pub(crate) fn share_blocks(to: &File, from: &File) -> bool {
    native::share_blocks(to, from)
}

/// Makes a part of a file read as zeros, and frees what it took, if its filesystem can do that;
/// says whether it could.
pub(crate) fn punch_hole(file: &File, offset: u64, len: u64) -> bool {
    native::punch_hole(file, offset, len)
}

/// Has the kernel copy bytes between files: how many it did. Blocks are shared where that can be.
pub(crate) fn copy_range(from: &File, read_at: u64, to: &File, write_at: u64, len: usize) -> io::Result<usize> {
    native::copy_range(from, read_at, to, write_at, len)
}

/// The next part of a file of this length that is no hole, from here on. Where holes can't be asked
/// for, all is content.
pub(crate) fn next_content(file: &File, at: u64, len: u64) -> Option<Range<u64>> {
    native::next_content(file, at, len).filter(|range| range.start < len)
}

/// Whether a file is on a filesystem that takes a block for each block that is written. Others
/// compress, share the blocks of what is copied, or stand for something else that may: what they
/// say is free says little. Nor is anything known of those that nobody has looked at.
pub(crate) fn is_plain(file: &File) -> bool {
    native::is_plain(file)
}

/// Whether a file is in memory, as far as that can be told.
#[must_use]
pub fn is_in_memory(path: &Path) -> bool {
    native::is_in_memory(path)
}

/// The clock that filesystems take their times from, as seconds and nanoseconds, if it can be read.
#[must_use]
pub fn clock_of_files() -> Option<(i64, i64)> {
    native::clock_of_files().and_then(|time| Some((i64::try_from(time.as_secs()).ok()?, time.subsec_nanos().into())))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io;
    use std::ops::Range;
    use std::path::Path;
    use std::time::Duration;

    use rustix::fs::{FallocateFlags, SeekFrom};
    use rustix::io::Errno;
    use rustix::time::ClockId;

    pub(super) fn share_blocks(to: &File, from: &File) -> bool {
        rustix::fs::ioctl_ficlone(to, from).is_ok()
    }

    pub(super) fn punch_hole(file: &File, offset: u64, len: u64) -> bool {
        rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len).is_ok()
    }

    pub(super) fn copy_range(
        from: &File,
        mut read_at: u64,
        to: &File,
        mut write_at: u64,
        len: usize,
    ) -> io::Result<usize> {
        Ok(rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), len)?)
    }

    pub(super) fn next_content(file: &File, at: u64, len: u64) -> Option<Range<u64>> {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return None,
            Err(_) => at,
        };
        Some(start..rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(len).min(len))
    }

    /// Also of ext2 and ext3.
    const EXT4: u64 = 0xef53;
    const TMPFS: u64 = 0x0102_1994;

    pub(super) fn is_plain(file: &File) -> bool {
        let found = rustix::fs::fstatfs(file).ok().and_then(|found| u64::try_from(found.f_type).ok());
        matches!(found, Some(EXT4 | TMPFS))
    }

    pub(super) fn is_in_memory(path: &Path) -> bool {
        rustix::fs::statfs(path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(TMPFS))
    }

    pub(super) fn clock_of_files() -> Option<Duration> {
        let now = rustix::time::clock_gettime(ClockId::RealtimeCoarse);
        Some(Duration::new(now.tv_sec.try_into().ok()?, now.tv_nsec.try_into().ok()?))
    }
}

#[cfg(any(test, not(target_os = "linux")))]
mod portable {
    use std::fs::File;
    use std::io;
    use std::ops::Range;
    use std::path::Path;
    use std::time::Duration;

    pub(super) fn share_blocks(_: &File, _: &File) -> bool {
        false
    }

    pub(super) fn punch_hole(_: &File, _: u64, _: u64) -> bool {
        false
    }

    pub(super) fn copy_range(_: &File, _: u64, _: &File, _: u64, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn next_content(_: &File, at: u64, len: u64) -> Option<Range<u64>> {
        Some(at..len)
    }

    pub(super) fn is_plain(_: &File) -> bool {
        false
    }

    /// Who can't tell must not say that it isn't: what is mapped there is written without a trace.
    pub(super) fn is_in_memory(_: &Path) -> bool {
        true
    }

    pub(super) fn clock_of_files() -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::time::Duration;

    use super::*;

    /// A file of three MiB with a hole in the middle.
    fn with_hole() -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 1 << 20], 0).unwrap();
        file.write_all_at(&[2; 1 << 20], 2 << 20).unwrap();
        file
    }

    #[test]
    fn what_can_not_be_had_is_said_and_changes_nothing() {
        let (from, to) = (with_hole(), tempfile::tempfile().unwrap());
        assert!(!portable::share_blocks(&to, &from) && !portable::punch_hole(&from, 0, 4096));
        assert!(portable::copy_range(&from, 0, &to, 0, 4096).is_err());
        assert_eq!((to.metadata().unwrap().len(), from.metadata().unwrap().len()), (0, 3 << 20));
        let mut first = [0; 4096];
        from.read_exact_at(&mut first, 0).unwrap();
        assert_eq!(first, [1; 4096]);
        assert!(!portable::is_plain(&from) && portable::clock_of_files().is_none());
        assert!(portable::is_in_memory(Path::new("/")));
        assert!(native::clock_of_files().unwrap() > Duration::from_secs(1 << 30));
    }

    /// Whoever takes a hole for content copies its zeros.
    #[test]
    fn no_content_is_left_out() {
        let (file, len) = (with_hole(), 3 << 20);
        for next in [native::next_content, portable::next_content] {
            let (mut at, mut bytes) = (0, 0);
            while at < len {
                let Some(range) = next(&file, at, len) else { break };
                let outside = at..range.start;
                assert!(outside.is_empty() || (1 << 20..2 << 20).contains(&outside.start), "{outside:?}");
                bytes += range.end - range.start;
                at = range.end;
            }
            assert!((2 << 20..=3 << 20).contains(&bytes), "{bytes}");
        }
    }
}
