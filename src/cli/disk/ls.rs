//! `cvbake disk ls`: what is in a directory of a disk.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::Arc;

use cvbake::inside::Node;
use cvbake::text::{name, rfc3339};
use cvbake::tree::read::{Follow, NodeKind};

use super::place::{DiskPath, Opened, SYNTAX};
use super::source::SourceArgs;
use crate::cli::output;
use crate::failure::Failure;
use crate::ui::Ui;

/// List a directory of a disk
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake disk ls [OPTIONS] <DISK[:PATH]>...", after_long_help = SYNTAX)]
pub(super) struct Args {
    /// Directories and files to list; the default PATH is the root directory
    #[arg(value_name = "DISK[:PATH]", required = true)]
    places: Vec<OsString>,

    /// Show the mode, the number of names, owner, group, size and modification time
    #[arg(short, long)]
    long: bool,

    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let mut text = String::new();
    for (at, place) in args.places.iter().enumerate() {
        let place = DiskPath::parse(place);
        let opened = place.open_as(&args.source.options(), ui)?;
        let node = opened.lookup(place.path(), Follow::All)?;
        if args.places.len() > 1 {
            let gap = if at == 0 { "" } else { "\n" };
            writeln!(text, "{gap}{}:", place.shown()).expect("a string takes everything");
        }
        if node.kind != NodeKind::Directory {
            // A link is shown as such where it is listed, and not where it leads to.
            let node = opened.lookup(place.path(), Follow::Parents)?;
            let last = place.path().rsplit(|&byte| byte == b'/').find(|name| !name.is_empty()).unwrap_or(b"/");
            args.one(&opened, &node, last, &mut text)?;
            continue;
        }
        for entry in opened.filesystem.read_dir(&node).map_err(|error| opened.wrong(error))? {
            if args.long {
                let node = opened.filesystem.node(entry.number).map_err(|error| opened.wrong(error))?;
                args.one(&opened, &node, &entry.name, &mut text)?;
            } else {
                text.push_str(&name(&entry.name));
                text.push('\n');
            }
        }
    }
    output::lines(&text)
}

impl Args {
    fn one(&self, opened: &Opened, node: &Node, called: &[u8], text: &mut String) -> Result<(), Failure> {
        if !self.long {
            text.push_str(&name(called));
            text.push('\n');
            return Ok(());
        }
        let size = match node.kind {
            NodeKind::CharDevice(device) | NodeKind::BlockDevice(device) => {
                format!("{},{}", device.major, device.minor)
            }
            _ => node.size.to_string(),
        };
        let Node { links, uid, gid, .. } = node;
        let (mode, time) = (mode(node), rfc3339(node.mtime.secs));
        write!(text, "{mode} {links:>3} {uid:>5} {gid:>5} {size:>10} {time} {}", name(called))
            .expect("a string takes everything");
        if node.kind == NodeKind::Symlink {
            let target = opened.filesystem.target(node).map_err(|error| opened.wrong(error))?;
            write!(text, " -> {}", name(&target)).expect("a string takes everything");
        }
        text.push('\n');
        Ok(())
    }
}

/// As `ls` shows it.
fn mode(node: &Node) -> String {
    let kind = match node.kind {
        NodeKind::Directory => 'd',
        NodeKind::File => '-',
        NodeKind::Symlink => 'l',
        NodeKind::CharDevice(_) => 'c',
        NodeKind::BlockDevice(_) => 'b',
        NodeKind::Fifo => 'p',
        NodeKind::Socket => 's',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = node.mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (node.mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}
