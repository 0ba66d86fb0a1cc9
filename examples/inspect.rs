//! Tells what is in an image, wherever it is, without bringing it here:
//! `cargo run --example inspect -- alpine:3.20`.

use cvbake::control::Control;
use cvbake::error::Error;
use cvbake::fetch::{Options, Source};
use cvbake::images::{Look, Looked};
use cvbake::verify::Want;

// docs/library.md quotes from here
/// The image for this machine's platform. Only its manifest and its configuration are read.
pub(crate) fn look(source: &Source) -> Result<Looked, Error> {
    Look::new(source.clone()).at_image(&Want::host(), &Control::new(), &|_| {})
}

/// The tags of the image's repository; none if it is not in a registry.
pub(crate) fn tags(source: &Source) -> Result<Vec<String>, Error> {
    let Source::Registry(name) = source else { return Ok(Vec::new()) };
    Ok(cvbake::fetch::tags(name, &Options::default(), &|_| {})?.tags)
}
// to here

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source] = args.as_slice() else { return Err("usage: inspect SOURCE".to_owned()) };
    let source = source.parse::<Source>().map_err(|error| Error::from(error).line())?;
    let looked = look(&source).map_err(|error| error.line())?;
    tell(&format!("platform: {}", looked.platform.as_deref().unwrap_or("none said")));
    for (number, layer) in looked.layers.iter().enumerate() {
        let digest = layer.digest.map_or_else(|| "no digest".to_owned(), |digest| digest.to_string());
        tell(&format!("layer {number}: {digest}, {} bytes", layer.bytes.unwrap_or(0)));
    }
    for tag in tags(&source).map_err(|error| error.line())? {
        tell(&format!("tag: {tag}"));
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "an example talks to whoever runs it")]
fn tell(text: &str) {
    eprintln!("{text}");
}
