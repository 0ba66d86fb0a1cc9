//! The kernel: a disk mounted in a mount namespace of its own, which ends with the process that
//! holds it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cvbake_tree::{Device, Ino, Kind, Meta, Time, Xattr};

use super::super::seen::{MAX_HASHED, Seen};
use super::super::tools::tool;

/// A mounted disk.
#[derive(Debug)]
pub(crate) struct Mount {
    holder: Child,
    /// Where the disk's root directory is, seen from here.
    pub(crate) root: PathBuf,
    _place: tempfile::TempDir,
}

impl Mount {
    pub(crate) fn read_only(disk: &Path) -> Mount {
        Mount::with(disk, "loop,ro")
    }

    pub(crate) fn read_write(disk: &Path) -> Mount {
        Mount::with(disk, "loop")
    }

    pub(crate) fn with(disk: &Path, options: &str) -> Mount {
        let place = tempfile::tempdir().unwrap();
        // The namespace dies with its only process, and that ends when this one closes its standard
        // input, killed or not.
        let script = "mount -t ext4 -o \"$1\" \"$2\" \"$3\" && echo mounted && read end; umount \"$3\"";
        let mut holder = tool("unshare", "util-linux")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", options])
            .args([disk, place.path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(holder.stdout.as_mut().expect("piped")).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n", "the kernel mounts {}", disk.display());
        let inside = place.path().strip_prefix("/").expect("an absolute path");
        let root = Path::new("/proc").join(holder.id().to_string()).join("root").join(inside);
        Mount { holder, root, _place: place }
    }

    /// A command that is to run where the disk is mounted.
    pub(crate) fn inside(&self, command: &Command) -> Command {
        let mut inside = tool("nsenter", "util-linux");
        inside.arg("--target").arg(self.holder.id().to_string()).arg("--mount").arg(command.get_program());
        inside.args(command.get_args());
        inside
    }

    /// Ends the mount; everything is written when this returns.
    pub(crate) fn unmount(mut self) {
        drop(self.holder.stdin.take());
        let status = self.holder.wait().unwrap();
        assert!(status.success(), "umount: {status}");
    }

    /// The listing of the whole disk.
    pub(crate) fn listing(&self) -> String {
        listing_of(&self.root)
    }
}

/// The listing of a directory, as `lstat`, `readlink`, `lgetxattr` and `read` tell it.
pub(crate) fn listing_of(root: &Path) -> String {
    let mut seen = Seen::new(&meta(root));
    let mut links = HashMap::new();
    let mut stack = vec![(root.to_owned(), Ino::ROOT)];
    while let Some((path, ino)) = stack.pop() {
        for entry in std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            let stat = std::fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if let Some(&first) = links.get(&stat.ino()) {
                seen.link(ino, name.as_bytes(), first);
                continue;
            }
            let child = add(&mut seen, ino, &name, &path, &stat);
            links.insert(stat.ino(), child);
            if stat.is_dir() {
                stack.push((path, child));
            }
        }
    }
    seen.listing()
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        // An error here would hide the failure that unwinds.
        let _ = self.holder.wait();
    }
}

fn add(seen: &mut Seen, parent: Ino, name: &OsStr, path: &Path, stat: &std::fs::Metadata) -> Ino {
    let (meta, name, kind) = (meta(path), name.as_bytes(), stat.file_type());
    let device = Device { major: rustix::fs::major(stat.rdev()), minor: rustix::fs::minor(stat.rdev()) };
    if kind.is_file() {
        let mut content: Box<dyn std::io::Read> = match stat.size() <= MAX_HASHED {
            true => Box::new(std::fs::File::open(path).unwrap().take(u64::MAX)),
            false => Box::new(std::io::empty()),
        };
        return seen.file(parent, name, &meta, stat.size(), &mut content);
    }
    let target;
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        target = std::fs::read_link(path).unwrap();
        Kind::Symlink(target.as_os_str().as_bytes())
    } else if kind.is_char_device() {
        Kind::CharDevice(device)
    } else if kind.is_block_device() {
        Kind::BlockDevice(device)
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        Kind::Socket
    };
    seen.add(parent, name, kind, &meta)
}

fn meta(path: &Path) -> Meta {
    let stat = std::fs::symlink_metadata(path).unwrap();
    let time = |secs, nanos| Time { secs, nanos: u32::try_from(nanos).expect("nanoseconds") };
    Meta {
        mode: u16::try_from(stat.mode() & 0o7777).expect("twelve bits"),
        uid: stat.uid(),
        gid: stat.gid(),
        mtime: time(stat.mtime(), stat.mtime_nsec()),
        atime: Some(time(stat.atime(), stat.atime_nsec())),
        ctime: Some(time(stat.ctime(), stat.ctime_nsec())),
        xattrs: xattrs(path),
    }
}

fn xattrs(path: &Path) -> Vec<Xattr> {
    let mut names = vec![0; 65536];
    let len =
        rustix::fs::llistxattr(path, &mut names[..]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let names = names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 65536];
            let len = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..])
                .unwrap_or_else(|error| panic!("{} of {}: {error}", name.escape_ascii(), path.display()));
            value.truncate(len);
            Xattr { name: name.into(), value: value.into() }
        })
        .collect()
}
