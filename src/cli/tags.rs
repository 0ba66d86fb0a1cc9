//! `cvbake tags`: what there is of a repository in a registry.

use std::ffi::OsString;
use std::sync::Arc;

use cvbake::fetch::{Pull, Source, Tags};
use cvbake::text::line;
use serde::Serialize;

use super::{output, registry};
use crate::failure::Failure;
use crate::ui::Ui;

/// List the tags of a repository in a registry
///
/// Each tag is on a line of its own, in the order of their bytes. A mirror that is configured is
/// asked first, as for an image. Nothing is kept.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cvbake tags [OPTIONS] <REPO>")]
pub(super) struct Args {
    /// Repository whose tags to list, such as alpine or localhost:5000/a/b
    #[arg(value_name = "REPO")]
    repository: OsString,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    access: registry::Access,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let Source::Registry(name) = registry::reference(&args.repository)? else {
        unreachable!("anything else was refused");
    };
    if !name.suffix().is_empty() {
        let whole = args.repository.to_string_lossy();
        let repository = whole.strip_suffix(name.suffix()).unwrap_or(&whole);
        return Err(Failure::Usage {
            problem: format!("{whole} is one image; expected the name of a repository, without {}", name.suffix()),
            hint: Some(format!("`cvbake tags {repository}` lists what there is of it")),
        });
    }
    let options = args.access.options(Pull::Always)?;
    let tags = cvbake::fetch::tags(&name, &options, &|event| ui.on(&event.into()))?;
    ui.finish();
    match args.json {
        true => output::json(&json(&tags)),
        false => output::lines(&tags.tags.iter().map(|tag| line(tag) + "\n").collect::<String>()),
    }
}

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    repository: &'a str,
    tags: &'a [String],
}

fn json(tags: &Tags) -> String {
    let report = Report { repository: &tags.repository, tags: &tags.tags };
    format!("{}\n", serde_json::to_string(&report).expect("texts in a list"))
}
