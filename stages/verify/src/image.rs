//! The proof: an image whose documents have all been checked.

use std::fmt;
use std::io::{self, Read};

use crate::media::{Compression, Role, role};
use crate::resolve::{Found, Search};
use crate::{Algorithm, Candidate, CheckedReader, Config, Descriptor, Digest, Error, MAX_LAYERS, Platform, shorten};

/// The platform that an image is wanted for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Want {
    /// The platform.
    pub platform: Platform,
    /// Whether somebody asked for just this platform. If not, it is a guess that a source of only
    /// one image may contradict.
    pub explicit: bool,
}

impl Want {
    /// Whatever this machine would run.
    #[must_use]
    pub fn host() -> Want {
        Want { platform: Platform::host(), explicit: false }
    }
}

/// A place that holds an image: what it starts with, and its bytes, none of which anybody has
/// checked.
pub trait Blobs: Sync {
    /// The name of the image and its place, as a user would write it.
    fn reference(&self) -> &str;

    /// What verification starts with.
    fn root(&self) -> &Root;

    /// The bytes of a blob from its first.
    ///
    /// # Errors
    /// When there is no such blob, or it can't be read. The error says which blob and where it was
    /// looked for.
    fn open(&self, blob: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>>;

    /// The bytes of a layer as it is stored, compressed or not, from the first.
    ///
    /// # Errors
    /// As [`Blobs::open`]; and when it can be read only once and has been.
    fn open_layer(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send + '_>>;

    /// The same bytes, held to the layer's digest and size as far as they are known. A place that
    /// hashes what it hands out anyway, to keep it, says so by an implementation of its own: it
    /// gives the last bytes only when the digest is right, as [`CheckedReader`] does.
    ///
    /// # Errors
    /// As [`Blobs::open_layer`].
    fn open_checked(&self, layer: &Layer) -> io::Result<Box<dyn Read + Send + '_>> {
        let reader = self.open_layer(layer)?;
        Ok(match (layer.digest, layer.size) {
            (Some(digest), Some(size)) => Box::new(CheckedReader::new(reader, digest, size)),
            _ => reader,
        })
    }

    /// Whether a layer that made no sense can be opened again, and may then be better: it came from
    /// a place that others can stand in for. Says so once for each such place.
    fn has_alternative(&self, layer: &Layer) -> bool {
        let _ = layer;
        false
    }
}

/// What verification starts with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Root {
    /// Descriptors of a manifest or an index. If there are several, the platform decides; if it
    /// doesn't, that is an error.
    Candidates(Vec<Candidate>),
    /// An image without a manifest, as `docker save` writes it.
    Docker {
        /// The bytes of its configuration.
        config: Vec<u8>,
        /// The digest of the configuration, where its name says it.
        claimed: Option<Digest>,
        /// Its layers, lowest first.
        layers: Vec<DockerLayer>,
    },
    /// The tar of a root filesystem and nothing else.
    Bare {
        /// The length of the tar as it is stored, in bytes, where that is known.
        size: Option<u64>,
    },
}

/// A layer that no descriptor points to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DockerLayer {
    /// Its length as it is stored, in bytes.
    pub size: u64,
    /// The digest of it as it is stored, where its name says it.
    pub claimed: Option<Digest>,
}

/// What names an image.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Identity {
    /// Its manifest.
    Manifest(Digest),
    /// Its configuration, where there is no manifest.
    Config(Digest),
    /// Its only layer, where there is nothing else: known only after the layer has been read, as
    /// its `diff_id`.
    Layer,
}

impl Identity {
    /// The digest of the manifest or configuration; `None` where only the layer names the image.
    #[must_use]
    pub fn digest(self) -> Option<Digest> {
        match self {
            Identity::Manifest(digest) | Identity::Config(digest) => Some(digest),
            Identity::Layer => None,
        }
    }
}

/// An image that has been checked down to what its layers must be.
///
/// Only [`Image::verify`] makes one, and then all of this holds:
/// - the bytes of every document have the digest and the size that led to it, and mean one thing
///   only;
/// - it is an image for Linux or whatever operating system was wanted, and for the wanted
///   architecture but for a [`Warning`];
/// - it has as many layers as its configuration has `diff_id`s, and every layer is of a type that
///   is a filesystem layer.
///
/// The layers themselves have not been read: [`Layer::open`] and [`Layer::check`] hold them to what
/// stands here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    reference: String,
    identity: Identity,
    descriptor: Option<Descriptor>,
    manifest: Option<Vec<u8>>,
    config: Option<Config>,
    layers: Vec<Layer>,
    warnings: Vec<Warning>,
}

