//! From what a reference leads to, through indexes, to the one manifest for a platform.

use crate::document::{self, Document, Manifest};
use crate::platform::Fit;
use crate::{Blobs, Candidate, CheckedReader, Config, Descriptor, Error, Platform, json};

/// The most indexes within indexes. Two are known to occur: a multi-platform image in a layout of
/// several images.
pub const MAX_NESTING: usize = 4;

/// The most documents that are read to find one image. Only indexes that don't say what they list
/// need more than a handful, and nested ones could otherwise ask for more reading than anybody
/// would wait for.
pub const MAX_DOCUMENTS: usize = 1000;

/// The most bytes of documents that belong to one name, where all of them are kept until all are
/// read. Real ones have some kilobytes each; padded ones compress to nothing.
pub const MAX_DOCUMENT_BYTES: usize = 64 << 20;

/// The most platforms that an error lists.
const MAX_LISTED: usize = 32;

/// A manifest and its configuration.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) descriptor: Descriptor,
    pub(crate) raw: Vec<u8>,
    pub(crate) manifest: Manifest,
    pub(crate) config: Config,
    /// Whether it was one of several to choose from, or the one entry of an index.
    pub(crate) listed: bool,
}

pub(crate) struct Search<'a> {
    blobs: &'a dyn Blobs,
    want: &'a Platform,
    documents: usize,
}

/// What to do when several candidates serve equally well.
#[derive(Clone, Copy, PartialEq)]
enum Tie {
    /// The order of an index is its maker's preference.
    First,
    /// Several images of one name: nobody said which.
    Refuse,
}

impl<'a> Search<'a> {
    pub(crate) fn new(blobs: &'a dyn Blobs, want: &'a Platform) -> Search<'a> {
        Search { blobs, want, documents: 0 }
    }

    pub(crate) fn run(&mut self, candidates: &[Candidate]) -> Result<Found, Error> {
        match candidates {
            [only] => self.follow(&only.descriptor, 0, false),
            several => self.choose(self.blobs.reference(), several, 0, Tie::Refuse),
        }
    }

    /// `depth` indexes have been gone through on the way to this descriptor.
    fn follow(&mut self, descriptor: &Descriptor, depth: usize, listed: bool) -> Result<Found, Error> {
        let object = format!("manifest {}", descriptor.digest);
        let raw = self.read(&object, descriptor)?;
        match document::parse(&object, &descriptor.media_type, &raw)? {
            Document::Index(candidates) => {
                if depth == MAX_NESTING {
                    return Err(Error::Nesting { object, limit: MAX_NESTING });
                }
                drop(raw);
                self.choose(&format!("index {}", descriptor.digest), &candidates, depth + 1, Tie::First)
            }
            Document::Manifest(manifest) => {
                let object = Config::object(&manifest.config.digest);
                let config = self.read(&object, &manifest.config)?;
                let config = Config::parse(manifest.config.digest, config)?;
                Ok(Found { descriptor: descriptor.clone(), raw, manifest, config, listed })
            }
        }
    }

    fn choose(&mut self, object: &str, entries: &[Candidate], depth: usize, tie: Tie) -> Result<Found, Error> {
        let mut available = Vec::new();
        let mut best: Option<(Fit, &Candidate)> = None;
        let mut equal: Option<&Candidate> = None;
        let named = |entry: &&'_ Candidate| entry.may_be_image() && entry.platform.is_some();
        for entry in entries.iter().filter(named) {
            let platform = entry.platform.as_ref().expect("filtered by it");
            match (self.want.fit(platform), best) {
                (None, _) => available.push(platform.to_string()),
                (Some(fit), Some((best_fit, _))) if fit < best_fit => {}
                (Some(fit), Some((best_fit, first))) if fit == best_fit => {
                    if first.descriptor.digest != entry.descriptor.digest {
                        equal = Some(entry);
                    }
                }
                (Some(fit), _) => (best, equal) = (Some((fit, entry)), None),
            }
        }
        match (best, equal) {
            (Some((_, first)), Some(second)) if tie == Tie::Refuse => Err(self.ambiguous(object, first, second)),
            (Some((_, entry)), _) => self.follow(&entry.descriptor, depth, true),
            (None, _) => self.probe(object, entries, depth, tie, available),
        }
    }

    /// Looks into entries that don't say what they are for.
    fn probe(
        &mut self,
        object: &str,
        entries: &[Candidate],
        depth: usize,
        tie: Tie,
        mut available: Vec<String>,
    ) -> Result<Found, Error> {
        let mut best: Option<(Fit, &Candidate, Found)> = None;
        let mut no_image = None;
        for entry in entries.iter().filter(|entry| entry.may_be_image() && entry.platform.is_none()) {
            let found = match self.follow(&entry.descriptor, depth, true) {
                Ok(found) => found,
                Err(Error::NoPlatform { available: more, .. }) => {
                    available.extend(more);
                    continue;
                }
                Err(error @ (Error::NotAnImage { .. } | Error::Schema1 { .. })) => {
                    no_image.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let platform = found.config.platform();
            match (platform.as_ref().and_then(|platform| self.want.fit(platform)), &best) {
                (None, _) => available.push(platform.map_or("unknown".to_owned(), |platform| platform.to_string())),
                (Some(fit), Some((best_fit, ..))) if fit < *best_fit => {}
                (Some(fit), Some((best_fit, first, _))) if fit == *best_fit => {
                    if tie == Tie::Refuse && first.descriptor.digest != entry.descriptor.digest {
                        return Err(self.ambiguous(object, first, entry));
                    }
                }
                (Some(fit), _) => best = Some((fit, entry, found)),
            }
        }
        if let Some((.., found)) = best {
            return Ok(found);
        }
        match no_image {
            Some(error) if available.is_empty() => Err(error),
            _ => Err(no_platform(object, self.want, available)),
        }
    }

    fn ambiguous(&self, object: &str, first: &Candidate, second: &Candidate) -> Error {
        let (first, second) = (first.descriptor.digest.into(), second.descriptor.digest.into());
        Error::Ambiguous { object: object.to_owned(), platform: self.want.clone().into(), first, second }
    }

    /// The whole of a blob that is a JSON document.
    fn read(&mut self, object: &str, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        self.documents += 1;
        if self.documents > MAX_DOCUMENTS {
            let object = self.blobs.reference().to_owned();
            return Err(Error::TooMany { object, what: "documents to look through", limit: MAX_DOCUMENTS });
        }
        if descriptor.size > json::MAX_BYTES as u64 {
            return Err(Error::JsonTooLarge { object: object.to_owned(), limit: json::MAX_BYTES });
        }
        let reader = self.blobs.open(descriptor).map_err(|source| Error::from_read(object, source))?;
        json::read(object, CheckedReader::new(reader, descriptor.digest, descriptor.size))
    }
}

fn no_platform(object: &str, wanted: &Platform, mut available: Vec<String>) -> Error {
    available.sort();
    available.dedup();
    available.truncate(MAX_LISTED);
    Error::NoPlatform { object: object.to_owned(), wanted: wanted.clone(), available }
}
