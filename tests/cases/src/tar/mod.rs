//! A tar writer that can also write what no tar program would: every field of a header can be set
//! by hand.
//!
//! ```text
//! dir PATH                     mode 0755          (every entry: own=0:0 mtime=1)
//! file PATH CONTENT            mode 0644          a whiteout is `file d/.wh.name`
//! link PATH -> TARGET          mode 0777
//! hard PATH -> TARGET          mode 0644
//! char|block PATH MAJOR:MINOR  mode 0644
//! fifo PATH                    mode 0644
//! raw PATH CONTENT type=Z      any type flag
//!   mode=0644 own=UID:GID      beyond the octal field: a PAX record
//!   mtime=SECS[.FRACTION]      anything but a small whole number: a PAX record
//!   x:NAME=VALUE               an extended attribute, as a PAX record
//!   pax:KEY=VALUE              a PAX record of the right length; rawpax=BYTES the records as they are
//!   long=pax|gnu|prefix|cut    how a name of more than 100 bytes is written (default pax)
//!   format=ustar|gnu|v7        the magic (default ustar)
//!   h:FIELD=BYTES              a field of the header as it is; b256:FIELD=NUMBER in GNU's binary form
//!   size=N                     the size that the header claims; its content is written as given
//!   sparse=old|0.0|0.1|1.0 map=OFFSET:LENGTH,… real=SIZE   the content is what is stored
//! global pax:KEY=VALUE         a `g` header;  pax pax:KEY=VALUE an `x` header that nothing follows
//! long L|K BYTES               a GNU long name by itself, the content as it is
//! bytes CONTENT                no entry at all
//! end                          the two blocks of zeros, here;  noend: none at the end either
//! ```

mod header;
mod sparse;

use crate::text::Line;
use header::Header;

/// One entry, in the form that ordinary tar programs write.
#[derive(Debug, Clone)]
pub struct Member {
    pub flag: u8,
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: String,
    pub device: Option<(u32, u32)>,
    pub content: Vec<u8>,
    pub pax: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Member {
    /// An entry of a kind (a tar type flag) with usual attributes.
    pub fn new(flag: u8, path: &[u8]) -> Member {
        let mode = match flag {
            b'5' => 0o755,
            b'2' => 0o777,
            _ => 0o644,
        };
        let (link, content, pax) = Default::default();
        let (uid, gid, mtime, device) = (0, 0, "1".to_owned(), None);
        Member { flag, path: path.to_vec(), link, mode, uid, gid, mtime, device, content, pax }
    }

    /// A regular file.
    pub fn file(path: &[u8], content: &[u8]) -> Member {
        Member { content: content.to_vec(), ..Member::new(b'0', path) }
    }

    /// A directory.
    pub fn dir(path: &[u8]) -> Member {
        Member::new(b'5', path)
    }

    /// A symbolic (`2`) or hard (`1`) link.
    pub fn link(flag: u8, path: &[u8], target: &[u8]) -> Member {
        Member { link: target.to_vec(), ..Member::new(flag, path) }
    }

    fn from_line(line: &Line) -> Member {
        let flag = match line.verb.as_str() {
            "file" => b'0',
            "hard" => b'1',
            "link" => b'2',
            "char" => b'3',
            "block" => b'4',
            "dir" => b'5',
            "fifo" => b'6',
            "raw" => line.key("type").and_then(|flag| flag.first().copied()).expect("raw has a type"),
            other => panic!("line {}: no entry is called {other}", line.number),
        };
        let mut member = Member::new(flag, line.word(0));
        match line.verb.as_str() {
            "hard" | "link" => member.link = line.word(1).to_vec(),
            "char" | "block" => member.device = Some(pair(&line.text(1))),
            _ => member.content = line.words.get(1).cloned().unwrap_or_default(),
        }
        if let Some(mode) = line.key_text("mode") {
            member.mode = u32::from_str_radix(&mode, 8).expect("an octal mode");
        }
        if let Some(owner) = line.key_text("own") {
            (member.uid, member.gid) = pair(&owner);
        }
        if let Some(mtime) = line.key_text("mtime") {
            member.mtime = mtime;
        }
        let xattrs = line.prefixed("x:").map(|(name, value)| ([b"SCHILY.xattr.", name].concat(), value.to_vec()));
        member.pax = xattrs.chain(line.prefixed("pax:").map(|(key, value)| (key.to_vec(), value.to_vec()))).collect();
        member
    }
}

/// `A:B` as two numbers.
pub fn pair<T: std::str::FromStr>(text: &str) -> (T, T) {
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} is no number"));
    let (a, b) = text.split_once(':').unwrap_or_else(|| panic!("{text} is no pair A:B"));
    (number(a), number(b))
}

/// A tar archive that grows.
#[derive(Debug, Default, Clone)]
pub struct Tar {
    bytes: Vec<u8>,
    no_end: bool,
}

impl Tar {
    /// An archive of ordinary entries.
    pub fn of(members: &[Member]) -> Tar {
        let mut tar = Tar::default();
        members.iter().for_each(|member| tar.member(member));
        tar
    }

    /// The archive with its end.
    pub fn finish(mut self) -> Vec<u8> {
        if !self.no_end {
            self.bytes.extend([0; 1024]);
        }
        self.bytes
    }

    /// Adds an ordinary entry.
    pub fn member(&mut self, member: &Member) {
        let mut header = Header::new(b"ustar\x0000");
        let records = member.pax.clone();
        self.entry(member, &mut header, records, "pax", &member.content, None);
    }

