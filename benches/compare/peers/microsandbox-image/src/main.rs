//! Runs the crate `microsandbox-image`: an image is pulled into an empty cache and made into one
//! flat ext4 root filesystem, which is then moved to where the disk is wanted.
//!
//! Usage: `peer-microsandbox-image REFERENCE DISK CACHE`, with the cache on the disk's filesystem

use std::error::Error;
use std::path::Path;

use microsandbox_image::{GlobalCache, Platform, PullOptions, PullPolicy, Reference, Registry, RootfsMaterialization};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, reference, disk, cache] = args.as_slice() else {
        return Err("usage: peer-microsandbox-image REFERENCE DISK CACHE".into());
    };
    let host = reference.split('/').next().ok_or("the reference is empty")?.to_owned();
    let reference: Reference = reference.parse()?;
    let cache = GlobalCache::new(Path::new(cache))?;
    let registry =
        Registry::builder(Platform::host_linux(), cache.clone()).add_insecure_registries(vec![host]).build()?;
    let options =
        PullOptions { pull_policy: PullPolicy::Always, force: false, materialization: RootfsMaterialization::Flat };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let flat = runtime.block_on(async {
        let image = registry.pull(&reference, &options).await?;
        registry.materialize_flat_rootfs(&image.manifest_digest, &image.layer_diff_ids, false).await
    })?;
    std::fs::rename(cache.flat_blob_path(&flat.artifact_digest.parse()?), disk)?;
    Ok(())
}
