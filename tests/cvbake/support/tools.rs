//! Programs that we did not write.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

/// A program of a Debian package. A missing one fails the test: an oracle that is silently absent
/// proves nothing.
pub(crate) fn tool(name: &str, package: &str) -> Command {
    let path = find(name).unwrap_or_else(|| panic!("{name} is not installed: apt-get install {package}"));
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).env("LC_ALL", "C").env("TZ", "UTC");
    command
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"]);
    folders.map(|folder| PathBuf::from(folder).join(name)).find(|path| path.is_file())
}

/// Runs a program that must succeed, and returns what it wrote.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{text}{}", output.status, stderr(&output));
    text
}

/// Runs a program.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What a program wrote to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Makes a program. Another process writes it: a child that another thread forks meanwhile would
/// have it open for writing, so that nobody could run it.
pub(crate) fn executable(path: &Path, script: &str) {
    let mut command = tool("sh", "dash");
    command.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut child = command.spawn().expect("a shell");
    child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("a shell that reads");
    assert!(child.wait().expect("a shell").success());
}

/// Whether the tests run as root: then they drop to an ordinary user for what is to work without,
/// and can ask the kernel itself what stands on a disk.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Says that a test, or a part of one, cannot run here: at once, and for the summary of
/// `scripts/test`, which fails in continuous integration, where nothing may be left out.
fn left_out(reason: &str, what: &str) {
    let test = std::thread::current().name().unwrap_or("a thread").to_owned();
    // Not `eprintln!`, which is kept from who watches a test that passes.
    writeln!(std::io::stderr(), "LEFT OUT {reason}: {test}: {what}").expect("standard error");
    if let Some(summary) = std::env::var_os("CVBAKE_LEFT_OUT") {
        let mut file = File::options().append(true).open(summary).expect("the summary of scripts/test");
        // One write: other processes append, too.
        file.write_all(format!("{reason}\t{test}\t{what}\n").as_bytes()).expect("the summary of scripts/test");
    }
}

/// Whether temporary files lie on a disk; if not, what needs that is left out.
pub(crate) fn needs_disk(what: &str) -> bool {
    let found = rustix::fs::statfs(std::env::temp_dir()).expect("a directory for temporary files");
    // TMPFS_MAGIC.
    let on_disk = found.f_type != 0x0102_1994;
    if !on_disk {
        left_out("with temporary files in memory (TMPDIR says where else)", what);
    }
    on_disk
}

/// Whether the tests run as root; if not, what needs that is left out.
pub(crate) fn needs_root(what: &str) -> bool {
    if !is_root() {
        left_out("without root", what);
    }
    is_root()
}

/// Whether the tests may mount; if not, what needs that is left out. Root may not in most
/// containers.
pub(crate) fn needs_mounts(what: &str) -> bool {
    static MAY_MOUNT: LazyLock<bool> = LazyLock::new(|| {
        let unshared = run(tool("unshare", "util-linux").args(["--mount", "true"])).status.success();
        unshared && Path::new("/dev/loop-control").exists()
    });
    if !needs_root(what) {
        return false;
    }
    if !*MAY_MOUNT {
        left_out("without the right to mount", what);
    }
    *MAY_MOUNT
}

/// Whether what is mounted may be resized, which containers and virtual machines often withhold
/// even from root; if not, it is left out.
pub(crate) fn needs_resize(what: &str) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says it");
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("Linux says it");
    let may = u64::from_str_radix(capabilities, 16).expect("Linux says it") & 1 << 24 != 0;
    if !may {
        left_out("without CAP_SYS_RESOURCE", what);
    }
    may
}
