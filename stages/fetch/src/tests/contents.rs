//! What is exported and pushed of an index, when documents speak of the same thing.

use std::collections::BTreeSet;

use super::*;
use crate::Shipment;
use crate::export::Contents;

/// A layout of one index of these entries, opened.
fn opened(place: &Place, mut files: Files, entries: &[&str]) -> Box<dyn Blobs + Send> {
    let top = index(&mut files, entries);
    files.layout(&[top]);
    place.open("oci-archive", &place.file("x.tar", &files.tar()), "").unwrap()
}

fn index(files: &mut Files, entries: &[&str]) -> String {
    files.blob(INDEX, format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(",")))
}

fn everything(blobs: &dyn Blobs) -> Result<Contents, String> {
    Contents::for_everything(blobs).map(Option::unwrap).map_err(|error| chain(&error))
}

fn has(contents: &Contents, content: &str) -> bool {
    contents.digests().any(|digest| digest == Digest::sha256(content.as_bytes()))
}

#[test]
fn a_manifest_that_is_also_a_layer_is_looked_into() {
    let (place, mut files) = (Place::new(), Files::default());
    let hidden = files.image("arm64", &["the layer behind it"]);
    let config = files.blob(CONFIG, config("amd64", &["x"]));
    let layer = hidden.replace(MANIFEST, LAYER);
    let first = files.blob(MANIFEST, format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#));
    let (first, second) = (index(&mut files, &[&first]), index(&mut files, &[&hidden]));
    let blobs = opened(&place, files, &[&first, &second]);
    let contents = everything(&*blobs).unwrap();
    assert!(has(&contents, "the layer behind it"));
    let digests: Vec<Digest> = contents.digests().collect();
    assert_eq!(digests.len(), digests.iter().collect::<BTreeSet<_>>().len(), "each once: {digests:?}");
    let shipment = Shipment::all(&*blobs, true, &|_| {}).unwrap();
    assert!(shipment.digests().contains(&Digest::sha256(b"the layer behind it")));
}

#[test]
fn documents_agree_on_what_others_are() {
    let other_type = |descriptor: &str| descriptor.replace(MANIFEST, "text/plain");
    let other_size = |descriptor: &str| with(descriptor, "\"x\":1").replace("\"size\":", "\"size\":1");
    for (change, nested) in [(&other_type as &dyn Fn(&str) -> String, true), (&other_size, false)] {
        let (place, mut files) = (Place::new(), Files::default());
        let image = files.image("amd64", &["one"]);
        let changed = change(&image);
        let (first, second) = (index(&mut files, &[&image]), index(&mut files, &[&changed]));
        let mut cases = vec![[&image, &changed], [&changed, &image]];
        if nested {
            cases.extend([[&first, &second], [&second, &first]]);
        }
        for entries in cases {
            let blobs = opened(&place, files.clone(), &entries.map(String::as_str));
            let error = everything(&*blobs).unwrap_err();
            let expected = format!("lists {} as ", &image[image.find("sha256:").unwrap()..][..71]);
            assert!(error.contains(&expected), "{error}");
            let is_refused = Shipment::all(&*blobs, true, &|_| {}).is_err();
            assert!(is_refused, "{entries:?}");
        }
    }
}

#[test]
fn a_layer_has_one_size_and_any_type_of_one() {
    let (place, mut files) = (Place::new(), Files::default());
    let layer = files.blob(LAYER, "one");
    let mut manifest = |architecture: &str, layer: &str| {
        let config = files.blob(CONFIG, config(architecture, &["one"]));
        files.blob(MANIFEST, format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#))
    };
    let first = manifest("amd64", &layer);
    let docker = manifest("arm64", &layer.replace(LAYER, "application/vnd.docker.image.rootfs.diff.tar"));
    let longer = manifest("s390x", &layer.replace("\"size\":3", "\"size\":4"));
    everything(&*opened(&place, files.clone(), &[&first, &docker])).unwrap();
    let error = everything(&*opened(&place, files, &[&first, &longer])).unwrap_err();
    assert!(error.contains(&format!("lists {} as 3 bytes and as 4 bytes", Digest::sha256(b"one"))), "{error}");
}

#[test]
fn claims_of_any_size_have_a_sum_or_none() {
    let (place, mut files) = (Place::new(), Files::default());
    let config = files.blob(CONFIG, config("amd64", &["1", "2", "3"]));
    let layers =
        ["1", "2", "3"].map(|layer| files.blob(LAYER, layer).replace("\"size\":1", "\"size\":9223372036854775807"));
    let text =
        |layers: &[String]| format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, layers.join(","));
    let (two, three) = (files.blob(MANIFEST, text(&layers[..1])), files.blob(MANIFEST, text(&layers)));
    let too_large = files.blob(MANIFEST, text(&layers).replace("9223372036854775807", "9223372036854775808"));
    let shipment = |image: &str| Shipment::all(&*opened(&place, files.clone(), &[image]), true, &|_| {});
    assert!(shipment(&two).unwrap().len_bytes() > Some(i64::MAX as u64));
    assert_eq!(shipment(&three).unwrap().len_bytes(), None);
    let error = chain(&shipment(&too_large).unwrap_err());
    assert!(error.contains("integer `9223372036854775808`, expected a size in bytes"), "{error}");
}
