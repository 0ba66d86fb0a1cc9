//! Runs the crate `mkext4`: a directory becomes a disk, with every attribute that the crate's
//! interface can take.
//!
//! Usage: `peer-mkext4 DIRECTORY DISK SIZE`

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use mkext4::sink::FileSink;
use mkext4::{FsBuilder, InodeHandle, Meta, Options, ROOT, SpecialKind};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, directory, disk, size] = args.as_slice() else {
        return Err("usage: peer-mkext4 DIRECTORY DISK SIZE".into());
    };
    let mut tree = Tree {
        builder: FsBuilder::new(Options::new(size.parse()?, *b"cvbake-benchmark", 0))?,
        links: HashMap::new(),
        contents: Vec::new(),
    };
    let top = Path::new(directory);
    tree.builder.set_meta(ROOT, meta(&fs::symlink_metadata(top)?)?)?;
    tree.xattrs(ROOT, top)?;
    tree.directory(ROOT, top)?;

    let layout = tree.builder.seal()?;
    let mut sink = FileSink::create(Path::new(disk), layout.image_len())?;
    let mut writer = layout.writer(&mut sink)?;
    for (file, path) in &tree.contents {
        writer.fill(*file, &mut File::open(path)?)?;
    }
    writer.finish()?;
    Ok(())
}

/// What has been declared so far.
struct Tree {
    builder: FsBuilder,
    /// The files that have several names, by device and inode.
    links: HashMap<(u64, u64), InodeHandle>,
    /// Whose bytes come from where, in the order of declaration.
    contents: Vec<(InodeHandle, PathBuf)>,
}

impl Tree {
    fn directory(&mut self, parent: InodeHandle, path: &Path) -> Result<(), Box<dyn Error>> {
        let mut entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().into_string().map_err(|name| format!("{name:?} is not UTF-8"))?;
            self.entry(parent, &name, &entry.path(), &entry.metadata()?)?;
        }
        Ok(())
    }

    fn entry(&mut self, parent: InodeHandle, name: &str, path: &Path, stat: &Metadata) -> Result<(), Box<dyn Error>> {
        let kind = stat.file_type();
        let key = (stat.dev(), stat.ino());
        if !kind.is_dir()
            && let Some(first) = self.links.get(&key)
        {
            return Ok(self.builder.hardlink(parent, name, *first)?);
        }
        let meta = meta(stat)?;
        let handle = if kind.is_dir() {
            self.builder.mkdir(parent, name, meta)?
        } else if kind.is_file() {
            let file = self.builder.file(parent, name, meta, stat.len())?;
            if stat.len() > 0 {
                self.contents.push((file, path.to_owned()));
            }
            file
        } else if kind.is_symlink() {
            let target = fs::read_link(path)?;
            self.builder.symlink(parent, name, target.to_str().ok_or("a link's target is not UTF-8")?, meta)?
        } else {
            let (major, minor) = (rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()));
            let special = if kind.is_char_device() {
                SpecialKind::Char { major, minor }
            } else if kind.is_block_device() {
                SpecialKind::Block { major, minor }
            } else if kind.is_fifo() {
                SpecialKind::Fifo
            } else {
                SpecialKind::Socket
            };
            self.builder.mknod(parent, name, meta, special)?
        };
        if stat.nlink() > 1 && !kind.is_dir() {
            self.links.insert(key, handle);
        }
        self.xattrs(handle, path)?;
        if kind.is_dir() { self.directory(handle, path) } else { Ok(()) }
    }

    fn xattrs(&mut self, handle: InodeHandle, path: &Path) -> Result<(), Box<dyn Error>> {
        let mut names = vec![0; 64 << 10];
        let len = rustix::fs::llistxattr(path, &mut names)?;
        for name in names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
            let name = std::str::from_utf8(name)?;
            let mut value = vec![0; 64 << 10];
            let len = rustix::fs::lgetxattr(path, name, &mut value)?;
            self.builder.set_xattr(handle, name, &value[..len])?;
        }
        Ok(())
    }
}

fn meta(stat: &Metadata) -> Result<Meta, Box<dyn Error>> {
    let mode = u16::try_from(stat.mode() & 0o7777)?;
    Ok(Meta::new(mode, stat.uid(), stat.gid(), (stat.mtime(), u32::try_from(stat.mtime_nsec())?)))
}
