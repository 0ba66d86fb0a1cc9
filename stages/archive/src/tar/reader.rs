//! From blocks to entries.

use std::fmt;
use std::io::BufRead;

use super::data::{Body, Data};
use super::header::{self, Block, Fields, Format};
use super::input::{Input, padding};
use super::{BLOCK_SIZE, Extent, Header, Kind, MAX_RECORD_BODY, sparse};
use crate::{Error, Record, TarProblem, escape};

/// A streaming reader of a tar archive.
///
/// ```
/// # fn list(archive: &[u8]) -> Result<(), cvbake_archive::Error> {
/// let mut reader = cvbake_archive::tar::Reader::new(archive);
/// while let Some(mut entry) = reader.next_entry()? {
///     let name = entry.header.path.escape_ascii().to_string();
///     while let Some(piece) = entry.data.next_piece()? {
///         let _ = (&name, piece.offset, piece.bytes);
///     }
/// }
/// # Ok(()) }
/// # list(&[0; 1024]).unwrap();
/// ```
pub struct Reader<R> {
    input: Input<R>,
    header: Header,
    body: Body,
    block: Block,
    long_path: Vec<u8>,
    long_link: Vec<u8>,
    finished: bool,
}

/// An entry: what the archive says about it, and its content.
pub struct Entry<'r, R> {
    /// Everything but the content.
    pub header: &'r Header,
    /// The content.
    pub data: Data<'r, R>,
}

/// Which records stand before the present entry.
#[derive(Default)]
struct Seen {
    pax: bool,
    path: bool,
    link: bool,
}

impl Seen {
    fn last(&self) -> Option<Record> {
        let pax = self.pax.then_some(Record::Pax);
        pax.or(self.path.then_some(Record::LongPath)).or(self.link.then_some(Record::LongLink))
    }
}

impl<R> Reader<R> {
    /// The reader below, wherever it stands.
    #[must_use]
    pub fn get_ref(&self) -> &R {
        self.input.get_ref()
    }

    /// How many bytes of the stream have been read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    fn error(&self, problem: TarProblem) -> Error {
        error(&self.header, problem)
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("offset", &self.input.offset()).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Entry<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("header", self.header).finish_non_exhaustive()
    }
}

pub(super) fn error(header: &Header, problem: TarProblem) -> Error {
    let path = (!header.path.is_empty()).then(|| escape(&header.path).into());
    Error::Tar { path, offset: header.offset, problem: Box::new(problem) }
}

impl<R: BufRead> Reader<R> {
    /// A reader of the archive that starts where `input` stands.
    #[must_use]
    pub fn new(input: R) -> Reader<R> {
        Reader {
            input: Input::new(input),
            header: Header::empty(),
            body: Body::default(),
            block: [0; BLOCK_SIZE],
            long_path: Vec::new(),
            long_link: Vec::new(),
            finished: false,
        }
    }

    /// The reader below. After [`Reader::next_entry`] returned `None` it is at its end.
    #[must_use]
    pub fn into_inner(mut self) -> R {
        self.input.consume_lent();
        self.input.into_inner()
    }

