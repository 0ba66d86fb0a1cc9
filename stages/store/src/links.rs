//! What an image needs, as far as its documents tell, and as far as it is in the store.
//!
//! They are read to know what to keep, not to be believed: a document that is not understood keeps
//! nothing but itself, and whoever uses the image finds that out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{self, Read};

use cvbake_verify::{Digest, MAX_NESTING, json};
use serde::Deserialize;

use crate::dir::Dir;
use crate::entry::{Fault, fault, len_bytes, open};
use crate::error::{Damage, Error};
use crate::event::{Event, Observer};
use crate::files::{BLOBS, Files};
use crate::reference::Reference;

/// A part of what an image needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// A manifest, an index of manifests, a configuration.
    Document(Digest),
    /// A layer as it is distributed.
    Layer(Digest),
    /// What was made of a layer, by its diff_id.
    Unpacked(Digest),
}

/// What a document points to.
#[derive(Debug, Default, Clone)]
struct Links {
    media_type: Option<String>,
    manifests: Vec<Digest>,
    config: Option<Digest>,
    layers: Vec<Digest>,
    diff_ids: Vec<Digest>,
}

/// All documents have their shape: what one kind has the others lack, or have it without a digest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: Option<String>,
    manifests: Option<Vec<Pointer>>,
    config: Option<Pointer>,
    layers: Option<Vec<Pointer>>,
    rootfs: Option<RootFs>,
}

#[derive(Deserialize)]
struct Pointer {
    digest: Option<String>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

/// Documents, each of which is read once.
pub(crate) struct Documents<'s> {
    files: &'s Files,
    read: BTreeMap<Digest, Links>,
    on: Observer<'s>,
}

impl<'s> Documents<'s> {
    pub(crate) fn new(files: &'s Files, on: Observer<'s>) -> Documents<'s> {
        Documents { files, read: BTreeMap::new(), on }
    }

    /// Everything that a document needs, itself included, whether it is there or not. It is told if
    /// one is not understood that has to be: what a process uses may also be no document at all.
    pub(crate) fn needs(&mut self, root: Digest, has_to_be: bool) -> Result<BTreeSet<Need>, Error> {
        let mut needs = BTreeSet::new();
        self.follow(root, has_to_be, MAX_NESTING, &mut needs)?;
        Ok(needs)
    }

    fn follow(&mut self, digest: Digest, tell: bool, deeper: usize, needs: &mut BTreeSet<Need>) -> Result<(), Error> {
        if !needs.insert(Need::Document(digest)) {
            return Ok(());
        }
        let links = self.links(digest, tell)?;
        if let Some(config) = links.config {
            needs.insert(Need::Document(config));
            needs.extend(self.links(config, false)?.diff_ids.into_iter().map(Need::Unpacked));
        }
        needs.extend(links.layers.into_iter().map(Need::Layer));
        for manifest in links.manifests {
            if let Some(deeper) = deeper.checked_sub(1) {
                self.follow(manifest, tell, deeper, needs)?;
            }
        }
        Ok(())
    }

    /// What a document points to; nothing if it is not there. Of configurations nothing is told:
    /// other artifacts than images have them of any kind.
    fn links(&mut self, digest: Digest, tell: bool) -> Result<Links, Error> {
        if let Some(links) = self.read.get(&digest) {
            return Ok(links.clone());
        }
        let dir = self.files.entry_dir(BLOBS, &digest)?;
        let links = match dir.map_or(Ok(None), |dir| read(&dir, &digest)) {
            Ok(links) => links.unwrap_or_default(),
            Err(Fault::Error(source)) => {
                let path = self.files.path().join(BLOBS).join(digest.algorithm().name()).join(digest.hex());
                return Err(Error::Read { path, source });
            }
            Err(Fault::Damage(damage)) => {
                if tell {
                    (self.on)(Event::NotUnderstood { document: digest, damage });
                }
                Links::default()
            }
        };
        self.read.insert(digest, links.clone());
        Ok(links)
    }
}

/// Reads a document in a directory of blobs; nothing if it is not there.
fn read(dir: &Dir, digest: &Digest) -> Result<Option<Links>, Fault> {
    let Some((file, len)) = open(dir, OsStr::new(&digest.hex()))? else { return Ok(None) };
    let largest = json::MAX_BYTES as u64;
    if len > largest {
        return Err(Fault::Damage(Damage::Length { expected: largest, found: len }));
    }
    let text = object(file.take(largest)).map_err(fault)?;
    let text = text.ok_or_else(|| Fault::Damage(Damage::Document("expected a JSON object".to_owned())))?;
    links(&text).map(Some)
}

