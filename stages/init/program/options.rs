//! The kernel's command line: what of it is for this program.

use super::identify::Wanted;

/// How long to wait for the root filesystem, in seconds: slow firmware takes half of that to let a
/// disk appear.
const WAIT: u32 = 60;

/// What the command line says. Later words win, as they do in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options<'l> {
    /// As it is said, for messages.
    pub(crate) root: Option<&'l [u8]>,
    pub(crate) root_type: Option<&'l [u8]>,
    pub(crate) root_flags: Option<&'l [u8]>,
    pub(crate) writable: bool,
    pub(crate) wait: u32,
    pub(crate) root_hash: Option<&'l [u8]>,
    /// Where the data and the hash tree of dm-verity are, if not in the partitions that the root
    /// hash names.
    pub(crate) verity_data: Option<&'l [u8]>,
    pub(crate) verity_hash: Option<&'l [u8]>,
    pub(crate) verity_options: Option<&'l [u8]>,
    pub(crate) overlay: Option<Overlay<'l>>,
    pub(crate) init: Option<&'l [u8]>,
    pub(crate) panics: bool,
}

/// Where changes to the root filesystem are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlay<'l> {
    /// In memory.
    Memory,
    /// On a device, as `root=` says one.
    Device(&'l [u8]),
}

impl<'l> Options<'l> {
    pub(crate) fn parse(line: &'l [u8]) -> Options<'l> {
        let mut options = Options {
            root: None,
            root_type: None,
            root_flags: None,
            writable: false,
            wait: WAIT,
            root_hash: None,
            verity_data: None,
            verity_hash: None,
            verity_options: None,
            overlay: None,
            init: None,
            panics: false,
        };
        for word in Words(line) {
            // What follows is for init.
            if word == b"--" {
                break;
            }
            let at = word.iter().position(|byte| *byte == b'=');
            let (name, value) = at.map_or((word, None), |at| (&word[..at], Some(unquoted(&word[at + 1..]))));
            match (name, value) {
                (b"root", Some(value)) => options.root = Some(value),
                (b"rootfstype", Some(value)) => options.root_type = Some(value),
                (b"rootflags", Some(value)) => options.root_flags = Some(value),
                (b"ro", None) => options.writable = false,
                (b"rw", None) => options.writable = true,
                (b"rootwait", Some(value)) => options.wait = number(value).unwrap_or(WAIT),
                (b"roothash", Some(value)) => options.root_hash = Some(value),
                (b"systemd.verity_root_data", Some(value)) => options.verity_data = Some(value),
                (b"systemd.verity_root_hash", Some(value)) => options.verity_hash = Some(value),
                (b"systemd.verity_root_options", Some(value)) => options.verity_options = Some(value),
                (b"cvbake.overlay", Some(b"none" | b"")) => options.overlay = None,
                (b"cvbake.overlay", Some(b"tmpfs")) => options.overlay = Some(Overlay::Memory),
                (b"cvbake.overlay", Some(value)) => options.overlay = Some(Overlay::Device(value)),
                (b"init", Some(value)) => options.init = Some(value),
                (b"panic", Some(_)) => options.panics = true,
                _ => {}
            }
        }
        options
    }

    /// The device that `root=` names; none when it names nothing that there could be.
    pub(crate) fn wanted(&self) -> Option<Wanted<'l>> {
        Wanted::parse(self.root?)
    }

    /// At which byte of its device the superblock of the hash tree is; none where that is said in a
    /// way that nobody understands. Other options of dm-verity are not for this program.
    pub(crate) fn hash_offset(&self) -> Option<u64> {
        let mut options = self.verity_options.unwrap_or_default().split(|byte| *byte == b',');
        let offset = options.find_map(|option| option.strip_prefix(b"hash-offset="));
        offset.map_or(Some(0), digits)
    }
}

/// The words of a line; a double quote holds spaces together.
struct Words<'l>(&'l [u8]);

impl<'l> Iterator for Words<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
        let start = self.0.iter().position(|byte| !is_space(byte))?;
        let rest = &self.0[start..];
        let mut quoted = false;
        let end = rest.iter().position(|byte| {
            quoted ^= *byte == b'"';
            !quoted && is_space(byte)
        });
        let (word, rest) = rest.split_at(end.unwrap_or(rest.len()));
        self.0 = rest;
        // A whole word may be in quotes, too.
        Some(unquoted(word))
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    }
}

/// A decimal number.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    u32::try_from(digits(text)?).ok()
}

/// A longer one.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
