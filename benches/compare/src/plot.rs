//! The plot: bars on a logarithmic scale, as SVG. Small enough to read, so that a change of the
//! results shows as a change of lines.

use std::fmt::Write as _;

use crate::compare::{Comparison, OfImage};
use crate::contenders::Contender;
use crate::report::{median, ratio, seconds};
use crate::run::Outcome;

const WIDTH: f64 = 900.0;
/// Where the bars start and end; names stand before them, numbers behind.
const LEFT: f64 = 150.0;
const RIGHT: f64 = 760.0;
const BAR: f64 = 14.0;
const STEP: f64 = 18.0;
const HEAD: f64 = 30.0;
const GAP: f64 = 20.0;
const TOP: f64 = 56.0;

/// Draws the wall times of all contenders on all images, with the bound of each image as a line.
pub(crate) fn svg(comparison: &Comparison) -> String {
    let scale = Scale::of(comparison);
    let height = TOP + comparison.images.iter().map(block_height).sum::<f64>() + 24.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    line(
        &mut text,
        20.0,
        24.0,
        "start",
        "font-size=\"15\"",
        "From a registry on loopback to an ext4 disk: seconds, logarithmic",
    );
    let legend =
        "The line in red is LB2, the physical bound on this machine. Pale: the disk is not what the image says.";
    line(&mut text, 20.0, 42.0, "start", "fill=\"#666\"", legend);
    for decade in scale.decades() {
        let x = scale.x(decade);
        _ = writeln!(text, "<path d=\"M{x:.1} {TOP}V{:.1}\" stroke=\"#ddd\"/>", height - 20.0);
        line(&mut text, x, height - 6.0, "middle", "fill=\"#666\"", &format!("{decade} s"));
    }
    let mut y = TOP;
    for image in &comparison.images {
        block(&mut text, image, &scale, y);
        y += block_height(image);
    }
    text + "</svg>\n"
}

fn block_height(image: &OfImage) -> f64 {
    image.rows.iter().fold(HEAD + GAP, |height, _| height + STEP)
}

fn block(text: &mut String, image: &OfImage, scale: &Scale, top: f64) {
    let bound = image.limits.lb2();
    line(text, 20.0, top + 20.0, "start", "font-weight=\"bold\"", &image.name);
    line(text, 145.0, top + 20.0, "start", "fill=\"#c22\"", &format!("LB2 {} s", seconds(bound)));
    let mut y = top + HEAD;
    for row in &image.rows {
        line(text, LEFT - 8.0, y + BAR - 3.0, "end", "", &row.name);
        if let Some(usage) = median(&row.runs) {
            let ours = Contender::OURS.iter().any(|contender| contender.name() == row.name);
            let right = row.verdict.as_ref().is_some_and(|verdict| verdict.words() == "nothing");
            let colour = match (ours, right) {
                (true, true) => "#1a7f5a",
                (true, false) => "#a3cfbf",
                (false, true) => "#4a6fa5",
                (false, false) => "#b8c7dd",
            };
            let end = scale.x(usage.wall_s);
            _ = writeln!(text, "<path d=\"M{LEFT} {y:.0}H{end:.1}v{BAR}H{LEFT}z\" fill=\"{colour}\"/>");
            let label = format!("{} s  ({} × LB2)", seconds(usage.wall_s), ratio(usage.wall_s, bound));
            line(text, end + 6.0, y + BAR - 3.0, "start", "", &label);
        } else {
            let how = match row.runs.last() {
                Some(Outcome::Killed(after)) => format!("killed after {after} s"),
                _ => "failed".to_owned(),
            };
            line(text, LEFT + 6.0, y + BAR - 3.0, "start", "fill=\"#999\"", &how);
        }
        y += STEP;
    }
    let x = scale.x(bound);
    _ = writeln!(text, "<path d=\"M{x:.1} {:.0}V{y:.0}\" stroke=\"#c22\" stroke-width=\"1.5\"/>", top + HEAD - 4.0);
}

fn line(text: &mut String, x: f64, y: f64, anchor: &str, style: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    // Writing to a string does not fail.
    _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.0}\" text-anchor=\"{anchor}\" {style}>{words}</text>");
}

/// The decades that the axis has, as exponents of ten.
struct Scale {
    first: i32,
    last: i32,
}

impl Scale {
    #[expect(clippy::cast_possible_truncation, reason = "exponents of seconds are small, and infinities saturate")]
    fn of(comparison: &Comparison) -> Self {
        let times = comparison.images.iter().flat_map(|image| {
            let walls = image.rows.iter().filter_map(|row| median(&row.runs)).map(|usage| usage.wall_s);
            walls.chain([image.limits.lb2()])
        });
        let (low, high) = times.fold((1.0_f64, 1.0_f64), |(low, high), time| (low.min(time), high.max(time)));
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        Self { first, last: last.max(first + 1) }
    }

    fn x(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        LEFT + (RIGHT - LEFT) * share.clamp(0.0, 1.0)
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|exponent| 10_f64.powi(exponent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_logarithmic() {
        let scale = Scale { first: -3, last: 1 };
        assert_eq!([0.001, 0.1, 10.0].map(|value| scale.x(value)), [LEFT, f64::midpoint(LEFT, RIGHT), RIGHT]);
        assert_eq!(scale.decades().count(), 5);
    }

    #[test]
    fn words_are_escaped() {
        let mut text = String::new();
        line(&mut text, 1.0, 2.0, "start", "", "a < b & c");
        assert!(text.contains(">a &lt; b &amp; c</text>"), "{text}");
    }
}
