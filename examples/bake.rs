//! Bakes an image into a disk: `cargo run --example bake -- oci:image disk.ext4`.

use std::path::Path;
use std::thread::available_parallelism;

use cvbake::cleanup::Cleanup;
use cvbake::error::Error;
use cvbake::event::{Event, LayerEvent};
use cvbake::ext4::{Inodes, Size};
use cvbake::fetch::{Options, Source};
use cvbake::verify::Want;
use cvbake::{Baked, Engine, Job, KeepPacks, Output};

// docs/library.md quotes from here
/// Bakes an image for this machine's platform, without a store.
pub(crate) fn bake(source: Source, disk: &Path) -> Result<Baked, Error> {
    let job = Job {
        source: source.into(),
        registry: Options::default(),
        want: Want::host(),
        engine: Engine::Native,
        size: Size::Auto,
        inodes: Inodes::Auto,
        label: b"root".to_vec(),
        uuid: None,
        hash_seed: None,
        journal: true,
        epoch: 0,
        store: None,
        temporary: std::env::temp_dir(),
        keep_packs: KeepPacks::Never,
        reuse: false,
        jobs: available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN),
    };
    let output = Output { path: disk.to_owned(), replace: true, digest: true, sync: true };
    // Remembers what is temporary, for whoever handles signals.
    let cleanup = Cleanup::new();
    cvbake::bake(&job, &output, &cleanup, &|event| {
        if let Event::Layer { number, event: LayerEvent::Finished { entries, .. } } = event {
            tell(&format!("layer {number}: {entries} entries"));
        }
    })
}
// to here

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source, disk] = args.as_slice() else { return Err("usage: bake SOURCE DISK".to_owned()) };
    let source = source.parse::<Source>().map_err(|error| Error::from(error).line())?;
    let baked = bake(source, disk.as_ref()).map_err(|error| error.line())?;
    let Baked { plan, path, .. } = baked;
    tell(&format!("{}: {} files, {} bytes", path.display(), plan.files, plan.disk_bytes));
    Ok(())
}

#[expect(clippy::print_stderr, reason = "an example talks to whoever runs it")]
fn tell(text: &str) {
    eprintln!("{text}");
}
