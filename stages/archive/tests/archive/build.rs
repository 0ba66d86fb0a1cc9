//! Tar archives, byte by byte: what a test wants to be wrong must be possible to write.

/// A header block under construction; ustar, a regular file, unless told otherwise.
#[derive(Clone)]
pub(crate) struct Head {
    block: [u8; 512],
}

pub(crate) fn head(name: &str) -> Head {
    let mut head = Head { block: [0; 512] }.at(257, b"ustar\x0000").kind(b'0').at(0, name.as_bytes());
    for (at, text) in
        [(100, "0000644\0"), (108, "0001750\0"), (116, "0000144\0"), (124, "00000000000\0"), (136, "00000000017\0")]
    {
        head = head.at(at, text.as_bytes());
    }
    head
}

impl Head {
    /// Overwrites bytes of the block.
    pub(crate) fn at(mut self, at: usize, bytes: &[u8]) -> Head {
        self.block[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn gnu(self) -> Head {
        self.at(257, b"ustar  \0")
    }

    /// No magic, and anything where the other formats have fields.
    pub(crate) fn v7(self) -> Head {
        self.at(257, &[b'?'; 255])
    }

    pub(crate) fn kind(self, byte: u8) -> Head {
        self.at(156, &[byte])
    }

    pub(crate) fn size(self, size: usize) -> Head {
        self.at(124, format!("{size:011o}\0").as_bytes())
    }

    pub(crate) fn link(self, target: &str) -> Head {
        self.at(157, target.as_bytes())
    }

    /// The block with its checksum.
    pub(crate) fn done(self) -> [u8; 512] {
        let head = self.at(148, &[b' '; 8]);
        let sum: u32 = head.block.iter().map(|&byte| u32::from(byte)).sum();
        head.at(148, format!("{sum:06o}\0 ").as_bytes()).block
    }
}

/// An archive under construction.
#[derive(Clone, Default)]
pub(crate) struct Tar {
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn tar() -> Tar {
    Tar::default()
}

impl Tar {
    pub(crate) fn head(mut self, head: Head) -> Tar {
        self.bytes.extend(head.done());
        self
    }

    /// Bytes and the padding behind them.
    pub(crate) fn body(mut self, bytes: &[u8]) -> Tar {
        self.bytes.extend(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// A header with the size of its body, and the body.
    pub(crate) fn entry(self, head: Head, body: &[u8]) -> Tar {
        self.head(head.size(body.len())).body(body)
    }

    pub(crate) fn file(self, name: &str, body: &[u8]) -> Tar {
        self.entry(head(name), body)
    }

    /// A PAX extended header with any body.
    pub(crate) fn pax_raw(self, body: &[u8]) -> Tar {
        self.entry(head("PaxHeaders/x").kind(b'x'), body)
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        self.pax_raw(&records.iter().flat_map(|(key, value)| record(key.as_bytes(), value)).collect::<Vec<_>>())
    }

    /// A GNU long name: `L` or `K`.
    pub(crate) fn long(self, kind: u8, body: &[u8]) -> Tar {
        self.entry(head("././@LongLink").gnu().kind(kind), body)
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Tar {
        self.bytes.extend(bytes);
        self
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).bytes
    }
}

/// A PAX record with the right length.
pub(crate) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len += 1;
    }
    [len.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

#[test]
fn records_count_themselves() {
    assert_eq!(record(b"path", b"a"), b"9 path=a\n");
    assert_eq!(record(b"k", b""), b"5 k=\n");
    assert_eq!([93, 94].map(|len| record(b"k", &vec![b'v'; len]).len()), [99, 101]);
}
