//! Finding and running e2fsprogs.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use super::{Disk, Error};
use crate::Options;
use crate::format::BLOCK_SIZE;
use crate::format::inode::INODE_SIZE;

/// Where the programs are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Programs {
    mke2fs: PathBuf,
    debugfs: PathBuf,
    e2fsck: PathBuf,
    resize2fs: PathBuf,
}

/// Where e2fsprogs is on systems that don't have these directories in an ordinary user's search
/// path.
const SYSTEM_DIRS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

impl Programs {
    /// Looks for the programs in a search path (the value of `PATH`), then where systems keep them.
    ///
    /// # Errors
    /// When one is missing.
    pub fn find(search_path: &OsStr) -> Result<Programs, Error> {
        let find = |program: &'static str| {
            // A relative directory in a search path means another program after every change of
            // directory.
            let dirs = std::env::split_paths(search_path).filter(|dir| dir.is_absolute());
            let mut paths = dirs.chain(SYSTEM_DIRS.map(PathBuf::from)).map(|dir| dir.join(program));
            paths.find(|path| path.is_file()).ok_or(Error::Missing { program })
        };
        Ok(Programs {
            mke2fs: find("mke2fs")?,
            debugfs: find("debugfs")?,
            e2fsck: find("e2fsck")?,
            resize2fs: find("resize2fs")?,
        })
    }
}

// Programs run in the scratch directory and are given names of ours in it. Paths chosen by the user
// could mean something to them: `=` and `?` in the name of a filesystem do.

/// The script for debugfs.
pub(super) const SCRIPT: &str = "script";
/// What a program says.
const OUTPUT: &str = "output";
/// A symbolic link to the disk's descriptor.
const DISK: &str = "disk";
/// Instead of the machine's configuration of mke2fs and e2fsck, on which the disk must not depend.
const CONFIG: &str = "config";
const CONFIG_TEXT: &str =
    "[defaults]\n\tdefault_mntopts = acl,user_xattr,journal_data_ordered\n[fs_types]\n\text4 = {\n\t}\n";

/// How much of a program's output stands in an error: enough for the line that matters, and still
/// one line.
const OUTPUT_MAX: u64 = 600;

/// One disk, and what all programs that work on it have in common.
#[derive(Debug)]
pub(super) struct Run<'a> {
    programs: &'a Programs,
    scratch: &'a Path,
    environment: Vec<(OsString, OsString)>,
    /// The disk, as the programs inherit it.
    _disk: OwnedFd,
}

