//! What is done the second time: nothing has changed, or one small layer has, on filesystems that
//! can share blocks and one that cannot.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, install, room};
use crate::compare::words;
use crate::filesystem::{Filesystem, Kind};
use crate::images::{self, Image};
use crate::machine::Machine;
use crate::report::{Table, median, megabytes, rounds_words, seconds};
use crate::run::{Outcome, Step, measure, tool};
use crate::verify::{Verdict, verify};

/// What the scenarios have shown.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Scenarios {
    machine: Machine,
    rounds: u32,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    image: String,
    filesystem: String,
    options: String,
    cold: Vec<Outcome>,
    unchanged: Vec<Outcome>,
    one_layer: Vec<Outcome>,
    /// What is wrong with the first disk whose lower layers came from the store.
    verdict: Option<Verdict>,
}

/// The options that make a difference here, if this cvbake has them.
const OPTIONS: [&[&str]; 3] = [&[], &["--keep-packs", "always"], &["--sync", "never"]];

/// Runs them on pairs of images made of the named ones.
pub(crate) fn run(bench: &mut Bench, names: &[&str]) -> Result<Scenarios> {
    let mut rows = Vec::new();
    let help = tool(&bench.cvbake.to_string_lossy(), ["pull-and-build", "--help"])?;
    let (known, unknown): (Vec<&[&str]>, Vec<&[&str]>) =
        OPTIONS.iter().partition(|options| options.first().is_none_or(|option| help.contains(option)));
    for options in unknown {
        eprintln!("bench: LEFT OUT {}: this cvbake has no such option", options.join(" "));
    }
    for name in names {
        let base = images::make(&bench.work, name)?;
        let [first, second] = images::make_pair(&bench.work, &base)?;
        let references = [&first, &second].map(|image| bench.registry.push(&image.layout, &image.name));
        let [to_first, to_second] = references;
        let pair = [(first, to_first?), (second, to_second?)];
        for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
            // The bench has an ext4 already.
            let own =
                if kind == Kind::Ext4 { None } else { Some(Filesystem::make(&bench.work, kind, room(&bench.work)?)?) };
            let filesystem = own.as_ref().unwrap_or(&bench.ext4);
            let program = install(&bench.cvbake, &filesystem.directory("programs")?)?;
            for &options in &known {
                let mut row = Row {
                    image: (*name).to_owned(),
                    filesystem: kind.name().to_owned(),
                    options: options.join(" "),
                    cold: Vec::new(),
                    unchanged: Vec::new(),
                    one_layer: Vec::new(),
                    verdict: None,
                };
                for _ in 0..bench.rounds {
                    row.round(bench, filesystem, &program, &pair, options)?;
                }
                eprintln!("bench: {name} on {}, {:?}: done", kind.name(), row.options);
                rows.push(row);
            }
        }
    }
    Ok(Scenarios { machine: bench.machine.clone(), rounds: bench.rounds, rows })
}

impl Row {
    /// The three, one after the other, with one store.
    fn round(
        &mut self,
        bench: &Bench,
        filesystem: &Filesystem,
        program: &Path,
        pair: &[(Image, String); 2],
        options: &[&str],
    ) -> Result<()> {
        let directory = filesystem.empty()?;
        let (store, program) = (directory.join("store"), program.to_string_lossy());
        let store = store.to_string_lossy();
        let [(_, first), (changed, second)] = pair;
        let turns = [(first, &mut self.cold), (first, &mut self.unchanged), (second, &mut self.one_layer)];
        for (number, (reference, runs)) in turns.into_iter().enumerate() {
            let disk = directory.join(format!("{number}.ext4"));
            let disk = disk.to_string_lossy();
            let mut argv =
                vec![&*program, "pull-and-build", reference, "-o", &disk, "--store", &store, "--progress", "none"];
            argv.extend(options);
            runs.push(measure(&[Step::user(&argv)], &directory, bench.limit)?);
        }
        let last = directory.join("2.ext4");
        if self.verdict.is_none() && last.exists() {
            self.verdict = Some(verify(&last, changed, &bench.work)?);
        }
        Ok(())
    }
}

impl Scenarios {
    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let heads = [
            "image",
            "filesystem",
            "options",
            "cold s",
            "unchanged s",
            "% of cold",
            "one layer changed s",
            "% of cold",
            "memory MB",
            "wrong",
        ];
        let mut table = Table::new(&heads, &[0, 1, 2, 9]);
        for row in &self.rows {
            let start = [row.image.clone(), row.filesystem.clone(), row.options.clone()];
            let all = [&row.cold, &row.unchanged, &row.one_layer].map(|runs| median(runs));
            let [Some(cold), Some(unchanged), Some(one_layer)] = all else {
                let runs = row.cold.iter().chain(&row.unchanged).chain(&row.one_layer);
                let how = runs.filter(|run| !matches!(run, Outcome::Done(_))).map(words).next().unwrap_or_default();
                let [image, filesystem, options] = start;
                table.row(&[image, filesystem, options, how]);
                continue;
            };
            let share = |wall_s: f64| format!("{:.1}", wall_s / cold.wall_s * 100.0);
            let memory = cold.rss_bytes.max(unchanged.rss_bytes).max(one_layer.rss_bytes);
            let numbers = [
                seconds(cold.wall_s),
                seconds(unchanged.wall_s),
                share(unchanged.wall_s),
                seconds(one_layer.wall_s),
                share(one_layer.wall_s),
                megabytes(memory),
                row.verdict.as_ref().map_or_else(String::new, Verdict::words),
            ];
            table.row(&[start.as_slice(), &numbers].concat());
        }
        format!("{} {}\n\n{}", self.machine.words(), rounds_words(self.rounds), table.finish())
    }
}
