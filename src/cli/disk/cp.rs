//! `cvbake disk cp`: files of a disk become files of the host.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use cvbake::error::ExtractError;
use cvbake::event::Event;
use cvbake::inside::extract::{Options, extract};
use cvbake::text::line;
use cvbake::tree::read::{Follow, NodeKind};

use super::cat;
use super::place::{DiskPath, SYNTAX};
use super::source::SourceArgs;
use crate::cli::output;
use crate::failure::Failure;
use crate::ui::Ui;

/// Copy files out of a disk
///
/// A directory is copied with everything in it. If DEST is a directory, what is copied keeps its
/// name in it; otherwise DEST is the new name. Symbolic links are copied as links and not followed,
/// except those in PATH, which are followed on the disk. Nothing on the disk decides where files
/// are written: existing symbolic links below DEST are never followed. A file with several names is
/// copied once, and keeps them. Devices, pipes and sockets are left out, with a warning.
#[derive(Debug, clap::Args)]
#[command(after_long_help = SYNTAX)]
pub(super) struct Args {
    /// File or directory to copy
    #[arg(value_name = "DISK:PATH")]
    place: OsString,

    /// Where to copy it: a directory, a new name, or - to print a file
    #[arg(value_name = "DEST")]
    dest: OsString,

    /// Replace existing files, and copy into existing directories
    #[arg(short, long)]
    force: bool,

    /// Keep times, and the set-user-ID, set-group-ID and sticky bits
    #[arg(short, long)]
    preserve: bool,

    /// Keep owners and groups, by number; only root can
    #[arg(long)]
    owners: bool,

    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let place = DiskPath::parse(&args.place);
    if place.path.is_none() {
        return Err(Failure::Usage {
            problem: format!("{}: expected a file on a disk, DISK:PATH", place.shown()),
            hint: Some(format!("{}:/ is everything on it", place.shown())),
        });
    }
    if args.owners && !rustix::process::geteuid().is_root() {
        return Err(Failure::Usage {
            problem: "only root can give files to other users".to_owned(),
            hint: Some("leave out --owners: the files are yours then".to_owned()),
        });
    }
    let onto = DiskPath::parse(&args.dest);
    if onto.path.is_some() && onto.disk.is_file() {
        return Err(Failure::Usage {
            problem: format!("{}: expected a place on the host, found one on a disk", onto.shown()),
            hint: Some("cvbake changes no filesystem: put the files into a layer of the image, and bake it".to_owned()),
        });
    }
    let opened = place.open_as(&args.source.options(), ui)?;
    let node = opened.lookup(place.path(), Follow::All)?;
    if args.dest == "-" {
        if node.kind == NodeKind::Directory {
            return Err(Failure::Usage {
                problem: format!("{} is a directory, expected a file to print", place.shown()),
                hint: Some("copy it to a directory".to_owned()),
            });
        }
        return cat::print(&opened, &*cat::content(&opened, &place, &node)?);
    }
    let mut options = Options::default();
    (options.replace, options.preserve, options.owners) = (args.force, args.preserve, args.owners);
    let (dir, name) = destination(Path::new(&args.dest), place.path());
    let done = extract(&opened.filesystem, &node, &dir, name.as_deref(), options);
    let done = done.map_err(|error| match error {
        ExtractError::Disk(error) => opened.wrong(error),
        error => cvbake::error::Error::from(error).into(),
    })?;
    for path in &done.left_out {
        let text = format!("{} is left out: it is neither a file, a directory nor a link", path.display());
        ui.on(&Event::Warning(line(&text)));
    }
    let files = if done.files == 1 { "1 file".to_owned() } else { format!("{} files", done.files) };
    output::lines(&format!(
        "Copied {} → {}: {files}, {}\n",
        place.shown(),
        line(&args.dest.to_string_lossy()),
        indicatif::BinaryBytes(done.bytes)
    ))
}

/// The directory of the host that is written to, and the name in it; none where the root directory
/// of a disk goes into a directory that is there.
fn destination(dest: &Path, path: &[u8]) -> (std::path::PathBuf, Option<OsString>) {
    let last = path.split(|&byte| byte == b'/').rfind(|name| !matches!(*name, b"" | b"."));
    if dest.is_dir() {
        let name = last.filter(|name| *name != b"..").map(|name| OsStr::from_bytes(name).to_owned());
        return (dest.to_owned(), name);
    }
    let dir = dest.parent().unwrap_or(Path::new("")).to_owned();
    match dest.file_name() {
        Some(name) => (dir, Some(name.to_owned())),
        None => (dest.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path();
        for (dest, path, expected_dir, name) in [
            (there.to_owned(), "/etc/issue", there.to_owned(), Some("issue")),
            (there.to_owned(), "/", there.to_owned(), None),
            (there.to_owned(), "/etc/.", there.to_owned(), Some("etc")),
            (there.to_owned(), "/etc/..", there.to_owned(), None),
            (there.join("new"), "/etc/issue", there.to_owned(), Some("new")),
            (there.join("new/"), "/etc", there.to_owned(), Some("new")),
            ("new".into(), "/etc", "".into(), Some("new")),
        ] {
            let found = destination(&dest, path.as_bytes());
            assert_eq!(found, (expected_dir, name.map(OsString::from)), "{} {path}", dest.display());
        }
    }
}
