//! An image → a file or directory for other programs.

use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use cvbake_archive::{Compression, Compressor};
use cvbake_disk::Draft;
use cvbake_fetch::export::{Contents, Layout, docker_archive, oci_archive};
use cvbake_fetch::{Options, open_stored};
use cvbake_store::{Health, Pin, Reference, Store};
use cvbake_verify::{Blobs, Digest, Image, Layer, Root, Want};

use super::directory::{NewDirectory, NotKept};
use super::documents::RunConfig;
use super::find::full_name;
use super::import::convert;
use super::layer::Intake;
use super::stream::Stream;
use crate::control::Control;
use crate::error::Error;
use crate::event::{Event, Observer, Stage};
use crate::layers::{Layers, Purpose, UnpackContext};
use crate::proof::{Admitted, admit, announce, prove};
use crate::source::{ImageSource, Located};
use crate::workplace::{Workplace, open_store};

/// What to export, and where to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExportJob {
    /// Which image.
    pub source: ImageSource,
    /// How to talk to a registry, if it is in one and not in the store.
    pub registry: Options,
    /// The platform that an image for several is wanted for.
    pub want: Want,
    /// Whether all platforms are exported, with whatever else the image's index lists.
    pub all: bool,
    /// Where it goes.
    pub target: Target,
    /// How an archive is compressed.
    pub compression: Compression,
    /// Whether a file that is there is replaced.
    pub replace: bool,
    /// The time of what the image gives no time, in seconds since 1970.
    pub epoch: i64,
    /// The store.
    pub store: Option<PathBuf>,
    /// Where temporary files go when there is no store.
    pub temporary: PathBuf,
    /// How many threads work at once.
    pub jobs: NonZeroUsize,
}

