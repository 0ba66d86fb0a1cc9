//! Medians, and how results become Markdown.

use std::fmt::Write as _;

use crate::run::{Outcome, Usage};

/// A table that is being written.
#[derive(Debug)]
pub(crate) struct Table(String);

impl Table {
    /// Starts a table; the columns are numbers but for those in `text`.
    pub(crate) fn new(heads: &[&str], text: &[usize]) -> Self {
        let rules: Vec<&str> = (0..heads.len()).map(|at| if text.contains(&at) { "---" } else { "---:" }).collect();
        let mut table = Self(String::new());
        table.row(heads);
        table.row(&rules);
        table
    }

    /// Adds a row.
    pub(crate) fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        self.0.push('|');
        for cell in cells {
            // A bar would end the cell, and nothing here is meant as markup.
            let cell = cell.as_ref().replace('|', "\\|").replace('<', "&lt;");
            // Writing to a string does not fail.
            _ = write!(self.0, " {cell} |");
        }
        self.0.push('\n');
    }

    /// The table.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// The median of each quantity, if every run ended well.
pub(crate) fn median(runs: &[Outcome]) -> Option<Usage> {
    let usages: Option<Vec<&Usage>> = runs
        .iter()
        .map(|run| match run {
            Outcome::Done(usage) => Some(usage),
            Outcome::Failed(_) | Outcome::Killed(_) => None,
        })
        .collect();
    let usages = usages.filter(|usages| !usages.is_empty())?;
    let middle = |of: fn(&Usage) -> f64| {
        let mut values: Vec<f64> = usages.iter().map(|usage| of(usage)).collect();
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
    };
    Some(Usage {
        wall_s: middle(|usage| usage.wall_s),
        cpu_s: middle(|usage| usage.cpu_s),
        rss_bytes: usages.iter().map(|usage| usage.rss_bytes).max()?,
        sync_s: middle(|usage| usage.sync_s),
    })
}

/// What the numbers of a table are.
pub(crate) fn rounds_words(rounds: u32) -> String {
    if rounds == 1 { "One round.".to_owned() } else { format!("Medians of {rounds} rounds.") }
}

/// Seconds, with as many digits as say something.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        _ if value < 0.0995 => format!("{value:.4}"),
        _ if value < 9.995 => format!("{value:.2}"),
        _ => format!("{value:.1}"),
    }
}

/// How many times as much.
pub(crate) fn ratio(value: f64, of: f64) -> String {
    let ratio = value / of;
    if ratio < 9.95 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
}

/// Bytes in units of 1,000,000.
#[expect(clippy::cast_precision_loss, reason = "told with a few digits")]
pub(crate) fn megabytes(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    if megabytes < 9.95 { format!("{megabytes:.1}") } else { format!("{megabytes:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(wall_s: f64, rss_bytes: u64) -> Outcome {
        Outcome::Done(Usage { wall_s, cpu_s: wall_s * 2.0, rss_bytes, sync_s: 0.0 })
    }

    #[test]
    fn medians_are_of_odd_and_even_numbers_of_runs() {
        let odd = median(&[done(5.0, 1), done(1.0, 3), done(2.0, 2)]).unwrap();
        assert_eq!((odd.wall_s, odd.cpu_s, odd.rss_bytes), (2.0, 4.0, 3));
        assert_eq!(median(&[done(5.0, 1), done(1.0, 1)]).unwrap().wall_s, 3.0);
    }

    #[test]
    fn there_is_no_median_of_what_failed() {
        assert!(median(&[]).is_none());
        assert!(median(&[done(1.0, 1), Outcome::Killed(180)]).is_none());
    }

    #[test]
    fn numbers_have_few_digits() {
        assert_eq!([0.00312, 0.5, 9.996, 73.52].map(seconds), ["0.0031", "0.50", "10.0", "73.5"]);
        assert_eq!([ratio(1.0, 3.0), ratio(100.0, 3.0)], ["0.33", "33"]);
        assert_eq!([megabytes(1_500_000), megabytes(217_400_000)], ["1.5", "217"]);
    }

    #[test]
    fn cells_cannot_break_the_table() {
        let mut table = Table::new(&["a", "b", "c"], &[0, 2]);
        table.row(&["x|y", "1", "<z>"]);
        assert_eq!(table.finish(), "| a | b | c |\n| --- | ---: | --- |\n| x\\|y | 1 | &lt;z> |\n");
    }
}
