//! `cvbake disk cat`: the content of files on a disk.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::sync::Arc;

use cvbake::error::{Error, FilesystemError};
use cvbake::inside::Node;
use cvbake::tree::escape;
use cvbake::tree::read::{Content, Follow, NodeKind};

use super::place::{DiskPath, Opened, SYNTAX};
use super::source::SourceArgs;
use crate::failure::Failure;
use crate::ui::Ui;

/// Print files on a disk
///
/// The bytes go to standard output as they are. Symbolic links are followed on the disk.
#[derive(Debug, clap::Args)]
#[command(after_long_help = SYNTAX)]
pub(super) struct Args {
    /// Files to print
    #[arg(value_name = "DISK:PATH", required = true)]
    places: Vec<OsString>,

    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    for place in &args.places {
        let place = DiskPath::parse(place);
        let opened = place.open_as(&args.source.options(), ui)?;
        let node = opened.lookup(place.path(), Follow::All)?;
        print(&opened, &*content(&opened, &place, &node)?)?;
    }
    Ok(())
}

/// The content of what must be a file.
pub(super) fn content(opened: &Opened, place: &DiskPath, node: &Node) -> Result<Arc<dyn Content>, Failure> {
    if node.kind != NodeKind::File {
        let (path, found) = (escape(place.path()), node.kind.words());
        return Err(opened.wrong(FilesystemError::NotA { path, expected: "a regular file", found }));
    }
    opened.filesystem.content(node).map_err(|error| opened.wrong(error))
}

/// Writes content to standard output, which somebody may stop to read.
pub(super) fn print(opened: &Opened, content: &dyn Content) -> Result<(), Failure> {
    const PIECE: u64 = 1 << 20;
    let mut out = io::stdout().lock();
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < content.len_bytes() {
        let len = (content.len_bytes() - at).min(PIECE);
        buffer.resize(usize::try_from(len).expect("a piece"), 0);
        content.read_at(at, &mut buffer).map_err(|error| opened.wrong(FilesystemError::Content(error)))?;
        out.write_all(&buffer).map_err(told)?;
        at += len;
    }
    Ok(out.flush().map_err(told)?)
}

fn told(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::BrokenPipe => Error::Unread,
        _ => Error::Tell { source },
    }
}
