//! A tar archive as a set of files that can be read in any order.
//!
//! The archive is gone through once, for the names and places of its files; then every file is a
//! part of the archive's own, read with positioned reads. An archive that is compressed, or comes
//! through a pipe, is first decompressed into an unnamed temporary file.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use cvbake_archive::tar::{Kind, Reader};
use cvbake_archive::{Compression, Decompressor};
use rustix::fs::FileType;

use crate::Error;
use crate::file::{Part, open_stream};
use crate::layout::Members;

/// The most files of an archive. The oldest form of `docker save` has four per layer; a hundred
/// images of a hundred layers fit.
pub(crate) const MAX_MEMBERS: usize = 200_000;

/// The longest path of a file, or target of a link, that is remembered: about four times the
/// longest that any tool writes, `blobs/sha512/` and 128 digits.
pub(crate) const MAX_NAME: usize = 512;

/// The most bytes of all paths and targets together: twice what as many files have as there may be,
/// named `blobs/sha256/` and 64 digits.
pub(crate) const MAX_NAMES_BYTES: usize = 32 << 20;

/// The most links that are followed to a file; Linux's own limit. `docker save` makes one.
const MAX_LINKS: usize = 40;

/// How much of the archive is read at once on the way through it.
const BUFFER: usize = 256 * 1024;

pub(crate) struct Archive {
    file: Arc<File>,
    place: String,
    members: BTreeMap<Vec<u8>, Member>,
}

struct Member {
    content: Content,
    /// How many entries had this name; the last one that is no directory counts.
    entries: usize,
}

enum Content {
    File {
        offset: u64,
        len: u64,
    },
    /// A normalised path.
    Link(Vec<u8>),
    /// What no content is asked for of; programs that unpack the archive find it in the way of a
    /// file of its name.
    Directory,
    /// Something else, and what to say about it.
    Unusable(&'static str),
}

impl Archive {
    pub(crate) fn open(path: &Path, scratch: &Path) -> Result<Archive, Error> {
        let place = path.display().to_string();
        let (file, kind) = open_stream(path)?;
        let seekable = kind == FileType::RegularFile;
        let plain = if seekable && !is_compressed(&file, &place)? { file } else { decompress(file, &place, scratch)? };
        let plain = Arc::new(plain);
        let len = plain.metadata().map_err(|source| Error::Read { place: place.clone(), source })?.len();
        if len == 0 {
            return Err(Error::Empty { place });
        }
        let stream = Part::new(Arc::clone(&plain), place.as_str().into(), 0, len);
        let members = read_members(stream, &place)?;
        Ok(Archive { file: plain, place, members })
    }

    /// The part of the archive that is the content of a file; links are followed within the
    /// archive. `once`: no name on the way may be there twice.
    fn part_of(&self, name: &[u8], once: bool) -> Result<Option<Part>, Error> {
        let problem =
            |problem| Error::Member { place: self.place.clone(), name: name.escape_ascii().to_string(), problem };
        if name.len() > MAX_NAME {
            return Ok(None);
        }
        let Some(mut path) = normalise(b"", name) else { return Err(problem("is a path out of the archive")) };
        for _ in 0..=MAX_LINKS {
            let Some(member) = self.members.get(&path) else { return Ok(None) };
            if once && member.entries > 1 {
                let name = path.escape_ascii().to_string();
                return Err(Error::Member { place: self.place.clone(), name, problem: "is there more than once" });
            }
            match &member.content {
                Content::File { offset, len } => {
                    let place = format!("{} in {}", name.escape_ascii(), self.place);
                    return Ok(Some(Part::new(Arc::clone(&self.file), place.into(), *offset, *len)));
                }
                Content::Link(target) => path.clone_from(target),
                Content::Directory => return Ok(None),
                Content::Unusable(what) => return Err(problem(what)),
            }
        }
        Err(problem("is a link with too many others behind it"))
    }

    /// The content of a file, of several of one name the last.
    pub(crate) fn part(&self, name: &[u8]) -> Result<Option<Part>, Error> {
        self.part_of(name, false)
    }
}

impl Members for Archive {
    fn place(&self) -> &str {
        &self.place
    }

    fn document(&self, name: &str) -> Result<Option<Part>, Error> {
        self.part_of(name.as_bytes(), true)
    }

