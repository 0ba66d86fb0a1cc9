//! Programs that keep credentials: `docker-credential-<helper>`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::credentials::{problem, read_bounded};
use super::options::Options;
use super::problem::{Problem, shorten};

/// How long between two looks at whether a helper has ended that has answered: most have by then.
const LOOK: Duration = Duration::from_millis(5);

/// Has `docker-credential-<helper>` do something; nothing, if it knows no such credentials.
pub(super) fn run_helper(
    path: &Path,
    helper: &str,
    action: &str,
    input: &[u8],
    options: &Options,
) -> Result<Option<Vec<u8>>, Problem> {
    if !is_helper(helper) {
        return Err(problem(path, format!("{:?} is not the name of a credential helper", shorten(helper))));
    }
    let program = format!("docker-credential-{helper}");
    let failed = |reason: String| problem(path, format!("{program}: {reason}"));
    let place = options.helper_path.as_ref().map_or_else(|| PathBuf::from(&program), |dir| dir.join(&program));
    let mut child = Command::new(place)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let done = converse(&mut child, input, options.helper_timeout);
    if done.is_err() {
        // It may have ended; then there is nothing to kill.
        let _ = child.kill();
        let _ = child.wait();
    }
    let (output, status) = done.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        let text = String::from_utf8_lossy(&output);
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(format!("{status}: {:?}", shorten(&text))));
    }
    Ok(Some(output))
}

/// Whether a name is that of a program and not a path to one somewhere else.
fn is_helper(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(plain)
}

/// Gives the helper its question, takes its answer, and sees it end, all within the limit.
fn converse(child: &mut Child, input: &[u8], limit: Duration) -> io::Result<(Vec<u8>, ExitStatus)> {
    let end = Instant::now() + limit;
    let late = |what: &str| io::Error::other(format!("{what} within {} s", limit.as_secs_f32()));
    let (stdin, stdout) = (child.stdin.take().expect("it is piped"), child.stdout.take().expect("it is piped"));
    let (sender, receiver) = mpsc::channel();
    let input = input.to_vec();
    // It ends when the helper does, or whoever has inherited its input and output; nobody waits for
    // it.
    thread::spawn(move || sender.send(ask(stdin, &input, stdout)));
    let output = receiver.recv_timeout(limit).unwrap_or_else(|_| Err(late("no answer")))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((output, status));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late("it answered, but did not end"));
        }
        thread::sleep(LOOK.min(left));
    }
}

fn ask(mut stdin: ChildStdin, input: &[u8], stdout: ChildStdout) -> io::Result<Vec<u8>> {
    match stdin.write_all(input) {
        // One that does not read has its reasons, and may answer all the same.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
        _ => drop(stdin),
    }
    read_bounded(stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(is_helper("ecr-login") && is_helper("gcloud.2_x"));
        for helper in ["../evil", "a/b", "a b", "", "a;b", "-\0"] {
            assert!(!is_helper(helper), "{helper:?}");
        }
    }
}