/// A layer of an image: what is known of it before it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer {
    number: usize,
    diff_id: Option<Digest>,
    digest: Option<Digest>,
    size: Option<u64>,
    media_type: Option<String>,
}

/// Something odd about an image that is no reason to refuse it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Warning {
    /// The only image there is runs on another kind of processor than this machine's.
    Architecture {
        /// What this machine would run.
        wanted: Platform,
        /// What the image is for.
        found: Platform,
    },
    /// The configuration doesn't say what kind of processor the image runs on.
    NoArchitecture {
        /// The digest of the configuration.
        config: Digest,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Architecture { wanted, found } => write!(f, "the image is for {found}, not for {wanted}"),
            Warning::NoArchitecture { config } => write!(f, "config {config} names no architecture"),
        }
    }
}

impl Image {
    /// Follows a reference down to an image and checks everything on the way.
    ///
    /// # Errors
    /// At the first thing that is not as it should be.
    pub fn verify(blobs: &dyn Blobs, want: &Want) -> Result<Image, Error> {
        match blobs.root() {
            Root::Candidates(candidates) => {
                Image::from_manifest(blobs.reference(), Search::new(blobs, &want.platform).run(candidates)?, want)
            }
            Root::Docker { config, claimed, layers } => {
                Image::from_docker(blobs.reference(), config, *claimed, layers, want)
            }
            Root::Bare { size } => Ok(Image {
                reference: blobs.reference().to_owned(),
                identity: Identity::Layer,
                descriptor: None,
                manifest: None,
                config: None,
                layers: vec![Layer { number: 1, diff_id: None, digest: None, size: *size, media_type: None }],
                warnings: Vec::new(),
            }),
        }
    }

    fn from_manifest(reference: &str, found: Found, want: &Want) -> Result<Image, Error> {
        let Found { descriptor, raw, manifest, config, listed } = found;
        let warnings = check_platform(&config, want, listed)?;
        check_count(&format!("manifest {}", descriptor.digest), manifest.layers.len(), &config)?;
        let layer = |(at, (blob, &diff_id)): (usize, (Descriptor, &Digest))| {
            let number = at + 1;
            let refused = || (format!("manifest {}", descriptor.digest), shorten(&blob.media_type));
            match role(&blob.media_type) {
                Role::Layer(_) => {}
                Role::EncryptedLayer => {
                    let (object, media_type) = refused();
                    return Err(Error::EncryptedLayer { object, number, media_type });
                }
                _ => {
                    let (object, media_type) = refused();
                    return Err(Error::LayerType { object, number, media_type });
                }
            }
            let Descriptor { media_type, digest, size } = blob;
            let (digest, size, media_type) = (Some(digest), Some(size), Some(media_type));
            Ok(Layer { number, diff_id: Some(diff_id), digest, size, media_type })
        };
        let layers = manifest.layers.into_iter().zip(config.diff_ids()).enumerate().map(layer);
        Ok(Image {
            reference: reference.to_owned(),
            identity: Identity::Manifest(descriptor.digest),
            manifest: Some(raw),
            layers: layers.collect::<Result<_, _>>()?,
            descriptor: Some(descriptor),
            config: Some(config),
            warnings,
        })
    }

    fn from_docker(
        reference: &str,
        config: &[u8],
        claimed: Option<Digest>,
        layers: &[DockerLayer],
        want: &Want,
    ) -> Result<Image, Error> {
        let algorithm = claimed.map_or(Algorithm::Sha256, |claimed| claimed.algorithm());
        let digest = Digest::of(algorithm, config);
        if let Some(expected) = claimed.filter(|&claimed| claimed != digest) {
            return Err(Error::BlobDigest { expected: expected.into(), found: digest.into() });
        }
        if layers.len() > MAX_LAYERS {
            return Err(Error::TooMany { object: reference.to_owned(), what: "layers", limit: MAX_LAYERS });
        }
        let config = Config::parse(digest, config.to_vec())?;
        let warnings = check_platform(&config, want, false)?;
        check_count(reference, layers.len(), &config)?;
        let layer = |(at, (layer, &diff_id)): (usize, (&DockerLayer, &Digest))| Layer {
            number: at + 1,
            diff_id: Some(diff_id),
            digest: layer.claimed,
            size: Some(layer.size),
            media_type: None,
        };
        Ok(Image {
            reference: reference.to_owned(),
            identity: Identity::Config(digest),
            descriptor: None,
            manifest: None,
            layers: layers.iter().zip(config.diff_ids()).enumerate().map(layer).collect(),
            config: Some(config),
            warnings,
        })
    }