impl ExportJob {
    /// An export of an image for this machine, without compression, from no store.
    #[must_use]
    pub fn new(source: impl Into<ImageSource>, target: Target) -> ExportJob {
        ExportJob {
            source: source.into(),
            registry: Options::default(),
            want: Want::host(),
            all: false,
            target,
            compression: Compression::None,
            replace: false,
            epoch: 0,
            store: None,
            temporary: std::env::temp_dir(),
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Where an image goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// A directory in the OCI image layout, in which other images stay.
    Oci {
        /// The directory.
        path: PathBuf,
        /// The image's name in it; its name in full, if it has one and none is given.
        tag: Option<String>,
    },
    /// The tar of one.
    OciArchive {
        /// The file.
        path: PathBuf,
        /// The image's name in it, as in a directory.
        tag: Option<String>,
    },
    /// What `docker load` and `podman load` read.
    DockerArchive {
        /// The file.
        path: PathBuf,
        /// The names of the image, in full; its own, if it has one and none are given.
        names: Vec<String>,
    },
    /// The merged root filesystem, as files of the host.
    Dir {
        /// The directory, which is made, or is there and empty.
        path: PathBuf,
    },
    /// The merged root filesystem, in a file or, without one, in a stream.
    Tar {
        /// The file.
        path: Option<PathBuf>,
    },
}

/// What was exported.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Exported {
    /// The image, as it was asked for.
    pub reference: String,
    /// The digest of what was exported: of the index, the manifest, or the configuration; none of a
    /// bare root filesystem.
    pub digest: Option<Digest>,
    /// The platform, if it is one.
    pub platform: Option<String>,
    /// The length of the file in bytes, or of all that the image has in a directory; none of a
    /// stream.
    pub bytes: Option<u64>,
    /// What a directory does not have of it.
    pub not_kept: Vec<NotKept>,
}

/// Exports an image: afterwards all of it is at its place, or nothing. `stream` is where a tar
/// without a file goes.
///
/// # Errors
/// At the first thing that is not as it should be.
pub fn export(job: &ExportJob, stream: &mut dyn Write, control: &Control, on: Observer<'_>) -> Result<Exported, Error> {
    try_export(job, stream, control, on).map_err(|error| Error::image_in(job.store.as_deref(), &job.source, error))
}

fn try_export(job: &ExportJob, stream: &mut dyn Write, control: &Control, on: Observer<'_>) -> Result<Exported, Error> {
    on(Event::Stage(Stage::Resolve));
    let store = open_store(job.store.as_deref(), on)?;
    let place = Workplace::open(store.as_ref(), None, &job.temporary, control)?;
    let tell = |event: cvbake_fetch::Event| on(event.into());
    // What it is borrowed from outlives it.
    let converted;
    let located = job.source.locate(&job.registry, store.as_ref(), on)?;
    let mut blobs = located.open(&job.registry, &place, store.as_ref(), &tell)?;
    if job.target.needs_manifest(blobs.root()) {
        converted = Store::open(&place.path().join("converted"), &|event| on(event.into()))?;
        // It goes with this run.
        converted.set_durable(false);
        let reference = convert_into(&converted, &*blobs, job, &place, control, on)?;
        blobs = open_stored(&converted, &job.source.to_string(), &reference, &tell);
    }
    let work = Work { job, located: &located, blobs: &*blobs, place: &place, store: store.as_ref(), control, on };
    match &job.target {
        Target::Oci { path, tag } => work.layout(path, tag.as_deref()),
        Target::OciArchive { path, tag } => work.oci_archive(path, tag.as_deref()),
        Target::DockerArchive { path, names } => work.docker_archive(path, names),
        Target::Tar { path: Some(path) } => {
            let mut told = None;
            let bytes = work.file(path, &mut |out| {
                told = Some(work.tar(out)?);
                Ok(())
            })?;
            let exported = told.expect("the file was written");
            Ok(Exported { bytes: Some(bytes), ..exported })
        }
        Target::Dir { path } => work.directory(path),
        Target::Tar { path: None } => {
            let mut stream = Stream { inner: stream, is_unread: false };
            let exported = work.tar_into(&mut stream);
            if stream.is_unread { Err(Error::Unread) } else { exported }
        }
    }
}

impl Target {
    /// Whether an image that starts with this must be given documents first.
    fn needs_manifest(&self, root: &Root) -> bool {
        match (self, root) {
            (Target::Oci { .. } | Target::OciArchive { .. }, root) => !matches!(root, Root::Candidates(_)),
            (Target::DockerArchive { .. }, root) => matches!(root, Root::Bare { .. }),
            (Target::Dir { .. } | Target::Tar { .. }, _) => false,
        }
    }
}

/// Gives an image documents, in a store of its own.
fn convert_into(
    store: &Store,
    blobs: &dyn Blobs,
    job: &ExportJob,
    place: &Workplace,
    control: &Control,
    on: Observer<'_>,
) -> Result<Reference, Error> {
    let image = prove(blobs, &job.want)?;
    announce(&image, Layer::diff_id, on);
    let pin = store.pin([])?;
    let intake = Intake { blobs, store, place, pin: &pin, compression: Compression::Gzip, control, on };
    let platform = Some(&job.want.platform);
    Ok(convert(intake, &image, &RunConfig::default(), platform, None, job.jobs)?.reference)
}

fn waiting_for(path: &Path) -> String {
    format!("waiting for another process that is exporting to {}", path.display())
}

/// How much is written at once.
const BUFFER: usize = 1 << 20;

struct Work<'a> {
    job: &'a ExportJob,
    located: &'a Located,
    blobs: &'a dyn Blobs,
    place: &'a Workplace,
    store: Option<&'a Store>,
    control: &'a Control,
    on: Observer<'a>,
}

impl<'a> Work<'a> {
    /// The image, which stays in the store meanwhile if it is there.
    fn image(&self) -> Result<(Image, Exported, Option<Pin<'a>>), Error> {
        let Admitted { image, pin } = admit(self.blobs, &self.job.want, Layer::diff_id, self.store, self.on)?;
        let exported = Exported {
            reference: image.reference().to_owned(),
            digest: image.identity().digest(),
            platform: image.config().and_then(|config| config.platform()).map(|platform| platform.to_string()),
            bytes: None,
            not_kept: Vec::new(),
        };
        Ok((image, exported, pin))
    }

