//! The comparison: every contender on every image, in turn.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::contenders::{Contender, Job};
use crate::images::{self, Image};
use crate::limits::{self, Limits};
use crate::machine::Machine;
use crate::report::{Table, median, megabytes, ratio, rounds_words, seconds};
use crate::run::{Outcome, Usage, measure};
use crate::verify::{Verdict, verify};

/// What the comparison has found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// Where.
    pub(crate) machine: Machine,
    /// How many times each was run.
    pub(crate) rounds: u32,
    /// Image by image.
    pub(crate) images: Vec<OfImage>,
}

/// What it has found with one image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OfImage {
    /// The image.
    pub(crate) name: String,
    /// How large it is.
    pub(crate) sizes: images::Sizes,
    /// What is possible.
    pub(crate) limits: Limits,
    /// What each contender did.
    pub(crate) rows: Vec<Row>,
}

/// What a contender did with an image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: String,
    /// Round by round; what fails is not run again.
    pub(crate) runs: Vec<Outcome>,
    /// What is wrong with the first disk, if there was one.
    pub(crate) verdict: Option<Verdict>,
}

/// Runs it.
pub(crate) fn compare(bench: &mut Bench, names: &[&str], peers: &[Contender], programs: &Path) -> Result<Comparison> {
    let contenders: Vec<Contender> = Contender::OURS.iter().chain(peers).copied().collect();
    let mut images = Vec::new();
    for name in names {
        let image = images::make(&bench.work, name)?;
        images.push(of_image(bench, &image, &contenders, programs)?);
    }
    Ok(Comparison { machine: bench.machine.clone(), rounds: bench.rounds, images })
}

fn of_image(bench: &mut Bench, image: &Image, contenders: &[Contender], programs: &Path) -> Result<OfImage> {
    let reference = bench.registry.push(&image.layout, &image.name)?;
    eprintln!("bench: {}: the limits", image.name);
    let limits = limits::measure(image, bench.registry.port(), &bench.ext4.empty()?)?;
    let warm_store = bench.ext4.directory(&format!("warm-{}", image.name))?;
    let mut rows: Vec<Row> = contenders
        .iter()
        .map(|contender| Row { name: contender.name().to_owned(), runs: Vec::new(), verdict: None })
        .collect();
    let mut fill_warm_store = true;
    for round in 1..=bench.rounds {
        for (&contender, row) in contenders.iter().zip(&mut rows) {
            if row.runs.iter().any(|run| !matches!(run, Outcome::Done(_))) {
                continue;
            }
            let directory = bench.ext4.empty()?;
            let job = Job {
                image,
                reference: &reference,
                cvbake: &bench.cvbake,
                peers: programs,
                directory: &directory,
                warm_store: &warm_store,
            };
            let steps = contender.steps(&job)?;
            if contender == Contender::CvbakeWarm && std::mem::take(&mut fill_warm_store) {
                if let Outcome::Failed(line) = measure(&steps, &directory, bench.limit)? {
                    bail!("filling a store: {line}");
                }
                std::fs::remove_file(job.disk())?;
            }
            let outcome = measure(&steps, &directory, bench.limit)?;
            eprintln!("bench: {}: {}, round {round}: {}", image.name, contender.name(), words(&outcome));
            if round == 1 && matches!(outcome, Outcome::Done(_)) {
                row.verdict = Some(verify(&job.disk(), image, &bench.work)?);
            }
            row.runs.push(outcome);
        }
    }
    bench.ext4.empty()?;
    std::fs::remove_dir_all(&warm_store)?;
    Ok(OfImage { name: image.name.clone(), sizes: image.sizes.clone(), limits, rows })
}

/// How a run ended, in a few words.
pub(crate) fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(usage) => format!("{} s", seconds(usage.wall_s)),
        Outcome::Failed(line) => format!("failed: {line}"),
        Outcome::Killed(after) => format!("killed after {after} s"),
    }
}

impl OfImage {
    /// The medians of a row, by name.
    pub(crate) fn median_of(&self, name: &str) -> Option<Usage> {
        self.rows.iter().find(|row| row.name == name).and_then(|row| median(&row.runs))
    }
}

impl Comparison {
    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{} {}\n", self.machine.words(), rounds_words(self.rounds));
        for image in &self.images {
            let sizes = &image.sizes;
            // Writing to a string does not fail.
            _ = write!(
                text,
                "\n### {}\n\n{} MB compressed, {} MB as archives, {} entries in {} layers. LB1 {} s (fetch {}, hash {} + {}, \
                 inflate {}, write {}), **LB2 {} s** ({} threads, longest layer {}).\n\n",
                image.name,
                megabytes(sizes.compressed_bytes()),
                megabytes(sizes.tar_bytes()),
                sizes.entries,
                sizes.layers.len(),
                seconds(image.limits.lb1()),
                seconds(image.limits.fetch_s),
                seconds(image.limits.hash_compressed_s),
                seconds(image.limits.hash_tar_s),
                seconds(image.limits.inflate_s),
                seconds(image.limits.write_s),
                seconds(image.limits.lb2()),
                image.limits.threads,
                seconds(image.limits.inflate_longest_s),
            );
            text += &image.table();
        }
        text
    }
}

impl OfImage {
    fn table(&self) -> String {
        let heads = ["", "wall s", "× LB2", "× cvbake", "CPU s", "memory MB", "sync s", "wrong"];
        let mut table = Table::new(&heads, &[0, 7]);
        let cvbake = self.median_of(Contender::Cvbake.name());
        for row in &self.rows {
            let wrong = row.verdict.as_ref().map_or_else(String::new, Verdict::words);
            let Some(usage) = median(&row.runs) else {
                let how = row.runs.last().map_or_else(String::new, words);
                table.row(&[row.name.as_str(), "–", "", "", "", "", "", &how]);
                continue;
            };
            let to_cvbake = cvbake.as_ref().map_or_else(String::new, |cvbake| ratio(usage.wall_s, cvbake.wall_s));
            table.row(&[
                row.name.clone(),
                seconds(usage.wall_s),
                ratio(usage.wall_s, self.limits.lb2()),
                to_cvbake,
                seconds(usage.cpu_s),
                megabytes(usage.rss_bytes),
                seconds(usage.sync_s),
                wrong,
            ]);
        }
        table.finish()
    }
}
