//! The beginning of every question about an image: its layers, unpacked as far as their files'
//! attributes, and nothing written.

use cvbake_verify::{Image, Layer};

use super::job::Job;
use crate::clock::Clock;
use crate::control::Control;
use crate::error::Error;
use crate::event::{Observer, Stage};
use crate::layers::{Layers, Purpose, UnpackContext};
use crate::proof::{Admitted, admit};
use crate::workplace::{Workplace, open_existing_store};

/// An image of which somebody wants to know something.
pub(crate) struct Asked<'a> {
    pub(crate) image: &'a Image,
    pub(crate) layers: Layers<'a>,
    pub(crate) clock: Clock<'a>,
    pub(crate) on: Observer<'a>,
}

/// Has a question about an image answered. Nothing is kept, and a store that is not there is not
/// made.
pub(crate) fn ask<T>(
    job: &Job,
    control: &Control,
    on: Observer<'_>,
    answer: impl FnOnce(Asked<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let store = open_existing_store(job.store.as_deref(), on)?;
    let place = Workplace::open(store.as_ref(), None, &job.temporary, control)?;
    let located = job.source.locate(&job.registry, store.as_ref(), on)?;
    let way = located.way(&job.registry, job.jobs);
    let cx = UnpackContext::new(store.as_ref(), place.path(), way, control, on);

    let mut clock = Clock::start(Stage::Resolve, on);
    let tell = |event: cvbake_fetch::Event| on(event.into());
    let blobs = located.open(&job.registry, &place, store.as_ref(), &tell)?;
    let Admitted { image, pin: _pin } = admit(&*blobs, &job.want, Layer::diff_id, store.as_ref(), on)?;
    clock.next(Stage::Unpack);
    let layers = Layers::unpack(&image, &*blobs, cx, Purpose::Plan)?;
    clock.next(Stage::Merge);
    answer(Asked { image: &image, layers, clock, on })
}
