//! `cvbake store stats`: what is in the store, in numbers.

use std::fmt::Write as _;
use std::time::SystemTime;

use cvbake::event::Observer;
use cvbake::store::{Amount, Stats};
use cvbake::text::line;
use indicatif::{BinaryBytes, HumanCount, HumanDuration};
use serde::Serialize;

use super::usual_rules;
use crate::cli::work::InStore;
use crate::cli::{environment, output};
use crate::failure::Failure;

/// Show how much is in the store
///
/// --json prints an object with path, total_bytes, free_bytes, images, layers, then blobs, indexes,
/// packs and partials (count and bytes of each), scratch_bytes, reclaimable_bytes and
/// last_collection, in seconds since 1970.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake store stats [OPTIONS]")]
pub(super) struct Args {
    #[command(flatten)]
    store: InStore,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, on: Observer<'_>) -> Result<(), Failure> {
    let store = args.store.open(on)?;
    let stats = store.maintenance().stats(&usual_rules(), &|event| on(event.into()))?;
    let path = store.path().display().to_string();
    match args.json {
        true => output::json(&json(&path, &stats)),
        false => output::lines(&text(&path, &stats, environment::now())),
    }
}

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    path: &'a str,
    total_bytes: u64,
    free_bytes: u64,
    images: usize,
    layers: usize,
    blobs: Counted,
    indexes: Counted,
    packs: Counted,
    partials: Counted,
    scratch_bytes: u64,
    reclaimable_bytes: u64,
    /// In seconds since 1970.
    last_collection: Option<u64>,
}

#[derive(Serialize)]
struct Counted {
    count: usize,
    bytes: u64,
}

impl From<Amount> for Counted {
    fn from(Amount { count, bytes }: Amount) -> Counted {
        Counted { count, bytes }
    }
}

fn json(path: &str, stats: &Stats) -> String {
    let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let report = Report {
        path,
        total_bytes: stats.total_bytes(),
        free_bytes: stats.free_bytes,
        images: stats.images,
        layers: stats.layers,
        blobs: stats.blobs.into(),
        indexes: stats.indexes.into(),
        packs: stats.packs.into(),
        partials: stats.partials.into(),
        scratch_bytes: stats.scratch_bytes,
        reclaimable_bytes: stats.reclaimable_bytes,
        last_collection: stats.last_collection.map(since_1970),
    };
    let object = serde_json::to_string(&report).expect("numbers, texts and lists of them");
    format!("{object}\n")
}

fn text(path: &str, stats: &Stats, now: SystemTime) -> String {
    let mut text = line(path) + "\n";
    let mut put = |name: &str, value: String| writeln!(text, "  {name:<13}{value}").expect("a string takes everything");
    let count = |count: usize| HumanCount(count as u64);
    let amount = |Amount { count, bytes }: Amount| format!("{}, {}", HumanCount(count as u64), BinaryBytes(bytes));
    put("total", format!("{}, {} free", BinaryBytes(stats.total_bytes()), BinaryBytes(stats.free_bytes)));
    let layers = if stats.layers == 1 { "layer" } else { "layers" };
    put("images", format!("{}, {} {layers}", count(stats.images), count(stats.layers)));
    put("blobs", amount(stats.blobs));
    put("indexes", amount(stats.indexes));
    put("packs", amount(stats.packs));
    put("partial", amount(stats.partials));
    put("scratch", BinaryBytes(stats.scratch_bytes).to_string());
    put("reclaimable", BinaryBytes(stats.reclaimable_bytes).to_string());
    put(
        "collected",
        stats.last_collection.map_or("never".to_owned(), |time| {
            format!("{} ago", HumanDuration(now.duration_since(time).unwrap_or_default()))
        }),
    );
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stats() -> Stats {
        let amount = |count, bytes| Amount { count, bytes };
        let mut stats = Stats::default();
        (stats.images, stats.layers) = (1200, 1);
        (stats.blobs, stats.indexes) = (amount(3, 2048), amount(1, 512));
        (stats.packs, stats.partials) = (amount(1, 1 << 20), amount(2, 7));
        (stats.scratch_bytes, stats.free_bytes, stats.reclaimable_bytes) = (1, 1 << 30, 7);
        stats.last_collection = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
        stats
    }

    #[test]
    fn the_object() {
        let expected = concat!(
            r#"{"path":"/s","total_bytes":1051144,"free_bytes":1073741824,"images":1200,"layers":1,"#,
            r#""blobs":{"count":3,"bytes":2048},"indexes":{"count":1,"bytes":512},"packs":{"count":1,"bytes":1048576},"#,
            r#""partials":{"count":2,"bytes":7},"scratch_bytes":1,"reclaimable_bytes":7,"last_collection":1000}"#,
            "\n"
        );
        assert_eq!(json("/s", &stats()), expected);
    }

    #[test]
    fn the_text() {
        let expected = "\
/s
  total        1.00 MiB, 1.00 GiB free
  images       1,200, 1 layer
  blobs        3, 2.00 KiB
  indexes      1, 512 B
  packs        1, 1.00 MiB
  partial      2, 7 B
  scratch      1 B
  reclaimable  7 B
  collected    2 hours ago
";
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + 2 * 60 * 60);
        assert_eq!(text("/s", &stats(), now), expected);
        let mut never = stats();
        never.last_collection = None;
        let never = text("/s", &never, now);
        assert!(never.ends_with("  collected    never\n"), "{never}");
    }
}
