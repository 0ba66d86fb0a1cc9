//! What this machine can do at best with the very layers of an image, and the bounds that follow.
//!
//! `LB1 = C/net + C/sha + U/sha + inflate + F/write` is what one thread needs that fetches, hashes,
//! inflates, hashes and writes at the speed of the best that is known for each; C are the
//! compressed bytes, U the archives', F the files'. With n processors, nothing is done before
//! `LB2 = max(LB1 / n, inflate of the longest layer)`, as long as a layer is inflated by one
//! thread.
//!
//! Measuring holds whole layers in memory. That happens in a process of its own, because what this
//! process has held would be counted as the memory of every program that it starts.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::images::{Image, Layer, Sizes};
use crate::registry;
use crate::run::tool;

/// The argument that makes this program measure, and print JSON.
pub(crate) const SUBCOMMAND: &str = "measure-limits";

/// Each is measured at least so often, and for so long; the best counts.
const TIMES: u32 = 3;
const LONG_ENOUGH_S: f64 = 0.3;

/// The best times, in seconds, for all layers of an image unless said otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Reading the compressed layers from the registry.
    pub(crate) fetch_s: f64,
    /// SHA-256 of the compressed layers.
    pub(crate) hash_compressed_s: f64,
    /// SHA-256 of the archives.
    pub(crate) hash_tar_s: f64,
    /// Inflating, with whole layers in memory.
    pub(crate) inflate_s: f64,
    /// Inflating the layer that takes longest.
    pub(crate) inflate_longest_s: f64,
    /// Writing as many bytes as the files have.
    pub(crate) write_s: f64,
    /// Copying as many bytes in the kernel: no part of the bounds, but of what a warm bake does.
    pub(crate) copy_s: f64,
    /// The processors.
    pub(crate) threads: usize,
}

impl Limits {
    /// The least time for one thread.
    pub(crate) fn lb1(&self) -> f64 {
        self.fetch_s + self.hash_compressed_s + self.hash_tar_s + self.inflate_s + self.write_s
    }

    /// The least time for as many threads as there are processors.
    #[expect(clippy::cast_precision_loss, reason = "no machine has 2^52 processors")]
    pub(crate) fn lb2(&self) -> f64 {
        (self.lb1() / self.threads as f64).max(self.inflate_longest_s)
    }
}

/// Has a process measure the limits for an image in a registry, writing in a directory.
pub(crate) fn measure(image: &Image, port: u16, directory: &Path) -> Result<Limits> {
    let program = std::env::current_exe().context("the path of this program")?;
    let sizes = serde_json::to_string(&image.sizes).context("sizes as JSON")?;
    let program = program.to_str().context("the path of this program is not UTF-8")?;
    let port = port.to_string();
    let args = [SUBCOMMAND, &sizes, &image.name, &port].map(AsRef::as_ref);
    let limits = tool(program, args.into_iter().chain([directory.as_os_str()]))?;
    serde_json::from_str(&limits).context("the limits as JSON")
}

/// The process that measures.
pub(crate) fn child(args: &[String]) -> Result<()> {
    let [sizes, name, port, directory] = args else {
        bail!("the process that measures the limits has other arguments")
    };
    let sizes: Sizes = serde_json::from_str(sizes).context("the sizes as JSON")?;
    let limits = all(&sizes, name, port.parse().context("the port")?, Path::new(directory))?;
    println!("{}", serde_json::to_string(&limits).context("limits as JSON")?);
    Ok(())
}

