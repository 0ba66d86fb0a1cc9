//! What manifests, indexes and configurations must be.

use super::*;
use crate::media::Compression;
use crate::{Algorithm, DockerLayer, Identity, MAX_INDEX_ENTRIES, MAX_LAYERS, json, parse_index};

/// A config, layers of these types, and a manifest whose text is then edited.
fn manifest(memory: &mut Memory, media_type: &str, layers: &[&str], edit: &dyn Fn(String) -> String) -> Descriptor {
    let diff_ids = layers.iter().map(|_| format!("\"{DIFF_ID}\"")).collect::<Vec<_>>().join(",");
    let config = memory.put(
        OCI_CONFIG,
        format!(r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#),
    );
    let layers: Vec<_> = layers.iter().map(|layer| super::json(&memory.put(layer, "the layer"))).collect();
    let (config, layers) = (super::json(&config), layers.join(","));
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{config},"layers":[{layers}],"annotations":{{"a":"b"}}}}"#
    );
    memory.put(media_type, edit(text))
}

fn edited(from: &str, to: &str) -> Result<Image, Error> {
    let mut memory = Memory::new();
    let root = manifest(&mut memory, OCI_MANIFEST, &[OCI_GZIP, OCI_GZIP], &|text| {
        assert!(text.contains(from), "{from} is not in {text}");
        text.replacen(from, to, 1)
    });
    memory.verify(&root, &want("linux/amd64"))
}

#[test]
fn a_verified_image() {
    let mut memory = Memory::new();
    let types = [
        (OCI_GZIP, Compression::Gzip),
        ("application/vnd.oci.image.layer.v1.tar", Compression::None),
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", Compression::Zstd),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Compression::Zstd),
    ];
    for media_type in [OCI_MANIFEST, DOCKER_MANIFEST] {
        let root = manifest(&mut memory, media_type, &types.map(|it| it.0), &|text| text);
        let image = memory.verify(&root, &want("linux/amd64")).unwrap();
        assert_eq!(image.identity(), Identity::Manifest(root.digest));
        assert_eq!(image.manifest(), Some(&memory.blobs[&root.digest][..]));
        assert_eq!(image.reference(), "memory:test");
        let config = image.config().unwrap();
        assert_eq!(Digest::sha256(config.raw()), config.digest());
        assert_eq!(image.layers_len_bytes(), Some(4 * 9));
        for (at, (layer, (media_type, compression))) in image.layers().iter().zip(types).enumerate() {
            assert_eq!((layer.number(), layer.media_type()), (at + 1, Some(media_type)));
            assert_eq!(layer.promised_compression(), Some(compression));
            assert_eq!((layer.digest(), layer.size()), (Some(Digest::sha256(b"the layer")), Some(9)));
            let mut text = String::new();
            layer.open(&memory).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "the layer");
            layer.check(DIFF_ID.parse().unwrap()).unwrap();
            let error = layer.check(Digest::sha256(b"x")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("layer {}: unpacks to something else", at + 1)), "{error}");
        }
    }
}

#[test]
fn layers_are_held_to_their_digests() {
    let mut memory = Memory::new();
    let root = manifest(&mut memory, OCI_MANIFEST, &[OCI_GZIP], &|text| text);
    let image = memory.verify(&root, &want("linux/amd64")).unwrap();
    memory.blobs.insert(Digest::sha256(b"the layer"), b"the Layer".to_vec());
    let mut reader = image.layers()[0].open(&memory).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("the content has another digest"), "{error}");
}

