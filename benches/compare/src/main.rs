//! `scripts/bench`: cvbake beside the physical limits of a machine, and beside other programs for
//! the same job.
//!
//! images (Python) → registry on loopback → limits, cvbake and peers in turn, on a filesystem of
//! their own → what is wrong with each disk (`e2fsck`, and a tree compared in Python) → Markdown,
//! JSON, SVG
//!
//! One module for each of these; `bench` holds what all need, `compare`, `formats`, `scenarios`
//! and `series` are what can be measured.

mod args;
mod bench;
mod compare;
mod contenders;
mod filesystem;
mod formats;
mod images;
mod limits;
mod machine;
mod plot;
mod publish;
mod registry;
mod report;
mod run;
mod scenarios;
mod series;
mod verify;

use anyhow::Result;
use clap::Parser as _;

use crate::args::{Args, tree};
use crate::bench::Bench;

fn main() -> Result<()> {
    let raw: Vec<String> = std::env::args().skip(1).collect();
    if raw.first().is_some_and(|first| first == limits::SUBCOMMAND) {
        return limits::child(&raw[1..]);
    }
    let args = Args::parse();
    run::catch_interrupts()?;
    let mut bench = Bench::set_up(&args)?;
    if !args.series.is_empty() {
        for &series in &args.series {
            let results = series::run(&mut bench, series, args.most.unwrap_or(u64::MAX))?;
            finish(&bench, &args, &format!("series {}", series.name()), &results, &results.markdown())?;
        }
    } else if args.formats {
        let results = formats::run(&mut bench, &args.images().iter().map(|image| image.name()).collect::<Vec<_>>())?;
        finish(&bench, &args, "formats", &results, &results.markdown())?;
    } else if args.scenarios {
        let results = scenarios::run(&mut bench, &args.scenario_images())?;
        finish(&bench, &args, "scenarios", &results, &results.markdown())?;
    } else {
        let peers = args.peers();
        let built = contenders::build_peers(&tree().join("target/bench-peers"), &peers)?;
        let programs = bench.ext4.directory("bin")?;
        for program in &built {
            bench::install(program, &programs)?;
        }
        let names: Vec<&str> = args.images().iter().map(|image| image.name()).collect();
        let results = compare::compare(&mut bench, &names, &peers, &programs)?;
        let markdown = format!("![Wall times of all contenders](performance.svg)\n\n{}", results.markdown());
        finish(&bench, &args, "comparison", &results, &markdown)?;
        let svg = plot::svg(&results);
        publish::write(&bench.work.join("results/performance.svg"), &svg)?;
        if args.publish {
            publish::write(&tree().join("docs/performance.svg"), &svg)?;
        }
    }
    Ok(())
}

/// Prints results, keeps them, and publishes them if that is wanted.
fn finish(bench: &Bench, args: &Args, name: &str, results: &impl serde::Serialize, markdown: &str) -> Result<()> {
    println!("{markdown}");
    publish::keep(&bench.work, &name.replace(' ', "-"), results, markdown)?;
    if args.publish {
        publish::publish(name, markdown)?;
    }
    Ok(())
}