fn all(sizes: &Sizes, name: &str, port: u16, directory: &Path) -> Result<Limits> {
    let mut limits = Limits {
        fetch_s: 0.0,
        hash_compressed_s: 0.0,
        hash_tar_s: 0.0,
        inflate_s: 0.0,
        inflate_longest_s: 0.0,
        write_s: 0.0,
        copy_s: 0.0,
        threads: std::thread::available_parallelism().context("the number of processors")?.get(),
    };
    let largest = sizes.layers.iter().map(|layer| layer.tar_bytes).max().unwrap_or(0);
    // Not zeros: pages that were never written would be counted as time of inflating.
    let mut tar = vec![1; usize::try_from(largest).context("a layer as large as the address space")?];
    for layer in &sizes.layers {
        let digest = layer.blob.file_name().and_then(|name| name.to_str()).context("a layer without a name")?;
        let path = format!("/v2/{name}/blobs/sha256:{digest}");
        limits.fetch_s += best(|| registry::get(port, &path).map(drop))?;
        let blob = fs::read(&layer.blob).with_context(|| layer.blob.display().to_string())?;
        limits.hash_compressed_s += best(|| hash(&blob))?;
        let tar = &mut tar[..usize::try_from(layer.tar_bytes).context("a layer as large as the address space")?];
        let inflate_s = best(|| inflate(layer, &blob, tar))?;
        limits.inflate_s += inflate_s;
        limits.inflate_longest_s = limits.inflate_longest_s.max(inflate_s);
        limits.hash_tar_s += best(|| hash(tar))?;
    }
    let (file, copy) = (directory.join("written"), directory.join("copied"));
    limits.write_s = best(|| write(&file, sizes.file_bytes))?;
    limits.copy_s = best(|| fs::copy(&file, &copy).map(drop).context("copying"))?;
    Ok(limits)
}

/// The best time of several.
fn best(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    let (mut times, mut total) = (0, 0.0);
    while times < TIMES || total < LONG_ENOUGH_S {
        let start = Instant::now();
        work()?;
        let took = start.elapsed().as_secs_f64();
        best = best.min(took);
        (times, total) = (times + 1, total + took);
    }
    Ok(best)
}

#[expect(clippy::unnecessary_wraps, reason = "as the others that are measured")]
fn hash(bytes: &[u8]) -> Result<()> {
    std::hint::black_box(ring::digest::digest(&ring::digest::SHA256, bytes));
    Ok(())
}

fn inflate(layer: &Layer, blob: &[u8], tar: &mut [u8]) -> Result<()> {
    let length = match layer.compression.as_str() {
        "gzip" => libdeflater::Decompressor::new().gzip_decompress(blob, tar).context("inflating")?,
        "zstd" => zstd::bulk::decompress_to_buffer(blob, tar).context("inflating")?,
        other => bail!("layers in {other} are not known here"),
    };
    if length != tar.len() {
        bail!("{} inflates to {length} bytes, and should to {}", layer.blob.display(), tar.len());
    }
    Ok(())
}

/// Writes a new file in large pieces; nothing waits for stable storage.
fn write(path: &Path, mut bytes: u64) -> Result<()> {
    const PIECE: usize = 1 << 20;
    let piece = vec![1; PIECE];
    _ = fs::remove_file(path);
    let mut file = fs::File::create(path).with_context(|| path.display().to_string())?;
    while bytes > 0 {
        let length = usize::try_from(bytes).unwrap_or(PIECE).min(PIECE);
        file.write_all(&piece[..length]).with_context(|| path.display().to_string())?;
        bytes -= length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(inflate_s: f64, inflate_longest_s: f64, threads: usize) -> Limits {
        let (fetch_s, hash_compressed_s, hash_tar_s, write_s, copy_s) = (0.1, 0.2, 0.3, 0.4, 9.0);
        Limits { fetch_s, hash_compressed_s, hash_tar_s, inflate_s, inflate_longest_s, write_s, copy_s, threads }
    }

    #[test]
    fn the_longest_layer_bounds_where_processors_do_not() {
        assert!((limits(1.0, 0.5, 2).lb2() - 1.0).abs() < 1e-9);
        assert!((limits(1.0, 0.9, 4).lb2() - 0.9).abs() < 1e-9);
        assert!((limits(1.0, 0.9, 4).lb1() - 2.0).abs() < 1e-9);
    }
}