    /// What goes into a layout: byte for byte, so there must be a manifest.
    fn contents(&self) -> Result<(Contents, Exported, Option<Pin<'a>>), Error> {
        let (contents, exported, pin) = if self.job.all {
            let reference = self.blobs.reference().to_owned();
            let contents = Contents::for_everything(self.blobs)?;
            let digest = contents.as_ref().map(|contents| contents.top().digest);
            let digests = contents.iter().flat_map(Contents::digests);
            let pin = self.store.map(|store| store.pin(digests)).transpose()?;
            (contents, Exported { reference, digest, platform: None, bytes: None, not_kept: Vec::new() }, pin)
        } else {
            let (image, exported, pin) = self.image()?;
            (Contents::for_image(&image)?, exported, pin)
        };
        let contents = contents.ok_or_else(|| Error::NoManifest { name: exported.reference.clone() })?;
        self.tell_fetched(&contents)?;
        let bytes = contents.len_bytes();
        (self.on)(Event::Amount { bytes });
        Ok((contents, exported, pin))
    }

    /// Tells that not all of an image comes from the store: the registry is asked for the rest,
    /// which the store keeps.
    fn tell_fetched(&self, contents: &Contents) -> Result<(), Error> {
        let Some(store) = self.store.filter(|_| self.located.is_in_registry()) else { return Ok(()) };
        let mut count = 0;
        for blob in contents.blobs() {
            count += usize::from(!matches!(store.blobs().inspect(&blob.digest, blob.size)?, Health::Whole(_)));
        }
        if count > 0 {
            let blobs = if count == 1 { "1 blob".to_owned() } else { format!("{count} blobs") };
            (self.on)(Event::Note(format!("fetching {blobs} that the store does not have")));
        }
        Ok(())
    }

    /// The image's name in full, which it is given where nobody says another, so that it has that
    /// where it is imported.
    fn own_name(&self) -> Option<String> {
        let name = self.located.is_in_registry().then(|| full_name(self.blobs.reference())).flatten();
        name.filter(|name| !name.contains('@'))
    }

    /// What the image is called in a layout.
    fn tag(&self, given: Option<&str>) -> Option<String> {
        given.map(str::to_owned).or_else(|| self.own_name())
    }

    fn layout(&self, path: &Path, tag: Option<&str>) -> Result<Exported, Error> {
        let (contents, exported, _pin) = self.contents()?;
        (self.on)(Event::Stage(Stage::Export));
        let wrong = |error: Error| Error::target(path, error);
        let layout = self.control.during(|| Layout::open(path), Layout::temporary).map_err(wrong)?;
        // A signal ends the process while it waits.
        let layout = layout.lock(|| (self.on)(Event::Note(waiting_for(path)))).map_err(|error| wrong(error.into()))?;
        let mut writer = self.control.during(|| layout.writer(), |writer| Some(writer.temporary())).map_err(wrong)?;
        writer.write(&contents, self.blobs, &|bytes| (self.on)(Event::Wrote { bytes }))?;
        self.control.commit(|| writer.commit(&contents, self.tag(tag).as_deref())).map_err(wrong)?;
        Ok(Exported { bytes: Some(contents.len_bytes()), ..exported })
    }

    fn oci_archive(&self, path: &Path, tag: Option<&str>) -> Result<Exported, Error> {
        let (contents, exported, _pin) = self.contents()?;
        (self.on)(Event::Stage(Stage::Export));
        let shown = path.display().to_string();
        let bytes = self.file(path, &mut |out| {
            let on = |bytes| (self.on)(Event::Wrote { bytes });
            Ok(oci_archive(&contents, self.blobs, self.tag(tag).as_deref(), &shown, out, &on)?)
        })?;
        Ok(Exported { bytes: Some(bytes), ..exported })
    }

    fn docker_archive(&self, path: &Path, names: &[String]) -> Result<Exported, Error> {
        let (image, exported, _pin) = self.image()?;
        let no_config = || Error::NoManifest { name: exported.reference.clone() };
        (self.on)(Event::Stage(Stage::Export));
        let shown = path.display().to_string();
        let own: Vec<String> = if names.is_empty() { self.own_name().into_iter().collect() } else { Vec::new() };
        let names = if names.is_empty() { &own } else { names };
        let bytes = self.file(path, &mut |out| {
            let on = |bytes| (self.on)(Event::Wrote { bytes });
            let written = docker_archive(&image, self.blobs, names, self.place.path(), &shown, out, &on)?;
            written.ok_or_else(no_config)
        })?;
        Ok(Exported { bytes: Some(bytes), ..exported })
    }

