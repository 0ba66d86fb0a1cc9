//! All images of a source: for commands that take those of all platforms, where others take one.

use std::collections::BTreeSet;
use std::io::{self, Read};

use cvbake_fetch::export::Contents;
use cvbake_verify::{Blobs, Candidate, Descriptor, Error as VerifyError, Image, Layer, Platform, Root, Want};

use crate::proof::prove;

/// The images in what a source leads to.
pub(crate) fn images(blobs: &dyn Blobs, contents: &Contents) -> Result<Vec<Image>, VerifyError> {
    let mut images = Vec::new();
    for Candidate { descriptor, platform, .. } in contents.images() {
        let at = At { blobs, root: Root::Candidates(vec![Candidate::new(descriptor.clone())]) };
        let platform = platform.clone().unwrap_or_else(Platform::host);
        match prove(&at, &Want { platform, explicit: false }) {
            Ok(image) => images.push(image),
            // An index may list anything; alone it is an error.
            Err(VerifyError::NotAnImage { .. }) if *descriptor != *contents.top() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(images)
}

/// The platforms of images, in order, each once.
pub(crate) fn platforms(images: &[Image]) -> Vec<String> {
    let platform = |image: &Image| Some(image.config()?.platform()?.to_string());
    let mut seen = BTreeSet::new();
    images.iter().filter_map(platform).filter(|platform| seen.insert(platform.clone())).collect()
}

/// The same blobs, entered elsewhere.
struct At<'a> {
    blobs: &'a dyn Blobs,
    root: Root,
}

impl Blobs for At<'_> {
    fn reference(&self) -> &str {
        self.blobs.reference()
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
        self.blobs.open(blob)
    }

    fn open_layer(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send + '_>> {
        self.blobs.open_layer(layer)
    }
}
