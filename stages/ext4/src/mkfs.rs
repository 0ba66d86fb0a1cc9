//! The `mkfs` engine: tree → filesystem by the programs of e2fsprogs, without root.
//!
//! It is slower than the native writer by far. It is there for those who want their filesystems
//! made by the reference implementation, and it is what the native writer is tested against: the
//! same tree must come out of both.
//!
//! `mke2fs -d` copies a directory into the filesystem that it makes. An ordinary user's directory
//! can't have what an image has: foreign owners, devices, `trusted.*` and `security.*` attributes;
//! and mke2fs itself drops the attributes of the root, nanoseconds, times after 2038, and the
//! second names of symbolic links. So:
//!
//! 1. **Stage** what the user can make: real names and real content in a private directory, and
//!    placeholders (pipes) for devices and for symbolic links with several names. The modification
//!    time of each file is its number in the tree.
//! 2. **mke2fs** makes the filesystem. By the modification times in its inode tables we learn which
//!    inode is which.
//! 3. **debugfs** runs a script that gives each inode, by number, its type, mode, owner, times,
//!    device and attributes.
//! 4. **e2fsck** corrects the types in the names of former placeholders, and builds the indexes of
//!    large directories.
//! 5. **resize2fs** cuts the filesystem where its size depends on what is the smallest possible.
//! 6. The inode tables are read again and compared with the tree, and e2fsck must have nothing to
//!    say.
//!
//! No name of an image ever becomes a path or a word of a command: staging resolves one name at a
//! time in an open directory of our own, and the script addresses inodes by number. The only words
//! of an image in the script are the names of extended attributes, quoted.
//!
//! The tar archives that mke2fs reads from version 1.47.1 on (when built with libarchive) are not
//! used: they can't say more than a directory can once debugfs has corrected it, and the staging
//! directory works everywhere.
//!
//! What e2fsprogs can't hold is an [`Error::CannotHold`] or, about the disk as a whole,
//! [`Error::CannotMake`]:
//! * `lost+found` in the root that is not a directory (mke2fs always makes that directory);
//! * a name of an extended attribute with a newline in it (debugfs reads lines);
//! * more than 65000 directories in one (libext2fs does not know `dir_nlink`);
//! * directories more than 1000 deep (mke2fs crashes on paths that are too long for it);
//! * a journal on less than 8 MiB.
//!
//! The programs run one after the other, in our process group, so a terminal's interrupt reaches
//! them too. Should this process be killed alone, the one that runs ends by itself: it works on
//! files that nobody will look at again.
//!
//! Directories of many files take quadratic time, because libext2fs searches them from the start
//! for each new name: 20,000 files in one directory take some seconds, 100,000 some minutes.

mod error;
mod inodes;
mod programs;
mod script;
mod stage;

use std::fs::File;
use std::path::{Path, PathBuf};

use cvbake_tree::{Packs, Tree};

pub use self::error::Error;
use self::inodes::Filesystem;
pub use self::programs::Programs;
use self::programs::Run;
use crate::format::journal::journal_blocks;
use crate::format::{BLOCK_SIZE, BLOCKS_PER_GROUP};
use crate::{Layout, Options, Size};

/// What was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// The length of the disk.
    pub len_bytes: u64,
    /// The blocks of the filesystem.
    pub blocks: u64,
    /// Those that are free.
    pub free_blocks: u64,
    /// The inodes of the filesystem.
    pub inodes: u64,
    /// Those that are free.
    pub free_inodes: u64,
}

/// The file that the filesystem is made in.
///
/// The programs are given its descriptor, never a path: where others can rename things, a path may
/// lead to a file of theirs, or to one that they would like to have overwritten.
#[derive(Clone, Copy, Debug)]
pub struct Disk<'d> {
    /// The file, readable and writable, with anything in it or nothing.
    pub file: &'d File,
    /// What messages call it.
    pub path: &'d Path,
}

impl Disk<'_> {
    fn set_len(self, len: u64) -> Result<(), Error> {
        self.file.set_len(len).map_err(|source| self.error(source))
    }

    fn error(self, source: std::io::Error) -> Error {
        Error::Io { path: self.path.to_owned(), source }
    }
}

/// Makes a filesystem. `scratch` is an empty directory that nobody else can enter; it takes a copy
/// of all content, and the caller removes it.
///
/// # Errors
/// When the tree or the options are impossible, e2fsprogs can't hold them, or a program is missing
/// or fails.
pub fn write(
    tree: &Tree,
    packs: &dyn Packs,
    options: &Options,
    programs: &Programs,
    scratch: &Path,
    disk: Disk<'_>,
) -> Result<Made, Error> {
    let scratch: PathBuf =
        std::path::absolute(scratch).map_err(|source| Error::Io { path: scratch.to_owned(), source })?;
    // The native planner knows what an ext4 can hold; whatever it refuses is refused here, with the
    // same words.
    let wanted = Layout::plan(tree, options)?;
    script::check(tree)?;
    // Cutting the filesystem cuts off inodes, so all groups need as many as those have that will be
    // left.
    let groups = |len: u64| len.div_ceil(BLOCK_SIZE * BLOCKS_PER_GROUP).max(1);
    let shrinks = matches!(options.size, Size::Min | Size::Extra(_));
    // The smallest size for e2fsprogs, which places things less densely, is known when it is done.
    let len = if shrinks { Size::auto_bytes(wanted.len_bytes()) } else { wanted.len_bytes() };
    let inodes = wanted.inode_count().div_ceil(groups(wanted.len_bytes())) * groups(len);
    let journal_blocks = if options.journal { journal_blocks(wanted.block_count()) } else { 0 };

    let cleanup = stage::Cleanup { scratch: &scratch };
    let staged = stage::stage(tree, packs, &scratch)?;
    let run = Run::new(programs, &scratch, disk, options.epoch)?;
    disk.set_len(0)?;
    disk.set_len(len)?;
    run.mke2fs(options, len / BLOCK_SIZE, inodes, journal_blocks)?;
    drop(cleanup);
    let made = Filesystem::open(disk)?;
    if options.journal && !made.has_journal() {
        return Err(Error::CannotMake { what: "a journal on less than 8 MiB" });
    }
    let map = made.map(tree)?;
    script::write(tree, &map, &staged, &scratch)?;
    run.debugfs()?;
    run.repair()?;
    Filesystem::open(disk)?.compare(tree, &map)?;
    if shrinks {
        run.resize(None)?;
        if let Size::Extra(extra) = options.size {
            let smallest = Filesystem::open(disk)?.blocks();
            run.resize(Some(smallest + extra.div_ceil(BLOCK_SIZE)))?;
        }
    }
    run.check()?;
    let made = Filesystem::open(disk)?;
    let len_bytes = if shrinks { made.blocks() * BLOCK_SIZE } else { len };
    disk.set_len(len_bytes)?;
    Ok(Made {
        len_bytes,
        blocks: made.blocks(),
        free_blocks: made.free_blocks(),
        inodes: made.inodes(),
        free_inodes: made.free_inodes(),
    })
}
