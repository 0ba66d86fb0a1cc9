//! The documents that say which images an archive has: `index.json` of OCI archives,
//! `manifest.json` of Docker's.
//!
//! The input is such a document; the archive has an image that it may name.
//!
//! For any bytes: an error is a line that names the archive, and is the same again. For accepted
//! input: the names that are listed are those in the document, the image that is opened has the
//! layers that it says, and each can be read or is an error; what is found by one name is found by
//! the same name again.

use std::io::{Read, Write};
use std::path::Path;

use cvbake_fetch::{Source, names, open};
use cvbake_verify::{Image, Platform, Root, Want};
use tempfile::{NamedTempFile, TempDir};

use crate::line;

const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"]}}"#;

/// Opens an archive with this document in it, in every way.
pub fn check(input: &[u8]) {
    let scratch = TempDir::new().expect("a temporary directory");
    let archive = archive(input);
    let path = archive.path().display();
    for source in [format!("oci-archive:{path}"), format!("docker-archive:{path}"), format!("docker-archive:{path}:@0")]
    {
        let source: Source = source.parse().expect("a source");
        opened(&source, scratch.path(), &path.to_string());
        let listed = match names(&source, scratch.path()) {
            Ok(listed) => listed,
            Err(error) => {
                assert!(line(&error).contains(&path.to_string()), "{error}");
                continue;
            }
        };
        for (one, names) in listed {
            // Names may be written with escapes.
            let text = String::from_utf8_lossy(input);
            assert!(
                names.iter().all(|name| text.contains('\\') || text.contains(name.as_str())),
                "{names:?} out of nowhere"
            );
            opened(&one, scratch.path(), &path.to_string());
        }
    }
}

/// Opens an image twice, and reads what it has.
fn opened(source: &Source, scratch: &Path, path: &str) {
    let open = || open(source, scratch, std::io::empty());
    let blobs = match (open(), open()) {
        (Ok(blobs), Ok(again)) => {
            assert_eq!(format!("{:?}", again.root()), format!("{:?}", blobs.root()));
            blobs
        }
        (Err(error), Err(again)) => {
            let said = line(&error);
            assert!(said.contains(path), "{said}");
            assert_eq!(line(&again), said);
            return;
        }
        _ => panic!("opened once and not again"),
    };
    assert_eq!(blobs.reference(), source.to_string());
    let want = Want { platform: "linux/amd64".parse::<Platform>().expect("a platform"), explicit: false };
    match Image::verify(&*blobs, &want) {
        Ok(image) => {
            if let Root::Docker { layers, .. } = blobs.root() {
                assert_eq!(image.layers().len(), layers.len());
            }
            for layer in image.layers() {
                // Damaged or not there: it only must not be more than it says.
                let Ok(reader) = blobs.open_layer(layer) else { continue };
                let mut bytes = Vec::new();
                let _ = reader.take(1 << 20).read_to_end(&mut bytes);
                assert!(bytes.len() <= 10_240, "no file of the archive is longer");
            }
        }
        Err(error) => {
            line(&error);
        }
    }
}

/// An archive that is both, with an image of one empty layer.
fn archive(document: &[u8]) -> NamedTempFile {
    let layer = [0; 1024];
    let files: [(&str, &[u8]); 5] = [
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", document),
        ("manifest.json", document),
        ("config.json", CONFIG.as_bytes()),
        ("layer.tar", &layer),
    ];
    let mut bytes = Vec::new();
    for (name, content) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend([0; 1024]);
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(&bytes).expect("a temporary file");
    file
}