    /// The name of the image and its place, as a user would write it.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// What names the image.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// What points to the manifest, where there is one.
    #[must_use]
    pub fn descriptor(&self) -> Option<&Descriptor> {
        self.descriptor.as_ref()
    }

    /// The bytes of the manifest, where there is one.
    #[must_use]
    pub fn manifest(&self) -> Option<&[u8]> {
        self.manifest.as_deref()
    }

    /// The configuration; `None` for a bare root filesystem.
    #[must_use]
    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// The layers, lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The length of all layers as they are stored, in bytes; `None` where that is not known of all
    /// of them.
    #[must_use]
    pub fn layers_len_bytes(&self) -> Option<u64> {
        self.layers.iter().try_fold(0u64, |sum, layer| sum.checked_add(layer.size?))
    }

    /// What is odd about the image, in the order it was found.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// Holds a configuration to the wanted platform. `listed`: an index said that it is for this
/// platform.
fn check_platform(config: &Config, want: &Want, listed: bool) -> Result<Vec<Warning>, Error> {
    let object = || Config::object(&config.digest());
    let os = config.os().ok_or_else(|| Error::Missing { object: object(), field: "os".to_owned() })?;
    let named = Platform::new(os, "", "");
    if named.os() != want.platform.os() {
        let (expected, found) = (want.platform.os().to_owned(), shorten(os));
        return Err(Error::ConfigOs { object: object(), expected, found });
    }
    let Some(found) = config.platform() else {
        return Ok(vec![Warning::NoArchitecture { config: config.digest() }]);
    };
    // Many builders leave the variant out; then the architecture is all that can be held against
    // the image.
    let same_architecture = found.architecture() == want.platform.architecture();
    if want.platform.fit(&found).is_some() || same_architecture && !config.has_variant() {
        return Ok(Vec::new());
    }
    let wanted = want.platform.clone();
    if want.explicit || listed {
        return Err(Error::ConfigPlatform { object: object(), expected: wanted.into(), found: found.into() });
    }
    Ok(vec![Warning::Architecture { wanted, found }])
}

fn check_count(object: &str, layers: usize, config: &Config) -> Result<(), Error> {
    let diff_ids = config.diff_ids().len();
    if layers != diff_ids {
        return Err(Error::LayerCount { object: object.to_owned(), layers, diff_ids, config: config.digest() });
    }
    Ok(())
}

impl Layer {
    /// The position among the image's layers; the lowest is 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The digest of what the layer unpacks to; `None` for a bare root filesystem, which nothing
    /// describes.
    #[must_use]
    pub fn diff_id(&self) -> Option<Digest> {
        self.diff_id
    }

    /// The digest of the layer as it is stored, where something says it.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The length of the layer as it is stored, in bytes, where something says it.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The media type of the layer, where something says it.
    #[must_use]
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// The compression that the media type promises. The layer's first bytes decide; a
    /// contradiction is worth a warning.
    #[must_use]
    pub fn promised_compression(&self) -> Option<Compression> {
        match role(self.media_type()?) {
            Role::Layer(compression) => Some(compression),
            _ => None,
        }
    }

    /// The hash function to make the layer's `diff_id` with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.diff_id.map_or(Algorithm::Sha256, |diff_id| diff_id.algorithm())
    }

    /// The bytes of the layer as it is stored, held to its digest and size as far as they are
    /// known.
    ///
    /// # Errors
    /// When there is no such layer or it can't be read.
    pub fn open<'b>(&self, blobs: &'b dyn Blobs) -> Result<Box<dyn Read + Send + 'b>, Error> {
        blobs.open_checked(self).map_err(|source| Error::from_read(&format!("layer {}", self.number), source))
    }

    /// Holds what the layer unpacked to against its `diff_id`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn check(&self, found: Digest) -> Result<(), Error> {
        match self.diff_id {
            Some(expected) if expected != found => {
                Err(Error::DiffId { number: self.number, expected: expected.into(), found: found.into() })
            }
            _ => Ok(()),
        }
    }
}
