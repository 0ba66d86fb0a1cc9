//! Small filesystems of the tests' own: full, with a quota, or with blocks that can't be read.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::tools::{run, succeed, tool};

/// The blocks that btrfs has checksums of.
const BLOCK: usize = 4096;

/// How btrfs is mounted so that small files, too, stand in blocks of their own.
const APART: &str = "loop,max_inline=0";

/// A small filesystem, mounted in a mount namespace of its own that ends with this value.
pub(crate) struct Small {
    pub(crate) holder: Child,
    /// Where it is, for who is inside.
    path: PathBuf,
}

impl Small {
    pub(crate) fn mount(path: &Path, size: &str) -> Small {
        Small::made_by("mount -t tmpfs -o \"size=$1,mode=777\" none \"$2\"", path, size)
    }

    /// One with room enough, of which no more than this may be used.
    pub(crate) fn with_quota(path: &Path, limit: &str) -> Small {
        // The script needs it, and says less when it is missing.
        drop(tool("mkfs.btrfs", "btrfs-progs"));
        let script = "truncate -s 300M \"$2.img\" && mkfs.btrfs -q \"$2.img\" >&2 && mount -o loop \"$2.img\" \"$2\" && \
                      chmod 777 \"$2\" && btrfs quota enable \"$2\" && btrfs qgroup limit \"$1\" \"$2\"";
        Small::made_by(script, path, limit)
    }

    /// One on which every byte of content stands once, in a block that has a checksum: for
    /// [`Small::spoil`].
    pub(crate) fn checksummed(path: &Path) -> Small {
        drop(tool("mkfs.btrfs", "btrfs-progs"));
        let script = format!(
            "truncate -s \"$1\" \"$2.img\" && mkfs.btrfs -q -d single -m single \"$2.img\" >&2 && \
             mount -o {APART} \"$2.img\" \"$2\" && chmod 777 \"$2\""
        );
        Small::made_by(&script, path, "128M")
    }

    fn made_by(mount: &str, path: &Path, size: &str) -> Small {
        let script = &format!("{mount} && echo mounted && read end");
        let mut holder = tool("unshare", "util-linux")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", size])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(holder.stdout.as_mut().expect("piped"));
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        assert_eq!(line, "mounted\n");
        Small { holder, path: path.to_owned() }
    }

    /// Where it is, for who is outside.
    pub(crate) fn outside(&self) -> PathBuf {
        let inside = self.path.strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside)
    }

    pub(crate) fn grow(&self, size: &str) {
        self.remount(&format!("size={size}"));
    }

    pub(crate) fn remount(&self, option: &str) {
        self.run(&["mount", "-o", &format!("remount,{option}")]);
    }

    pub(crate) fn raise_quota(&self, limit: &str) {
        // To say so takes room, too, of which there may be none until what was written last is on
        // the disk.
        let raise = &["btrfs", "qgroup", "limit", limit];
        for _ in 0..150 {
            self.run(&["btrfs", "filesystem", "sync"]);
            if run(&mut self.command(raise)).status.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        self.run(raise);
    }

    /// Makes the block of a file that begins at an offset one that can't be read any more.
    pub(crate) fn spoil(&self, file: &Path, offset: u64) {
        let inside = file.strip_prefix(&self.path).expect("a file of this filesystem");
        let mut block = Vec::new();
        let mut file = File::open(self.outside().join(inside)).unwrap();
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.take(BLOCK as u64).read_to_end(&mut block).unwrap();
        assert!(!block.is_empty(), "{} has no byte {offset}", inside.display());
        block.resize(BLOCK, 0);
        self.run(&["umount"]);
        let path = self.path.with_extension("img");
        let image = File::options().read(true).write(true).open(&path).unwrap();
        let mut piece = vec![0; 256 * BLOCK];
        let mut found = 0;
        for at in (0..image.metadata().unwrap().len()).step_by(piece.len()) {
            image.read_exact_at(&mut piece, at).unwrap();
            for (number, _) in piece.chunks(BLOCK).enumerate().filter(|(_, other)| *other == block) {
                // One that a removed file has left does no harm.
                image.write_all_at(&[!block[0]], at + (number * BLOCK) as u64).unwrap();
                found += 1;
            }
        }
        assert!(found > 0, "{} stands nowhere in {}", inside.display(), path.display());
        self.run(&["mount", "-o", APART, &path.display().to_string()]);
    }

    /// Runs a program with the filesystem as its last argument.
    fn run(&self, program: &[&str]) {
        succeed(&mut self.command(program));
    }

    fn command(&self, program: &[&str]) -> Command {
        let mut command = tool("nsenter", "util-linux");
        command.arg("--target").arg(self.holder.id().to_string()).arg("--mount").args(program).arg(&self.path);
        command
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        // An error here would hide the failure that unwinds.
        let _ = self.holder.wait();
    }
}
