//! A registry that misbehaves as a test wants: a socket, a thread per connection, one request per
//! connection.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What came from the client.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// The same, whatever is in it.
    pub(crate) content: Vec<u8>,
    /// Whether the body was not taken to its end.
    pub(crate) cut: bool,
    /// How many requests there were with this method for this path before.
    pub(crate) nth: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Whether it is one with this method for something with this in its path.
    pub(crate) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }

    /// The first byte that is asked for.
    pub(crate) fn range(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What goes to the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The length that is announced, if not the body's; `None` inside: none.
    pub(crate) length: Option<Option<u64>>,
    /// How much of the body is sent before the connection is reset.
    pub(crate) reset_after: Option<usize>,
    /// How much of the body is sent before nothing comes any more.
    pub(crate) stall_after: Option<usize>,
    /// How often the body is sent.
    pub(crate) repeat: usize,
    /// What comes so slowly that it is as good as nothing.
    pub(crate) drip: Option<Drip>,
    /// How much of the body comes at once, and after which time the next.
    pub(crate) pace: Option<(usize, Duration)>,
}

/// What comes byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drip {
    /// Answers that say that there will be one.
    Hints,
    /// The head.
    Head,
    /// The body, from this byte on.
    Body(usize),
}

/// How long a byte takes of what drips.
const DROP: Duration = Duration::from_millis(50);

/// Writes so much at once, each time after a pause, as long as anybody reads it.
pub(crate) fn write_slowly(stream: &mut impl Write, bytes: &[u8], at_once: usize, pause: Duration) -> Option<()> {
    for piece in bytes.chunks(at_once) {
        thread::sleep(pause);
        stream.write_all(piece).ok()?;
        stream.flush().ok()?;
    }
    Some(())
}

impl Answer {
    /// Not all of it, as far as anybody can wait for it.
    pub(crate) fn dripping(self, what: Drip) -> Answer {
        Answer { drip: Some(what), ..self }
    }

    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, body: body.into(), repeat: 1, ..Answer::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The whole, or the part that was asked for.
    pub(crate) fn part(request: &Request, blob: &[u8]) -> Answer {
        match request.range() {
            Some(from) if from >= blob.len() => Answer::new(416, ""),
            Some(from) => Answer::new(206, &blob[from..])
                .with("Content-Range", format!("bytes {from}-{}/{}", blob.len() - 1, blob.len())),
            None => Answer::new(200, blob),
        }
    }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;
/// How much of a body is taken; an answer with status 0 then is none.
type Cut = dyn Fn(&Request) -> Option<u64> + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Mutex<Vec<Request>>>,
    /// Bytes of bodies that were sent.
    pub(crate) sent: Arc<Mutex<u64>>,
    pub(crate) door: Arc<Door>,
}

/// Whether a server can be connected to; connections that it has stay.
pub(crate) struct Door {
    address: SocketAddr,
    closing: AtomicBool,
    closed: Mutex<Receiver<()>>,
    opened: Mutex<Sender<TcpListener>>,
}

