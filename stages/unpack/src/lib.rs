//! A layer's tar stream in → an [`Index`] and a pack out; the indexes of all layers in → one merged
//! [`cvbake_tree::Tree`] out.
//!
//! ```text
//! stream ─[unpack]→ index + pack      once per layer, layers in parallel
//! indexes ─[merge]→ tree              pure: no file, no clock
//! stream + index ─[replay]→ pack      when the index was kept and the pack was not
//! ```
//!
//! ```
//! use cvbake_tree::Time;
//! use cvbake_unpack::{merge, unpack};
//!
//! # let mut tar = tar::Builder::new(Vec::new());
//! # let mut header = tar::Header::new_ustar();
//! # header.set_size(6);
//! # header.set_cksum();
//! # tar.append_data(&mut header, "etc/motd", &b"hello\n"[..])?;
//! # let layer = tar.into_inner()?;
//! // `layer` is the archive of one file, `etc/motd`.
//! let mut pack = Vec::new();
//! let index = unpack(&mut &layer[..], &mut |_, piece: &[u8]| Ok(pack.extend_from_slice(piece)))?;
//! assert!(pack.starts_with(b"hello\n"));
//! let tree = merge(&[&index], Time::default())?;
//! assert!(tree.lookup(b"etc/motd").is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * The **index** has one record per entry of the archive, with every attribute, in archive order:
//!   names and markers already understood (normalised paths, whiteouts, opaque directories),
//!   nothing yet resolved, because what a path means depends on the layers below. Entries that a
//!   later one overwrites are left out where that makes no difference. It is a function of the
//!   layer alone and can be kept ([`Index::encode`]).
//! * The **pack** holds the bytes of the regular files in archive order, each starting on a 4 KiB
//!   boundary. Blocks of zeros are left out altogether, wherever they come from, so a file is a
//!   list of [`cvbake_tree::Segment`]s and a pack has no holes: kept data is dense, and a sparse
//!   file that claims terabytes needs no terabytes of offsets.
//! * **Merging** applies the layers in order to a graph of names and inodes ([`merge`]'s module
//!   says what every construct means). No path of an image ever becomes a path of the host.
//!
//! Paths within one layer are interned as a trie (parent, name), so deep or repeated paths cost
//! their last name only, and directories are looked up once, not once per file.
#![forbid(unsafe_code)]

mod codec;
mod error;
mod index;
mod kept;
mod layer;
mod merge;
mod pack;
mod path;
mod replay;

pub use codec::CodecError;
pub use error::{Error, Problem};
pub use index::Index;
pub use layer::unpack;
pub use merge::{
    Change, Described, Happened, Marker, Origins, Provenance, history, merge, merge_with_origins, provenance,
};
pub use pack::{PACK_PIECE, PackSeal};
pub use replay::replay;
