//! An image as an OCI image layout: a directory of blobs, an index, and a marker.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Change, Compression, Edit, Image, Images, digest};

/// Digests and sizes by the names that edits and tampers use.
type Names = BTreeMap<String, (String, usize)>;

const OCI: &str = "application/vnd.oci.image";
const DOCKER: &str = "application/vnd.docker";

/// Writes a layout, with the tag `latest` for what stands outermost.
pub fn write_layout(images: &Images, dir: &Path) {
    let mut names = Names::new();
    let blob = |digest: &str, bytes: &[u8]| {
        let (algorithm, hex) = digest.split_once(':').expect("a digest");
        let folder = dir.join("blobs").join(algorithm);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(hex), bytes).unwrap();
    };
    std::fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
    std::fs::write(dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();

    let mut descriptors = Vec::new();
    for image in &images.images {
        for layer in &image.layers {
            // A layer whose digest is a lie lies under its true name: the manifest leads nowhere.
            let actual = digest(
                layer.digest.split(':').next().filter(|name| *name == "sha512").unwrap_or("sha256"),
                &layer.blob,
            );
            blob(&actual, &layer.blob);
        }
        let (config, manifest) = documents(image, images.docker, &mut names);
        let algorithm = image.algorithm.as_deref().unwrap_or("sha256");
        blob(&digest(algorithm, &config), &config);
        blob(&digest(algorithm, &manifest), &manifest);
        let platform = image.platform.as_deref().map(platform_json).unwrap_or_default();
        let media = media(images.docker, "manifest");
        let name = digest(algorithm, &manifest);
        descriptors.push(format!(r#"{{"mediaType":"{media}","digest":"{name}","size":{}{platform}}}"#, manifest.len()));
    }

    let several = usize::from(images.images.len() > 1);
    for _ in 0..images.nested.max(several) {
        let text = index(&descriptors, images.docker);
        let bytes = edited(text, "index", &images.edits, &names);
        let name = digest("sha256", &bytes);
        blob(&name, &bytes);
        let media = media(images.docker, "index");
        descriptors = vec![format!(r#"{{"mediaType":"{media}","digest":"{name}","size":{}}}"#, bytes.len())];
        names.insert("index".to_owned(), (name, bytes.len()));
    }
    let named = descriptors.iter().map(|text| {
        let body = text.strip_suffix('}').expect("an object");
        format!(r#"{body},"annotations":{{"org.opencontainers.image.ref.name":"latest"}}}}"#)
    });
    let bytes = edited(index(&named.collect::<Vec<_>>(), false), "index.json", &images.edits, &names);
    std::fs::write(dir.join("index.json"), bytes).unwrap();

    for tamper in &images.tampers {
        let path = match names.get(&tamper.file) {
            Some((digest, _)) => dir.join("blobs").join(digest.replacen(':', "/", 1)),
            None => dir.join(&tamper.file),
        };
        let mut bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        match &tamper.change {
            Change::Append(more) => bytes.extend_from_slice(more),
            Change::Cut(len) => bytes.truncate(bytes.len() - len),
            Change::Flip(from_end) => {
                let at = bytes.len() - from_end;
                bytes[at] ^= 1;
            }
            Change::Replace(new) => bytes.clone_from(new),
            Change::Delete => {
                std::fs::remove_file(&path).unwrap();
                continue;
            }
        }
        std::fs::write(&path, bytes).unwrap();
    }
}

fn media(docker: bool, what: &str) -> String {
    match (docker, what) {
        (false, "config") => format!("{OCI}.config.v1+json"),
        (false, what) => format!("{OCI}.{what}.v1+json"),
        (true, "config") => format!("{DOCKER}.container.image.v1+json"),
        (true, "index") => format!("{DOCKER}.distribution.manifest.list.v2+json"),
        (true, _) => format!("{DOCKER}.distribution.manifest.v2+json"),
    }
}

fn layer_media(docker: bool, compression: Compression) -> String {
    let ending = match compression {
        Compression::Plain => "",
        Compression::Gzip if docker => ".gzip",
        Compression::Gzip => "+gzip",
        Compression::Zstd if docker => ".zstd",
        Compression::Zstd => "+zstd",
    };
    if docker { format!("{DOCKER}.image.rootfs.diff.tar{ending}") } else { format!("{OCI}.layer.v1.tar{ending}") }
}

fn platform_fields(platform: &str) -> String {
    let mut parts = platform.split('/');
    let (os, architecture) = (parts.next().unwrap(), parts.next().expect("os/architecture"));
    let variant = parts.next().map(|variant| format!(r#","variant":"{variant}""#)).unwrap_or_default();
    format!(r#""architecture":"{architecture}","os":"{os}"{variant}"#)
}

fn platform_json(platform: &str) -> String {
    format!(r#","platform":{{{}}}"#, platform_fields(platform))
}

fn index(descriptors: &[String], docker: bool) -> String {
    let (media, list) = (media(docker, "index"), descriptors.join(","));
    format!(r#"{{"schemaVersion":2,"mediaType":"{media}","manifests":[{list}]}}"#)
}

/// The text of an image's config, as `docker save` puts it into an archive, too.
pub fn config_json(image: &Image) -> String {
    let platform = platform_fields(image.platform.as_deref().unwrap_or("linux/amd64"));
    let diff_ids: Vec<String> = image.layers.iter().map(|layer| format!(r#""{}""#, layer.diff_id)).collect();
    let diff_ids = diff_ids.join(",");
    format!(r#"{{{platform},"config":{{}},"rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#)
}

fn documents(image: &Image, docker: bool, names: &mut Names) -> (Vec<u8>, Vec<u8>) {
    for (at, layer) in image.layers.iter().enumerate() {
        names.insert(format!("layer{}", at + 1), (layer.digest.clone(), layer.blob.len()));
        names.insert(format!("diff{}", at + 1), (layer.diff_id.clone(), layer.tar.len()));
    }
    let algorithm = image.algorithm.as_deref().unwrap_or("sha256");
    let config = edited(config_json(image), "config", &image.edits, names);
    names.insert("config".to_owned(), (digest(algorithm, &config), config.len()));
    let layers: Vec<String> = image
        .layers
        .iter()
        .map(|layer| {
            let media = layer.media.clone().unwrap_or_else(|| layer_media(docker, layer.compression));
            format!(r#"{{"mediaType":"{media}","digest":"{}","size":{}}}"#, layer.digest, layer.size)
        })
        .collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{}","size":{}}},"layers":[{}]}}"#,
        media(docker, "manifest"),
        media(docker, "config"),
        names["config"].0,
        config.len(),
        layers.join(",")
    );
    let manifest = edited(text, "manifest", &image.edits, names);
    names.insert("manifest".to_owned(), (digest(algorithm, &manifest), manifest.len()));
    (config, manifest)
}

fn edited(text: String, document: &str, edits: &[Edit], names: &Names) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    for edit in edits.iter().filter(|edit| edit.document == document) {
        let (old, new) = (filled(&edit.old, names), filled(&edit.new, names));
        if old.is_empty() {
            bytes = new;
            continue;
        }
        let at = bytes.windows(old.len()).position(|window| window == old);
        let at = at.unwrap_or_else(|| panic!("{document} has no {}", old.escape_ascii()));
        bytes.splice(at..at + old.len(), new);
    }
    bytes
}

/// Puts digests and sizes in.
fn filled(text: &[u8], names: &Names) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(text) else { return text.to_vec() };
    let mut text = text.to_owned();
    for (name, (digest, size)) in names {
        text = text.replace(&format!("{{{name}}}"), digest).replace(&format!("{{{name}.size}}"), &size.to_string());
    }
    text.into_bytes()
}
