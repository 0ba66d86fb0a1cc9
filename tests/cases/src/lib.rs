//! A file of `fixtures/` → the images that it describes, and what must come of them.
//!
//! Fixtures are text that a person can read: the layers of one or more images, entry by entry, and
//! the tree that their disk must have, or the failure. [`case`] reads the text, [`tar`] writes the
//! archives with all that a header can say, right or wrong, and [`image`] the documents and blobs
//! around them. Nothing here uses a crate of ours: what is tested must not judge itself.
//!
//! ```
//! use cvbake_cases::case::Case;
//!
//! let case = Case::parse("example", "layer\nfile a hello\ntree\nfile /a hello\n");
//! assert_eq!(case.images.images[0].layers.len(), 1);
//! ```
#![forbid(unsafe_code)]

pub mod case;
pub mod image;
pub mod tar;
pub mod text;