/// The text of what may be a JSON object. Of anything else only the first byte is read: most blobs
/// are layers, and all of them may be looked at.
fn object(mut file: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    file.by_ref().take(1).read_to_end(&mut text)?;
    if !matches!(text[..], [b'{' | b' ' | b'\t' | b'\n' | b'\r']) {
        return Ok(None);
    }
    file.read_to_end(&mut text)?;
    Ok(Some(text))
}

fn links(text: &[u8]) -> Result<Links, Fault> {
    let not_understood = |error: cvbake_verify::Error| Fault::Damage(Damage::Document(error.to_string()));
    let Document { media_type, manifests, config, layers, rootfs } =
        json::parse("the document", text).map_err(not_understood)?;
    let digest = |pointer: Pointer| pointer.digest?.parse().ok();
    let diff_ids = rootfs.and_then(|rootfs| rootfs.diff_ids).into_iter().flatten();
    Ok(Links {
        media_type,
        manifests: manifests.into_iter().flatten().filter_map(digest).collect(),
        config: config.and_then(digest),
        layers: layers.into_iter().flatten().filter_map(digest).collect(),
        diff_ids: diff_ids.filter_map(|text| text.parse().ok()).collect(),
    })
}

/// All manifests and indexes among the blobs that no other one points to, as what to call them
/// by if all names are lost.
pub(crate) fn unnamed_images(files: &Files) -> Result<Vec<Reference>, Error> {
    let mut found = Vec::new();
    let mut below = BTreeSet::new();
    for (digest, stat) in files.entries(BLOBS)? {
        let Some(dir) = files.entry_dir(BLOBS, &digest)? else { continue };
        // Layers, and whatever else is no document.
        let Ok(Some(links)) = read(&dir, &digest) else { continue };
        let media_type = match links.media_type {
            Some(media_type) => media_type,
            None if links.manifests.is_empty() => "application/vnd.oci.image.manifest.v1+json".to_owned(),
            None => "application/vnd.oci.image.index.v1+json".to_owned(),
        };
        if !links.manifests.is_empty() || links.config.is_some() {
            found.push(Reference { digest, media_type, size: len_bytes(&stat) });
        }
        below.extend(links.manifests);
    }
    found.retain(|image| !below.contains(&image.digest));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Listing images looks at every blob.
    #[test]
    fn of_a_layer_only_the_first_byte_is_read() {
        struct Unread;
        impl Read for Unread {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("more is read"))
            }
        }
        for first in [b"\x1f", b"\x28", b"a", b"[", b"\0"] {
            assert!(matches!(object(first.chain(Unread)), Ok(None)), "{first:?}");
        }
        for first in [b"{", b" ", b"\n", b"\t", b"\r"] {
            assert!(object(first.chain(Unread)).is_err(), "{first:?}");
            assert_eq!(object(first.chain(&b"}"[..])).unwrap(), Some([&first[..], b"}"].concat()));
        }
        assert!(matches!(object(&b""[..]), Ok(None)));
    }

    #[test]
    fn documents_point_to_what_they_need() {
        let d = |number: u8| Digest::sha256(&[number]);
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{}"}},{{"digest":"md5:1"}}]}}"#, d(1));
        let manifest = format!(
            r#"{{"mediaType":"a/b","config":{{"digest":"{}","size":1}},"layers":[{{"digest":"{}"}},{{"size":3}}]}}"#,
            d(2),
            d(3)
        );
        let config = format!(
            r#"{{"config":{{"Cmd":["x"]}},"os":"linux","rootfs":{{"diff_ids":["{}","x"]}},"history":[]}}"#,
            d(4)
        );
        let table = [
            (index, vec![d(1)], None, vec![], vec![]),
            (manifest, vec![], Some(d(2)), vec![d(3)], vec![]),
            (config, vec![], None, vec![], vec![d(4)]),
            ("{}".to_owned(), vec![], None, vec![], vec![]),
        ];
        for (text, manifests, config, layers, diff_ids) in table {
            let Ok(links) = links(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(
                (links.manifests, links.config, links.layers, links.diff_ids),
                (manifests, config, layers, diff_ids),
                "{text}"
            );
        }
        for text in ["", "[", r#"{"manifests":{}}"#, r#"{"layers":[],"layers":[]}"#, "\u{1f}\u{8b}"] {
            assert!(matches!(links(text.as_bytes()), Err(Fault::Damage(_))), "{text}");
        }
    }
}
