//! Filesystems of their own to measure on: in a file, mounted by loop device.
//!
//! The filesystem that the work folder happens to be on may have no journal, be full, or be shared
//! with who knows what; on one without a journal every new file after a removal costs far more than
//! otherwise, which would hit those peers alone that unpack trees.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::run::{self, NOBODY, clean_up, tool};

/// Where filesystems are mounted: not in the work folder, which may be in root's home, where
/// ordinary users cannot go.
const MOUNTS: &str = "/run/cvbake-bench";

/// Makes sure that nobody else measures at the same time: neither would learn anything.
pub(crate) fn lock() -> Result<fs::File> {
    fs::create_dir_all(MOUNTS).context(MOUNTS)?;
    let path = Path::new(MOUNTS).join("lock");
    let file = fs::File::create(&path).with_context(|| path.display().to_string())?;
    file.try_lock().with_context(|| format!("{}: is another bench running?", path.display()))?;
    Ok(file)
}

/// The kinds of filesystems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With a journal; blocks cannot be shared.
    Ext4,
    /// Blocks can be shared.
    Xfs,
    /// Blocks can be shared.
    Btrfs,
}

impl Kind {
    /// The name, as the kernel has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    fn mkfs(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => {
                &["mkfs.ext4", "-q", "-F", "-O", "has_journal", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
            }
            Self::Xfs => &["mkfs.xfs", "-q", "-f", "-m", "reflink=1"],
            Self::Btrfs => &["mkfs.btrfs", "-q", "-f"],
        }
    }
}

/// A mounted filesystem; unmounted and removed when it goes.
#[derive(Debug)]
pub(crate) struct Filesystem {
    at: PathBuf,
    file: PathBuf,
}

impl Filesystem {
    /// Makes and mounts one in the work folder.
    pub(crate) fn make(work: &Path, kind: Kind, bytes: u64) -> Result<Self> {
        let made = Self { at: Path::new(MOUNTS).join(kind.name()), file: work.join(kind.name()).with_extension("img") };
        made.take_away();
        fs::create_dir_all(&made.at).with_context(|| made.at.display().to_string())?;
        let file = fs::File::create(&made.file).with_context(|| made.file.display().to_string())?;
        file.set_len(bytes).with_context(|| made.file.display().to_string())?;
        let [program, options @ ..] = kind.mkfs() else { unreachable!("every kind has a program") };
        tool(program, options.iter().map(AsRef::as_ref).chain([made.file.as_os_str()]))?;
        mount("loop", &made.file, &made.at)?;
        Ok(made)
    }

    /// An empty directory on it that an ordinary user may write to; what was there before is gone,
    /// and on stable storage is nothing still to be written.
    pub(crate) fn empty(&self) -> Result<PathBuf> {
        let directory = self.at.join("run");
        if directory.exists() {
            fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
        }
        self.directory("run")?;
        run::sync(&directory)?;
        Ok(directory)
    }

    /// An empty directory as [`Filesystem::empty`] makes it, and what was there before takes no
    /// place in the work folder any more.
    pub(crate) fn given_back(&self) -> Result<PathBuf> {
        let directory = self.empty()?;
        tool("fstrim", [&self.at])?;
        Ok(directory)
    }

    /// Another directory on it that an ordinary user may write to.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let directory = self.at.join(name);
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        std::os::unix::fs::chown(&directory, Some(NOBODY), Some(NOBODY))
            .with_context(|| directory.display().to_string())?;
        Ok(directory)
    }

    /// Also what a killed run has left.
    fn take_away(&self) {
        if is_mounted(&self.at) {
            unmount(&self.at);
        }
        _ = fs::remove_file(&self.file);
    }
}

impl Drop for Filesystem {
    fn drop(&mut self) {
        self.take_away();
    }
}

/// A disk that is mounted to be looked at.
#[derive(Debug)]
pub(crate) struct ReadOnly(PathBuf);

impl ReadOnly {
    /// Mounts a disk without writing to it.
    pub(crate) fn mount(disk: &Path) -> Result<Self> {
        let at = Path::new(MOUNTS).join("disk");
        fs::create_dir_all(&at).with_context(|| at.display().to_string())?;
        if is_mounted(&at) {
            unmount(&at);
        }
        mount("loop,ro,noload", disk, &at)?;
        Ok(Self(at))
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

fn mount(options: &str, file: &Path, at: &Path) -> Result<()> {
    tool("mount", ["-o".as_ref(), options.as_ref(), file.as_os_str(), at.as_os_str()])?;
    Ok(())
}

fn unmount(at: &Path) {
    if let Err(error) = clean_up("umount", [at]) {
        eprintln!("bench: {} stays mounted: {error:#}", at.display());
    }
}

fn is_mounted(at: &Path) -> bool {
    let at = fs::canonicalize(at).unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1).is_some_and(|place| Path::new(place) == at))
}
