//! Where a path comes from: what each layer did to it, lowest first.

use cvbake_tree::{Ino, Kind, Meta};
use cvbake_unpack::Marker;

use super::find::joined;
use super::{Found, Survey, Totals};
use crate::bake::{Job, ask};
use crate::control::Control;
use crate::error::Error;
use crate::event::Observer;

/// The story of a path.
#[derive(Debug)]
#[non_exhaustive]
pub struct Explained {
    /// The image.
    pub survey: Survey,
    /// Where the path leads, and over which symbolic links.
    pub found: Found,
    /// Where a symbolic link at its end leads to.
    pub leads_to: Option<Found>,
    /// What the layers did, in the order in which they did it; nothing if no layer has the path.
    pub happened: Vec<Happened>,
    /// All paths of the inode, the first one first.
    pub paths: Vec<Vec<u8>>,
}

/// Something that a layer did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Happened {
    /// The position in [`Survey::layers`].
    pub layer: usize,
    /// What.
    pub change: Change,
}

/// What a layer can do to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// There was nothing, and now there is this.
    Added(Described),
    /// There was something else.
    Replaced(Described),
    /// A directory was there and stays, with these attributes.
    Changed(Described),
    /// A whiteout or an opaque marker took it away.
    Removed(Marker),
    /// Something above it was replaced, and what was in that is gone.
    Covered {
        /// What was replaced.
        path: Vec<u8>,
        /// What kind of file is there instead.
        by: &'static str,
    },
}

/// What a layer says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Described {
    /// The position of the layer that describes the inode: a lower one, where the name is a hard
    /// link to one of its files. `None` for a directory that is only implied by what is in it.
    pub by: Option<usize>,
    /// What kind of file it is.
    pub kind: &'static str,
    /// The length of a regular file in bytes.
    pub size: Option<u64>,
    /// The target of a symbolic link.
    pub target: Option<Vec<u8>>,
    /// Its attributes, but for a directory that is only implied.
    pub meta: Option<Meta>,
}

impl From<cvbake_unpack::Described<'_>> for Described {
    fn from(described: cvbake_unpack::Described<'_>) -> Described {
        let cvbake_unpack::Described { by, kind, meta } = described;
        let (size, target) = match kind {
            Kind::File(data) => (Some(data.size), None),
            Kind::Symlink(target) => (None, Some(target.to_vec())),
            _ => (None, None),
        };
        Described { by, kind: word(kind), size, target, meta }
    }
}

/// What a kind of file is called.
#[must_use]
pub fn word(kind: Kind<'_>) -> &'static str {
    match kind {
        Kind::Directory => "directory",
        Kind::File(_) => "regular file",
        Kind::Symlink(_) => "symbolic link",
        Kind::CharDevice(_) => "character device",
        Kind::BlockDevice(_) => "block device",
        Kind::Fifo => "named pipe",
        Kind::Socket => "socket",
    }
}

/// Says where a path comes from, and what it hides; or what has become of it.
///
/// # Errors
/// As [`survey`](super::survey()), and when the path is not on the disk and no layer has it, or
/// there are too many symbolic links on the way.
pub fn explain(job: &Job, path: &[u8], control: &Control, on: Observer<'_>) -> Result<Explained, Error> {
    let explained = ask(job, control, on, |asked| {
        let survey = Survey::of(job, &asked)?;
        let found = Found::find(&survey.tree, path)?;
        let names: Vec<&[u8]> = found.names.iter().map(Vec::as_slice).collect();
        let indexes = asked.layers.indexes();
        let history = cvbake_unpack::history(&indexes, &names).map_err(|error| asked.layers.locate(error))?;
        let happened: Vec<Happened> = history.into_iter().map(|happened| told(happened, &names)).collect();
        if happened.is_empty() && found.ino.is_none() {
            return Err(Error::NoSuchPath {
                path: crate::text::name(&found.path()),
                layers: Some(survey.layers.len()),
            });
        }
        let paths = match found.ino {
            Some(Ino::ROOT) | None => vec![found.path()],
            Some(ino) => Totals::of(&survey.tree).paths(ino),
        };
        let is_link = found.ino.is_some_and(|ino| matches!(survey.tree.inode(ino).kind(), Kind::Symlink(_)));
        // A link that leads in a circle leads nowhere.
        let leads_to = is_link.then(|| Found::find_followed(&survey.tree, &found.path()).ok()).flatten();
        Ok(Explained { survey, found, leads_to, happened, paths })
    });
    explained.map_err(|error| Error::image_in(job.store.as_deref(), &job.source, error))
}

fn told(happened: cvbake_unpack::Happened<'_>, names: &[&[u8]]) -> Happened {
    let change = match happened.change {
        cvbake_unpack::Change::Added(new) => Change::Added(new.into()),
        cvbake_unpack::Change::Replaced(new) => Change::Replaced(new.into()),
        cvbake_unpack::Change::Changed(new) => Change::Changed(new.into()),
        cvbake_unpack::Change::Removed(marker) => Change::Removed(marker),
        cvbake_unpack::Change::Covered { depth, by } => Change::Covered { path: joined(&names[..depth]), by },
    };
    Happened { layer: happened.layer, change }
}
