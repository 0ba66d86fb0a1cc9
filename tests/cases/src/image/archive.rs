//! An image in one file: what `docker save` and `podman save` write, and any directory as a tar.

use std::path::Path;

use super::layout::config_json;
use super::{Image, digest};
use crate::tar::{Member, Tar};

/// What `docker save` writes: before version 25 (`old`) a folder for every layer, equal layers as
/// symbolic links to the first; since then an OCI layout with Docker's `manifest.json` beside it.
pub fn docker_archive(image: &Image, tags: &[&str], old: bool) -> Vec<u8> {
    let config = config_json(image).into_bytes();
    let config_hex = digest("sha256", &config).split_off(7);
    let config_name = if old { format!("{config_hex}.json") } else { format!("blobs/sha256/{config_hex}") };
    let mut members = Vec::new();
    let mut layers: Vec<String> = Vec::new();
    for (at, layer) in image.layers.iter().enumerate() {
        let hex = &layer.diff_id[7..];
        if !old {
            let name = format!("blobs/sha256/{hex}");
            if !layers.contains(&name) {
                members.push(Member::file(name.as_bytes(), &layer.tar));
            }
            layers.push(name);
            continue;
        }
        let first = image.layers.iter().position(|other| other.diff_id == layer.diff_id).expect("itself at least");
        let folder = |at: usize| format!("{:064x}", at + 0xabc);
        let name = format!("{}/layer.tar", folder(at));
        members.push(Member::dir(format!("{}/", folder(at)).as_bytes()));
        members.push(Member::file(format!("{}/VERSION", folder(at)).as_bytes(), b"1.0"));
        members.push(Member::file(format!("{}/json", folder(at)).as_bytes(), b"{}"));
        members.push(match first == at {
            true => Member::file(name.as_bytes(), &layer.tar),
            false => Member::link(b'2', name.as_bytes(), format!("../{}/layer.tar", folder(first)).as_bytes()),
        });
        layers.push(name);
    }
    let quoted = |names: &[String]| names.iter().map(|name| format!(r#""{name}""#)).collect::<Vec<_>>().join(",");
    let tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
    let tags = if tags.is_empty() { "null".to_owned() } else { format!("[{}]", quoted(&tags)) };
    let manifest = format!(r#"[{{"Config":"{config_name}","RepoTags":{tags},"Layers":[{}]}}]"#, quoted(&layers));
    members.push(Member::file(config_name.as_bytes(), &config));
    members.push(Member::file(b"manifest.json", manifest.as_bytes()));
    members.push(Member::file(b"repositories", b"{}"));
    Tar::of(&members).finish()
}

/// A directory of files and directories as a tar, in the order of the names.
pub fn tar_directory(dir: &Path) -> Vec<u8> {
    let mut members = Vec::new();
    collect(dir, "", &mut members);
    Tar::of(&members).finish()
}

fn collect(dir: &Path, prefix: &str, members: &mut Vec<Member>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().expect("our own names"));
        if path.is_dir() {
            members.push(Member::dir(format!("{name}/").as_bytes()));
            collect(&path, &format!("{name}/"), members);
        } else {
            members.push(Member::file(name.as_bytes(), &std::fs::read(&path).unwrap()));
        }
    }
}
