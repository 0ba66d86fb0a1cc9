//! What is told of a filesystem that is there.

use std::io;

use cvbake_disk::ReadAt;

use crate::format::{EROFS_SUPER_MAGIC_V1, EROFS_SUPER_OFFSET};

/// Whether a disk has an EROFS filesystem, as its magic number says.
///
/// # Errors
/// When the disk can't be read.
pub fn is_on(disk: &dyn ReadAt) -> io::Result<bool> {
    let mut magic = [0; 4];
    let offset = EROFS_SUPER_OFFSET as u64;
    if disk.len_bytes() < offset + magic.len() as u64 {
        return Ok(false);
    }
    disk.read_at(offset, &mut magic)?;
    Ok(u32::from_le_bytes(magic) == EROFS_SUPER_MAGIC_V1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use cvbake_disk::RawDisk;

    use super::*;

    #[test]
    fn by_its_magic_number() {
        let file = tempfile::tempfile().unwrap();
        let is = || is_on(&RawDisk::new(file.try_clone().unwrap()).unwrap()).unwrap();
        assert!(!is(), "nothing is no filesystem");
        file.set_len(4096).unwrap();
        assert!(!is());
        file.write_all_at(&EROFS_SUPER_MAGIC_V1.to_le_bytes(), 1024).unwrap();
        assert!(is());
        file.set_len(1027).unwrap();
        assert!(!is(), "cut off");
    }
}
