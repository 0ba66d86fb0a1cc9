//! Modules of a kernel: which there are, and what each says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use crate::kernel::find;
use crate::{Error, Files};

/// The longest module: graphics drivers with debug information have fifty MiB.
const MAX_MODULE_BYTES: u64 = 128 << 20;

/// How long a list of modules may be: those of distributions, with all modules, have half a MiB.
const MAX_LIST_BYTES: usize = 8 << 20;

/// How much memory a packed module may take to be unpacked, in KiB: `xz -9` wants 64 MiB, and those
/// who pack kernels take 2.
const MAX_XZ_KIB: u32 = 80 << 10;

/// The modules of a kernel, by their names.
pub(crate) struct Modules<'f> {
    files: &'f dyn Files,
    /// Where they are in the tree.
    root: String,
    paths: BTreeMap<String, String>,
    built_in: BTreeSet<String>,
}

/// A module, ready to be loaded.
pub(crate) struct Module {
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
    /// The kernel that it is for.
    pub(crate) version: Option<String>,
    /// What must be loaded before.
    pub(crate) depends: Vec<String>,
    /// What should be, if it is there.
    pub(crate) wants: Vec<String>,
}

/// Endings of files, and what they are compressed with.
const ENDINGS: [(&str, Compression); 4] = [
    (".ko", Compression::None),
    (".ko.gz", Compression::Gzip),
    (".ko.xz", Compression::Xz),
    (".ko.zst", Compression::Zstd),
];

#[derive(Debug, Clone, Copy)]
enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// The name of the module in a file; the kernel makes no difference between `-` and `_`.
fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let stem = ENDINGS.iter().find_map(|(ending, _)| file.strip_suffix(ending))?;
    is_name(stem).then(|| stem.replace('-', "_"))
}

/// Whether a module can be called that: the name becomes one of a file of the initramfs, and a
/// word of the list in it.
fn is_name(name: &str) -> bool {
    /// What the kernel has room for, less its zero.
    const MAX: usize = 55;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte);
    (1..=MAX).contains(&name.len()) && name.bytes().all(is_part)
}