impl<'a> Run<'a> {
    pub(super) fn new(programs: &'a Programs, scratch: &'a Path, disk: Disk<'_>, epoch: i64) -> Result<Run<'a>, Error> {
        // Unlike other descriptors, the copy stays open in programs.
        let inherited = rustix::io::dup(disk.file).map_err(|source| disk.error(source.into()))?;
        let config = scratch.join(CONFIG);
        std::fs::write(&config, CONFIG_TEXT).map_err(|source| Error::Io { path: config, source })?;
        let link = scratch.join(DISK);
        let descriptor = cvbake_durable::system::descriptor_path(&inherited);
        std::os::unix::fs::symlink(descriptor, &link).map_err(|source| Error::Io { path: link, source })?;
        // e2fsprogs takes zero for "no time given", and has 32 bits for it.
        let now = OsString::from(epoch.clamp(1, i64::from(u32::MAX)).to_string());
        let environment = vec![
            ("LC_ALL".into(), "C".into()),
            ("E2FSPROGS_FAKE_TIME".into(), now.clone()),
            ("E2FSCK_TIME".into(), now),
            ("MKE2FS_CONFIG".into(), CONFIG.into()),
            ("E2FSCK_CONFIG".into(), CONFIG.into()),
        ];
        Ok(Run { programs, scratch, environment, _disk: inherited })
    }

    /// Makes the filesystem from what is staged.
    pub(super) fn mke2fs(&self, options: &Options, blocks: u64, inodes: u64, journal_blocks: u64) -> Result<(), Error> {
        const MIB: u64 = 1024 * 1024;
        // All of ext4 that the native writer uses, and nothing else.
        let mut features = "none,ext_attr,resize_inode,dir_index,filetype,extent,flex_bg,sparse_super,large_file,\
                            huge_file,dir_nlink,extra_isize,metadata_csum"
            .to_owned();
        if blocks > u64::from(u32::MAX) {
            features.push_str(",64bit,^resize_inode");
        }
        let mut args: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: OsString| args.extend([name.into(), value]);
        if journal_blocks > 0 {
            features.push_str(",has_journal");
            option("-J", format!("size={}", journal_blocks * BLOCK_SIZE / MIB).into());
        }
        option("-t", "ext4".into());
        option("-O", features.into());
        option("-b", BLOCK_SIZE.to_string().into());
        option("-I", INODE_SIZE.to_string().into());
        option("-N", inodes.to_string().into());
        option("-m", "0".into());
        option("-U", uuid(&options.uuid).into());
        let seed = uuid(&options.hash_seed);
        option("-E", format!("hash_seed={seed},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0").into());
        if !options.label.is_empty() {
            option("-L", OsString::from_vec(options.label.clone()));
        }
        option("-d", super::stage::TREE.into());
        args.extend(["-q".into(), "-F".into(), "--".into(), DISK.into(), blocks.to_string().into()]);
        let run = self.run(&self.programs.mke2fs, args, Said::Everything)?;
        if run.code == Some(0) { Ok(()) } else { Err(run.failed()) }
    }

    /// Runs the script.
    pub(super) fn debugfs(&self) -> Result<(), Error> {
        let args = vec!["-w".into(), "-f".into(), SCRIPT.into(), DISK.into()];
        let mut run = self.run(&self.programs.debugfs, args, Said::Errors)?;
        // It succeeds whatever happens; all it says on standard error when nothing does is its
        // version.
        match run.lines()?.find(|line| !line.starts_with("debugfs ")) {
            Some(complaint) => Err(run.failed_with(&[&complaint])),
            None if run.code == Some(0) => Ok(()),
            None => Err(run.failed()),
        }
    }

    /// Corrects the types in the names of former placeholders, and indexes directories.
    pub(super) fn repair(&self) -> Result<(), Error> {
        let args = vec!["-f".into(), "-y".into(), "-D".into(), DISK.into()];
        let mut run = self.run(&self.programs.e2fsck, args, Said::Everything)?;
        // It answers all questions with yes; those that we don't expect are about something that
        // went wrong.
        let mut asked = String::new();
        for line in run.lines()? {
            if line.ends_with("? yes") && !is_expected(&line) && !is_expected(&asked) {
                return Err(run.failed_with(&[&asked, &line]));
            }
            if !line.is_empty() {
                asked = line;
            }
        }
        if matches!(run.code, Some(0 | 1)) { Ok(()) } else { Err(run.failed()) }
    }

    /// Cuts the filesystem to a number of blocks, or to the smallest possible.
    pub(super) fn resize(&self, blocks: Option<u64>) -> Result<(), Error> {
        let args = match blocks {
            None => vec!["-M".into(), DISK.into()],
            Some(blocks) => vec![DISK.into(), blocks.to_string().into()],
        };
        let run = self.run(&self.programs.resize2fs, args, Said::Everything)?;
        if run.code == Some(0) { Ok(()) } else { Err(run.failed()) }
    }

    /// Lets e2fsck look at the result; it must have nothing to say.
    pub(super) fn check(&self) -> Result<(), Error> {
        let args = vec!["-f".into(), "-n".into(), DISK.into()];
        let mut run = self.run(&self.programs.e2fsck, args, Said::Everything)?;
        let question = run.lines()?.find(|line| line.ends_with("? no"));
        if run.code == Some(0) && question.is_none() { Ok(()) } else { Err(run.failed()) }
    }

    fn run(&self, program: &Path, args: Vec<OsString>, said: Said) -> Result<Finished, Error> {
        let path = self.scratch.join(OUTPUT);
        // To a file: what a program says can be long, and is of interest only at the end.
        let command =
            duct::cmd(program, args).dir(self.scratch).full_env(self.environment.iter().cloned()).stdin_null();
        let command = match said {
            Said::Everything => command.stdout_to_stderr(),
            Said::Errors => command.stdout_null(),
        };
        let output = command.stderr_path(&path).unchecked().run();
        let output = output.map_err(|source| Error::Start { program: program.to_owned(), source })?;
        let status = match (output.status.code(), output.status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
        };
        let file = File::open(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok(Finished { program: program.to_owned(), code: output.status.code(), status, file, path })
    }
}

/// Which of a program's streams are kept.
#[derive(Clone, Copy)]
enum Said {
    Everything,
    Errors,
}

/// A program that has ended.
struct Finished {
    program: PathBuf,
    code: Option<i32>,
    status: String,
    file: File,
    path: PathBuf,
}

impl Finished {
    /// All that it said.
    fn lines(&mut self) -> Result<impl Iterator<Item = String> + use<>, Error> {
        let error = |source| Error::Io { path: self.path.clone(), source };
        let file = self.file.try_clone().and_then(|mut file| file.rewind().map(|()| file)).map_err(error)?;
        let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
        Ok(lines.map(|line| String::from_utf8_lossy(&line).trim_end().to_owned()))
    }

    /// The error that quotes the end of what it said.
    fn failed(mut self) -> Error {
        let mut end = Vec::new();
        let len = self.file.seek(SeekFrom::End(0)).unwrap_or(0);
        let from = SeekFrom::Start(len.saturating_sub(OUTPUT_MAX));
        // Whatever can't be read is missing in a message.
        let _ = self.file.seek(from).and_then(|_| self.file.take(OUTPUT_MAX).read_to_end(&mut end));
        let text = String::from_utf8_lossy(&end).into_owned();
        failed(self.program, self.status, text.lines())
    }

    /// The error that quotes some lines.
    fn failed_with(self, lines: &[&str]) -> Error {
        failed(self.program, self.status, lines.iter().copied())
    }
}

fn failed<'l>(program: PathBuf, status: String, lines: impl Iterator<Item = &'l str>) -> Error {
    let lines: Vec<_> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut output = String::new();
    for char in lines.join("; ").chars() {
        // What programs say has names of the image in it, and those may have anything.
        if char.is_control() { output.extend(char.escape_default()) } else { output.push(char) }
    }
    Error::Failed { program, status, output }
}

/// Whether e2fsck tells of something that is as it should be before the repair: the type in a
/// placeholder's name, and the extents of files, which libext2fs leaves in more blocks than they
/// need.
fn is_expected(line: &str) -> bool {
    let mut words = line.split(' ');
    let extents = words.next() == Some("Inode")
        && words.next().is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        && words.next() == Some("extent")
        && words.next() == Some("tree");
    // Before it stand names of the image, which may say anything.
    let types = line.rsplit_once(" has an incorrect filetype (was ").is_some_and(|(entry, types)| {
        entry.starts_with("Entry '") && types.bytes().all(|byte| b"0123456789, shouldbe).".contains(&byte))
    });
    extents || types
}

/// A UUID as text.
fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
        write!(text, "{dash}{byte:02x}").expect("a string takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_of_e2fsck() {
        for (line, expected) in [
            ("Entry 'null' in /dev (12) has an incorrect filetype (was 5, should be 3).", true),
            ("Entry 'a b.' in ??? (12) has an incorrect filetype (was 1, should be 7).", true),
            ("Inode 12 extent tree (at level 1) could be narrower.  Optimize? yes", true),
            ("Entry ' has an incorrect filetype (was 5, should be 3).' in / (2) is duplicate.  Fix? yes", false),
            ("Entry 'Inode 12 extent tree' in / (2) has deleted/unused inode 17.  Clear? yes", false),
            ("Inode 2 ref count is 104, should be 5.  Fix? yes", false),
            ("Unattached inode 14", false),
            ("", false),
        ] {
            assert_eq!(is_expected(line), expected, "{line}");
        }
    }

    #[test]
    fn what_a_program_says_is_one_line() {
        let said = ["  mke2fs: bad \x1b[2Jname", "", "and more "];
        let error = failed("/sbin/mke2fs".into(), "exit status 1".to_owned(), said.into_iter());
        assert_eq!(error.to_string(), "/sbin/mke2fs failed (exit status 1): mke2fs: bad \\u{1b}[2Jname; and more");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Programs::find(OsStr::new("relative:/nowhere"));
        let installed = SYSTEM_DIRS.iter().any(|dir| Path::new(dir).join("mke2fs").is_file());
        assert_eq!(error.is_ok(), installed);
        assert_eq!(uuid(&[0xab; 16]), "abababab-abab-abab-abab-abababababab");
    }
}
