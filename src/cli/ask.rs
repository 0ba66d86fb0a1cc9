//! What questions about an image have in common: where it is, and how its answer is written.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueHint;
use cvbake::fetch::Pull;
use cvbake::store::Store;
use cvbake::survey::{Survey, SurveyedLayer};
use cvbake::text;
use cvbake::verify::{Digest, Platform};
use cvbake::{ImageSource, Job};
use serde::Serialize;

use super::bake::is_no_place;
use super::work::{allowed_jobs, want};
use super::{environment, registry, source, values};
use crate::failure::Failure;
use crate::ui::Mode;

/// Options about the image that is asked about.
#[derive(Debug, clap::Args)]
#[group(id = "ask")]
pub(super) struct Args {
    /// Choose the image for this platform, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,

    /// Use what the store in this directory has
    /// [default: $XDG_DATA_HOME/cvbake; for root /var/lib/cvbake]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    store: Option<PathBuf>,

    /// Do not read the store, whatever --store says
    #[arg(long)]
    no_cache: bool,

    /// Set the number of threads [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = values::jobs)]
    jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    registry: registry::Args,
}

/// A bar while layers arrive, where there is a terminal, and nothing else: the answer is what
/// counts.
pub(super) fn mode() -> Mode {
    let colours = environment::colours();
    if environment::draws() { Mode::Bar { colours } } else { Mode::None { colours } }
}

impl Args {
    /// The bake that is asked about.
    pub(super) fn job(&self, text: &OsStr) -> Result<Job, Failure> {
        let image: ImageSource = source::image(text)?;
        let mut job = Job::new(image);
        job.registry = self.registry.options(Pull::Missing)?;
        job.want = want(self.platform.as_ref());
        job.epoch = environment::epoch()?;
        job.store = if self.no_cache { None } else { self.store.clone().or_else(usual_store) };
        job.temporary = environment::temporary();
        job.jobs = allowed_jobs(self.jobs);
        Ok(job)
    }
}

/// The default store, unless this user can't have one: a bake does without it as well.
fn usual_store() -> Option<PathBuf> {
    let opened = |dir: &PathBuf| Store::open_existing(dir, &|_| {});
    environment::store().filter(|dir| !matches!(opened(dir), Err(error) if is_no_place(&error)))
}

/// The first digits of a digest, as many as nobody has two of.
pub(super) fn short(digest: &Digest) -> String {
    const SHOWN: usize = 12;
    digest.hex().chars().take(SHOWN).collect()
}

/// A layer as people count them, and the beginning of its digest.
pub(super) fn layer_text(survey: &Survey, layer: Option<usize>) -> String {
    layer.map_or_else(|| "-".to_owned(), |at| format!("{} {}", at + 1, short(survey.layers[at].name())))
}

/// The command that made a layer, on one line and not all of it.
pub(super) fn command(layer: &SurveyedLayer, shown: usize) -> String {
    let Some(command) = &layer.created_by else { return String::new() };
    let spaced = command.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut characters = spaced.chars();
    let start: String = characters.by_ref().take(shown).collect();
    let more = if characters.next().is_some() { "…" } else { "" };
    text::line(&start) + more
}

/// The path that was given: one of the disk, not of this machine.
pub(super) fn path_bytes(path: Option<&OsString>) -> &[u8] {
    use std::os::unix::ffi::OsStrExt as _;
    path.map_or(b"/", |path| path.as_bytes())
}

/// A name or path in JSON: as text, and byte by byte where it is none.
pub(super) fn in_json(bytes: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (text::name(bytes), Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())),
    }
}

/// What all answers in JSON say of the image.
#[derive(Serialize)]
pub(super) struct Image<'a> {
    reference: &'a str,
    image: String,
    platform: Option<&'a str>,
}

impl<'a> Image<'a> {
    pub(super) fn of(survey: &'a Survey) -> Image<'a> {
        let Survey { reference, image, platform, .. } = survey;
        Image { reference, image: image.to_string(), platform: platform.as_deref() }
    }
}

/// A layer in JSON.
#[derive(Serialize)]
pub(super) struct Layer<'a> {
    digest: Option<String>,
    diff_id: String,
    bytes: Option<u64>,
    unpacked_bytes: u64,
    created_by: Option<&'a str>,
}

impl<'a> Layer<'a> {
    pub(super) fn all(survey: &'a Survey) -> Vec<Layer<'a>> {
        let layer = |layer: &'a SurveyedLayer| Layer {
            digest: layer.digest.map(|digest| digest.to_string()),
            diff_id: layer.diff_id.to_string(),
            bytes: layer.bytes,
            unpacked_bytes: layer.unpacked_bytes,
            created_by: layer.created_by.as_deref(),
        };
        survey.layers.iter().map(layer).collect()
    }
}

/// Permissions as `ls -l` shows them, without the letter of the kind.
pub(super) fn permissions(mode: u16) -> String {
    let bit = |bit: u16, letter: char| if mode & bit != 0 { letter } else { '-' };
    let mut text = String::with_capacity(9);
    for (shift, special, set, alone) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        text.push(bit(0o4 << shift, 'r'));
        text.push(bit(0o2 << shift, 'w'));
        let is_special = mode & special != 0;
        text.push(match (mode & 0o1 << shift != 0, is_special) {
            (true, true) => set,
            (false, true) => alone,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_as_ls_has_them() {
        for (mode, text) in [
            (0o755, "rwxr-xr-x"),
            (0o4755, "rwsr-xr-x"),
            (0o4644, "rwSr--r--"),
            (0o2775, "rwxrwsr-x"),
            (0o1777, "rwxrwxrwt"),
            (0o1000, "--------T"),
            (0, "---------"),
        ] {
            assert_eq!(permissions(mode), text, "{mode:o}");
        }
    }

    #[test]
    fn names_in_json() {
        assert_eq!(in_json(b"a\n\"b"), ("a\n\"b".to_owned(), None));
        assert_eq!(in_json(b"a\xff"), ("a\\xff".to_owned(), Some("61ff".to_owned())));
    }
}
