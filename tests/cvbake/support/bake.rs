//! The program itself, run as an ordinary user whatever the tests run as.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::image::{Images, write_layout};
use super::run::{Outcome, Running};
use super::tools::{is_root, run, succeed, tool};

/// The user that tests drop to: nobody.
pub(crate) const USER: u32 = 65534;

/// A folder with an image, a store and an output directory, the latter two writable for the
/// ordinary user.
#[derive(Debug)]
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        let dir = tempfile::Builder::new().prefix("cvbake-test-").tempdir().expect("a temporary directory");
        let place = Place { dir };
        mode(place.path(), 0o755);
        place.writable("out");
        place.writable("home");
        place
    }

    /// A place that holds an image as an OCI layout.
    pub(crate) fn with(images: &Images) -> Place {
        let place = Place::new();
        write_layout(images, &place.path().join("image"));
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes a directory that the ordinary user owns.
    pub(crate) fn writable(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        own(&path);
        path
    }

    /// Where the disk goes.
    pub(crate) fn disk(&self) -> PathBuf {
        self.path().join("out/disk.ext4")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("home/store")
    }

    /// A bake of the layout, as the command line has it.
    pub(crate) fn bake(&self) -> Bake {
        self.bake_source(&format!("oci:{}:latest", self.path().join("image").display()))
    }

    /// A comparison of a disk with the layout.
    pub(crate) fn verify(&self, disk: &Path) -> Bake {
        let image = format!("oci:{}:latest", self.path().join("image").display());
        let verify = Bake::of(&["verify"]).arg(disk).args(["--against", &image]).progress("none");
        verify.platform("linux/amd64").store(&self.store()).env("HOME", self.path().join("home"))
    }

    /// A bake of another source.
    pub(crate) fn bake_source(&self, source: &str) -> Bake {
        let bake = Bake { args: vec!["bake".into(), source.into()], ..Bake::default() };
        let bake = bake.arg("-o").arg(self.disk()).progress("none").platform("linux/amd64");
        bake.store(&self.store()).env("HOME", self.path().join("home"))
    }

    /// Fails if anything but finished outputs lies in the output directory, or anything but
    /// finished entries in the store.
    pub(crate) fn assert_no_leftovers(&self, outputs: &[&str]) {
        let mut found = names(&self.path().join("out"));
        found.retain(|name| !outputs.contains(&name.as_str()));
        assert_eq!(found, [""; 0], "nothing but the outputs in the output directory");
        assert_tidy(&self.store());
    }

    /// The same for a run that was asked to end: the locks that it held stay until the next run,
    /// empty but for how far it was.
    pub(crate) fn assert_no_temporaries(&self) {
        for (dir, most) in [("locks", 8), ("scratch", 0)] {
            for lock in files_below(&self.store().join(dir)) {
                assert!(lock.metadata().unwrap().len() <= most, "a lock: {}", lock.display());
                std::fs::remove_file(lock).unwrap();
            }
        }
        files_below(&self.store().join("pins")).into_iter().for_each(|pin| std::fs::remove_file(pin).unwrap());
        self.assert_no_leftovers(&[]);
    }
}

/// Fails if a store holds anything but entries: files elsewhere, or directories where runs work.
pub(crate) fn assert_tidy(store: &Path) {
    for name in names(store) {
        let left = match name.as_str() {
            "indexes-v1" | "packs-v1" | "notes-v1" | "blobs" | "oci-layout" | "index.json" | "repositories"
            | "sweep.lock" => {
                continue;
            }
            // Empty directories say nothing; what a run works in is removed with it.
            "scratch" => names(&store.join(name)),
            _ => files_below(&store.join(name)).iter().map(|path| path.display().to_string()).collect(),
        };
        assert_eq!(left, [""; 0], "nothing but entries in the store");
    }
}

/// Sets the mode of a file.
pub(crate) fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives a file to the user that the program runs as.
pub(crate) fn own(path: &Path) {
    if is_root() {
        std::os::unix::fs::lchown(path, Some(USER), Some(USER)).unwrap();
    }
}

/// The names in a directory, sorted; none where there is no directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// All files below a directory that are not directories, sorted.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for name in names(dir) {
        let path = dir.join(name);
        match std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files
}

/// A run of the program, not yet started.
#[derive(Debug, Default)]
pub(crate) struct Bake {
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    /// Shell commands in front, such as `umask 077`.
    shell: Vec<String>,
    stdin: Option<PathBuf>,
    keep_root: bool,
    /// Where none is set, the platform is not named at all.
    platform: Option<String>,
    store: Option<PathBuf>,
    progress: Option<String>,
    /// A process in whose mount namespace it runs.
    inside: Option<u32>,
}

