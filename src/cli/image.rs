//! `cvbake image`: managing the images of the store, one file per subcommand.

mod df;
pub(super) mod export;
mod history;
mod import;
mod inspect;
mod ls;
mod rm;
mod tag;

use std::sync::Arc;

use super::{ask, environment};
use crate::failure::Failure;
use crate::ui::{Mode, Ui};

/// Manage the images in the store
///
/// An image is named as for cvbake pull (alpine, ghcr.io/team/app:v1), by the end of its name after
/// a slash, with or without the tag (app, team/app:v1), or by its digest or at least the first four
/// digits of it. If several images match, the one tagged latest is meant, or else the command fails
/// and lists them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Ls(ls::Args),
    Inspect(inspect::Args),
    History(history::Args),
    Df(Box<df::Args>),
    Tag(tag::Args),
    Rm(rm::Args),
    Import(Box<import::Args>),
    Export(Box<export::Args>),
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    match &args.command {
        Command::Ls(args) => ls::run(args, ui),
        Command::Inspect(args) => inspect::run(args, ui),
        Command::History(args) => history::run(args, ui),
        Command::Df(args) => df::run(args, ui),
        Command::Tag(args) => tag::run(args, ui),
        Command::Rm(args) => rm::run(args, ui),
        Command::Import(args) => import::run(args, ui),
        Command::Export(args) => export::run(args, ui),
    }
}

impl Args {
    pub(super) fn mode(&self) -> Mode {
        match &self.command {
            Command::Export(args) => args.telling.mode(),
            Command::Import(args) => args.telling.mode(),
            Command::Df(_) => ask::mode(),
            _ => Mode::None { colours: environment::colours() },
        }
    }
}

/// A date, of a moment in the words of an image; nothing of words that are none.
fn date(moment: Option<&str>) -> &str {
    let is_date = |text: &str| {
        text.bytes()
            .enumerate()
            .all(|(at, byte)| if [4, 7].contains(&at) { byte == b'-' } else { byte.is_ascii_digit() })
    };
    moment.and_then(|moment| moment.get(..10)).filter(|date| is_date(date)).unwrap_or("-")
}

/// Rows in columns as wide as they need to be, two spaces between them.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (moment, shown) in [
            (Some("2023-11-14T22:13:20.123Z"), "2023-11-14"),
            (Some("2023-11-14"), "2023-11-14"),
            (Some("yesterday, or so"), "-"),
            (Some("\u{1b}[2J\u{1b}[2J\u{1b}"), "-"),
            (Some("2023-11-1\u{e9}"), "-"),
            (Some(""), "-"),
            (None, "-"),
        ] {
            assert_eq!(date(moment), shown, "{moment:?}");
        }
    }

    #[test]
    fn tables() {
        let row = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect();
        assert_eq!(table(&[row(&["A", "BB"]), row(&["aaa", ""]), row(&["", "\u{e9}"])]), "A    BB\naaa\n     \u{e9}\n");
        assert_eq!(table(&[]), "");
    }
}
