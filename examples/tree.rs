//! Lists the files of an image in a layout or an archive: `cargo run --example tree -- oci:image`.

use std::io::{self, Write};

use cvbake::archive::Decompressor;
use cvbake::error::Error;
use cvbake::fetch::Source;
use cvbake::tree::{Time, Tree};
use cvbake::unpack::{merge, unpack};
use cvbake::verify::{HashingReader, Image, Want};

// docs/library.md quotes from here
/// The files of an image for this machine's platform, with all of their attributes.
pub(crate) fn tree(source: &Source) -> Result<Tree, Error> {
    let blobs = cvbake::fetch::open(source, &std::env::temp_dir(), io::stdin())?;
    let image = Image::verify(&*blobs, &Want::host())?;
    let mut indexes = Vec::new();
    for layer in image.layers() {
        let plain = Decompressor::new(layer.open(&*blobs)?)?;
        let mut hashing = HashingReader::new(plain, layer.algorithm());
        // The content of files, which comes in pieces, is for nobody here.
        indexes.push(unpack(&mut hashing, &mut |_offset, _piece| Ok(()))?);
        // The digest is that of all bytes, with those behind the end of the archive.
        io::copy(&mut hashing, &mut io::sink())?;
        layer.check(hashing.finish()?.0)?;
    }
    let layers: Vec<_> = indexes.iter().collect();
    Ok(merge(&layers, Time::from_secs(0))?)
}

/// A line for each file.
pub(crate) fn list(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    tree.listing(&mut |_| Ok(None), out)
}
// to here

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source] = args.as_slice() else { return Err("usage: tree SOURCE".to_owned()) };
    let source = source.parse::<Source>().map_err(|error| Error::from(error).line())?;
    let tree = tree(&source).map_err(|error| error.line())?;
    list(&tree, &mut io::stdout().lock()).map_err(|error| error.to_string())
}
