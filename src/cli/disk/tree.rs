//! `cvbake disk tree`: everything on a disk, one line a file.

use std::ffi::OsString;
use std::sync::Arc;

use cvbake::error::Error;
use cvbake::inside::Files;
use cvbake::tree::read::Follow;
use cvbake::tree::{Inode, Kind, escape};
use cvbake::verify::{Algorithm, Hasher};

use super::place::{DiskPath, SYNTAX};
use crate::cli::output;
use crate::failure::Failure;
use crate::ui::Ui;

/// List all files of a disk with all of their attributes, one line each
///
/// A line has the path, the kind, the mode, owner and group, the times, the size, the target of a
/// symbolic link or the number of a device, further names of the same file (link:), and extended
/// attributes (xattr:, in hexadecimal). Everything on the disk is read and checked on the way.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake disk tree [OPTIONS] <DISK[:PATH]>", after_long_help = SYNTAX)]
pub(super) struct Args {
    /// Disk, and the directory on it to begin with; the default PATH is the root directory
    #[arg(value_name = "DISK[:PATH]")]
    place: OsString,

    /// Show the SHA-256 of each file
    #[arg(long)]
    digests: bool,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let place = DiskPath::parse(&args.place);
    let opened = place.open(ui)?;
    // An error about the path comes before everything is read.
    opened.lookup(place.path(), Follow::Never)?;
    let files = opened.disk.files(&opened.filesystem)?;
    let mut text = Vec::new();
    let hash = &mut |inode: Inode<'_>| args.digests.then(|| digest(&files, inode)).transpose();
    files.tree().listing(hash, &mut text).map_err(Error::from)?;
    let names = place.path().split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let below: String = names.map(|name| format!("/{}", escape(name))).collect();
    let is_below = |line: &&str| {
        let path = line.split(' ').next().unwrap_or_default();
        path.strip_prefix(&below).is_some_and(|rest| below.is_empty() || rest.is_empty() || rest.starts_with('/'))
    };
    let text = String::from_utf8(text).expect("a listing is printable ASCII");
    output::lines(&text.lines().filter(is_below).flat_map(|line| [line, "\n"]).collect::<String>())
}

fn digest(files: &Files, inode: Inode<'_>) -> std::io::Result<String> {
    let Kind::File(data) = inode.kind() else { unreachable!("listings ask for the digests of files only") };
    let mut hasher = Hasher::new(Algorithm::Sha256);
    data.read(files, &mut |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    Ok(hasher.finish().hex())
}
