//! The command line.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

use crate::contenders::Contender;

/// Measures cvbake beside the physical limits of this machine and beside other programs for the
/// same job
///
/// Everything happens in one run and in turn, on a filesystem of its own. Needs root on Debian, and
/// what `scripts/setup bench` installs; the first run makes the images, which takes a while and the
/// network. Says what it does on standard error, prints the results as Markdown, and leaves them in
/// WORK/results, too.
#[derive(Debug, Parser)]
#[command(name = "bench", bin_name = "scripts/bench")]
pub(crate) struct Args {
    /// Where images, the registry and the filesystems are; kept for the next run
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) work: PathBuf,

    /// On which images, in this order [default: all; with --scenarios, python]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) images: Vec<Image>,

    /// Beside which peers [default: all; --peers= is none]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = parse_peer)]
    pub(crate) peers: Option<Vec<Option<Contender>>>,

    /// How many times each; the medians are told
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// How long a run may take before it is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub(crate) time_limit: u64,

    /// A program that is built already [default: this tree's, which is built for release]
    #[arg(long, value_name = "FILE")]
    pub(crate) cvbake: Option<PathBuf>,

    /// Instead of the comparison: how cvbake's time grows
    #[arg(long, value_name = "WHAT", value_delimiter = ',', conflicts_with = "scenarios")]
    pub(crate) series: Vec<Series>,

    /// Only the points of a series up to this
    #[arg(long, value_name = "N", requires = "series")]
    pub(crate) most: Option<u64>,

    /// Instead of the comparison: cold, nothing changed, and one layer changed, on ext4, xfs and
    /// btrfs
    #[arg(long)]
    pub(crate) scenarios: bool,

    /// Instead of the comparison: the bake into each format of disks, and a raw bake that qemu-img
    /// converts
    #[arg(long, conflicts_with_all = ["scenarios", "series"])]
    pub(crate) formats: bool,

    /// Write the results into docs/performance.md, and the plot beside it
    #[arg(long)]
    pub(crate) publish: bool,
}

impl Args {
    /// The images to compare on.
    pub(crate) fn images(&self) -> &[Image] {
        if self.images.is_empty() { Image::value_variants() } else { &self.images }
    }

    /// The images whose top layer changes.
    pub(crate) fn scenario_images(&self) -> Vec<&'static str> {
        let images = if self.images.is_empty() { &[Image::Python] } else { self.images.as_slice() };
        images.iter().map(|image| image.name()).collect()
    }

    /// The peers to run.
    pub(crate) fn peers(&self) -> Vec<Contender> {
        match &self.peers {
            Some(peers) => peers.iter().copied().flatten().collect(),
            None => Contender::PEERS.to_vec(),
        }
    }
}

/// The image names of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Image {
    /// Busybox
    Tiny,
    /// Debian minbase in one layer
    Debian,
    /// Debian with Python and large wheels, in five layers
    Python,
    /// The same layers in zstd
    PythonZstd,
    /// Without a file in the place of a directory and the other way round
    PythonEasy,
    /// Debian with node_modules, in three layers
    Node,
    /// A few large files in two layers
    Big,
}

impl Image {
    /// The name on the command line, of the layout, and in the registry.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Debian => "debian",
            Self::Python => "python",
            Self::PythonZstd => "python-zstd",
            Self::PythonEasy => "python-easy",
            Self::Node => "node",
            Self::Big => "big",
        }
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What grows in a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Series {
    /// 1k to 1M small files
    Files,
    /// 1 to 128 layers of the same content
    Layers,
    /// 0.1 to 10 GB, as far as there is room
    Bytes,
    /// Threads, 1 to as many as there are processors, on the image python
    Threads,
}

impl Series {
    /// The name on the command line and in the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Layers => "layers",
            Self::Bytes => "bytes",
            Self::Threads => "threads",
        }
    }
}

/// An empty list has one empty name in it.
fn parse_peer(name: &str) -> Result<Option<Contender>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    let known = Contender::PEERS.map(Contender::name);
    match Contender::PEERS.into_iter().find(|peer| peer.name() == name) {
        Some(peer) => Ok(Some(peer)),
        None => Err(format!("there are {}", known.join(", "))),
    }
}

/// The top of the source tree, which this program was built in.
pub(crate) fn tree() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn everything_unless_said_otherwise() {
        let args = parse("bench").unwrap();
        assert_eq!(args.images(), Image::value_variants());
        assert_eq!(args.peers(), Contender::PEERS);
        assert_eq!(args.rounds, 5);
    }

    #[test]
    fn lists_are_taken_apart() {
        let args = parse("bench --images tiny,python-zstd --peers arcbox-ext4,classic --rounds 1").unwrap();
        assert_eq!(args.images, [Image::Tiny, Image::PythonZstd]);
        assert_eq!(args.peers(), [Contender::ArcboxExt4, Contender::Classic]);
        assert_eq!(parse("bench --peers=").unwrap().peers(), []);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        for line in [
            "--images alpine",
            "--peers docker",
            "--rounds 0",
            "--series time",
            "--scenarios --series files",
            "--formats --scenarios",
            "--most 4",
        ] {
            assert!(parse(&format!("bench {line}")).is_err(), "{line}");
        }
    }
}