    fn blob(&self, name: &str) -> Result<Option<Part>, Error> {
        self.part(name.as_bytes())
    }
}

fn is_compressed(file: &File, place: &str) -> Result<bool, Error> {
    let read = |source| Error::Read { place: place.to_owned(), source };
    let len = file.metadata().map_err(read)?.len().min(Compression::PREFIX as u64);
    let file = file.try_clone().map_err(read)?;
    let mut prefix = Vec::new();
    Part::new(Arc::new(file), place.into(), 0, len).read_to_end(&mut prefix).map_err(read)?;
    Ok(Compression::detect(&prefix) != Compression::None)
}

/// The plain bytes of a stream in a file without a name, which is gone when it is closed, whatever
/// happens. Zeros take no room there: an archive may have any number of them, and hardly be longer
/// for that.
pub(crate) fn decompress(file: File, place: &str, scratch: &Path) -> Result<File, Error> {
    let write = |source| Error::scratch(scratch, source);
    let read = |source| Error::Read { place: place.to_owned(), source };
    let plain = tempfile::tempfile_in(scratch).map_err(write)?;
    let mut reader = Decompressor::new(file).map_err(read)?;
    let mut len = 0;
    loop {
        let bytes = match reader.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read(error)),
        };
        if bytes.iter().any(|&byte| byte != 0) {
            plain.write_all_at(bytes, len).map_err(write)?;
        }
        let count = bytes.len();
        len += count as u64;
        reader.consume(count);
    }
    plain.set_len(len).map_err(write)?;
    Ok(plain)
}

fn read_members(stream: Part, place: &str) -> Result<BTreeMap<Vec<u8>, Member>, Error> {
    let mut members = BTreeMap::new();
    let mut names_len = 0;
    let mut reader = Reader::new(BufReader::with_capacity(BUFFER, stream));
    let broken = |source| Error::Archive { place: place.to_owned(), source };
    while let Some(entry) = reader.next_entry().map_err(broken)? {
        let header = entry.header;
        // What is too long, or would lie outside, has no name that anything could ask for.
        let Some(path) = normalise(b"", &header.path) else { continue };
        let content = match header.kind {
            Kind::Directory => Content::Directory,
            Kind::File if header.sparse => Content::Unusable("is a sparse file"),
            Kind::File => Content::File { offset: header.data_offset, len: header.size },
            Kind::HardLink => link(normalise(b"", &header.link)),
            Kind::Symlink => link(normalise(parent(&path), &header.link)),
            Kind::CharDevice | Kind::BlockDevice => Content::Unusable("is a device"),
            Kind::Fifo => Content::Unusable("is a named pipe"),
        };
        match members.entry(path) {
            Entry::Vacant(free) => {
                names_len += free.key().len() + content.name_len();
                free.insert(Member { content, entries: 1 });
            }
            Entry::Occupied(mut taken) => {
                let member: &mut Member = taken.get_mut();
                member.entries += 1;
                if !matches!(content, Content::Directory) {
                    names_len = names_len + content.name_len() - member.content.name_len();
                    member.content = content;
                }
            }
        }
        if members.len() > MAX_MEMBERS {
            return Err(Error::TooManyMembers { place: place.to_owned(), limit: MAX_MEMBERS });
        }
        if names_len > MAX_NAMES_BYTES {
            return Err(Error::NamesTooLong { place: place.to_owned(), limit: MAX_NAMES_BYTES });
        }
    }
    Ok(members)
}

impl Content {
    /// How much of the archive's names it keeps.
    fn name_len(&self) -> usize {
        match self {
            Content::Link(target) => target.len(),
            _ => 0,
        }
    }
}

fn link(target: Option<Vec<u8>>) -> Content {
    target.map_or(Content::Unusable("is a link out of the archive"), Content::Link)
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&byte| byte == b'/').map_or(b"", |slash| &path[..slash])
}

/// A path below the archive's root, without `.`, `..` and doubled slashes; `None` where it leads
/// out or is too long.
fn normalise(base: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    if path.len() > MAX_NAME {
        return None;
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    let base = if path.starts_with(b"/") { b"" } else { base };
    for part in base.split(|&byte| byte == b'/').chain(path.split(|&byte| byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}