    /// Adds what a line says.
    pub fn line(&mut self, line: &Line) {
        match line.verb.as_str() {
            "global" | "pax" => self.extended(if line.verb == "pax" { b'x' } else { b'g' }, &raw_records(line)),
            "long" => self.long(line.word(0)[0], line.word(1)),
            "bytes" => self.bytes.extend_from_slice(line.word(0)),
            "end" => self.bytes.extend([0; 1024]),
            "noend" => self.no_end = true,
            _ => self.entry_line(line),
        }
        self.no_end |= line.verb == "end";
    }

    fn entry_line(&mut self, line: &Line) {
        let known = ["mode", "own", "mtime", "type", "rawpax", "long", "format", "size", "sparse", "map", "real"];
        line.only_keys(&known, &["x:", "pax:", "h:", "b256:"]);
        let mut member = Member::from_line(line);
        let mut records = member.pax.clone();
        let mut header = Header::new(match line.key_text("format").as_deref() {
            None | Some("ustar") => b"ustar\x0000",
            Some("gnu") => b"ustar  \0",
            Some("v7") => &[0; 8],
            Some(other) => panic!("line {}: no format is called {other}", line.number),
        });
        let mut content = member.content.clone();
        if line.key("sparse").is_some() {
            content = sparse::apply(line, &mut member, &mut records, &mut header);
        }
        let long = line.key_text("long").unwrap_or_else(|| "pax".to_owned());
        if let Some(raw) = line.key("rawpax") {
            assert!(records.is_empty(), "line {}: rawpax stands alone", line.number);
            self.extended(b'x', raw);
        }
        if let Some(size) = line.number::<u64>("size") {
            header.octal("size", size);
        }
        for (field, value) in line.prefixed("b256:") {
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            header.binary(std::str::from_utf8(field).unwrap(), number.expect("b256 takes a number"));
        }
        for (field, value) in line.prefixed("h:") {
            header.raw(std::str::from_utf8(field).unwrap(), value);
        }
        self.entry(&member, &mut header, records, &long, &content, Some(line.number));
    }

    /// Writes an entry: whatever its header has not been told otherwise comes from the member.
    fn entry(
        &mut self,
        member: &Member,
        header: &mut Header,
        mut records: Vec<(Vec<u8>, Vec<u8>)>,
        long: &str,
        content: &[u8],
        line: Option<usize>,
    ) {
        let mut put = |key: &str, value: &[u8]| {
            if !records.iter().any(|(name, _)| name == key.as_bytes()) {
                records.push((key.as_bytes().to_vec(), value.to_vec()));
            }
        };
        let whole = member.mtime.parse::<u64>().ok().filter(|&secs| secs < 1 << 33);
        if whole.is_none() {
            put("mtime", member.mtime.as_bytes());
        }
        for (key, id) in [("uid", member.uid), ("gid", member.gid)] {
            if id < 1 << 21 {
                header.octal(key, id);
            } else {
                put(key, id.to_string().as_bytes());
            }
        }
        for (key, field, flag, name) in
            [("linkpath", "linkname", b'K', &member.link), ("path", "name", b'L', &member.path)]
        {
            match (name.len() > 100, long) {
                (false, _) | (true, "cut") => header.raw(field, &name[..name.len().min(100)]),
                (true, "pax") => put(key, name),
                (true, "gnu") => self.long(flag, &[name, &b"\0"[..]].concat()),
                (true, "prefix") => {
                    let cut = name.len() - 101;
                    let slash = cut + name[cut..].iter().position(|&byte| byte == b'/').expect("a slash to cut at");
                    header.raw("prefix", &name[..slash]);
                    header.raw(field, &name[slash + 1..]);
                }
                (true, other) => panic!("line {line:?}: no long name is written by {other}"),
            }
        }
        if !records.is_empty() {
            self.extended(b'x', &records.iter().flat_map(|(key, value)| record(key, value)).collect::<Vec<_>>());
        }
        header.octal("mode", u64::from(member.mode));
        header.octal("mtime", whole.unwrap_or(0));
        header.octal("size", content.len() as u64);
        if let Some((major, minor)) = member.device {
            header.octal("devmajor", u64::from(major));
            header.octal("devminor", u64::from(minor));
        }
        header.raw("typeflag", &[member.flag]);
        self.bytes.extend(header.seal());
        self.padded(content);
    }

    fn padded(&mut self, content: &[u8]) {
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    fn extended(&mut self, flag: u8, records: &[u8]) {
        self.special(flag, b"PaxHeaders/0", b"ustar\x0000", records);
    }

    fn long(&mut self, flag: u8, name: &[u8]) {
        self.special(flag, b"././@LongLink", b"ustar  \0", name);
    }

    fn special(&mut self, flag: u8, name: &[u8], magic: &[u8], content: &[u8]) {
        let mut header = Header::new(magic);
        header.raw("name", name);
        header.raw("typeflag", &[flag]);
        for (field, value) in [("mode", 0o644), ("uid", 0), ("gid", 0), ("mtime", 0), ("size", content.len() as u64)] {
            header.octal(field, value);
        }
        self.bytes.extend(header.seal());
        self.padded(content);
    }
}

fn raw_records(line: &Line) -> Vec<u8> {
    line.only_keys(&["rawpax"], &["pax:"]);
    let records = line.prefixed("pax:").flat_map(|(key, value)| record(key, value));
    line.key("rawpax").unwrap_or_default().iter().copied().chain(records).collect()
}

/// A PAX record, whose length counts itself.
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = [b" ", key, b"=", value, b"\n"].concat();
    let mut len = body.len() + 1;
    while len != body.len() + len.to_string().len() {
        len = body.len() + len.to_string().len();
    }
    [len.to_string().as_bytes(), &body].concat()
}

#[cfg(test)]
mod tests;
