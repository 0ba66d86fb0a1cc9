//! An archive that the kernel unpacks into memory: cpio, in the form `newc`.

/// An archive under construction.
pub(crate) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

impl Archive {
    pub(crate) fn new() -> Archive {
        Archive { bytes: Vec::new(), inode: 0 }
    }

    pub(crate) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, (0, 0), &[]);
    }

    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE, (0, 0), content);
    }

    pub(crate) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, (0, 0), content);
    }

    pub(crate) fn device(&mut self, path: &str, number: (u32, u32)) {
        self.entry(path, CHARACTER_DEVICE, number, &[]);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.inode = u32::MAX;
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    /// Left zero: the owner, which is root; the time, because nobody looks at it; the device of the
    /// archive, and the checksum, which this form does not have.
    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let len = |len: usize| u32::try_from(len).expect("files of an initramfs are small");
        self.inode = self.inode.wrapping_add(1);
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let fields =
            [self.inode, mode, 0, 0, links, 0, len(content.len()), 0, 0, device.0, device.1, len(path.len() + 1), 0];
        self.bytes.extend_from_slice(b"070701");
        fields.iter().for_each(|field| self.bytes.extend_from_slice(format!("{field:08x}").as_bytes()));
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// The program cpio reads it.
    #[test]
    fn others_read_it() {
        let mut archive = Archive::new();
        archive.directory("dev");
        archive.device("dev/console", (5, 1));
        archive.file("a", b"abc");
        archive.program("init", b"program");
        let bytes = archive.finish();
        let cpio =
            Command::new("cpio").args(["-itv", "--quiet", "-n"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut cpio = cpio.expect("cpio is missing: scripts/setup installs it");
        cpio.stdin.take().unwrap().write_all(&bytes).unwrap();
        let done = cpio.wait_with_output().unwrap();
        assert!(done.status.success());
        let text = String::from_utf8(done.stdout).unwrap();
        let words: Vec<(&str, &str)> =
            text.lines().map(|line| (&line[..10], line.rsplit(' ').next().unwrap())).collect();
        assert_eq!(
            words,
            [("drwxr-xr-x", "dev"), ("crw-------", "dev/console"), ("-rw-r--r--", "a"), ("-rwxr-xr-x", "init")]
        );
        assert!(text.contains("  5,   1 "), "{text}");
    }
}
