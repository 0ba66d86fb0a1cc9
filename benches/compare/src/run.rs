//! Runs programs, and says what they have used.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use wait4::Wait4 as _;

/// Who runs what needs no root: nobody, on every Debian.
pub(crate) const NOBODY: u32 = 65534;

/// Whether the user has asked to stop.
static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on an interrupt ends the run that is being measured, and then this program, in good
/// order.
pub(crate) fn catch_interrupts() -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, INTERRUPTED.clone()).context("catching interrupts")?;
    }
    Ok(())
}

/// A program to run as one part of a measurement.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    argv: Vec<String>,
    root: bool,
}

impl Step {
    /// A program that runs as an ordinary user.
    pub(crate) fn user(argv: &[&str]) -> Self {
        Self { argv: argv.iter().map(|&arg| arg.to_owned()).collect(), root: false }
    }

    /// A program that runs as root.
    pub(crate) fn root(argv: &[&str]) -> Self {
        Self { root: true, ..Self::user(argv) }
    }
}

/// What one run of a contender took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// From the start to the end of the last step.
    pub(crate) wall_s: f64,
    /// Of all processes, in the kernel and outside.
    pub(crate) cpu_s: f64,
    /// The largest resident set of any process.
    pub(crate) rss_bytes: u64,
    /// How long the filesystem then needed until everything was on stable storage.
    pub(crate) sync_s: f64,
}

/// How a run ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// There is a disk.
    Done(Usage),
    /// A step failed, with this last line of standard error.
    Failed(String),
    /// Killed after so many seconds.
    Killed(u64),
}

/// Runs the steps in a directory, one after the other, and then has its filesystem written out.
pub(crate) fn measure(steps: &[Step], directory: &Path, limit: Duration) -> Result<Outcome> {
    let start = Instant::now();
    let mut usage = Usage { wall_s: 0.0, cpu_s: 0.0, rss_bytes: 0, sync_s: 0.0 };
    for step in steps {
        let left = limit.saturating_sub(start.elapsed());
        match one(step, directory, left, &mut usage)? {
            End::Success => {}
            End::Failure(line) => return Ok(Outcome::Failed(line)),
            End::TimedOut => return Ok(Outcome::Killed(limit.as_secs())),
        }
    }
    usage.wall_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    sync(directory)?;
    usage.sync_s = start.elapsed().as_secs_f64();
    Ok(Outcome::Done(usage))
}

enum End {
    Success,
    Failure(String),
    TimedOut,
}

fn one(step: &Step, directory: &Path, limit: Duration, usage: &mut Usage) -> Result<End> {
    let mut stderr = std::fs::File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(directory.join("stderr"))
        .context("a file for what a program says")?;
    let mut command = Command::new(&step.argv[0]);
    command.args(&step.argv[1..]).current_dir(directory).process_group(0);
    // Nothing of whoever runs this: no configuration, no credentials, no other temporary folder.
    command.env("HOME", directory).env("TMPDIR", directory).env_remove("XDG_RUNTIME_DIR");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.try_clone().context("a second handle")?);
    if !step.root {
        command.uid(NOBODY).gid(NOBODY);
    }
    let child = command.spawn().with_context(|| format!("starting {}", step.argv[0]))?;
    let group = Pid::from_child(&child);
    let (done, ended) = mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || watch(group, limit, &ended));
    let resources = child.wait4().context("waiting for a program")?;
    drop(done);
    let timed_out = watcher.join().map_err(|_| anyhow::anyhow!("the thread that watches the time has panicked"))?;
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    usage.cpu_s += (resources.rusage.utime + resources.rusage.stime).as_secs_f64();
    usage.rss_bytes = usage.rss_bytes.max(resources.rusage.maxrss);
    Ok(match (timed_out, resources.status.success()) {
        (true, _) => End::TimedOut,
        (false, true) => End::Success,
        (false, false) => {
            let mut said = Vec::new();
            stderr
                .seek(SeekFrom::Start(0))
                .and_then(|_| stderr.read_to_end(&mut said))
                .context("what a program said")?;
            let said = String::from_utf8_lossy(&said);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing on standard error");
            let program = Path::new(&step.argv[0]).file_name().unwrap_or_default();
            End::Failure(format!("{}: {}: {last}", program.display(), resources.status))
        }
    })
}

/// Kills a process group when its time is up or the user wants to stop; returns whether the time
/// was up.
fn watch(group: Pid, limit: Duration, ended: &mpsc::Receiver<()>) -> bool {
    let start = Instant::now();
    loop {
        let timed_out = start.elapsed() >= limit;
        if timed_out || INTERRUPTED.load(Ordering::Relaxed) {
            // It may have ended in this very moment.
            _ = kill_process_group(group, Signal::KILL);
            return timed_out;
        }
        let pause = Duration::from_millis(200).min(limit - start.elapsed().min(limit));
        if let Err(mpsc::RecvTimeoutError::Disconnected) = ended.recv_timeout(pause) {
            return false;
        }
    }
}

/// Has a directory's filesystem written to stable storage.
pub(crate) fn sync(directory: &Path) -> Result<()> {
    let file = std::fs::File::open(directory).with_context(|| directory.display().to_string())?;
    rustix::fs::syncfs(file).with_context(|| format!("writing out the filesystem of {}", directory.display()))
}

/// Runs a program that must succeed, unless the user has asked to stop, and returns its standard
/// output.
pub(crate) fn tool<I: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = I>) -> Result<String> {
    let said = clean_up(program, args);
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    said
}

/// Runs a program that must succeed even when the user has asked to stop, and returns its standard
/// output.
pub(crate) fn clean_up<I: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = I>) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stderr(Stdio::inherit());
    // What cargo tells a program that it runs would be news to a cargo that this one runs, and much
    // be compiled again for it.
    let told = |name: &OsString| {
        ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
    };
    for name in std::env::vars_os().map(|(name, _)| name).filter(told) {
        command.env_remove(name);
    }
    let output = command.output().with_context(|| format!("starting {program} (scripts/setup bench installs it)"))?;
    if !output.status.success() {
        bail!("{program}: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("what {program} prints is not UTF-8"))
}

/// Runs one of the scripts in Python.
pub(crate) fn python<I: AsRef<OsStr>>(script: &str, args: impl IntoIterator<Item = I>) -> Result<String> {
    let script = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/python")).join(script);
    let mut all = vec![script.into_os_string()];
    all.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
    tool("python3", all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, limit: Duration) -> Outcome {
        let directory = std::env::temp_dir().join(format!("cvbake-compare-{}-{}", std::process::id(), script.len()));
        std::fs::create_dir_all(&directory).unwrap();
        let outcome = measure(&[Step::root(&["sh", "-c", script])], &directory, limit).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        outcome
    }

    #[test]
    fn what_a_program_uses_is_measured() {
        let Outcome::Done(usage) = run("echo done", Duration::from_secs(60)) else { panic!("it failed") };
        assert!(usage.wall_s > 0.0 && usage.rss_bytes > 0);
    }

    #[test]
    fn a_failure_says_its_last_line() {
        let Outcome::Failed(line) = run("echo first >&2; echo last >&2; exit 3", Duration::from_secs(60)) else {
            panic!("it did not fail")
        };
        assert_eq!(line, "sh: exit status: 3: last");
    }

    #[test]
    fn what_takes_too_long_is_killed_with_its_children() {
        let outcome = run("sleep 600 & wait", Duration::ZERO);
        assert!(matches!(outcome, Outcome::Killed(0)), "{outcome:?}");
    }
}
