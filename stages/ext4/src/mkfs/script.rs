//! The script that makes debugfs give each inode what the tree says.
//!
//! debugfs splits a line into words at blanks; in double quotes stands anything but a newline, a
//! quote doubled. Inodes are addressed by number, and values stand in files with names of ours.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use cvbake_tree::{Ino, Inode, Kind, Place, Time, Tree};

use super::Error;
use super::inodes::{MAX_SUBDIRECTORIES, Map, i_mode};
use super::programs::SCRIPT;
use super::stage::{As, Staged, staged_as};
use crate::format::inode::{I_BLOCK_LEN, encode_device, encode_time};

/// The deepest directory: mke2fs keeps whole paths in a buffer that it outgrows before 3000 levels,
/// with a crash.
const MAX_DEPTH: u32 = 1000;

/// Refuses what e2fsprogs can't hold.
pub(super) fn check(tree: &Tree) -> Result<(), Error> {
    let cannot = |inode, what| Err(Error::CannotHold { path: Place::of(inode), what });
    if let Some(inode) = tree.root().child(b"lost+found").filter(|inode| !inode.is_dir()) {
        return cannot(inode, "this name as anything but a directory");
    }
    let mut depths = vec![0u32; tree.inode_count()];
    for inode in tree.inodes() {
        // In canonical order the parent comes first.
        if let Some(parent) = inode.parent().filter(|parent| parent.ino() != inode.ino()) {
            depths[inode.ino().index()] = depths[parent.ino().index()] + 1;
            if depths[inode.ino().index()] > MAX_DEPTH {
                return cannot(inode, "directories more than 1000 deep");
            }
        }
        if inode.xattrs().iter().any(|xattr| xattr.name.contains(&b'\n')) {
            return cannot(inode, "an extended attribute with a newline in its name");
        }
        if inode.child_count() > MAX_SUBDIRECTORIES
            && inode.children().filter(|(_, child)| child.is_dir()).count() > MAX_SUBDIRECTORIES
        {
            return cannot(inode, "more than 65000 directories in one");
        }
    }
    Ok(())
}

/// Writes the script, and the values of extended attributes, to the scratch directory.
pub(super) fn write(tree: &Tree, map: &Map, staged: &Staged, scratch: &Path) -> Result<(), Error> {
    write_values(tree, scratch)?;
    let path = scratch.join(SCRIPT);
    let error = |source| Error::Io { path: path.clone(), source };
    let mut script = BufWriter::new(File::create(&path).map_err(error)?);
    // Names are hashed as on a machine whose `char` has no sign, whatever this one's has. No
    // directory is indexed yet.
    writeln!(script, "set_super_value flags 2").map_err(error)?;
    for inode in tree.inodes() {
        let copied = inode.ino() != Ino::ROOT || map.root_has_xattrs;
        let foreign = staged.xattrs.get(&inode.ino()).filter(|_| copied).map_or(&[][..], Vec::as_slice);
        write_inode(&mut script, inode, map.number(inode.ino()), foreign).map_err(error)?;
    }
    script.flush().map_err(error)
}

fn write_inode(script: &mut dyn Write, inode: Inode<'_>, number: u32, foreign: &[Vec<u8>]) -> io::Result<()> {
    let mut set = |field: &str, value: &dyn std::fmt::Display| writeln!(script, "sif <{number}> {field} {value}");
    set("mode", &format_args!("0{:o}", i_mode(inode)))?;
    set("uid", &inode.uid())?;
    set("gid", &inode.gid())?;
    for (field, time) in [("atime", inode.atime()), ("ctime", inode.ctime()), ("mtime", inode.mtime())] {
        let Time { secs, nanos } = time;
        let (seconds, extra) = encode_time(secs, nanos);
        // Raw values, one after the other: setting the seconds may change the extra bits.
        set(field, &format_args!("@{seconds}"))?;
        set(&format!("{field}_extra"), &extra)?;
    }
    match (inode.kind(), staged_as(inode)) {
        (Kind::CharDevice(device) | Kind::BlockDevice(device), _) => {
            let words = encode_device(device.major, device.minor);
            set("block[0]", &words[0])?;
            set("block[1]", &words[1])?;
        }
        (Kind::Symlink(target), As::Fifo) => {
            set("size", &target.len())?;
            let mut bytes = [0; I_BLOCK_LEN];
            bytes[..target.len()].copy_from_slice(target);
            for (at, word) in bytes.chunks_exact(4).enumerate() {
                let word = u32::from_le_bytes(word.try_into().expect("four bytes"));
                match at {
                    12 => set("block[IND]", &word)?,
                    13 => set("block[DIND]", &word)?,
                    14 => set("block[TIND]", &word)?,
                    _ => set(&format!("block[{at}]"), &word)?,
                }
            }
        }
        _ => {}
    }
    for name in foreign {
        write!(script, "ea_rm <{number}> ")?;
        write_quoted(script, name)?;
    }
    for (at, xattr) in inode.xattrs().iter().enumerate() {
        write!(script, "ea_set -f {} <{number}> ", value_file(inode, at))?;
        write_quoted(script, &xattr.name)?;
    }
    Ok(())
}

/// One last word of a line.
fn write_quoted(script: &mut dyn Write, word: &[u8]) -> io::Result<()> {
    script.write_all(b"\"")?;
    for part in word.split_inclusive(|&byte| byte == b'"') {
        script.write_all(part)?;
        if part.ends_with(b"\"") {
            script.write_all(b"\"")?;
        }
    }
    script.write_all(b"\"\n")
}

fn value_file(inode: Inode<'_>, at: usize) -> String {
    format!("value-{}-{at}", inode.xattr_set())
}

fn write_values(tree: &Tree, scratch: &Path) -> Result<(), Error> {
    let mut written = vec![false; 1];
    for inode in tree.inodes() {
        let set = inode.xattr_set();
        if set >= written.len() {
            written.resize(set + 1, false);
        }
        if std::mem::replace(&mut written[set], true) {
            continue;
        }
        for (at, xattr) in inode.xattrs().iter().enumerate() {
            let path = scratch.join(value_file(inode, at));
            std::fs::write(&path, &xattr.value).map_err(|source| Error::Io { path, source })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cvbake_tree::{Builder, Kind, Meta};

    use super::*;

    #[test]
    fn depth_has_a_limit() {
        let nested = |levels: u32| {
            let mut builder = Builder::new(&Meta::default());
            let mut directory = Ino::ROOT;
            for _ in 0..levels {
                directory = builder.add(directory, b"d", Kind::Directory, &Meta::default()).unwrap();
            }
            check(&builder.finish().unwrap())
        };
        assert!(nested(MAX_DEPTH).is_ok());
        assert!(matches!(nested(MAX_DEPTH + 1), Err(Error::CannotHold { .. })));
    }
}
