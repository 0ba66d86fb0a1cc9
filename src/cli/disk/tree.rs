//! `cvbake disk tree`: everything on a disk, one line a file.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use cvbake::error::Error;
use cvbake::inside::Files;
use cvbake::tree::read::Follow;
use cvbake::tree::{Inode, Kind, escape};
use cvbake::verify::{Algorithm, Hasher};

use super::place::{DiskPath, SYNTAX};
use super::source::SourceArgs;
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

    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let place = DiskPath::parse(&args.place);
    let opened = place.open_as(&args.source.options(), ui)?;
    // An error about the path comes before everything is read.
    opened.lookup(place.path(), Follow::Never)?;
    let files = opened.disk.files(&opened.filesystem)?;
    let names = place.path().split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let below: String = names.map(|name| format!("/{}", escape(name))).collect();
    let mut unread = None;
    let told = output::stream(|out| {
        let hash = &mut |inode: Inode<'_>| match args.digests.then(|| digest(&files, inode)).transpose() {
            Ok(digest) => Ok(digest),
            Err(error) => {
                unread = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        };
        // Directories in directories in directories have paths that are far longer than the disk.
        files.tree().listing(hash, &mut Below { path: below.as_bytes(), out })
    });
    match unread {
        Some(error) => Err(Error::from(error).into()),
        None => told,
    }
}

/// Passes on the lines of a listing that are about a path or what is below it. Each comes in one
/// piece, and is printable.
struct Below<'o> {
    path: &'o [u8],
    out: &'o mut dyn io::Write,
}

impl io::Write for Below<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let path = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let rest = path.strip_prefix(self.path);
        if rest.is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with(b"/")) {
            self.out.write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
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