#[test]
fn legal_manifests() {
    let types = format!(r#""mediaType":"{OCI_MANIFEST}","#);
    for (from, to) in [
        (types.as_str(), ""),
        (types.as_str(), r#""mediaType":"","#),
        (types.as_str(), &format!(r#"{types}"artifactType":"","#)),
        (types.as_str(), &format!(r#"{types}"artifactType":"{OCI_CONFIG}","#)),
        (types.as_str(), &format!(r#"{types}"subject":{{"digest":"x"}},"unknown":[[]],"#)),
        (OCI_CONFIG, "application/vnd.docker.container.image.v1+json"),
        (r#""size":9"#, r#""size":9,"urls":["http://169.254.169.254/"],"data":"""#),
    ] {
        edited(from, to).unwrap_or_else(|error| panic!("{from} → {to}: {error}"));
    }
}

#[test]
fn wrong_manifests() {
    let size = r#""size":9"#;
    let digest = format!(r#""digest":"{}""#, Digest::sha256(b"the layer"));
    let schema = r#""schemaVersion":2"#;
    let docker = format!(r#""mediaType":"{DOCKER_MANIFEST}""#);
    let media_type = format!(r#""mediaType":"{OCI_MANIFEST}""#);
    let gzip = format!(r#""mediaType":"{OCI_GZIP}","#);
    let in_toto = r#""mediaType":"application/vnd.in-toto+json","#;
    let table = [
        (schema, r#""schemaVersion":1"#, "a Docker manifest of schema 1"),
        (schema, r#""schemaVersion":3"#, "expected schemaVersion 2, found 3"),
        (schema, r#""schemaVersion":"2""#, "expected u64"),
        (schema, r#""x":2"#, "schemaVersion is missing"),
        (schema, r#""schemaVersion":2,"fsLayers":[]"#, "a Docker manifest of schema 1"),
        (schema, r#""schemaVersion":2,"manifests":[]"#, r#"has both "manifests" and "layers""#),
        (schema, r#""schemaVersion":2,"manifests":null"#, r#"has both "manifests" and "layers""#),
        (schema, r#""schemaVersion":2,"schemaVersion":2"#, r#"duplicate key "schemaVersion""#),
        (schema, r#""schemaVersion":2,"x":{"y":1,"y":1}"#, r#"duplicate key "y""#),
        (&media_type, &docker, "announced as \"application/vnd.oci.image.manifest.v1+json\", but calls itself"),
        (&media_type, &format!(r#""mediaType":"{OCI_INDEX}""#), "but calls itself"),
        (&media_type, r#""artifactType":"text/x-thing""#, r#"not an image but an artifact ("text/x-thing")"#),
        (OCI_CONFIG, "application/vnd.oci.empty.v1+json", "not an image but an artifact"),
        (OCI_CONFIG, "application/vnd.cncf.helm.config.v1+json", "not an image but a Helm chart"),
        (OCI_CONFIG, "application/vnd.docker.plugin.v1+json", "not an image but a Docker plugin"),
        (OCI_CONFIG, OCI_GZIP, "not an image but a layer"),
        (&gzip, in_toto, "not an image but an attestation"),
        (&gzip, r#""mediaType":"text/plain","#, r#"layer 1 has the unknown media type "text/plain""#),
        (&gzip, &gzip.replace("gzip", "gzip+encrypted"), "layer 1 is encrypted"),
        (&gzip, "", "the mediaType of layer 1 is missing"),
        (size, r#""size":-9"#, "integer `-9`, expected a size in bytes"),
        (size, r#""size":9.0"#, "floating point `9.0`, expected a size in bytes"),
        (size, r#""size":"9""#, "string \"9\", expected a size in bytes"),
        (size, r#""size":9223372036854775808"#, "expected a size in bytes"),
        (size, r#""size":99999999999999999999"#, "expected a size in bytes"),
        (size, r#""x":9"#, "the size of layer 1 is missing"),
        (&digest, r#""x":"""#, "the digest of layer 1 is missing"),
        (&digest, r#""digest":"sha384:00""#, "layer 1: digest \"sha384:00\" has the unsupported algorithm"),
        (&digest, r#""digest":"sha256:../../etc/passwd""#, "layer 1: digest \"sha256:../../etc/passwd\" is malformed"),
        (&digest, &digest.replace("\":\"sha256", "\":\" sha256"), "is not a digest"),
        (r#""layers":["#, r#""x":["#, "layers is missing"),
        (r#""layers":["#, r#""layers":[["#, "expected"),
        (r#""layers":[{"#, r#""layers":["x",{"#, "expected an object"),
        (r#""config":{"#, r#""x":{"#, "config is missing"),
        (r#""config":{"#, r#""config":null,"x":{"#, "config is missing"),
        (r#""annotations":{"a":"b"}}"#, r#""annotations":{"a":"b"}}}"#, "trailing characters"),
    ];
    for (from, to, expected) in table {
        let error = chain(&edited(from, to).unwrap_err());
        assert!(error.starts_with("manifest sha256:") && error.contains(expected), "{from} → {to}: {error}");
    }
}

/// Programs in Go take each of these for the field that it is another spelling of.
#[test]
fn fields_in_another_spelling() {
    let (document, descriptor) = (r#""schemaVersion":2"#, r#""size":9"#);
    for (place, expected, found) in [
        (document, "layers", "Layers"),
        (document, "layers", "layer\u{17f}"),
        (document, "layers", "layer\\u017f"),
        (document, "config", "CONFIG"),
        (document, "manifests", "Manifests"),
        (document, "mediaType", "mediatype"),
        (document, "schemaVersion", "SchemaVersion"),
        (document, "artifactType", "ArtifactType"),
        (document, "fsLayers", "FSLayers"),
        (document, "subject", "Subject"),
        (descriptor, "digest", "Digest"),
        (descriptor, "size", "Size"),
        (descriptor, "urls", "URLs"),
        (descriptor, "data", "Data"),
        (descriptor, "platform", "Platform"),
    ] {
        let to = format!(r#"{place},"{found}":null"#);
        let error = chain(&edited(place, &to).unwrap_err());
        let expected = format!(r#"expected the key "{expected}" in this spelling, found ""#);
        assert!(error.starts_with("manifest sha256:") && error.contains(&expected), "{to}: {error}");
    }
    let error = parse_index("i", br#"{"schemaVersion":2,"manifests":[{"platform":{"os.Version":"1"}}]}"#).unwrap_err();
    assert!(error.to_string().contains(r#"expected the key "os.version" in this spelling"#), "{error}");
    // Annotations are data.
    edited(r#""annotations":{"a":"b"}"#, r#""annotations":{"a":"b","A":"c","layers":"d","Layers":"e"}"#).unwrap();
    let annotated =
        r#""size":9,"annotations":{"org.opencontainers.image.ref.name":"a","Org.opencontainers.image.ref.name":"b"}"#;
    edited(r#""size":9"#, annotated).unwrap();
}

#[test]
fn blobs_are_held_to_their_descriptors() {
    let mut memory = Memory::new();
    let good = manifest(&mut memory, OCI_MANIFEST, &[OCI_GZIP], &|text| text);
    let linux = want("linux/amd64");
    let shorter = Descriptor { size: good.size + 1, ..good.clone() };
    let error = memory.verify(&shorter, &linux).unwrap_err();
    assert!(
        matches!(&error, Error::Document { source, .. } if matches!(**source, Error::BlobTooShort { .. })),
        "{error}"
    );
    let longer = Descriptor { size: good.size - 1, ..good.clone() };
    let error = memory.verify(&longer, &linux).unwrap_err();
    let Error::Document { object, source } = &error else { panic!("{error}") };
    assert!(object.starts_with("manifest"), "{error}");
    assert!(matches!(**source, Error::BlobDigest { .. } | Error::BlobTooLong { .. }), "{error}");
    let huge = Descriptor { size: json::MAX_BYTES as u64 + 1, ..good.clone() };
    assert!(matches!(memory.verify(&huge, &linux), Err(Error::JsonTooLarge { .. })));
    let sha512 =
        Descriptor { digest: Digest::for_bytes(Algorithm::Sha512, &memory.blobs[&good.digest]), ..good.clone() };
    memory.blobs.insert(sha512.digest, memory.blobs[&good.digest].clone());
    assert_eq!(memory.verify(&sha512, &linux).unwrap().identity().digest(), Some(sha512.digest));
    let missing = Descriptor { digest: Digest::sha256(b"missing"), ..good.clone() };
    let error = chain(&memory.verify(&missing, &linux).unwrap_err());
    assert_eq!(error, format!("manifest {}: cannot be read: no such blob", missing.digest));
    let html = b"<html>".repeat(30);
    memory.blobs.insert(good.digest, html);
    assert!(memory.verify(&good, &linux).is_err());
}

#[test]
fn kinds_are_not_confused() {
    let mut memory = Memory::new();
    let image = memory.image("linux", "amd64", "");
    let index = memory.index(&[(&image, "")]);
    let linux = want("linux/amd64");
    let list = memory.blobs[&index.digest].clone();
    let as_docker = Descriptor { media_type: DOCKER_LIST.to_owned(), ..index.clone() };
    memory.verify(&as_docker, &linux).unwrap();
    let table = [
        (image.digest, OCI_INDEX, "expected an index, found a manifest"),
        (index.digest, OCI_MANIFEST, "expected a manifest, found an index"),
        (image.digest, "application/vnd.docker.distribution.manifest.v1+prettyjws", "a Docker manifest of schema 1"),
        (image.digest, OCI_GZIP, "not an image but a layer"),
        (image.digest, OCI_CONFIG, "not an image but the configuration of an image"),
        (image.digest, "application/vnd.oci.artifact.manifest.v1+json", "not an image but an artifact"),
    ];
    for (digest, media_type, expected) in table {
        let size = memory.blobs[&digest].len() as u64;
        let error = memory.verify(&Descriptor { media_type: media_type.to_owned(), digest, size }, &linux).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let neither = memory.put(OCI_INDEX, r#"{"schemaVersion":2}"#);
    assert!(memory.verify(&neither, &linux).unwrap_err().to_string().ends_with("manifests is missing"));
    let both = memory.put(OCI_INDEX, r#"{"schemaVersion":2,"manifests":[],"config":{}}"#);
    assert!(matches!(memory.verify(&both, &linux), Err(Error::Ambivalent { second: "config", .. })));

    assert_eq!(parse_index("index.json", &list).unwrap().len(), 1);
    for (text, expected) in [
        (format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","manifests":[]}}"#), "but calls itself"),
        (r#"{"schemaVersion":2,"layers":[]}"#.to_owned(), "expected an index, found a manifest"),
        (r#"{"manifests":[]}"#.to_owned(), "schemaVersion is missing"),
        (r#"{"schemaVersion":2,"manifests":[{}]}"#.to_owned(), "the digest of entry 1 is missing"),
        ("[]".to_owned(), "expected an object"),
    ] {
        let error = parse_index("index.json", text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("index.json: ") && error.contains(expected), "{error}");
    }
    assert_eq!(parse_index("index.json", br#"{"schemaVersion":2,"manifests":null}"#).unwrap(), []);
}

#[test]
fn counts_have_limits() {
    let entry = format!(r#"{{"mediaType":"{OCI_GZIP}","digest":"{DIFF_ID}","size":1}}"#);
    let list = |count: usize| vec![entry.as_str(); count].join(",");
    let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, list(MAX_INDEX_ENTRIES + 1));
    assert!(matches!(parse_index("i", text.as_bytes()), Err(Error::TooMany { limit: MAX_INDEX_ENTRIES, .. })));
    let mut memory = Memory::new();
    let config = format!(r#"{{"mediaType":"{OCI_CONFIG}","digest":"{DIFF_ID}","size":1}}"#);
    let layers = list(MAX_LAYERS + 1);
    let root = memory.put(OCI_MANIFEST, format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#));
    let error = memory.verify(&root, &want("linux/amd64")).unwrap_err();
    assert!(matches!(error, Error::TooMany { limit: MAX_LAYERS, .. }), "{error}");
    let diff_ids = vec!["\"\""; MAX_LAYERS + 1].join(",");
    let text = format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#);
    let error = with_config(&text).unwrap_err();
    assert!(matches!(error, Error::TooMany { what: "diff_ids", .. }), "{error}");
}

#[test]
fn a_digest_is_one_thing() {
    let mut memory = Memory::new();
    let image = memory.image("linux", "amd64", "");
    let twice = memory.index(&[(&image, ""), (&image, r#","annotations":{"a":"b"}"#)]);
    memory.verify(&twice, &want("linux/amd64")).unwrap();
    let as_index = Descriptor { media_type: OCI_INDEX.to_owned(), ..image.clone() };
    let longer = Descriptor { size: image.size + 1, ..image.clone() };
    for (other, found) in [(&as_index, OCI_INDEX.to_owned()), (&longer, format!("of {} bytes", longer.size))] {
        for entries in [[(&image, ""), (other, "")], [(other, ""), (&image, "")]] {
            let index = memory.index(&entries);
            let error = memory.verify(&index, &want("linux/amd64")).unwrap_err();
            assert!(matches!(&error, Error::Contradiction { digest, .. } if **digest == image.digest), "{error}");
            let error = error.to_string();
            assert!(error.starts_with(&format!("manifest {}: lists", index.digest)), "{error}");
            assert!(error.contains(OCI_MANIFEST) && error.contains(&found), "{error}");
            assert!(crate::links("i", OCI_INDEX, &memory.blobs[&index.digest]).is_err());
        }
    }
}

/// An image of one layer with this text as its configuration.
fn with_config(text: &str) -> Result<Image, Error> {
    let mut memory = Memory::new();
    let (config, layer) = (memory.put(OCI_CONFIG, text), memory.put(OCI_GZIP, "the layer"));
    let (config, layer) = (super::json(&config), super::json(&layer));
    let root = memory.put(OCI_MANIFEST, format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#));
    memory.verify(&root, &want("linux/amd64"))
}

#[test]
fn configs() {
    let good = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{DIFF_ID}"]}},"config":{{"Labels":null}}}}"#
    );
    assert_eq!(with_config(&good).unwrap().config().unwrap().diff_ids(), [DIFF_ID.parse().unwrap()]);
    let two = format!(r#"["{DIFF_ID}","{DIFF_ID}"]"#);
    let one = format!(r#"["{DIFF_ID}"]"#);
    let table = [
        (one.as_str(), two.as_str(), "1 layers, but config sha256:"),
        (&one, "[]", "has 0 diff_ids"),
        (&one, "null", "has 0 diff_ids"),
        (&one, r#"["sha256:00"]"#, "diff_id 1: digest \"sha256:00\" is malformed"),
        (&one, &one.to_uppercase(), "diff_id 1"),
        (&one, "[7]", "expected a string"),
        (r#""layers""#, r#""snapshot""#, r#"expected rootfs.type "layers", found "snapshot""#),
        (r#""type":"layers","#, "", "rootfs.type is missing"),
        (r#""rootfs""#, r#""rootFs""#, r#"expected the key "rootfs" in this spelling, found "rootFs""#),
        (r#""rootfs""#, r#""x""#, "rootfs is missing"),
        (&one, &format!(r#"{one},"Diff_ids":[]"#), r#"expected the key "diff_ids" in this spelling, found "Diff_ids""#),
        (r#""os":"linux","#, r#""os":"linux","Config":{},"#, r#"expected the key "config" in this spelling"#),
        (r#""os":"linux","#, r#""os":"linux","hiſtory":[],"#, r#"expected the key "history" in this spelling"#),
        (r#""os":"linux","#, "", "os is missing"),
        (r#""os":"linux""#, r#""os":null"#, "os is missing"),
        (r#""os":"linux""#, r#""os":["linux"]"#, "expected a string"),
        (r#""os":"linux""#, r#""os":"linux","os":"linux""#, "duplicate key \"os\""),
        (r#""Labels":null"#, r#""Labels":{"a":"1","a":"2"}"#, "duplicate key \"a\""),
    ];
    for (from, to, expected) in table {
        assert!(good.contains(from), "{from}");
        let error = chain(&with_config(&good.replacen(from, to, 1)).unwrap_err());
        assert!(error.contains(expected) && error.contains("sha256:"), "{from} → {to}: {error}");
    }
}

#[test]
fn no_layers_are_legal() {
    let mut memory = Memory::new();
    for edit in ["[]", "null"] {
        let root = manifest(&mut memory, OCI_MANIFEST, &[], &|text| {
            text.replace(r#""layers":[]"#, &format!(r#""layers":{edit}"#))
        });
        let image = memory.verify(&root, &want("linux/amd64")).unwrap();
        assert_eq!((image.layers(), image.layers_len_bytes()), (&[][..], Some(0)));
    }
}

#[test]
fn docker_archives() {
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{DIFF_ID}","{DIFF_ID}"]}}}}"#
    );
    let unnamed = DockerLayer { size: 7, claimed: None };
    let named = DockerLayer { size: 9, claimed: Some(Digest::sha256(b"the layer")) };
    let mut memory = Memory::new();
    memory.put(OCI_GZIP, "the Layer");
    let docker = |claimed, layers: &[&DockerLayer]| Root::Docker {
        config: config.clone().into_bytes(),
        claimed,
        layers: layers.iter().copied().cloned().collect(),
    };
    let digest = Digest::sha256(config.as_bytes());
    for claimed in [None, Some(digest)] {
        memory.root = docker(claimed, &[&unnamed, &named]);
        let image = Image::verify(&memory, &want("linux/amd64")).unwrap();
        assert_eq!((image.identity(), image.manifest()), (Identity::Config(digest), None));
        assert_eq!((image.layers_len_bytes(), image.layers()[0].promised_compression()), (Some(16), None));
        let mut text = String::new();
        image.layers()[0].open(&memory).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "unnamed");
    }
    memory.root = docker(Some(Digest::sha256(b"x")), &[&unnamed, &unnamed]);
    assert!(matches!(Image::verify(&memory, &want("linux/amd64")), Err(Error::BlobDigest { .. })));
    memory.root = docker(None, &[&unnamed]);
    let error = Image::verify(&memory, &want("linux/amd64")).unwrap_err().to_string();
    assert_eq!(error, format!("memory:test: 1 layers, but config {digest} has 2 diff_ids"));
    memory.root = docker(None, &[&unnamed, &unnamed]);
    assert!(matches!(Image::verify(&memory, &want("linux/arm64")), Err(Error::ConfigPlatform { .. })));
    assert_eq!(Image::verify(&memory, &guess("linux/arm64")).unwrap().warnings().len(), 1);
}

#[test]
fn bare_root_filesystems() {
    let mut memory = Memory::new();
    memory.root = Root::Bare { size: None };
    let image = Image::verify(&memory, &want("linux/amd64")).unwrap();
    assert_eq!((image.identity(), image.identity().digest()), (Identity::Layer, None));
    assert!(image.config().is_none());
    let [layer] = image.layers() else { panic!("{image:?}") };
    assert_eq!((layer.number(), layer.diff_id(), layer.algorithm()), (1, None, Algorithm::Sha256));
    layer.check(Digest::sha256(b"anything")).unwrap();
    assert_eq!(image.layers_len_bytes(), None);
}

/// Documents are also looked at before any digest protects them: whatever a byte is turned into,
/// there is an answer.
#[test]
fn damaged_documents_are_no_trouble() {
    let mut memory = Memory::new();
    let root = manifest(&mut memory, OCI_MANIFEST, &[OCI_GZIP], &|text| text);
    let text = memory.blobs[&root.digest].clone();
    let mut accepted = 0;
    for at in 0..text.len() {
        let mut tried = vec![text[..at].to_vec()];
        for byte in [0, b'"', b'{', b'}', b'[', b',', b'-', b'9', 0x7f, 0xff] {
            let mut damaged = text.clone();
            damaged[at] = byte;
            tried.push(damaged);
        }
        for damaged in tried {
            accepted += usize::from(crate::document::parse("m", OCI_MANIFEST, &damaged).is_ok());
            assert!(parse_index("i", &damaged).is_err());
            assert!(crate::Config::parse(root.digest, damaged).is_err());
        }
    }
    // Most digits of digests can be others.
    assert!(accepted > 100, "{accepted}");
}
