//! `cvbake image tag`: more names for an image.

use std::sync::Arc;

use serde::Serialize;

use crate::cli::output;
use crate::cli::work::InStore;
use crate::failure::Failure;
use crate::ui::Ui;

/// Give an image more names
///
/// A name that belongs to another image is moved to this one; an imported image that loses its last
/// name stays in the store without one. An image without a name, which cvbake image ls lists as
/// <none>, is given by its digest.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image to name: a name, the end of a name, a digest or the beginning of one
    #[arg(value_name = "NAME")]
    name: String,

    /// Names to add
    #[arg(value_name = "NEW", required = true)]
    new: Vec<String>,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    store: InStore,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let names = cvbake::images::tag(&args.store.there(ui)?, &args.name, &args.new, &|event| ui.on(&event))?;
    if !args.json {
        let lines = names.iter().map(|name| format!("Tagged {}\n", cvbake::text::line(name)));
        return output::lines(&lines.collect::<String>());
    }
    let report = serde_json::to_string(&Report { names: &names }).expect("a list of texts");
    output::json(&format!("{report}\n"))
}

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    names: &'a [String],
}
