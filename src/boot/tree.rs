//! The files of an image, for a kernel to be found among them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use cvbake_boot::{Files, MAX_FILE_BYTES};
use cvbake_store::Store;
use cvbake_tree::{Inode, Kind, Packs, Time, Tree};
use cvbake_verify::{Layer, Want};

use crate::control::Control;
use crate::error::Error;
use crate::event::Observer;
use crate::layers::{Layers, Purpose, UnpackContext};
use crate::proof::{Admitted, admit};
use crate::source::ImageSource;
use crate::workplace::Workplace;

/// How images are had.
pub(crate) struct Trees<'a> {
    /// The image that is baked.
    pub(crate) source: &'a ImageSource,
    pub(crate) registry: &'a cvbake_fetch::Options,
    pub(crate) want: &'a Want,
    pub(crate) epoch: i64,
    pub(crate) jobs: std::num::NonZeroUsize,
    pub(crate) store: Option<&'a Store>,
    pub(crate) place: &'a Workplace,
    pub(crate) control: &'a Control,
    pub(crate) on: Observer<'a>,
}

impl Trees<'_> {
    /// The files of the image that is baked.
    ///
    /// Its layers are unpacked once more than for the disk: where the root filesystem begins, and
    /// what is in front of it, must be known before the first of them is unpacked to its place.
    pub(crate) fn own(&self) -> Result<ImageFiles, Error> {
        self.of(self.source)
    }

    /// The files of another image.
    pub(crate) fn of(&self, source: &ImageSource) -> Result<ImageFiles, Error> {
        let name = source.to_string();
        self.unpack(source).map_err(|error| Error::image(name, error))
    }

    /// The files of the archive that images of linuxkit have their modules in, beside the kernel;
    /// none where there is no archive.
    pub(crate) fn packed_modules(&self, image: &ImageFiles) -> Result<Option<ImageFiles>, Error> {
        let Some(archive) = image.read(MODULE_ARCHIVE)? else { return Ok(None) };
        let name = format!("{}: {MODULE_ARCHIVE}", image.name);
        let wrong = |source| Error::ModuleArchive { name: name.clone(), source };
        let path = self.place.path().join("modules");
        let pack = File::options().read(true).write(true).create_new(true).open(&path);
        let pack = pack.map_err(|source| Error::scratch(&path, source))?;
        // It is open, and nobody needs its name.
        let _ = std::fs::remove_file(&path);
        let mut found = 0;
        let index = unpack_modules(&archive, &pack, &mut found).map_err(|source| match found {
            0..=MAX_MODULES_BYTES => wrong(source),
            found => cvbake_boot::Error::TooLarge { name: name.clone(), found, max: MAX_MODULES_BYTES }.into(),
        })?;
        let tree = cvbake_unpack::merge(&[&index], Time::default()).map_err(wrong)?;
        Ok(Some(ImageFiles { name, tree: Rc::new(tree), packs: Rc::new(PackFile(pack)) }))
    }

    fn unpack(&self, source: &ImageSource) -> Result<ImageFiles, Error> {
        let &Trees { registry, want, epoch, jobs, store, place, control, on, .. } = self;
        let located = source.locate(registry, store, on)?;
        let tell = |event: cvbake_fetch::Event| on(event.into());
        let blobs = located.open(registry, place, store, &tell)?;
        let Admitted { image, pin: _pin } = admit(&*blobs, want, Layer::diff_id, store, on)?;
        // Apart from the bake's own: both have a pack of each layer.
        let scratch = place.path().join("kernel");
        std::fs::create_dir(&scratch).map_err(|source| Error::scratch(&scratch, source))?;
        let cx = UnpackContext::new(store, &scratch, located.way(registry, jobs), control, on);
        let mut layers = Layers::unpack(&image, &*blobs, cx, Purpose::Content)?;
        let tree = layers.merge(epoch)?;
        let packs = layers.packs()?;
        // The packs are open, and nobody needs their names.
        let _ = std::fs::remove_dir_all(&scratch);
        Ok(ImageFiles { name: source.to_string(), tree: Rc::new(tree), packs: Rc::new(packs) })
    }
}

/// Where images of linuxkit have the modules of `/kernel`.
const MODULE_ARCHIVE: &str = "kernel.tar";

/// How long the modules may be together, unpacked: those of distributions have half a GiB.
const MAX_MODULES_BYTES: u64 = 2 << 30;

/// Unpacks an archive, as far as it is not too long; `found` is how long it was so far.
fn unpack_modules(archive: &[u8], pack: &File, found: &mut u64) -> Result<cvbake_unpack::Index, cvbake_unpack::Error> {
    let stream = cvbake_archive::Decompressor::new(archive).map_err(cvbake_unpack::Error::Read)?;
    cvbake_unpack::unpack(&mut io::BufReader::new(stream), &mut |offset, piece| {
        *found = offset.saturating_add(piece.len() as u64);
        if *found > MAX_MODULES_BYTES {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            pack.write_all_at(piece, offset)
        }
    })
}

/// The content of an archive's files.
struct PackFile(File);

impl Packs for PackFile {
    fn read_at(&self, _: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

/// The files of an image.
#[derive(Clone)]
pub(crate) struct ImageFiles {
    name: String,
    tree: Rc<Tree>,
    packs: Rc<dyn Packs>,
}

/// As many links as Linux follows.
const MAX_LINKS: usize = 40;

impl ImageFiles {
    /// Whether there are modules of any kernel.
    pub(crate) fn has_modules(&self) -> Result<bool, Error> {
        for path in ["lib/modules", "usr/lib/modules"] {
            if !self.names(path)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is at a path; links lead to places in the tree.
    fn at(&self, path: &str) -> Option<Inode<'_>> {
        let mut links = 0;
        let mut rest: Vec<Vec<u8>> = path.split('/').rev().map(|name| name.as_bytes().to_vec()).collect();
        let mut here = self.tree.root();
        while let Some(name) = rest.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    here = here.parent()?;
                    continue;
                }
                _ => {}
            }
            let next = here.child(&name)?;
            let Kind::Symlink(target) = next.kind() else {
                if !rest.is_empty() && !next.is_dir() {
                    return None;
                }
                here = next;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            if target.starts_with(b"/") {
                here = self.tree.root();
            }
            rest.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
        }
        Some(here)
    }
}

impl Files for ImageFiles {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, cvbake_boot::Error> {
        let Some(Kind::File(data)) = self.at(path).map(|inode| inode.kind()) else { return Ok(None) };
        let name = || format!("{}: {path}", self.name);
        if data.size > MAX_FILE_BYTES {
            return Err(cvbake_boot::Error::TooLarge { name: name(), found: data.size, max: MAX_FILE_BYTES });
        }
        let mut content = Vec::new();
        let read = data.read(&*self.packs, &mut |piece| {
            content.extend_from_slice(piece);
            Ok(())
        });
        read.map_err(|source| cvbake_boot::Error::Read { name: name(), source })?;
        Ok(Some(content))
    }

    fn names(&self, path: &str) -> Result<Vec<String>, cvbake_boot::Error> {
        let names = self.at(path).map(|directory| {
            directory.children().filter_map(|(name, _)| String::from_utf8(name.to_vec()).ok()).collect()
        });
        Ok(names.unwrap_or_default())
    }
}
