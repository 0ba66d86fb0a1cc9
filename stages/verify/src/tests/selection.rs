//! Which image of several.

use super::*;
use crate::{MAX_DOCUMENTS, MAX_NESTING, Platform, Warning};

fn platform(os: &str, architecture: &str, variant: &str) -> String {
    format!(r#","platform":{{"os":"{os}","architecture":"{architecture}","variant":"{variant}"}}"#)
}

fn found(image: &Image) -> String {
    image.config().unwrap().platform().unwrap().to_string()
}

#[test]
fn the_platform_selects() {
    let offers = [
        ("windows", "amd64", ""),
        ("linux", "arm", "v6"),
        ("linux", "arm", "v7"),
        ("linux", "arm64", "v8"),
        ("linux", "amd64", ""),
        ("linux", "amd64", "v3"),
        ("linux", "amd64", "v2"),
    ];
    let mut memory = Memory::new();
    let images = offers.map(|(os, architecture, variant)| memory.image(os, architecture, variant));
    let platforms = offers.map(|(os, architecture, variant)| platform(os, architecture, variant));
    let entries: Vec<_> = images.iter().zip(platforms.iter().map(String::as_str)).collect();
    let index = memory.index(&entries);
    let table = [
        ("linux/amd64", "linux/amd64"),
        ("linux/amd64/v2", "linux/amd64/v2"),
        ("linux/amd64/v4", "linux/amd64/v3"),
        ("linux/arm64", "linux/arm64"),
        ("linux/arm64/v8.4", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v8", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
    ];
    for (wanted, expected) in table {
        for want in [want(wanted), guess(wanted)] {
            let image = memory.verify(&index, &want).unwrap();
            assert_eq!((found(&image).as_str(), image.warnings()), (expected, &[][..]), "{wanted}");
        }
    }
    for wanted in ["linux/s390x", "linux/arm/v5", "linux/386", "freebsd/amd64"] {
        let error = memory.verify(&index, &want(wanted)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("index {}: no image for {wanted}", index.digest)), "{error}");
        let available = "available: linux/amd64, linux/amd64/v2, linux/amd64/v3, linux/arm/v6, linux/arm/v7, linux/arm64, windows/amd64";
        assert!(error.ends_with(available), "{error}");
    }
}

#[test]
fn the_first_of_equals_is_taken_and_nothing_else_is_read() {
    let mut memory = Memory::new();
    let (first, amd64) = (memory.image("linux", "amd64", ""), platform("linux", "amd64", ""));
    let missing = Descriptor { digest: Digest::sha256(b"nowhere"), ..first.clone() };
    let index = memory.index(&[(&missing, &platform("linux", "arm64", "")), (&first, &amd64), (&missing, &amd64)]);
    let image = memory.verify(&index, &want("linux/amd64")).unwrap();
    assert_eq!(image.identity().digest(), Some(first.digest));
    assert_eq!(memory.opened.lock().unwrap().len(), 3);
}

#[test]
fn artifacts_in_an_index_are_passed_over() {
    let mut memory = Memory::new();
    let image = memory.image("linux", "amd64", "");
    let other = memory.put(OCI_MANIFEST, "not even JSON");
    let amd64 = platform("linux", "amd64", "");
    let unknown = platform("unknown", "unknown", "");
    let signature = format!(r#"{amd64},"artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json""#);
    let typed = format!(r#"{amd64},"artifactType":"{OCI_CONFIG}""#);
    let index = memory.index(&[(&other, &unknown), (&other, &signature), (&image, &typed)]);
    assert_eq!(memory.verify(&index, &want("linux/amd64")).unwrap().identity().digest(), Some(image.digest));
    let only = memory.index(&[(&other, &unknown)]);
    let error = memory.verify(&only, &want("unknown/unknown")).unwrap_err().to_string();
    assert!(error.ends_with("no image for unknown/unknown; available: none"), "{error}");
}

#[test]
fn entries_without_a_platform_are_looked_into() {
    let mut memory = Memory::new();
    let arm = memory.image("linux", "arm", "v6");
    let arm7 = memory.image("linux", "arm", "v7");
    let amd64 = memory.image("linux", "amd64", "");
    let half = r#","platform":{"architecture":"amd64"}"#;
    let chart = memory.put(
        OCI_MANIFEST,
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"{DIFF_ID}","size":0}},"layers":[]}}"#
        ),
    );
    let index = memory.index(&[(&chart, ""), (&arm, ""), (&arm7, ""), (&amd64, half)]);
    for (wanted, expected) in [("linux/arm", &arm7), ("linux/arm/v6", &arm), ("linux/amd64", &amd64)] {
        assert_eq!(memory.verify(&index, &want(wanted)).unwrap().identity().digest(), Some(expected.digest));
    }
    let error = memory.verify(&index, &want("linux/s390x")).unwrap_err().to_string();
    assert!(error.ends_with("available: linux/amd64, linux/arm/v6, linux/arm/v7"), "{error}");
    // A platform that is said comes before one that has to be found out.
    let named = memory.index(&[(&arm, ""), (&arm7, &platform("linux", "arm", "v5"))]);
    let error = memory.verify(&named, &want("linux/arm/v6")).unwrap_err();
    assert!(matches!(error, Error::ConfigPlatform { .. }), "{error}");
    // If there is nothing but artifacts, it is said what they are.
    let charts = memory.index(&[(&chart, "")]);
    let error = memory.verify(&charts, &want("linux/amd64")).unwrap_err().to_string();
    assert!(error.contains("not an image but a Helm chart"), "{error}");
}

