//! What all measurements need: the work folder, a registry, a filesystem with a journal, and
//! cvbake.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::args::{Args, tree};
use crate::contenders::build_cvbake;
use crate::filesystem::{self, Filesystem, Kind};
use crate::machine::Machine;
use crate::registry::Registry;

/// The files of the filesystems are sparse: they take the room that is used. Of the room that is
/// free, this much is left to others.
const SPARE_BYTES: u64 = 4 << 30;
const MOST_BYTES: u64 = 48 << 30;
/// What the smallest images need.
const LEAST_BYTES: u64 = 2 << 30;

/// The setting of a measurement.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The work folder, as an absolute path.
    pub(crate) work: PathBuf,
    /// Nobody else measures.
    _lock: File,
    /// A registry.
    pub(crate) registry: Registry,
    /// A filesystem to measure on.
    pub(crate) ext4: Filesystem,
    /// The program, where every user can run it.
    pub(crate) cvbake: PathBuf,
    /// How many times each.
    pub(crate) rounds: u32,
    /// How long each.
    pub(crate) limit: Duration,
    /// Where all of this is.
    pub(crate) machine: Machine,
}

impl Bench {
    /// Sets everything up.
    pub(crate) fn set_up(args: &Args) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("making images and mounting filesystems needs root; what is measured runs as nobody where it can");
        }
        let lock = filesystem::lock()?;
        let work = work_folder(&args.work)?;
        let built = match &args.cvbake {
            Some(file) => fs::canonicalize(file).with_context(|| file.display().to_string())?,
            None => build_cvbake(&tree().join("target"))?,
        };
        let ext4 = Filesystem::make(&work, Kind::Ext4, room(&work)?)?;
        let cvbake = install(&built, &ext4.directory("bin")?)?;
        let registry = Registry::start(&work)?;
        let machine = Machine::look(&cvbake, args.cvbake.is_none())?;
        let limit = Duration::from_secs(args.time_limit);
        Ok(Self { work, _lock: lock, registry, ext4, cvbake, rounds: args.rounds, limit, machine })
    }
}

/// Copies a program to where everybody can run it, and returns its place there: the source tree may
/// be in root's home.
pub(crate) fn install(program: &Path, directory: &Path) -> Result<PathBuf> {
    let place = directory.join(program.file_name().context("a program without a name")?);
    fs::copy(program, &place).with_context(|| program.display().to_string())?;
    Ok(place)
}

/// How large a filesystem in the work folder may become.
pub(crate) fn room(work: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(work).with_context(|| work.display().to_string())?;
    let free = stat.f_bavail * stat.f_frsize;
    let bytes = free.saturating_sub(SPARE_BYTES).min(MOST_BYTES);
    if bytes < LEAST_BYTES {
        bail!("{}: {} bytes are free, too few to measure anything", work.display(), free);
    }
    Ok(bytes / (1 << 20) * (1 << 20))
}

fn work_folder(path: &Path) -> Result<PathBuf> {
    let path = if path.is_absolute() { path.to_owned() } else { tree().join(path) };
    fs::create_dir_all(path.join("results")).with_context(|| path.display().to_string())?;
    fs::canonicalize(&path).with_context(|| path.display().to_string())
}
