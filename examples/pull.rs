//! Pulls an image into a store, and tells how far it is:
//! `cargo run --example pull -- alpine:3.20 store`.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use cvbake::control::Control;
use cvbake::error::Error;
use cvbake::event::{Event, LayerEvent};
use cvbake::fetch::Source;
use cvbake::{PullJob, Pulled};

// docs/library.md quotes from here
/// Pulls an image for this machine's platform; `tell` gets a line at each tenth of it.
pub(crate) fn pull(source: Source, store: &Path, tell: &(dyn Fn(&str) + Sync)) -> Result<Pulled, Error> {
    // Layers arrive at the same time, so events come from several threads.
    let (read, all) = (AtomicU64::new(0), AtomicU64::new(0));
    let tenths = |bytes: u64| bytes.saturating_mul(10).checked_div(all.load(Ordering::Relaxed)).unwrap_or(0);
    cvbake::pull(&PullJob::new(source, store), &Control::new(), &|event| match event {
        Event::Image { layers, bytes, .. } => {
            all.store(bytes.unwrap_or(0), Ordering::Relaxed);
            tell(&format!("layers: {layers}"));
        }
        Event::Layer { event: LayerEvent::Read { bytes }, .. } => {
            let before = read.fetch_add(bytes, Ordering::Relaxed);
            if tenths(before + bytes) > tenths(before) {
                tell(&format!("{} %", 10 * tenths(before + bytes)));
            }
        }
        Event::Waiting { host, wait, problem } => tell(&format!("{problem}; trying {host} again in {wait:?}")),
        Event::Warning(warning) => tell(&warning),
        Event::Finding(finding) => tell(&finding.to_string()),
        _ => {}
    })
}
// to here

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source, store] = args.as_slice() else { return Err("usage: pull NAME STORE".to_owned()) };
    let source = source.parse::<Source>().map_err(|error| Error::from(error).line())?;
    let pulled = pull(source, store.as_ref(), &tell).map_err(|error| error.line())?;
    tell(&format!("{}: {} layers", pulled.reference, pulled.layers.len()));
    Ok(())
}

#[expect(clippy::print_stderr, reason = "an example talks to whoever runs it")]
fn tell(text: &str) {
    eprintln!("{text}");
}
