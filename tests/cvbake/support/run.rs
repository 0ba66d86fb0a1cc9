//! A run of the program: under way, and how it ended.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::schema;

/// Far beyond what any test needs: who takes longer hangs.
const HANG: Duration = Duration::from_secs(300);

/// A run under way.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    /// The arguments, if it is ours.
    args: Vec<String>,
    text: String,
    peak_kib: u64,
}

impl Running {
    /// Starts a command, its output going to files that need nobody to read them meanwhile.
    pub(crate) fn start(command: &mut Command) -> Running {
        let file = || tempfile::tempfile().expect("a temporary file");
        let (stdout, stderr) = (file(), file());
        command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
        let args = args.skip_while(|arg| !arg.ends_with("/cvbake")).skip(1).collect();
        Running { child, stdout, stderr, args, text: format!("{command:?}"), peak_kib: 0 }
    }

    /// Sends a signal, if the process is still there.
    pub(crate) fn signal(&mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        if self.running() {
            rustix::process::kill_process(pid, signal).expect("our own child, not yet waited for");
        }
    }

    /// Whether it still runs; notes how much memory it has used so far.
    pub(crate) fn running(&mut self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        self.peak_kib = peak.and_then(|kib| kib.parse().ok()).unwrap_or(0).max(self.peak_kib);
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has written to standard error by now.
    pub(crate) fn said(&self) -> String {
        let mut bytes = vec![0; usize::try_from(self.stderr.metadata().unwrap().len()).unwrap()];
        // At a place of its own: the place where the process writes is left as it is.
        let count = self.stderr.read_at(&mut bytes, 0).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Outcome {
        let start = Instant::now();
        while self.running() {
            if start.elapsed() > HANG {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!("hangs: {}", self.text);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let status = self.child.wait().unwrap();
        let read = |mut file: File| {
            let mut bytes = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (code, signal) = (status.code(), status.signal());
        let outcome = Outcome {
            code,
            signal,
            stdout: read(self.stdout),
            stderr: read(self.stderr),
            peak_kib: self.peak_kib,
            text: self.text,
        };
        assert!(code != Some(101) && !outcome.stderr.contains("panicked"), "a panic: {}", outcome.describe());
        schema::check(&self.args, code, &outcome.stdout, &outcome.stderr);
        outcome
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The most memory it had at once, as far as seen.
    pub(crate) peak_kib: u64,
    text: String,
}

impl Outcome {
    /// Everything, for a message.
    pub(crate) fn describe(&self) -> String {
        let Outcome { code, signal, stdout, stderr, text, .. } = self;
        format!("{text}\ncode {code:?}, signal {signal:?}\n{stdout}{stderr}")
    }

    /// Fails unless it ended in one error line (beside hints and warnings), with one of these
    /// statuses.
    pub(crate) fn error(&self, codes: &[i32]) -> &str {
        let failed = self.code.is_some_and(|code| codes.contains(&code));
        assert!(failed, "expected an error with a status of {codes:?}: {}", self.describe());
        let errors: Vec<_> = self.stderr.lines().filter(|line| is_error(line)).collect();
        assert_eq!(errors.len(), 1, "expected one error line: {}", self.describe());
        let others = self.stderr.lines().filter(|line| !is_error(line));
        let known = |line: &str| ["cvbake: warning:", "cvbake: hint:"].iter().any(|start| line.starts_with(start));
        assert!(others.clone().all(known), "neither error, hint nor warning: {}", self.describe());
        errors[0]
    }

    /// The warnings.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("cvbake: warning:")).collect()
    }
}

fn is_error(line: &str) -> bool {
    line.starts_with("cvbake: error:")
}