impl<'f> Modules<'f> {
    /// Those for a kernel of this version, in a tree: at its top, or where distributions have them.
    pub(crate) fn find(files: &'f dyn Files, version: Option<&str>) -> Result<Option<Modules<'f>>, Error> {
        let mut roots = vec![String::new()];
        for parent in ["lib/modules", "usr/lib/modules"] {
            match version {
                Some(version) => roots.push(format!("{parent}/{version}/")),
                None => roots.extend(files.names(parent)?.iter().map(|name| format!("{parent}/{name}/"))),
            }
        }
        for root in roots {
            // The first is made where a kernel is installed, and the second where it is built.
            for list in ["modules.dep", "modules.order"] {
                if let Some(list) = files.read(&format!("{root}{list}"))? {
                    return Modules::listed(files, root, &list).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn listed(files: &'f dyn Files, root: String, list: &[u8]) -> Result<Modules<'f>, Error> {
        let built_in = files.read(&format!("{root}modules.builtin"))?.unwrap_or_default();
        for (list, name) in [(list, "modules.dep or modules.order"), (&built_in, "modules.builtin")] {
            if list.len() > MAX_LIST_BYTES {
                let (name, found) = (format!("{}: {root}{name}", files.name()), list.len() as u64);
                return Err(Error::TooLarge { name, found, max: MAX_LIST_BYTES as u64 });
            }
        }
        let paths = named(list).collect();
        let built_in = named(&built_in).map(|(name, _)| name).collect();
        Ok(Modules { files, paths, root, built_in })
    }

    /// Where they are, for messages.
    pub(crate) fn place(&self) -> String {
        let name = self.files.name();
        if self.root.is_empty() { name } else { format!("{name}: {}", self.root.trim_end_matches('/')) }
    }

    /// Whether the kernel has it built in.
    pub(crate) fn has_built_in(&self, name: &str) -> bool {
        self.built_in.contains(name)
    }

    /// Reads one, if it is there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Module>, Error> {
        let Some(path) = self.paths.get(name) else { return Ok(None) };
        // What a path is from: those of some distributions are whole ones.
        let path = path.trim_start_matches('/');
        if path.split('/').any(|name| name == "..") {
            let problem = "its path in the list of modules leads out of their directory".to_owned();
            return Err(Error::Module { name: format!("{}{path}", self.root), problem });
        }
        // `modules.order` is from before they were compressed.
        let stem = ENDINGS.iter().find_map(|(ending, _)| path.strip_suffix(ending)).unwrap_or(path);
        for (ending, compression) in ENDINGS {
            let path = format!("{}{stem}{ending}", self.root);
            if let Some(content) = self.files.read(&path)? {
                let content = compression.decompress(&path, content)?;
                return Module::parse(path, content).map(Some);
            }
        }
        Ok(None)
    }
}

/// The modules that a list has, and their paths in it.
fn named(list: &[u8]) -> impl Iterator<Item = (String, String)> {
    list.split(|byte| *byte == b'\n').filter_map(|line| {
        let path = std::str::from_utf8(line.split(|byte| *byte == b':').next()?).ok()?.trim();
        Some((name_of(path)?, path.to_owned()))
    })
}

impl Compression {
    fn decompress(self, path: &str, content: Vec<u8>) -> Result<Vec<u8>, Error> {
        let failed = |problem: String| Error::Module { name: path.to_owned(), problem };
        let bytes = content.as_slice();
        let mut plain: Box<dyn Read + '_> = match self {
            Compression::None => Box::new(bytes),
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
            Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(bytes, true, MAX_XZ_KIB)),
            Compression::Zstd => {
                Box::new(zstd::stream::read::Decoder::new(bytes).map_err(|error| failed(error.to_string()))?)
            }
        };
        let mut module = Vec::new();
        let read = plain.by_ref().take(MAX_MODULE_BYTES + 1).read_to_end(&mut module);
        read.map_err(|error| failed(format!("it cannot be decompressed: {error}")))?;
        if module.len() as u64 > MAX_MODULE_BYTES {
            return Err(failed(format!("it has more than {MAX_MODULE_BYTES} bytes")));
        }
        Ok(module)
    }
}

impl Module {
    fn parse(path: String, content: Vec<u8>) -> Result<Module, Error> {
        if !content.starts_with(b"\x7fELF") {
            return Err(Error::Module { name: path, problem: "it is no ELF file".to_owned() });
        }
        let names = |text: &str, separator: char| -> Vec<String> {
            let names = text.split(separator).map(str::trim).filter(|name| !name.is_empty());
            names.map(|name| name.replace('-', "_")).collect()
        };
        let depends = value(&content, b"depends=").map_or_else(Vec::new, |text| names(&text, ','));
        let wants = value(&content, b"softdep=pre:").unwrap_or_default();
        let wants = names(wants.split("post:").next().unwrap_or_default(), ' ');
        let version = value(&content, b"vermagic=");
        let version = version.and_then(|text| text.split(' ').next().map(str::to_owned));
        Ok(Module { path, content, version, depends, wants })
    }
}

/// What a module says of itself under a name: the texts that it has for that end with zeros.
fn value(content: &[u8], name: &[u8]) -> Option<String> {
    /// Longer than the list of what any module depends on.
    const MAX: usize = 4096;
    let mut rest = content;
    loop {
        let at = find(rest, name)?;
        let text = &rest[at + name.len()..];
        if at > 0 && rest[at - 1] == 0 {
            let end = text.iter().take(MAX).position(|byte| *byte == 0)?;
            return Some(String::from_utf8_lossy(&text[..end]).into_owned());
        }
        rest = text;
    }
}
