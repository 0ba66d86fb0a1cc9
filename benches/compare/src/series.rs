//! How cvbake's time grows: with files, layers, bytes and threads.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::args::Series;
use crate::bench::Bench;
use crate::compare::words;
use crate::images;
use crate::machine::Machine;
use crate::report::{Table, median, megabytes, ratio, rounds_words, seconds};
use crate::run::{Outcome, Step, measure};

/// What a series has found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Growth {
    machine: Machine,
    rounds: u32,
    series: String,
    points: Vec<Point>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Point {
    /// Of what grows: files, layers, megabytes, threads.
    n: u64,
    compressed_bytes: u64,
    runs: Vec<Outcome>,
}

const FILES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
const LAYERS: [u64; 5] = [1, 4, 16, 64, 128];
const MEGABYTES: [u64; 5] = [100, 300, 1_000, 3_000, 10_000];
/// A point takes, beside its layout, the registry's copy, the store's, and a disk.
const COPIES: u64 = 4;

/// Measures a series up to a point, cold.
pub(crate) fn run(bench: &mut Bench, series: Series, most: u64) -> Result<Growth> {
    let threads = bench.machine.threads as u64;
    let values: Vec<u64> = match series {
        Series::Files => FILES.to_vec(),
        Series::Layers => LAYERS.to_vec(),
        Series::Bytes => MEGABYTES.to_vec(),
        Series::Threads => (0..).map(|power| 1 << power).take_while(|&n| n < threads).chain([threads]).collect(),
    };
    let mut points = Vec::new();
    for n in values.into_iter().filter(|&n| n <= most) {
        bench.ext4.given_back()?;
        if series == Series::Bytes && n * 1_000_000 * COPIES > crate::bench::room(&bench.work)? {
            eprintln!("bench: LEFT OUT {n} MB: there is no room for it");
            continue;
        }
        let (layout, jobs) = match series {
            Series::Threads => (images::make(&bench.work, "python")?.layout, Some(n)),
            Series::Files | Series::Layers | Series::Bytes => {
                (images::make_point(&bench.work, series.name(), n)?, None)
            }
        };
        points.push(point(bench, &layout, n, jobs)?);
    }
    Ok(Growth { machine: bench.machine.clone(), rounds: bench.rounds, series: series.name().to_owned(), points })
}

fn point(bench: &mut Bench, layout: &Path, n: u64, jobs: Option<u64>) -> Result<Point> {
    let name = layout.file_name().and_then(|name| name.to_str()).context("a layout without a name")?;
    let reference = bench.registry.push(layout, name)?;
    let mut runs = Vec::new();
    for round in 1..=bench.rounds {
        let directory = bench.ext4.given_back()?;
        let (disk, store) = (directory.join("disk.ext4"), directory.join("store"));
        let (program, disk, store) = (bench.cvbake.to_string_lossy(), disk.to_string_lossy(), store.to_string_lossy());
        let jobs = jobs.map(|jobs| jobs.to_string());
        let mut argv =
            vec![&*program, "pull-and-build", &reference, "-o", &disk, "--store", &store, "--progress", "none"];
        if let Some(jobs) = &jobs {
            argv.extend(["--jobs", jobs]);
        }
        let outcome = measure(&[Step::user(&argv)], &directory, bench.limit)?;
        eprintln!("bench: {name}, {n}, round {round}: {}", words(&outcome));
        runs.push(outcome);
    }
    Ok(Point { n, compressed_bytes: images::blob_bytes(layout)?, runs })
}

impl Growth {
    /// As Markdown.
    #[expect(clippy::cast_precision_loss, reason = "told with a few digits")]
    pub(crate) fn markdown(&self) -> String {
        let unit = if self.series == "bytes" { "MB of files" } else { &self.series };
        let mut table =
            Table::new(&[unit, "compressed MB", "wall s", "× the first", "n × the first", "CPU s", "memory MB"], &[]);
        let first = self.points.first();
        let first_s = first.and_then(|first| median(&first.runs)).map(|usage| usage.wall_s);
        for point in &self.points {
            let (n, compressed) = (point.n.to_string(), megabytes(point.compressed_bytes));
            let Some(usage) = median(&point.runs) else {
                table.row(&[n, compressed, point.runs.last().map_or_else(String::new, words)]);
                continue;
            };
            let growth = first_s.map_or_else(String::new, |first_s| ratio(usage.wall_s, first_s));
            let n_growth = first.map_or_else(String::new, |first| ratio(point.n as f64, first.n as f64));
            let (cpu, memory) = (seconds(usage.cpu_s), megabytes(usage.rss_bytes));
            table.row(&[n, compressed, seconds(usage.wall_s), growth, n_growth, cpu, memory]);
        }
        format!("{} Cold. {}\n\n{}", self.machine.words(), rounds_words(self.rounds), table.finish())
    }
}
