//! A disk compared with the image that it should be the bake of, and two disks compared.
//!
//! The image goes the way that it goes in a bake, up to the tree, and content is read from the
//! layers' packs; the disk goes the other way, to a tree as well. So the writer of a disk has no
//! part in the proof.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use cvbake_fetch::Options;
use cvbake_tree::{Change, Difference, Field, Inode, Packs, Side, Tree, escape};
use cvbake_verify::{Blobs, Digest, Image, Layer, Want};

use crate::control::Control;
use crate::error::Error;
use crate::event::{Event, Observer, Stage};
use crate::inside::Files;
use crate::layers::{Layers, Purpose, UnpackContext};
use crate::proof::{Admitted, admit};
use crate::source::ImageSource;
use crate::workplace::{Workplace, open_store};

/// The image that a disk is compared with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Against {
    /// Which image.
    pub source: ImageSource,
    /// How to talk to a registry, if it is in one and not in the store.
    pub registry: Options,
    /// The platform that an image for several is wanted for.
    pub want: Want,
    /// The time of what the image gives no time, in seconds since 1970: as when the disk was made.
    pub epoch: i64,
    /// The store.
    pub store: Option<PathBuf>,
    /// Where temporary files go when there is no store.
    pub temporary: PathBuf,
    /// How many threads work at once.
    pub jobs: NonZeroUsize,
}

impl Against {
    /// An image for this machine, from no store.
    #[must_use]
    pub fn new(source: impl Into<ImageSource>) -> Against {
        Against {
            source: source.into(),
            registry: Options::default(),
            want: Want::host(),
            epoch: 0,
            store: None,
            temporary: std::env::temp_dir(),
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// A path at which two things differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// The path, escaped as in listings.
    pub path: String,
    /// How.
    pub how: How,
}

/// How a path differs. Lines are those of listings, without digests of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Only the first has it.
    Removed(String),
    /// Only the second has it.
    Added(String),
    /// Both have it, and these things differ.
    Changed(Vec<Change>),
}

/// What a comparison came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compared {
    /// How many inodes the first has.
    pub files: usize,
    /// At how many paths they differ.
    pub differing: u64,
}

/// What a disk was compared with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verified {
    /// What came of it.
    pub compared: Compared,
    /// The image, as it was asked for.
    pub reference: String,
    /// The digest of its manifest or configuration, if it has one.
    pub image: Option<Digest>,
    /// Its platform, if it says one.
    pub platform: Option<String>,
    /// Whether the filesystem has the UUID that a bake of the image gives it if nobody gives
    /// another.
    pub has_its_uuid: bool,
}

/// Calls `each` with every path at which a disk differs from what a bake of an image puts on it:
/// the image is the first. `looks_at` says what counts.
///
/// # Errors
/// When the image or the disk can't be read.
pub fn verify(
    against: &Against,
    disk: &Files,
    looks_at: &dyn Fn(Field) -> bool,
    control: &Control,
    on: Observer<'_>,
    each: &mut dyn FnMut(Differing),
) -> Result<Verified, Error> {
    try_verify(against, disk, looks_at, control, on, each)
        .map_err(|error| Error::image_in(against.store.as_deref(), &against.source, error))
}

fn try_verify(
    against: &Against,
    disk: &Files,
    looks_at: &dyn Fn(Field) -> bool,
    control: &Control,
    on: Observer<'_>,
    each: &mut dyn FnMut(Differing),
) -> Result<Verified, Error> {
    on(Event::Stage(Stage::Resolve));
    let store = open_store(against.store.as_deref(), on)?;
    let place = Workplace::open(store.as_ref(), None, &against.temporary, control)?;
    let tell = |event: cvbake_fetch::Event| on(event.into());
    let located = against.source.locate(&against.registry, store.as_ref(), on)?;
    let way = located.way(&against.registry, against.jobs);
    let blobs = located.open(&against.registry, &place, store.as_ref(), &tell)?;
    let Admitted { image, pin: _pin } = admit(&*blobs, &against.want, Layer::diff_id, store.as_ref(), on)?;
    let cx = UnpackContext::new(store.as_ref(), place.path(), way, control, on);
    let (compared, content) = image_and_disk(&image, &*blobs, cx, against.epoch, disk, looks_at, each)?;
    Ok(Verified {
        compared,
        reference: image.reference().to_owned(),
        image: image.identity().digest(),
        platform: image.config().and_then(|config| config.platform()).map(|platform| platform.to_string()),
        has_its_uuid: disk.has_uuid_of(&content),
    })
}

