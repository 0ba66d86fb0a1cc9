//! A registry on the loopback interface, from Debian's package `docker-registry`, without TLS.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::run::tool;

/// How long the registry may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(20);

/// A registry that runs; it ends when this goes.
#[derive(Debug)]
pub(crate) struct Registry {
    process: Child,
    port: u16,
    pushed: HashSet<String>,
}

impl Registry {
    /// Starts a registry whose storage is in the work folder.
    pub(crate) fn start(work: &Path) -> Result<Self> {
        let storage = work.join("registry");
        let port = free_port()?;
        let config = serde_json::json!({
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": storage}},
            "http": {"addr": format!("{}:{port}", Ipv4Addr::LOCALHOST)},
        });
        let file = work.join("registry.yml");
        // JSON is YAML.
        fs::write(&file, config.to_string()).with_context(|| file.display().to_string())?;
        let log = work.join("registry.log");
        let log = fs::File::create(&log).with_context(|| log.display().to_string())?;
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("a second handle")?)
            .stderr(log)
            .spawn()
            .context("starting docker-registry (scripts/setup bench installs it)")?;
        let mut registry = Self { process, port, pushed: HashSet::new() };
        let start = Instant::now();
        while get(port, "/v2/").is_err() {
            if let Some(status) = registry.process.try_wait().context("looking after the registry")? {
                bail!("the registry ended: {status}; it says why in {}", work.join("registry.log").display());
            }
            if start.elapsed() > PATIENCE {
                bail!("the registry has not answered for {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(registry)
    }

    /// Pushes an OCI layout unless that has been done, and returns the image's name there.
    pub(crate) fn push(&mut self, layout: &Path, name: &str) -> Result<String> {
        let reference = format!("{}:{}/{name}:latest", Ipv4Addr::LOCALHOST, self.port);
        if !self.pushed.contains(name) {
            let from = format!("oci:{}:latest", layout.display());
            let to = format!("docker://{reference}");
            tool("skopeo", ["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", &from, &to])?;
            self.pushed.insert(name.to_owned());
        }
        Ok(reference)
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if self.process.kill().and_then(|()| self.process.wait()).is_err() {
            eprintln!("bench: the registry, process {}, has not ended", self.process.id());
        }
    }
}

/// Reads all that a path of the registry has, and returns its length.
pub(crate) fn get(port: u16, path: &str) -> Result<u64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting to the registry")?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {}:{port}\r\n\r\n", Ipv4Addr::LOCALHOST)
        .context("asking the registry")?;
    let mut answer = BufReader::with_capacity(1 << 20, stream);
    let mut line = String::new();
    answer.read_line(&mut line).context("the registry's answer")?;
    if line.split(' ').nth(1) != Some("200") {
        bail!("the registry answers {path} with {line:?}");
    }
    while !line.trim_end().is_empty() {
        line.clear();
        answer.read_line(&mut line).context("the registry's answer")?;
    }
    let mut piece = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        match answer.read(&mut piece).context("the registry's answer")? {
            0 => return Ok(length),
            n => length += n as u64,
        }
    }
}

/// A port that nobody listens on right now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr().context("looking for a free port")?.port())
}
