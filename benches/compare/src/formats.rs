//! The same bake into each format, beside the way without it: a raw disk, which `qemu-img` then
//! converts.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, install};
use crate::compare::words;
use crate::images;
use crate::machine::Machine;
use crate::report::{Table, median, megabytes, ratio, rounds_words, seconds};
use crate::run::{Outcome, Step, clean_up, measure};

/// A way to a disk in a format.
#[derive(Debug)]
struct Way {
    name: &'static str,
    /// What `qemu-img` calls the format.
    format: &'static str,
    /// How cvbake is told; no words where it bakes a raw disk first.
    options: &'static [&'static str],
    /// How `qemu-img` is told where it converts.
    convert: &'static [&'static str],
}

const WAYS: &[Way] = &[
    way("raw", "raw", &[]),
    way("VHDX fixed", "vhdx", &["--format", "vhdx", "--subformat", "fixed"]),
    way("VHD fixed", "vpc", &["--format", "vhd", "--subformat", "fixed"]),
    way("VHDX dynamic", "vhdx", &["--format", "vhdx", "--subformat", "dynamic"]),
    way("VHD dynamic", "vpc", &["--format", "vhd", "--subformat", "dynamic"]),
    way("qcow2", "qcow2", &["--format", "qcow2"]),
    converted("raw → VHDX fixed", "vhdx", &["-o", "subformat=fixed"]),
    converted("raw → VHDX dynamic", "vhdx", &["-o", "subformat=dynamic"]),
    converted("raw → VHD dynamic", "vpc", &["-o", "subformat=dynamic,force_size=on"]),
    converted("raw → qcow2", "qcow2", &[]),
];

const fn way(name: &'static str, format: &'static str, options: &'static [&'static str]) -> Way {
    Way { name, format, options, convert: &[] }
}

const fn converted(name: &'static str, format: &'static str, convert: &'static [&'static str]) -> Way {
    Way { name, format, options: &["--format", "raw"], convert }
}

impl Way {
    fn is_converted(&self) -> bool {
        self.name.starts_with("raw →")
    }

    /// What is run, in a directory in which `disk` does not exist yet.
    fn steps(&self, program: &str, reference: &str, disk: &str) -> Vec<Step> {
        let raw = format!("{disk}.raw");
        let target = if self.is_converted() { &raw } else { disk };
        let bake = [program, "pull-and-build", reference, "-o", target, "--store", "store", "--progress", "none"];
        let bake = [&bake, self.options].concat();
        let convert = [&["qemu-img", "convert", "-f", "raw", "-O", self.format], self.convert, &[&raw, disk]].concat();
        let convert = self.is_converted().then(|| Step::user(&convert));
        [Step::user(&bake)].into_iter().chain(convert).collect()
    }
}

/// What the formats have cost.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Formats {
    machine: Machine,
    rounds: u32,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    image: String,
    way: String,
    runs: Vec<Outcome>,
    file_bytes: u64,
    /// Whether `qemu-img` finds the disk of the raw file in it.
    same: bool,
}

/// Bakes each image in every way, round by round.
pub(crate) fn run(bench: &mut Bench, names: &[&str]) -> Result<Formats> {
    let mut rows = Vec::new();
    for name in names {
        let image = images::make(&bench.work, name)?;
        let reference = bench.registry.push(&image.layout, &image.name)?;
        let program = install(&bench.cvbake, &bench.ext4.directory("programs")?)?;
        let mut own: Vec<Row> = WAYS.iter().map(|way| Row::new(name, way)).collect();
        for round in 0..bench.rounds {
            for (way, row) in WAYS.iter().zip(&mut own) {
                let directory = bench.ext4.empty()?;
                let steps = way.steps(&program.to_string_lossy(), &reference, "disk");
                row.runs.push(measure(&steps, &directory, bench.limit)?);
                if round == 0 {
                    row.compare(way, &directory, &program, &reference);
                }
            }
            eprintln!("bench: {name}, round {}: done", round + 1);
        }
        rows.extend(own);
    }
    Ok(Formats { machine: bench.machine.clone(), rounds: bench.rounds, rows })
}

impl Row {
    fn new(image: &str, way: &Way) -> Row {
        Row { image: image.to_owned(), way: way.name.to_owned(), runs: Vec::new(), file_bytes: 0, same: false }
    }

    /// Compares the disk with one that is raw, outside of what is measured. Its store is another:
    /// the one that was measured belongs to somebody else.
    fn compare(&mut self, way: &Way, directory: &Path, program: &Path, reference: &str) {
        use std::os::unix::fs::MetadataExt as _;

        let (disk, raw, store) = (directory.join("disk"), directory.join("raw"), directory.join("other-store"));
        let Ok(metadata) = disk.metadata() else { return };
        self.file_bytes = metadata.blocks() * 512;
        let [disk, raw, store, program] = [&disk, &raw, &store, program].map(|path| path.to_string_lossy());
        let bake =
            ["pull-and-build", reference, "-o", &raw, "--format", "raw", "--store", &store, "--progress", "none"];
        let compare = ["compare", "-f", "raw", "-F", way.format, &raw, &disk];
        self.same = clean_up(&program, bake).is_ok() && clean_up("qemu-img", compare).is_ok();
    }
}

impl Formats {
    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let heads = ["image", "way", "seconds", "× raw", "CPU s", "memory MB", "on the disk MB", "same disk"];
        let mut table = Table::new(&heads, &[0, 1, 7]);
        let mut raw = None;
        for row in &self.rows {
            let start = [row.image.clone(), row.way.clone()];
            let Some(usage) = median(&row.runs) else {
                let failed = row.runs.iter().find(|run| !matches!(run, Outcome::Done(_)));
                table.row(&[start.as_slice(), &[failed.map(words).unwrap_or_default()]].concat());
                continue;
            };
            // Each image's raw disk comes first.
            if row.way == WAYS[0].name {
                raw = Some(usage.wall_s);
            }
            let numbers = [
                seconds(usage.wall_s),
                raw.map_or_else(String::new, |raw| ratio(usage.wall_s, raw)),
                seconds(usage.cpu_s),
                megabytes(usage.rss_bytes),
                megabytes(row.file_bytes),
                if row.same { "yes" } else { "NO" }.to_owned(),
            ];
            table.row(&[start.as_slice(), &numbers].concat());
        }
        format!("{} {}\n\n{}", self.machine.words(), rounds_words(self.rounds), table.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_one_bake_and_at_most_one_conversion() {
        for way in WAYS {
            let steps = way.steps("cvbake", "localhost/a", "disk");
            assert_eq!(steps.len(), 1 + usize::from(way.is_converted()), "{}", way.name);
        }
    }

    #[test]
    fn the_raw_disk_comes_first() {
        assert_eq!((WAYS[0].name, WAYS[0].format, WAYS[0].is_converted()), ("raw", "raw", false));
    }
}
