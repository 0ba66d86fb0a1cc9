//! From one disk to another: of any format to any format.
//!
//! What the new disk is called follows from what is on it and from the options, not from the files
//! that it was read from: the same content is the same disk, byte for byte.

use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cvbake_disk::Draft;
use cvbake_disk::qcow2::Compression;

use super::open::{OpenDisk, OpenOptions, open};
use super::survey::Survey;
use crate::compressing::Compressing;
use crate::container::container;
use crate::control::Control;
use crate::error::Error;
use crate::event::{Event, Observer, Stage};
use crate::format::Format;
use crate::identity::uuid;

/// A disk to write to another file, or in another format.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConvertJob {
    /// The disk.
    pub from: PathBuf,
    /// How it is opened.
    pub options: OpenOptions,
    /// Where the new disk goes.
    pub path: PathBuf,
    /// What it becomes.
    pub format: Format,
    /// Whether a file that is there is replaced.
    pub replace: bool,
    /// How many threads work at once.
    pub jobs: NonZeroUsize,
}

/// A disk that was written.
#[derive(Debug)]
#[non_exhaustive]
pub struct Converted {
    /// The disk that it was made of.
    pub from: OpenDisk,
    /// How long the disk is.
    pub disk_bytes: u64,
    /// How long its file is.
    pub file_bytes: u64,
    /// How much of the disk is content.
    pub content_bytes: u64,
}

impl ConvertJob {
    /// A disk that is written to a new file.
    #[must_use]
    pub fn new(from: impl Into<PathBuf>, path: impl Into<PathBuf>, format: Format) -> ConvertJob {
        ConvertJob {
            from: from.into(),
            options: OpenOptions::default(),
            path: path.into(),
            format,
            replace: false,
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Writes what is on a disk to a new one: what the disk has itself, and what its parents have.
///
/// # Errors
/// When the disk can't be read, or the new one not be written.
pub fn convert(job: &ConvertJob, control: &Control, on: Observer<'_>) -> Result<Converted, Error> {
    let draft = control.during(|| Draft::create(&job.path, job.replace), |draft| Some(draft.temporary()))?;
    let from = open(&job.from, &job.options)?;
    let replaced = std::fs::metadata(&job.path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    if let Some(input) = from.chain.iter().find(|file| replaced == Some(file.identity)) {
        return Err(Error::ReplacesInput { path: job.path.clone(), input: input.path.clone() });
    }
    let rewriting = Rewriting { from: &from, format: job.format, jobs: job.jobs, control, on };
    let disk_bytes = from.disk.len_bytes();
    let survey = rewriting.survey(disk_bytes)?;
    let file_bytes = rewriting.write(&survey, disk_bytes, &draft)?;
    control.commit(|| draft.commit())?;
    let content_bytes = survey.content_bytes;
    Ok(Converted { from, disk_bytes, file_bytes, content_bytes })
}

/// A disk that is written anew.
pub(super) struct Rewriting<'a> {
    pub(super) from: &'a OpenDisk,
    pub(super) format: Format,
    pub(super) jobs: NonZeroUsize,
    pub(super) control: &'a Control,
    pub(super) on: Observer<'a>,
}

impl Rewriting<'_> {
    /// What there is to write to a disk of this length.
    pub(super) fn survey(&self, disk_bytes: u64) -> Result<Survey, Error> {
        let is_named = matches!(self.format, Format::Vhd(_) | Format::Vhdx(_));
        Survey::of(self.from, disk_bytes, is_named, self.jobs.get(), self.control)
    }

    /// Writes it to a draft, as a disk of this length; how long the file is.
    pub(super) fn write(&self, survey: &Survey, disk_bytes: u64, draft: &Draft) -> Result<u64, Error> {
        if let Format::Qcow2(Some(compression)) = self.format {
            return self.compress(survey, disk_bytes, draft, compression);
        }
        let of = format!("{} {disk_bytes} {:?}", survey.digest(), self.format);
        let named = |purpose: &str| uuid(&format!("converted {purpose}"), of.as_bytes());
        let container = container(self.format, disk_bytes, survey.used(), None, &named)?;
        (self.on)(Event::Planned { disk_bytes, content_bytes: survey.content_bytes });
        draft.check_room(survey.content_bytes)?;
        (self.on)(Event::Stage(Stage::Write));
        let disk = container.begin(draft)?;
        survey.copy(self.from, &disk, self.jobs.get(), self.control, self.on)?;
        disk.finish()?;
        (self.on)(Event::Stage(Stage::Commit));
        Ok(container.len_bytes())
    }

    /// The same, compressed.
    fn compress(
        &self,
        survey: &Survey,
        disk_bytes: u64,
        draft: &Draft,
        compression: Compression,
    ) -> Result<u64, Error> {
        (self.on)(Event::Planned { disk_bytes, content_bytes: survey.content_bytes });
        let compressing = Compressing { jobs: self.jobs, control: self.control, on: self.on };
        let OpenDisk { disk, .. } = self.from;
        let wrong = |source| Error::disk_content(&self.from.file().path, source);
        let begin = &mut || (self.on)(Event::Stage(Stage::CompressDisk));
        let file_bytes = compressing.write((&**disk, &wrong), disk_bytes, survey.used(), compression, draft, begin)?;
        (self.on)(Event::Stage(Stage::Commit));
        Ok(file_bytes)
    }
}

impl std::fmt::Debug for OpenDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths: Vec<&Path> = self.chain.iter().map(|file| file.path.as_path()).collect();
        f.debug_tuple("OpenDisk").field(&paths).finish()
    }
}
