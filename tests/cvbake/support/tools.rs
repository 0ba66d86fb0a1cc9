//! Programs that we did not write.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A program of a Debian package. A missing one fails the test: an oracle that is silently absent proves nothing.
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

/// Whether the tests run as root: then they drop to an ordinary user for what is to work without, and can ask the
/// kernel itself what stands on a disk.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Says that something is left out because temporary files lie in memory. CI has them on a disk, so there it is a failure.
pub(crate) fn needs_disk(what: &str) -> bool {
    let found = rustix::fs::statfs(std::env::temp_dir()).expect("a directory for temporary files");
    // TMPFS_MAGIC.
    let on_disk = found.f_type != 0x0102_1994;
    if !on_disk {
        assert!(
            std::env::var_os("CI").is_none(),
            "{what} needs temporary files on a disk, and CI must not leave it out"
        );
        eprintln!("LEFT OUT with temporary files in memory (TMPDIR says where else): {what}");
    }
    on_disk
}

/// Says that something is left out for want of root. CI has root, so there it is a failure.
pub(crate) fn needs_root(what: &str) -> bool {
    if !is_root() {
        assert!(std::env::var_os("CI").is_none(), "{what} needs root, and CI must not leave it out");
        eprintln!("LEFT OUT without root: {what}");
    }
    is_root()
}
