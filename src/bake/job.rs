//! What is asked for.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use cvbake_verify::{Digest, Image, Want};

use crate::boot::{Boot, Prepared};
use crate::demands::Demands;
use crate::format::Format;
use crate::layers::{BASE_PACK, KeepPacks, Layers};
use crate::protection::Verity;
use crate::recipe::{Engine, Filesystem, Recipe};
use crate::source::ImageSource;

/// What to bake, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Job {
    /// Which image.
    pub source: ImageSource,
    /// How to talk to a registry, if it is in one.
    pub registry: cvbake_fetch::Options,
    /// The platform that an image for several is wanted for.
    pub want: Want,
    /// What the disk becomes.
    pub filesystem: Filesystem,
    /// What it is stored as.
    pub format: Format,
    /// How it is booted, if it is to be.
    pub boot: Option<Boot>,
    /// Where its hash tree goes, if it is to have one.
    pub verity: Option<Verity>,
    /// What the place demands that it is for, if that is known.
    pub demands: Option<Demands>,
    /// The time of what the image gives no time, in seconds since 1970.
    pub epoch: i64,
    /// Where to keep what other bakes can use; nothing is kept, nor anything kept used, if there is
    /// none.
    pub store: Option<PathBuf>,
    /// Where temporary files go when there is neither a store nor an output beside which they could
    /// go.
    pub temporary: PathBuf,
    /// What to do with unpacked content.
    pub keep_packs: KeepPacks,
    /// Whether a disk that was made before may be copied, or stay, and content of layers be copied
    /// from one.
    pub reuse: bool,
    /// How many threads work at once.
    pub jobs: NonZeroUsize,
}

/// Where the disk goes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Output {
    /// The file.
    pub path: PathBuf,
    /// Whether a file that is there is replaced.
    pub replace: bool,
    /// Whether to hash the finished disk.
    pub digest: bool,
    /// Whether the finished disk is read back and compared with the image before it gets its name.
    /// The layers are unpacked a second time for that.
    pub verify: bool,
    /// Whether the disk is on stable storage before it gets its name, and what came into the store
    /// as well.
    pub sync: bool,
}

impl Output {
    /// A disk in this file, where there must be none, brought to stable storage.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Output {
        Output { path: path.into(), replace: false, digest: false, verify: false, sync: true }
    }
}

impl Job {
    /// A bake of an image as most are wanted: for this machine, with the defaults of the program,
    /// and nothing kept.
    #[must_use]
    pub fn new(source: impl Into<ImageSource>) -> Job {
        Job {
            source: source.into(),
            registry: cvbake_fetch::Options::default(),
            want: Want::host(),
            filesystem: Filesystem::default(),
            format: Format::default(),
            boot: None,
            verity: None,
            demands: None,
            epoch: 0,
            store: None,
            temporary: std::env::temp_dir(),
            keep_packs: KeepPacks::default(),
            reuse: true,
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }

    /// What it makes of content. What is not named here decides where that is had from and kept,
    /// and not what becomes of it.
    pub(crate) fn recipe<'j>(&'j self, content: Digest, boot: Option<&'j Prepared>) -> Recipe<'j> {
        let Job {
            filesystem,
            format,
            verity,
            demands,
            epoch,
            source: _,
            registry: _,
            want: _,
            store: _,
            temporary: _,
            keep_packs: _,
            reuse: _,
            jobs: _,
            boot: _,
        } = self;
        Recipe {
            content,
            made: None,
            filesystem,
            format: *format,
            boot,
            verity: *verity,
            demands: demands.as_ref(),
            epoch: *epoch,
        }
    }

    /// Where in the file the root filesystem begins, if it is stored in one piece.
    pub(super) fn base(&self) -> Option<u64> {
        self.format.base().map(|base| base + self.root_offset())
    }

    /// Where in the file the root filesystem would begin for whoever unpacks a layer to its place;
    /// nothing but that layer can be reached by it, unless the filesystem is stored in one piece.
    pub(super) fn base_for_base_pack(&self) -> Option<u64> {
        self.format.place(self.root_offset() + BASE_PACK).map(|place| place - BASE_PACK)
    }

    /// Where on the disk the root filesystem begins.
    fn root_offset(&self) -> u64 {
        self.boot.as_ref().map_or(0, |boot| boot.root_offset(self.format))
    }

    pub(super) fn engine(&self) -> &Engine {
        self.filesystem.engine()
    }
}

/// The digest that names an image; that of an image of nothing but a layer is known when the layer
/// was read.
pub(crate) fn named_by(image: &Image, layers: &Layers<'_>) -> Digest {
    image.identity().digest().unwrap_or_else(|| layers.chain_id())
}