impl Door {
    /// From now on, connections are refused.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        // This one is the last, and gets no answer.
        TcpStream::connect(self.address).unwrap();
        self.closed.lock().unwrap().recv().unwrap();
    }

    /// The server is there again, at the same port.
    pub(crate) fn open(&self) {
        self.closing.store(false, Ordering::SeqCst);
        self.opened.lock().unwrap().send(TcpListener::bind(self.address).unwrap()).unwrap();
    }
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
        Server::listen(None, |_| None, handler)
    }

    /// One that does not read all bodies to their ends.
    pub(crate) fn start_cutting(
        cut: impl Fn(&Request) -> Option<u64> + Send + Sync + 'static,
        handler: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Server {
        Server::listen(None, cut, handler)
    }

    /// One that speaks TLS.
    pub(crate) fn start_tls(
        config: Arc<ServerConfig>,
        handler: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Server {
        Server::listen(Some(config), |_| None, handler)
    }

    fn listen(
        tls: Option<Arc<ServerConfig>>,
        cut: impl Fn(&Request) -> Option<u64> + Send + Sync + 'static,
        handler: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Server {
        let mut listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (log, sent) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<Mutex<u64>>::default());
        let (handler, cut): (Arc<Handler>, Arc<Cut>) = (Arc::new(handler), Arc::new(cut));
        let (logged, counted) = (Arc::clone(&log), Arc::clone(&sent));
        let ((say_closed, closed), (opened, reopened)) = (channel(), channel());
        let (closed, opened) = (Mutex::new(closed), Mutex::new(opened));
        let door = Arc::new(Door { address, closing: AtomicBool::new(false), closed, opened });
        let ours = Arc::clone(&door);
        // It ends with the process.
        thread::spawn(move || -> Option<()> {
            loop {
                let Ok((stream, _)) = listener.accept() else { continue };
                if ours.closing.load(Ordering::SeqCst) {
                    drop(listener);
                    say_closed.send(()).ok()?;
                    listener = reopened.recv().ok()?;
                    continue;
                }
                let (handler, cut) = (Arc::clone(&handler), Arc::clone(&cut));
                let (log, sent) = (Arc::clone(&logged), Arc::clone(&counted));
                let tls = tls.clone();
                thread::spawn(move || {
                    let socket = stream.try_clone().ok()?;
                    let served = match tls {
                        None => serve(stream, &*handler, &*cut, &log, &sent),
                        Some(config) => {
                            let connection = ServerConnection::new(config).ok()?;
                            serve(StreamOwned::new(connection, stream), &*handler, &*cut, &log, &sent)
                        }
                    };
                    let _ = socket.shutdown(Shutdown::Both);
                    served
                });
            }
        });
        Server { address, log, sent, door }
    }

    pub(crate) fn requests(&self, part: &str) -> Vec<Request> {
        self.log.lock().unwrap().iter().filter(|request| request.path.contains(part)).cloned().collect()
    }
}

fn serve(
    stream: impl Read + Write,
    handler: &Handler,
    cut: &Cut,
    log: &Mutex<Vec<Request>>,
    sent: &Mutex<u64>,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let nth = {
        let log = log.lock().unwrap();
        log.iter().filter(|request| request.path == path && request.method == method).count()
    };
    let mut request = Request { method, path, headers, body: String::new(), content: Vec::new(), cut: false, nth };
    let taken = cut(&request).filter(|&taken| taken < length);
    reader.by_ref().take(taken.unwrap_or(length)).read_to_end(&mut request.content).ok()?;
    request.cut = taken.is_some() || (request.content.len() as u64) < length;
    request.body = String::from_utf8_lossy(&request.content).into_owned();
    log.lock().unwrap().push(request.clone());
    let answer = handler(&request);
    if answer.status == 0 {
        return None;
    }
    let stream = reader.get_mut();
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let whole = (answer.body.len() * answer.repeat) as u64;
    if let Some(length) = answer.length.unwrap_or(Some(whole)) {
        head += &format!("Content-Length: {length}\r\n");
    }
    head += "\r\n";
    match answer.drip {
        Some(Drip::Hints) => write_slowly(stream, "HTTP/1.1 103 x\r\n\r\n".repeat(1000).as_bytes(), 18, DROP)?,
        Some(Drip::Head) => write_slowly(stream, head.as_bytes(), 1, DROP)?,
        _ => stream.write_all(head.as_bytes()).ok()?,
    }
    if request.method == "HEAD" {
        return None;
    }
    if let Some(Drip::Body(begin)) = answer.drip {
        let (first, rest) = answer.body.split_at(begin.min(answer.body.len()));
        stream.write_all(first).ok()?;
        return write_slowly(stream, rest, 1, DROP);
    }
    if let Some((at_once, pause)) = answer.pace {
        return write_slowly(stream, &answer.body, at_once, pause);
    }
    let end = answer.reset_after.or(answer.stall_after).unwrap_or(answer.body.len()).min(answer.body.len());
    for _ in 0..answer.repeat {
        stream.write_all(&answer.body[..end]).ok()?;
        *sent.lock().unwrap() += end as u64;
    }
    if answer.stall_after.is_some() {
        // Until the client has had enough.
        let _ = stream.read(&mut [0; 1]);
    }
    stream.flush().ok()
}
