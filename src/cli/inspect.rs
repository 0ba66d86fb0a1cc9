//! `cvbake inspect`: pictures of a disk before it is baked.
//!
//! What the argument is decides what is asked: an image is planned here. (A disk that is there is
//! read: its map is a [`map::Map`] as well.)

mod map;
mod page;
mod picture;

use std::ffi::OsString;
use std::sync::Arc;

use super::ask;
use crate::failure::Failure;
use crate::ui::Ui;

/// Draw what will be where on a disk, and what takes the space
///
/// Nothing but the page is written: the image is unpacked as far as the attributes of its files,
/// and the filesystem is planned as cvbake bake plans it.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake inspect [OPTIONS] <SOURCE> <--map|--html <FILE>>", after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Image to draw: any source that cvbake bake accepts
    #[arg(value_name = "SOURCE")]
    source: OsString,

    #[command(flatten)]
    picture: picture::Args,

    #[command(flatten)]
    ask: ask::Args,
}

const EXAMPLES: &str = "Examples:
  cvbake inspect alpine:3.20 --map
  cvbake inspect oci:debian --html debian.html";

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    args.picture.check(&args.source)?;
    args.picture.draw_source(args.ask.job(&args.source)?, ui)
}
