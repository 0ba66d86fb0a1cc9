//! An image anywhere, looked at without bringing it here: its documents, and of its layers what
//! those say.

use std::io::Read as _;
use std::path::PathBuf;

use cvbake_fetch::{Options, Source};
use cvbake_verify::{Blobs, CheckedReader, Descriptor, Digest, Error as VerifyError, Root, Want, json};

use super::details::{Step, told};
use crate::control::Control;
use crate::error::Error;
use crate::event::Observer;
use crate::proof::{prove, warn};
use crate::source::open_source;
use crate::workplace::Workplace;

/// A manifest or an index, byte for byte.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Document {
    /// What points to it.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// One image, for one platform.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Looked {
    /// What names it: the digest of the manifest or, without one, of the configuration; none of a
    /// bare root filesystem.
    pub digest: Option<Digest>,
    /// The manifest or index that its name points to; none where there is no manifest.
    pub top: Option<Document>,
    /// Its manifest.
    pub manifest: Option<Document>,
    /// The bytes of its configuration.
    pub config: Option<Vec<u8>>,
    /// The platform that its configuration says.
    pub platform: Option<String>,
    /// When it was made, in the words of its configuration.
    pub created: Option<String>,
    /// How it was made, oldest step first.
    pub history: Vec<Step>,
    /// Its layers, lowest first.
    pub layers: Vec<LookedLayer>,
}

/// One layer, as far as anything says what it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LookedLayer {
    /// The digest of it as it is stored.
    pub digest: Option<Digest>,
    /// What it is.
    pub media_type: Option<String>,
    /// Its length as it is stored.
    pub bytes: Option<u64>,
    /// The digest of what it unpacks to.
    pub diff_id: Option<Digest>,
}

impl Looked {
    /// Each step of the making with the layer that it made, oldest first; layers that no step made
    /// stand alone.
    #[must_use]
    pub fn steps(&self) -> Vec<(Option<&Step>, Option<&LookedLayer>)> {
        super::details::steps(&self.history, &self.layers)
    }

    /// Whether its name points to an index and not to a manifest.
    #[must_use]
    pub fn is_of_index(&self) -> bool {
        let digest = |document: &Option<Document>| document.as_ref().map(|document| document.descriptor.digest);
        digest(&self.top) != digest(&self.manifest)
    }
}

/// Where to look.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Look {
    /// The place.
    pub source: Source,
    /// How to talk to the registry, if it is in one.
    pub registry: Options,
    /// Where temporary files go.
    pub temporary: PathBuf,
}

impl Look {
    /// A look at an image, with the defaults of the program.
    #[must_use]
    pub fn new(source: Source) -> Look {
        Look { source, registry: Options::default(), temporary: std::env::temp_dir() }
    }

    /// Everything about an image but its layers, and no more of it than that is read; `want`
    /// chooses where there are several.
    ///
    /// # Errors
    /// When there is none, or its documents are not what they should be.
    pub fn at_image(&self, want: &Want, control: &Control, on: Observer<'_>) -> Result<Looked, Error> {
        self.at(control, on, &|blobs| {
            let image = prove(blobs, want)?;
            warn(&image, on);
            let manifest = image.descriptor().zip(image.manifest());
            let manifest =
                manifest.map(|(descriptor, bytes)| Document { descriptor: descriptor.clone(), bytes: bytes.to_vec() });
            let config = image.config().map(|config| config.raw().to_vec());
            let (created, history) = config.as_deref().map(told).unwrap_or_default();
            let layer = |layer: &cvbake_verify::Layer| LookedLayer {
                digest: layer.digest(),
                media_type: layer.media_type().map(str::to_owned),
                bytes: layer.size(),
                diff_id: layer.diff_id(),
            };
            Ok(Looked {
                digest: image.identity().digest(),
                top: top(blobs)?.or_else(|| manifest.clone()),
                manifest,
                platform: image.config().and_then(|config| config.platform()).map(|platform| platform.to_string()),
                config,
                created,
                history,
                layers: image.layers().iter().map(layer).collect(),
            })
        })
    }

    /// The manifest or index that the name points to, whatever it is of; none where there is no
    /// manifest, or several are meant.
    ///
    /// # Errors
    /// When it can't be read, or is not what its digest says.
    pub fn at_document(&self, control: &Control, on: Observer<'_>) -> Result<Option<Document>, Error> {
        self.at(control, on, &|blobs| Ok(top(blobs)?))
    }

    fn at<T>(
        &self,
        control: &Control,
        on: Observer<'_>,
        look: &dyn Fn(&dyn Blobs) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let look = || {
            let place = Workplace::open(None, None, &self.temporary, control)?;
            let tell = |event: cvbake_fetch::Event| on(event.into());
            let blobs = open_source(&self.source, &self.registry, &place, None, &tell)?;
            look(&*blobs)
        };
        look().map_err(|error| Error::image(self.source.to_string(), error))
    }
}

/// The only document that everything starts with.
fn top(blobs: &dyn Blobs) -> Result<Option<Document>, VerifyError> {
    let Root::Candidates(candidates) = blobs.root() else { return Ok(None) };
    let [candidate] = &candidates[..] else { return Ok(None) };
    let descriptor = candidate.descriptor.clone();
    let object = format!("manifest {}", descriptor.digest);
    if descriptor.size > json::MAX_BYTES as u64 {
        return Err(VerifyError::JsonTooLarge { object, limit: json::MAX_BYTES });
    }
    let failed = |source| VerifyError::Read { object: object.clone(), source: std::sync::Arc::new(source) };
    let mut bytes = Vec::new();
    let reader = blobs.open(&descriptor).map_err(failed)?;
    CheckedReader::new(reader, descriptor.digest, descriptor.size).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(Document { descriptor, bytes }))
}
