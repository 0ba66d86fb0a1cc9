//! Runs the crate `oci2rootfs`: an image is pulled from a registry without TLS and becomes a disk.
//!
//! Usage: `peer-oci2rootfs REFERENCE DISK SIZE`

use std::error::Error;

use oci2rootfs::{Converter, RemoteRef};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, reference, disk, size] = args.as_slice() else {
        return Err("usage: peer-oci2rootfs REFERENCE DISK SIZE".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let image = RemoteRef::new(reference.clone()).insecure(true).fetch().await?;
        Converter::new(disk).size(size.parse()?).convert(image)?;
        Ok(())
    })
}