    /// Writes the merged root filesystem as files.
    fn directory(&self, path: &Path) -> Result<Exported, Error> {
        // A name that is taken is told before anything is unpacked.
        let new = NewDirectory::create(path, self.control)?;
        let (image, mut exported, _pin) = self.image()?;
        (self.on)(Event::Stage(Stage::Unpack));
        let way = self.located.way(&self.job.registry, self.job.jobs);
        let cx = UnpackContext::new(self.store, self.place.path(), way, self.control, self.on);
        let mut layers = Layers::unpack(&image, self.blobs, cx, Purpose::Content)?;
        (self.on)(Event::Stage(Stage::Merge));
        let mut tree = layers.merge(self.job.epoch)?;
        let unreadable = tree.leave_out_unreadable().map(|lost| NotKept {
            what: format!("the attribute {}, which Linux shows to nobody", lost.name),
            first: lost.first.path,
            files: lost.inodes as u64,
        });
        let packs = layers.packs()?;
        let bytes = cvbake_rootfs::tar::content_bytes(&tree);
        (self.on)(Event::Amount { bytes });
        (self.on)(Event::Stage(Stage::Export));
        let not_kept = new.fill(&tree, &packs, self.control, &|bytes| (self.on)(Event::Wrote { bytes }))?;
        new.commit(self.control)?;
        exported.bytes = Some(bytes);
        exported.not_kept = unreadable.into_iter().chain(not_kept).collect();
        for NotKept { what, first, files } in &exported.not_kept {
            let others = files - 1;
            let others = if others == 0 { String::new() } else { format!(" (and of {others} others)") };
            (self.on)(Event::Warning(format!("not kept of {first}{others}: {what}")));
        }
        Ok(exported)
    }

    /// Writes the merged root filesystem.
    fn tar(&self, out: &mut dyn Write) -> Result<Exported, Error> {
        let (image, exported, _pin) = self.image()?;
        (self.on)(Event::Stage(Stage::Unpack));
        let way = self.located.way(&self.job.registry, self.job.jobs);
        let cx = UnpackContext::new(self.store, self.place.path(), way, self.control, self.on);
        let mut layers = Layers::unpack(&image, self.blobs, cx, Purpose::Content)?;
        (self.on)(Event::Stage(Stage::Merge));
        let tree = layers.merge(self.job.epoch)?;
        let packs = layers.packs()?;
        let bytes = cvbake_rootfs::tar::content_bytes(&tree);
        (self.on)(Event::Amount { bytes });
        (self.on)(Event::Stage(Stage::Export));
        cvbake_rootfs::tar::write(&tree, &packs, out, &|bytes| (self.on)(Event::Wrote { bytes }))?;
        Ok(exported)
    }

    fn tar_into(&self, stream: &mut dyn Write) -> Result<Exported, Error> {
        let write = |source| Error::Tell { source };
        let out = BufWriter::with_capacity(BUFFER, stream);
        let mut out = Compressor::new(out, self.job.compression).map_err(write)?;
        let exported = self.tar(&mut out)?;
        out.finish().and_then(|mut out| out.flush()).map_err(write)?;
        Ok(exported)
    }

    /// A file that is whole or not there; returns its length.
    fn file(&self, path: &Path, write: &mut dyn FnMut(&mut dyn Write) -> Result<(), Error>) -> Result<u64, Error> {
        let draft = self.control.during(|| Draft::create(path, self.job.replace), |draft| Some(draft.temporary()))?;
        let failed = |source| cvbake_fetch::Error::Write { place: path.display().to_string(), source };
        let out = BufWriter::with_capacity(BUFFER, draft.file());
        let mut out = Compressor::new(out, self.job.compression).map_err(failed)?;
        write(&mut out).map_err(|error| match error {
            Error::Rootfs(cvbake_rootfs::Error::Write { .. }) => Error::target(path, error),
            error => error,
        })?;
        out.finish().and_then(|mut out| out.flush()).map_err(failed)?;
        let bytes = draft.file().metadata().map_err(failed)?.len();
        draft.sync()?;
        self.control.commit(|| draft.commit())?;
        Ok(bytes)
    }
}
