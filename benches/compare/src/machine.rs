//! Where and when the numbers come from: without that they say nothing.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::args::tree;
use crate::run::tool;

/// This machine, today.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The day, in UTC.
    pub(crate) date: String,
    /// The processors' name.
    pub(crate) processor: String,
    /// How many processors there are.
    pub(crate) threads: usize,
    /// The memory.
    pub(crate) memory_bytes: u64,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// The distribution.
    pub(crate) system: String,
    /// What `cvbake --version` says.
    pub(crate) cvbake: String,
    /// The commit that it is built from.
    pub(crate) commit: String,
}

impl Machine {
    /// Looks around; what a program that was built elsewhere is built from cannot be known.
    pub(crate) fn look(cvbake: &Path, built_here: bool) -> Result<Self> {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown");
            value.trim_matches(|c: char| c.is_whitespace() || "=:\"".contains(c)).to_owned()
        };
        let kib = field("/proc/meminfo", "MemTotal:");
        let commit = if built_here {
            let describe = ["describe", "--always", "--dirty", "--exclude=*"].map(AsRef::as_ref);
            tool("git", ["-C".as_ref(), tree().as_os_str()].into_iter().chain(describe)).ok()
        } else {
            None
        };
        Ok(Self {
            date: line(&tool("date", ["-u", "+%Y-%m-%d"])?),
            processor: field("/proc/cpuinfo", "model name"),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kib.trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024,
            kernel: line(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()),
            system: field("/etc/os-release", "PRETTY_NAME"),
            cvbake: line(&tool(&cvbake.to_string_lossy(), ["--version"])?),
            commit: commit.map_or_else(|| "of an unknown commit".to_owned(), |text| line(&text)),
        })
    }

    /// In one sentence.
    pub(crate) fn words(&self) -> String {
        let Self { date, processor, threads, kernel, system, cvbake, commit, .. } = self;
        let gib = self.memory_bytes.div_ceil(1 << 30);
        format!("Measured on {date}: {cvbake}, {commit}, {threads} × {processor}, {gib} GiB, {system}, Linux {kernel}.")
    }
}

fn line(text: &str) -> String {
    text.trim().to_owned()
}