#[test]
fn indexes_nest_to_a_limit() {
    let mut memory = Memory::new();
    let image = memory.image("linux", "amd64", "");
    for more in ["", &platform("linux", "amd64", "")] {
        let mut root = image.clone();
        for _ in 0..MAX_NESTING {
            root = memory.index(&[(&root, more)]);
            assert_eq!(memory.verify(&root, &want("linux/amd64")).unwrap().identity().digest(), Some(image.digest));
        }
        let root = memory.index(&[(&root, more)]);
        let error = memory.verify(&root, &want("linux/amd64")).unwrap_err();
        assert!(matches!(error, Error::Nesting { limit: MAX_NESTING, .. }), "{error}");
    }
}

#[test]
fn looking_through_indexes_ends() {
    let mut memory = Memory::new();
    let mut root = memory.image("linux", "arm64", "");
    for _ in 0..MAX_NESTING {
        let entries = [(&root, ""); 100];
        root = memory.index(&entries);
    }
    let error = memory.verify(&root, &want("linux/amd64")).unwrap_err();
    assert!(matches!(error, Error::TooMany { limit: MAX_DOCUMENTS, .. }), "{error}");
    assert!(memory.opened.lock().unwrap().len() <= MAX_DOCUMENTS);
}

#[test]
fn several_roots() {
    let mut memory = Memory::new();
    let (amd64, arm64) = (memory.image("linux", "amd64", ""), memory.image("linux", "arm64", ""));
    let other = memory.index(&[(&amd64, "")]);
    let named = |descriptor: &Descriptor, architecture: &str| Candidate {
        platform: Some(Platform::new("linux", architecture, "")),
        ..Candidate::new(descriptor.clone())
    };
    memory.root = Root::Candidates(vec![named(&amd64, "amd64"), named(&arm64, "arm64")]);
    let image = Image::verify(&memory, &want("linux/arm64")).unwrap();
    assert_eq!(image.identity().digest(), Some(arm64.digest));
    let error = Image::verify(&memory, &want("linux/s390x")).unwrap_err().to_string();
    assert_eq!(error, "memory:test: no image for linux/s390x; available: linux/amd64, linux/arm64");
    // Whether they say their platforms or not: two that serve equally well are one too many.
    for roots in [
        vec![named(&amd64, "amd64"), named(&other, "amd64")],
        vec![Candidate::new(amd64.clone()), Candidate::new(other.clone())],
    ] {
        memory.root = Root::Candidates(roots);
        let error = Image::verify(&memory, &want("linux/amd64")).unwrap_err().to_string();
        let expected = format!("memory:test: several images for linux/amd64: {} and {}", amd64.digest, other.digest);
        assert_eq!(error, expected);
    }
    memory.root = Root::Candidates(vec![Candidate::new(amd64.clone()), Candidate::new(arm64)]);
    assert_eq!(Image::verify(&memory, &want("linux/amd64")).unwrap().identity().digest(), Some(amd64.digest));
    memory.root = Root::Candidates(Vec::new());
    assert!(matches!(Image::verify(&memory, &want("linux/amd64")), Err(Error::NoPlatform { .. })));
}

#[test]
fn the_config_must_be_for_the_platform() {
    let mut memory = Memory::new();
    let arm64 = memory.image("linux", "arm64", "");
    let error = memory.verify(&arm64, &want("linux/amd64")).unwrap_err().to_string();
    assert!(error.ends_with("expected an image for linux/amd64, found one for linux/arm64"), "{error}");
    // Nobody asked for a platform, and there is only this image.
    let image = memory.verify(&arm64, &guess("linux/amd64")).unwrap();
    let (wanted, other) = (Platform::new("linux", "amd64", ""), Platform::new("linux", "arm64", ""));
    assert_eq!(image.warnings(), [Warning::Architecture { wanted, found: other }]);
    assert_eq!(image.warnings()[0].to_string(), "the image is for linux/arm64, not for linux/amd64");
    // An index that calls it something else lies.
    let lie = memory.index(&[(&arm64, &platform("linux", "amd64", ""))]);
    assert!(matches!(memory.verify(&lie, &guess("linux/amd64")), Err(Error::ConfigPlatform { .. })));

    let windows = memory.image("windows", "amd64", "");
    for want in [want("linux/amd64"), guess("linux/amd64")] {
        let error = memory.verify(&windows, &want).unwrap_err().to_string();
        assert!(error.ends_with(r#"the operating system "linux", found one for "windows""#), "{error}");
    }
    let no_os = memory.image("", "amd64", "");
    let error = memory.verify(&no_os, &guess("linux/amd64")).unwrap_err().to_string();
    assert!(error.ends_with("os is missing"), "{error}");
    let no_architecture = memory.image("linux", "", "");
    let image = memory.verify(&no_architecture, &want("linux/amd64")).unwrap();
    assert!(matches!(image.warnings(), [Warning::NoArchitecture { .. }]));

    // The variant counts if the configuration has one.
    let arm = memory.image("linux", "arm", "");
    assert_eq!(memory.verify(&arm, &want("linux/arm/v6")).unwrap().warnings(), []);
    let arm7 = memory.image("linux", "arm", "v7");
    assert!(matches!(memory.verify(&arm7, &want("linux/arm/v6")), Err(Error::ConfigPlatform { .. })));
    assert_eq!(memory.verify(&arm7, &guess("linux/arm/v8")).unwrap().warnings(), []);
}
