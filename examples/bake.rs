//! Bakes an image into a disk: `cargo run --example bake -- oci:image disk.ext4`.

use std::path::Path;

use cvbake::control::Control;
use cvbake::error::Error;
use cvbake::event::{Event, LayerEvent};
use cvbake::fetch::Source;
use cvbake::{Baked, Ext4, Filesystem, Job, Output};

// docs/library.md quotes from here
/// Bakes an image for this machine's platform, without a store.
pub(crate) fn bake(source: Source, disk: &Path) -> Result<Baked, Error> {
    let mut job = Job::new(source);
    job.filesystem = Filesystem::Ext4(Ext4 { label: b"root".to_vec(), ..Ext4::default() });
    let mut output = Output::new(disk);
    output.replace = true;
    output.digest = true;
    // Remembers what is temporary, for whoever handles signals.
    let control = Control::new();
    cvbake::bake(&job, &output, &control, &|event| {
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
