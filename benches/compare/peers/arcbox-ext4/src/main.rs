//! Runs the crate `arcbox-ext4`: the layers of an OCI layout are unpacked into an ext4 formatter,
//! one after the other.
//!
//! Usage: `peer-arcbox-ext4 LAYOUT DISK SIZE`

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

const BLOCK_SIZE: u32 = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, layout, disk, size] = args.as_slice() else {
        return Err("usage: peer-arcbox-ext4 LAYOUT DISK SIZE".into());
    };
    let layout = Path::new(layout);
    let index = json(&layout.join("index.json"))?;
    let manifest = json(&blob(layout, &index["manifests"][0])?)?;
    let mut formatter = arcbox_ext4::Formatter::new(Path::new(disk), BLOCK_SIZE, size.parse()?)?;
    for layer in manifest["layers"].as_array().ok_or("the manifest has no layers")? {
        let file = BufReader::with_capacity(256 << 10, File::open(blob(layout, layer)?)?);
        let zstd = layer["mediaType"].as_str().is_some_and(|kind| kind.ends_with("zstd"));
        let tar: Box<dyn Read> = if zstd {
            Box::new(zstd::Decoder::with_buffer(file)?)
        } else {
            Box::new(flate2::bufread::MultiGzDecoder::new(file))
        };
        formatter.unpack_tar(tar)?;
    }
    formatter.close()?;
    Ok(())
}

fn json(path: &Path) -> Result<Value, Box<dyn Error>> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// The file of the blob that a descriptor names.
fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf, Box<dyn Error>> {
    let digest = descriptor["digest"].as_str().ok_or("a descriptor has no digest")?;
    Ok(layout.join("blobs").join(digest.replace(':', "/")))
}