    /// The next entry. At the end of the archive everything behind it is read too, so that a reader
    /// below sees its own end.
    ///
    /// # Errors
    /// When the archive is wrong or reading fails; then it can't be read on.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_, R>>, Error> {
        if self.input.failed {
            return Err(self.error(TarProblem::AfterError));
        }
        match self.advance() {
            Ok(false) => Ok(None),
            Ok(true) => {
                let header = &self.header;
                let data = Data::new(&mut self.input, header, &mut self.body);
                Ok(Some(Entry { header, data }))
            }
            Err(error) => {
                self.input.failed = true;
                Err(error)
            }
        }
    }

    /// Reads up to the content of the next entry, if there is one.
    fn advance(&mut self) -> Result<bool, Error> {
        if self.finished {
            return Ok(false);
        }
        self.pass_over()?;
        self.header.pax.clear();
        let mut seen = Seen::default();
        loop {
            self.header.path.clear();
            self.header.offset = self.input.offset();
            if !self.read_header()? {
                if let Some(record) = seen.last() {
                    return Err(self.error(TarProblem::Dangling { record, found: "the end of the archive" }));
                }
                // Behind an archive may be anything; but a disk that begins with zeros is no
                // archive of nothing.
                if self.header.offset == 0
                    && let Some(at) = self.input.skip_zeros()?
                {
                    return Err(self.error(TarProblem::ZerosAndData { at }));
                }
                self.input.drain()?;
                self.finished = true;
                return Ok(false);
            }
            header::path(&self.block, &mut self.header.path);
            let fields = header::parse(&self.block).map_err(|problem| self.error(problem))?;
            let has_records = fields.format != Format::V7;
            match fields.type_byte {
                // Without a magic number some readers take them for records and some for files.
                found @ (b'x' | b'g' | b'L' | b'K') if !has_records => {
                    return Err(self.error(TarProblem::EntryType { found, format: fields.format.name() }));
                }
                b'x' => self.pax_record(&fields, &mut seen)?,
                b'g' => {
                    if let Some(record) = seen.last() {
                        return Err(self.error(TarProblem::Dangling { record, found: "a PAX global header" }));
                    }
                    self.check_record(Record::Global, &fields, false)?;
                    self.body = Body::new(fields.size, padding(fields.size));
                    self.pass_over()?;
                }
                b'L' => self.long_name(Record::LongPath, &fields, &mut seen)?,
                b'K' => self.long_name(Record::LongLink, &fields, &mut seen)?,
                _ => {
                    self.entry(&fields, &seen)?;
                    return Ok(true);
                }
            }
        }
    }

    /// Reads over what is left of the present entry.
    fn pass_over(&mut self) -> Result<(), Error> {
        let (left, padding) = std::mem::take(&mut self.body).rest();
        let missing = self.input.skip(left)?;
        if missing > 0 {
            return Err(self.error(TarProblem::Truncated { inside: "an entry's content", missing }));
        }
        let missing = self.input.skip(padding)?;
        // Some writers, such as `umoci insert`, end the archive with the last byte of content, and
        // all readers take it.
        if missing > 0 && missing < padding {
            return Err(self.error(TarProblem::Truncated { inside: "the padding after an entry's content", missing }));
        }
        Ok(())
    }

    /// Reads a block and checks that it is a header; `false` at the end of the archive.
    fn read_header(&mut self) -> Result<bool, Error> {
        if !self.read_block()? {
            return Ok(false);
        }
        if header::is_zero(&self.block) {
            // Some writers forget the second block, as others forget both.
            if self.read_block()?
                && let Some(other) = self.block.iter().position(|&byte| byte != 0)
            {
                let at = (BLOCK_SIZE + other) as u64;
                let is_first = self.header.offset == 0;
                return Err(self.error(match is_first {
                    true => TarProblem::ZerosAndData { at },
                    false => TarProblem::LoneZeroBlock,
                }));
            }
            return Ok(false);
        }
        let not_a_header = || header::not_a_header(&self.block).filter(|_| self.header.offset == 0);
        header::check_sum(&self.block).map_err(|problem| self.error(not_a_header().unwrap_or(problem)))?;
        Ok(true)
    }

    /// Reads a block; `false` where the stream ends before it.
    fn read_block(&mut self) -> Result<bool, Error> {
        match self.input.block(&mut self.block)? {
            0 => Ok(false),
            BLOCK_SIZE => Ok(true),
            have => {
                let problem = match header::not_a_header(&self.block[..have]) {
                    Some(problem) if self.header.offset == 0 => problem,
                    _ => TarProblem::Truncated { inside: "a header", missing: (BLOCK_SIZE - have) as u64 },
                };
                Err(self.error(problem))
            }
        }
    }

    fn check_record(&self, record: Record, fields: &Fields, repeated: bool) -> Result<(), Error> {
        if repeated {
            return Err(self.error(TarProblem::Repeated { record }));
        }
        if fields.size > MAX_RECORD_BODY {
            return Err(self.error(TarProblem::RecordSize { record, size: fields.size, max: MAX_RECORD_BODY }));
        }
        Ok(())
    }

    fn pax_record(&mut self, fields: &Fields, seen: &mut Seen) -> Result<(), Error> {
        self.check_record(Record::Pax, fields, seen.pax)?;
        seen.pax = true;
        let mut pax = std::mem::take(&mut self.header.pax);
        let result = self.read_body(fields.size, &mut pax.body, "a PAX extended header");
        let result = result.and_then(|()| pax.parse().map_err(|problem| self.error(problem)));
        self.header.pax = pax;
        result
    }

    fn long_name(&mut self, record: Record, fields: &Fields, seen: &mut Seen) -> Result<(), Error> {
        let is_path = record == Record::LongPath;
        let seen = if is_path { &mut seen.path } else { &mut seen.link };
        self.check_record(record, fields, *seen)?;
        *seen = true;
        let mut name = std::mem::take(if is_path { &mut self.long_path } else { &mut self.long_link });
        name.clear();
        self.read_body(fields.size, &mut name, "a GNU long name")?;
        // GNU tar counts the NUL at the end; some others leave it out, some fill up with more of
        // them.
        let len = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        let malformed = |reason| Err(self.error(TarProblem::LongName { record, reason }));
        if name[len..].iter().any(|&byte| byte != 0) {
            return malformed("bytes after the NUL that ends the name");
        }
        if len == 0 {
            return malformed("the name is empty");
        }
        name.truncate(len);
        *(if is_path { &mut self.long_path } else { &mut self.long_link }) = name;
        Ok(())
    }

    /// Reads the body of a record behind what `buffer` holds: memory grows with the bytes that
    /// come, not with those announced.
    fn read_body(&mut self, size: u64, buffer: &mut Vec<u8>, inside: &'static str) -> Result<(), Error> {
        let mut missing = size;
        while missing > 0 {
            let bytes = self.input.fill()?;
            if bytes.is_empty() {
                return Err(self.error(TarProblem::Truncated { inside, missing }));
            }
            let len = usize::try_from(missing).map_or(bytes.len(), |missing| missing.min(bytes.len()));
            buffer.extend_from_slice(&bytes[..len]);
            self.input.lend(len);
            missing -= len as u64;
        }
        let missing = self.input.skip(padding(size))?;
        if missing > 0 {
            return Err(self.error(TarProblem::Truncated { inside, missing }));
        }
        Ok(())
    }

    /// Makes `self.header` and `self.body` those of the entry whose header has been read.
    fn entry(&mut self, fields: &Fields, seen: &Seen) -> Result<(), Error> {
        self.describe(fields, seen).map_err(|failure| match failure {
            sparse::Failure::Stream(error) => error,
            sparse::Failure::Map(problem) => self.error(problem),
        })
    }

    fn describe(&mut self, fields: &Fields, seen: &Seen) -> Result<(), sparse::Failure> {
        let pax = &self.header.pax;
        for (key, has_record, has_pax, record) in [
            ("path", seen.path, pax.path().is_some() || pax.sparse_name().is_some(), Record::LongPath),
            ("linkpath", seen.link, pax.linkpath().is_some(), Record::LongLink),
        ] {
            if has_record && has_pax {
                return Err(TarProblem::Conflict { key, record }.into());
            }
        }
        let long_path = seen.path.then_some(&self.long_path[..]);
        if let Some(path) = pax.sparse_name().or(pax.path()).or(long_path) {
            self.header.path.clear();
            self.header.path.extend_from_slice(path);
        }
        let kind = kind(fields, &self.header.path)?;
        self.header.kind = kind;

        self.header.link.clear();
        if matches!(kind, Kind::HardLink | Kind::Symlink) {
            let long_link = seen.link.then_some(&self.long_link[..]);
            let link = pax.linkpath().or(long_link).unwrap_or(header::link(&self.block));
            self.header.link.extend_from_slice(link);
        }
        let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        let device = if is_device { header::device(&self.block, fields.format)? } else { (0, 0) };
        (self.header.device_major, self.header.device_minor) = device;
        self.header.mode = fields.mode;
        self.header.uid = pax.uid.unwrap_or(fields.uid);
        self.header.gid = pax.gid.unwrap_or(fields.gid);
        self.header.mtime = pax.mtime.unwrap_or(fields.mtime);
        self.header.atime = pax.atime.or(fields.atime);
        self.header.ctime = pax.ctime.or(fields.ctime);

        let stored = pax.size.unwrap_or(fields.size);
        if kind != Kind::File && stored > 0 {
            return Err(TarProblem::Content { kind, size: stored }.into());
        }
        self.content(fields, stored)
    }

    /// Finds where the content is: all of it in one piece, or in the parts that a map describes.
    fn content(&mut self, fields: &Fields, stored: u64) -> Result<(), sparse::Failure> {
        let Header { kind, pax, extents, size, .. } = &mut self.header;
        let (is_gnu_sparse, is_pax_sparse) = (fields.type_byte == b'S', pax.sparse.any());
        let start = self.input.offset();
        *size = match (is_gnu_sparse, is_pax_sparse) {
            (false, false) => {
                extents.clear();
                if stored > 0 {
                    extents.push(Extent { offset: 0, len: stored });
                }
                stored
            }
            (true, false) => sparse::old_gnu(&mut self.input, &mut self.block, stored, extents)?,
            (false, true) if *kind == Kind::File => sparse::pax(&mut self.input, pax, stored, extents)?,
            (false, true) => {
                return Err(TarProblem::Sparse { reason: format!("GNU.sparse records for a {kind}") }.into());
            }
            (true, true) => {
                return Err(
                    TarProblem::Sparse { reason: "GNU.sparse records for an entry of type 'S'".to_owned() }.into()
                );
            }
        };
        self.header.sparse = is_gnu_sparse || is_pax_sparse;
        self.header.data_offset = self.input.offset();
        // A map that stands before the parts is part of the stored content, extension blocks of a
        // header are not.
        let in_map = if is_pax_sparse { self.input.offset() - start } else { 0 };
        self.body = Body::new(stored - in_map, padding(stored));
        Ok(())
    }
}

fn kind(fields: &Fields, path: &[u8]) -> Result<Kind, TarProblem> {
    Ok(match fields.type_byte {
        // Archives from before there was a type for directories.
        0 if path.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' => Kind::File,
        b'S' if fields.format == Format::Gnu => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        found => return Err(TarProblem::EntryType { found, format: fields.format.name() }),
    })
}
