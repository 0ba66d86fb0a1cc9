//! `index.json` and `oci-layout`.

use cvbake_verify::{Descriptor, json};
use serde_json::{Map, Value};

use crate::Error;

/// The file that says that a directory is an image layout.
pub(super) const MARKER: (&str, &[u8]) = ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);

pub(super) const INDEX: &str = "index.json";

/// The annotation that is a tag in an image layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An index of one image.
pub(super) fn for_one(top: &Descriptor, tag: Option<&str>) -> Vec<u8> {
    text(&with(Map::new(), top, tag))
}

/// Checks an index that is there, as strictly as when it is read.
pub(super) fn check(place: &str, index: &[u8]) -> Result<(), Error> {
    let checked = cvbake_verify::parse_index(INDEX, index);
    checked.map(drop).map_err(|source| Error::Document { place: place.to_owned(), source: Box::new(source) })
}

/// An index with one image more, in the place of whatever had its tag; what else stands in it stays
/// as it is.
///
/// # Errors
/// When it is no index, or would be none afterwards.
pub(super) fn added(place: &str, index: &[u8], top: &Descriptor, tag: Option<&str>) -> Result<Vec<u8>, Error> {
    let document = |source| Error::Document { place: place.to_owned(), source: Box::new(source) };
    check(place, index)?;
    let json::Object(index): json::Object<Map<String, Value>> = json::parse(INDEX, index).map_err(document)?;
    let index = text(&with(index, top, tag));
    // It may be one too many, or contradict what is there.
    cvbake_verify::parse_index(INDEX, &index).map_err(document)?;
    Ok(index)
}

fn with(mut index: Map<String, Value>, top: &Descriptor, tag: Option<&str>) -> Map<String, Value> {
    index.entry("schemaVersion").or_insert_with(|| 2.into());
    let mut entry = Map::new();
    entry.insert("mediaType".to_owned(), top.media_type.clone().into());
    entry.insert("digest".to_owned(), top.digest.to_string().into());
    entry.insert("size".to_owned(), top.size.into());
    if let Some(tag) = tag {
        entry.insert("annotations".to_owned(), Map::from_iter([(REF_NAME.to_owned(), tag.into())]).into());
    }
    let mut entries = match index.remove("manifests") {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    };
    let name = |entry: &Value| entry.get("annotations")?.get(REF_NAME)?.as_str().map(str::to_owned);
    let digest = top.digest.to_string();
    entries.retain(|entry| match (name(entry), tag) {
        (Some(name), Some(tag)) => name != tag,
        (None, None) => entry.get("digest").and_then(Value::as_str) != Some(&digest),
        _ => true,
    });
    entries.push(entry.into());
    index.insert("manifests".to_owned(), entries.into());
    index
}

fn text(index: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(index).expect("texts, numbers, and what was read as JSON")
}

#[cfg(test)]
mod tests {
    use cvbake_verify::Digest;

    use super::*;

    fn top(content: &[u8]) -> Descriptor {
        let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        Descriptor { media_type, digest: Digest::sha256(content), size: content.len() as u64 }
    }

    fn names(index: &[u8]) -> Vec<(String, Option<String>)> {
        let entries = cvbake_verify::parse_index("index", index).unwrap();
        entries.into_iter().map(|entry| (entry.descriptor.digest.to_string(), entry.ref_name)).collect()
    }

    #[test]
    fn a_tag_is_replaced_and_nothing_else() {
        let (one, two) = (top(b"one"), top(b"two"));
        let digest = |descriptor: &Descriptor| descriptor.digest.to_string();
        let tag = |name: &str| Some(name.to_owned());
        let index = for_one(&one, Some("a"));
        assert_eq!(names(&index), [(digest(&one), tag("a"))]);
        let index = added("d", &index, &one, Some("b")).unwrap();
        let index = added("d", &index, &two, Some("a")).unwrap();
        assert_eq!(names(&index), [(digest(&one), tag("b")), (digest(&two), tag("a"))]);
        let index = added("d", &index, &two, None).unwrap();
        let index = added("d", &index, &two, None).unwrap();
        assert_eq!(names(&index), [(digest(&one), tag("b")), (digest(&two), tag("a")), (digest(&two), None)]);
    }

    #[test]
    fn unknown_fields_stay() {
        let old = br#"{"schemaVersion":2,"x":{"y":[1]},"manifests":[],"annotations":{"k":"v"}}"#;
        let new = String::from_utf8(added("d", old, &top(b""), None).unwrap()).unwrap();
        assert!(new.contains(r#""x":{"y":[1]}"#) && new.contains(r#""annotations":{"k":"v"}"#), "{new}");
        for broken in [&b"[]"[..], b"{", br#"{"schemaVersion":2,"manifests":1}"#] {
            assert!(matches!(added("d", broken, &top(b""), None), Err(Error::Document { .. })));
        }
    }
}