impl Bake {
    /// Any command line.
    pub(crate) fn of(args: &[&str]) -> Bake {
        Bake::default().args(args)
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Bake {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args<T: Into<OsString> + Clone>(mut self, args: impl AsRef<[T]>) -> Bake {
        self.args.extend(args.as_ref().iter().cloned().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Bake {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A shell command that runs first, in the same process: `umask`, `ulimit`, `trap`.
    pub(crate) fn shell(mut self, command: &str) -> Bake {
        self.shell.push(command.to_owned());
        self
    }

    pub(crate) fn stdin(mut self, file: PathBuf) -> Bake {
        self.stdin = Some(file);
        self
    }

    /// Another platform than linux/amd64.
    pub(crate) fn platform(mut self, platform: &str) -> Bake {
        self.platform = Some(platform.to_owned());
        self
    }

    /// No platform: the machine's own, or one that is among the arguments.
    pub(crate) fn any_platform(mut self) -> Bake {
        self.platform = None;
        self
    }

    /// Another way of showing progress than not at all.
    pub(crate) fn progress(mut self, progress: &str) -> Bake {
        self.progress = Some(progress.to_owned());
        self
    }

    /// Another store than the place's own.
    pub(crate) fn store(mut self, store: &Path) -> Bake {
        self.store = Some(store.to_owned());
        self
    }

    /// No store at all.
    pub(crate) fn no_cache(mut self) -> Bake {
        self.store = None;
        self.arg("--no-cache")
    }

    /// In the mount namespace of a process; only for root, who drops to the ordinary user there.
    pub(crate) fn inside(mut self, process: u32) -> Bake {
        self.inside = Some(process);
        self
    }

    /// As root, where the tests are.
    pub(crate) fn with_root(mut self) -> Bake {
        self.keep_root = true;
        self
    }

    /// Starts the program.
    pub(crate) fn spawn(&self) -> Running {
        let mut command = if is_root() && !self.keep_root {
            let mut command = match self.inside {
                Some(_) => tool("nsenter", "util-linux"),
                None => tool("setpriv", "util-linux"),
            };
            if let Some(process) = self.inside {
                command.args(["--target", &process.to_string(), "--mount", "setpriv"]);
            }
            let user = USER.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs", "--"]);
            command.args(["sh", "-c"]);
            command
        } else {
            let mut command = tool("sh", "dash");
            command.arg("-c");
            command
        };
        let script: String = self.shell.iter().map(|line| format!("{line} && ")).collect();
        command.arg(format!("{script}exec \"$@\"")).arg("sh").arg(binary()).args(&self.args);
        if let Some(platform) = &self.platform {
            command.args(["--platform", platform]);
        }
        if let Some(store) = &self.store {
            command.arg("--store").arg(store);
        }
        if let Some(progress) = &self.progress {
            command.args(["--progress", progress]);
        }
        // A disk of the same image is made anew, unless a test is about just that.
        command.env("CVBAKE_REUSE", "never");
        command.env_remove("SOURCE_DATE_EPOCH").env_remove("XDG_DATA_HOME").envs(self.env.iter().cloned());
        if let Some(path) = &self.stdin {
            command.stdin(Stdio::from(File::open(path).unwrap()));
        }
        Running::start(&mut command)
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self) -> Outcome {
        self.spawn().wait()
    }

    /// Runs the program, which must succeed.
    pub(crate) fn ok(&self) -> Outcome {
        let outcome = self.run();
        assert!(outcome.code == Some(0), "{}", outcome.describe());
        outcome
    }
}

/// The program, where the ordinary user can reach it: a build below a private home directory is
/// copied.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // CVBAKE_BIN: another build of the program, such as the optimised one.
        let built = std::env::var_os("CVBAKE_BIN").map_or_else(|| env!("CARGO_BIN_EXE_cvbake").into(), PathBuf::from);
        let user = USER.to_string();
        let reach = |path: &Path| {
            let mut command = tool("setpriv", "util-linux");
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "test", "-x"]).arg(path);
            run(&mut command).status.success()
        };
        if !is_root() || reach(&built) {
            return built;
        }
        let dir = tempfile::tempdir().expect("a temporary directory").keep();
        remove_in_the_end(&dir);
        mode(&dir, 0o755);
        let copy = dir.join("cvbake");
        // By another process: a child that another thread forks meanwhile would have it open for
        // writing, so that nobody could run it.
        succeed(tool("cp", "coreutils").arg(&built).arg(&copy));
        copy
    })
}

/// Has a directory removed when this process ends, in whatever way: statics are not dropped, and a
/// test may be killed.
fn remove_in_the_end(dir: &Path) {
    let mut command = tool("sh", "dash");
    command
        .args(["-c", "cat; exec rm -rf \"$1\"", "sh"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Its standard input ends with this process; no other has the other end, because it is closed
    // in children.
    std::mem::forget(command.spawn().expect("a shell"));
}

/// Runs a foreign program as the user that the program runs as.
pub(crate) fn as_user(program: &str, package: &str) -> Command {
    if !is_root() {
        return tool(program, package);
    }
    let user = USER.to_string();
    let mut command = tool("setpriv", "util-linux");
    command
        .args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"])
        .arg(tool(program, package).get_program());
    command
}
