//! Questions on a terminal.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read, Write as _};

use rustix::process::Signal;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};

/// The longest answer: tokens have some kilobytes.
const MAX_LEN: usize = 64 << 10;

/// The terminal that the program was started from, if there is one to ask somebody.
pub(super) struct Terminal(File);

impl Terminal {
    pub(super) fn open() -> Option<Terminal> {
        if !io::stdin().is_terminal() {
            return None;
        }
        File::options().read(true).write(true).open("/dev/tty").ok().map(Terminal)
    }

    /// Asks for a line.
    pub(super) fn ask(&mut self, question: &str) -> io::Result<String> {
        write!(self.0, "{question}: ")?;
        let mut line = String::new();
        BufReader::new((&self.0).take(MAX_LEN as u64)).read_line(&mut line)?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Asks for something that nobody should see.
    pub(super) fn ask_secret(&mut self, question: &str) -> io::Result<String> {
        write!(self.0, "{question}: ")?;
        let quiet = Quiet::begin(&self.0)?;
        let answer = read_secret(&mut &self.0);
        drop(quiet);
        writeln!(self.0)?;
        match answer? {
            Some(secret) => Ok(secret),
            None => {
                // What the terminal would have done itself.
                rustix::process::kill_process(rustix::process::getpid(), Signal::INT)?;
                Err(io::ErrorKind::Interrupted.into())
            }
        }
    }
}

/// Reads keys up to the end of the line; nothing if it was interrupted.
fn read_secret(keys: &mut impl Read) -> io::Result<Option<String>> {
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    const BACKSPACE: [u8; 2] = [8, 127];
    const KILL: u8 = 21;
    let mut bytes = Vec::new();
    loop {
        let mut key = [0];
        let end = match keys.read(&mut key) {
            Ok(count) => count == 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match key[0] {
            _ if end => break,
            b'\r' | b'\n' | END => break,
            INTERRUPT => return Ok(None),
            KILL => bytes.clear(),
            key if BACKSPACE.contains(&key) => {
                // A character may have several bytes.
                while bytes.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            key if bytes.len() < MAX_LEN => bytes.push(key),
            _ => return Err(io::Error::other(format!("expected at most {MAX_LEN} bytes"))),
        }
    }
    String::from_utf8(bytes).map(Some).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// A terminal that shows nothing of what is typed, for as long as this is kept.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl Quiet<'_> {
    fn begin(terminal: &File) -> io::Result<Quiet<'_>> {
        let before = termios::tcgetattr(terminal)?;
        let mut quiet = before.clone();
        // Signals, too: one that ends the program here would leave the terminal like this.
        quiet.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        termios::tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Quiet { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // There is nothing else that could be done.
        let _ = termios::tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let table: [(&[u8], Option<&str>); 7] = [
            (b"secret\nmore", Some("secret")),
            (b"secret\r", Some("secret")),
            (b"secret", Some("secret")),
            (b"wrong\x15right\x04", Some("right")),
            ("pä\u{7f}\u{8}ok\n".as_bytes(), Some("ok")),
            (b"\x7f\x7fa\n", Some("a")),
            (b"sec\x03ret\n", None),
        ];
        for (keys, expected) in table {
            assert_eq!(read_secret(&mut &*keys).unwrap().as_deref(), expected, "{}", keys.escape_ascii());
        }
        assert!(read_secret(&mut &b"\xff\n"[..]).is_err());
        assert!(read_secret(&mut io::repeat(b'x')).is_err());
    }
}