/// Unpacks an image and compares it; also says what its layers unpack to.
pub(crate) fn image_and_disk(
    image: &Image,
    blobs: &dyn Blobs,
    cx: UnpackContext<'_>,
    epoch: i64,
    disk: &Files,
    looks_at: &dyn Fn(Field) -> bool,
    each: &mut dyn FnMut(Differing),
) -> Result<(Compared, Digest), Error> {
    (cx.on)(Event::Stage(Stage::Unpack));
    let mut layers = Layers::unpack(image, blobs, cx, Purpose::Content)?;
    (cx.on)(Event::Stage(Stage::Merge));
    let mut tree = layers.merge(epoch)?;
    let packs = layers.packs()?;
    // What a bake leaves out, and has told when it did.
    let _told = tree.leave_out_unreadable();
    disk.as_kept(&mut tree);
    (cx.on)(Event::Stage(Stage::Compare));
    let of_image = (image.reference().to_owned(), &tree, &packs as &dyn Packs);
    let compared = sides(of_image, ("the disk".to_owned(), disk.tree(), disk), false, looks_at, each)?;
    Ok((compared, layers.chain_id()))
}

/// The same of two disks, each with its name.
///
/// # Errors
/// When content can't be read.
pub fn diff(
    old: (&str, &Files),
    new: (&str, &Files),
    looks_at: &dyn Fn(Field) -> bool,
    each: &mut dyn FnMut(Differing),
) -> Result<Compared, Error> {
    sides((old.0.to_owned(), old.1.tree(), old.1), (new.0.to_owned(), new.1.tree(), new.1), true, looks_at, each)
}

fn sides(
    old: (String, &Tree, &dyn Packs),
    new: (String, &Tree, &dyn Packs),
    both_are_disks: bool,
    looks_at: &dyn Fn(Field) -> bool,
    each: &mut dyn FnMut(Differing),
) -> Result<Compared, Error> {
    let mut compared = Compared { files: old.1.inode_count(), differing: 0 };
    let mut tell = |path: &[u8], difference: Difference<'_>| {
        let how = match difference {
            // Every ext4 filesystem has one, and whoever made it gave it attributes; an image's own
            // is a directory like others.
            Difference::Added(inode) if is_lost_found(path, inode) => return,
            Difference::Removed(inode) if both_are_disks && is_lost_found(path, inode) => return,
            Difference::Changed { old, new, .. }
                if both_are_disks && is_lost_found(path, old) && is_lost_found(path, new) =>
            {
                return;
            }
            Difference::Removed(inode) => How::Removed(inode.line(path)),
            Difference::Added(inode) => How::Added(inode.line(path)),
            Difference::Changed { changes, .. } => How::Changed(changes),
        };
        compared.differing += 1;
        each(Differing { path: escape(path), how });
    };
    let result = cvbake_tree::compare(
        Side { tree: old.1, packs: old.2 },
        Side { tree: new.1, packs: new.2 },
        looks_at,
        &mut tell,
    );
    result.map_err(|problem| Error::Compare { of: if problem.is_second { new.0 } else { old.0 }, problem })?;
    Ok(compared)
}

fn is_lost_found(path: &[u8], inode: Inode<'_>) -> bool {
    path == b"/lost+found" && inode.is_dir() && inode.child_count() == 0
}
