//! A registry of our own, for what no other does when asked to: it has the image of a layout, and
//! answers as a test wants.
//!
//! A thread per connection, one request per connection; it ends with the process.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::bake::{Place, files_below};

/// A registry under way.
pub(crate) struct Server {
    pub(crate) host: String,
    state: Arc<State>,
}

struct State {
    /// By digest.
    blobs: BTreeMap<String, Vec<u8>>,
    /// The manifest or index that the tag points to.
    top: String,
    handler: Box<dyn Fn(&Asked) -> Answer + Send + Sync>,
    log: Mutex<Vec<Asked>>,
    gate: Mutex<Gate>,
    bell: Condvar,
    /// Blobs that are being sent, and the most that were at once.
    blobs_under_way: Mutex<(usize, usize)>,
}

#[derive(Default)]
struct Gate {
    held: usize,
    open: bool,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// The first byte that is wanted.
    pub(crate) from: usize,
    /// Who asks.
    pub(crate) authorization: Option<String>,
    /// What the server is called by who asks.
    pub(crate) host: Option<String>,
}

/// What it gets.
pub(crate) enum Answer {
    /// What was asked for.
    Right,
    /// So many bytes of that, and the others when the test says so.
    Held(usize),
    /// Something else: a status, headers, and content.
    Other(u16, String, Vec<u8>),
}

/// Far beyond what any test needs.
const HANG: Duration = Duration::from_secs(120);

impl Server {
    /// Starts one that has the image of a place.
    pub(crate) fn start(place: &Place, handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Server {
        let layout = place.path().join("image");
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
        let top = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
        let blobs = files_below(&layout.join("blobs")).into_iter().map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let algorithm = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            (format!("{algorithm}:{name}"), std::fs::read(&path).unwrap())
        });
        let (log, gate, bell) = (Mutex::default(), Mutex::default(), Condvar::new());
        let blobs_under_way = Mutex::default();
        let state = State { blobs: blobs.collect(), top, handler: Box::new(handler), log, gate, bell, blobs_under_way };
        let state = Arc::new(state);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&served);
                thread::spawn(move || {
                    let _ = state.serve(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Server { host, state }
    }

    /// What the image is called there.
    pub(crate) fn name(&self) -> String {
        format!("{}/some/image:v1", self.host)
    }

    /// The requests for paths with this in them.
    pub(crate) fn asked(&self, part: &str) -> Vec<Asked> {
        self.state.log.lock().unwrap().iter().filter(|asked| asked.path.contains(part)).cloned().collect()
    }

    /// The most blobs that were sent at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.state.blobs_under_way.lock().unwrap().1
    }

    /// Waits until so many answers are held.
    pub(crate) fn wait_held(&self, count: usize) {
        let gate = self.state.gate.lock().unwrap();
        let (gate, timeout) = self.state.bell.wait_timeout_while(gate, HANG, |gate| gate.held < count).unwrap();
        assert!(!timeout.timed_out(), "{} held, {count} expected", gate.held);
    }

    /// Gives out the rest of what is held; from now on nothing is.
    pub(crate) fn open(&self) {
        self.state.gate.lock().unwrap().open = true;
        self.state.bell.notify_all();
    }
}

impl State {
    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut is_blob = false;
        let served = self.answer(stream, &mut is_blob);
        self.blobs_under_way.lock().unwrap().0 -= usize::from(is_blob);
        served
    }

    fn answer(&self, mut stream: &TcpStream, is_blob: &mut bool) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut lines = reader.by_ref().lines();
        let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
        let mut asked = Asked { path, from: 0, authorization: None, host: None };
        let mut length = 0;
        for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "range" => asked.from = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?,
                "authorization" => asked.authorization = Some(value.to_owned()),
                "host" => asked.host = Some(value.to_owned()),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
        io::copy(&mut reader.take(length), &mut io::sink()).ok()?;
        self.log.lock().unwrap().push(asked.clone());
        if asked.path.contains("/blobs/") {
            *is_blob = true;
            let (now, most) = &mut *self.blobs_under_way.lock().unwrap();
            *now += 1;
            *most = (*most).max(*now);
        }
        let (answer, held) = match (self.handler)(&asked) {
            Answer::Right => (self.right(&asked), usize::MAX),
            Answer::Held(after) => (self.right(&asked), after),
            Answer::Other(status, headers, content) => ((status, headers, content), usize::MAX),
        };
        let (status, headers, content) = answer;
        let length = content.len();
        let head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let (first, rest) = content.split_at(held.min(length.saturating_sub(1)));
        stream.write_all(first).ok()?;
        if held < length {
            let mut gate = self.gate.lock().unwrap();
            gate.held += 1;
            self.bell.notify_all();
            drop(self.bell.wait_while(gate, |gate| !gate.open).unwrap());
        }
        // Before its last byte: whoever has that may ask for the next one before this thread goes
        // on.
        self.blobs_under_way.lock().unwrap().0 -= usize::from(std::mem::take(is_blob));
        stream.write_all(rest).ok()
    }

    fn right(&self, asked: &Asked) -> (u16, String, Vec<u8>) {
        let path = asked.path.split('?').next().expect("a text has a beginning");
        let name = path.rsplit('/').next().expect("a path has a slash");
        if asked.path == "/v2/" {
            return (200, String::new(), b"{}".to_vec());
        }
        let digest = if name == "v1" { &self.top } else { name };
        let Some(blob) = self.blobs.get(digest) else { return (404, String::new(), Vec::new()) };
        if asked.path.contains("/manifests/") {
            let document: serde_json::Value = serde_json::from_slice(blob).unwrap();
            let media_type = document["mediaType"].as_str().unwrap();
            return (200, format!("Content-Type: {media_type}\r\n"), blob.clone());
        }
        match asked.from {
            0 => (200, String::new(), blob.clone()),
            from if from < blob.len() => {
                let range = format!("Content-Range: bytes {from}-{}/{}\r\n", blob.len() - 1, blob.len());
                (206, range, blob[from..].to_vec())
            }
            _ => (416, String::new(), Vec::new()),
        }
    }
}
