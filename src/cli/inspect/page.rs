//! A survey and a map → one page for a browser, which needs nothing else.
//!
//! Names, commands and paths are the image's and may be anything. Into the markup they come only
//! through [`html`]; everything else is data in JSON, in which no `<` stands, and the script puts
//! it on the page as text. A policy in the page forbids the browser to fetch anything.
//!
//! A page is at most some 3 MiB, however many files there are: the largest ones are named, and the
//! others are added up, by directory and layer.

mod nodes;

use cvbake::survey::{Survey, Totals};
use cvbake::text;
use cvbake::tree::{Ino, Tree};
use indicatif::BinaryBytes;
use serde::Serialize;

use self::nodes::{Node, nodes};
use super::map::{Map, Mark};
use crate::cli::ask::{command, short};

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The table of the layers.
const LAYERS: &str = "<h2>Layers</h2>
<table>
<thead><tr><th>layer</th><th>digest</th><th>compressed</th><th>unpacked</th><th>created by</th></tr></thead>
<tbody>
{{rows}}</tbody>
</table>
";

/// Cells of the map: columns and lines.
const COLUMNS: usize = 128;
const LINES: u64 = 24;

/// How much of a command is shown.
const COMMAND: usize = 300;

/// What a page is about.
pub(super) struct Subject<'a> {
    pub(super) title: &'a str,
    /// What it is, with a word for that.
    pub(super) named: (&'static str, String),
    pub(super) tree: &'a Tree,
    /// The image, where that is known: then content is told apart by its layers.
    pub(super) survey: Option<&'a Survey>,
    /// The position of what a file belongs to.
    pub(super) group_of: &'a dyn Fn(Ino) -> Option<usize>,
}

/// The page.
pub(super) fn page(subject: &Subject<'_>, map: &Map) -> String {
    let totals = Totals::of(subject.tree);
    let commands = subject.survey.into_iter().flat_map(|survey| &survey.layers);
    let data = json(&Data {
        nodes: nodes(subject.tree, subject.group_of, &totals),
        layers: commands.map(|layer| command(layer, COMMAND)).collect(),
        layered: subject.survey.is_some(),
        map: drawn(map),
    });
    let numbers = if subject.survey.is_some() { "The number in a rectangle is that of the layer. " } else { "" };
    let parts = [
        ("{{style}}", STYLE.to_owned()),
        ("{{title}}", html(&text::line(subject.title))),
        ("{{facts}}", facts(subject, &totals, map)),
        ("{{numbers}}", numbers.to_owned()),
        ("{{layers}}", subject.survey.map(layers).unwrap_or_default()),
        ("{{plain}}", html(&map.text(100, false))),
        ("{{data}}", data),
        ("{{script}}", SCRIPT.to_owned()),
    ];
    // From left to right: what is put in is not looked at again, whatever it contains.
    let mut page = String::new();
    let mut rest = TEMPLATE;
    for (mark, part) in parts {
        let (before, after) = rest.split_once(mark).expect("the template has each part once, in this order");
        page.push_str(before);
        page.push_str(&part);
        rest = after;
    }
    page + rest
}

fn facts(subject: &Subject<'_>, totals: &Totals<'_>, map: &Map) -> String {
    let facts = [
        subject.named.clone(),
        ("files", subject.tree.inode_count().to_string()),
        ("content", BinaryBytes(totals.bytes(Ino::ROOT)).to_string()),
        ("disk", BinaryBytes(map.disk_bytes).to_string()),
    ];
    facts.map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", html(&value))).concat()
}

fn layers(survey: &Survey) -> String {
    let row = |(at, layer): (usize, &cvbake::survey::SurveyedLayer)| {
        let cells = [
            (at + 1).to_string(),
            short(layer.name()),
            layer.bytes.map_or_else(|| "-".to_owned(), |bytes| BinaryBytes(bytes).to_string()),
            BinaryBytes(layer.unpacked_bytes).to_string(),
            command(layer, COMMAND),
        ];
        let cells = cells.map(|cell| format!("<td>{}</td>", html(&cell))).concat();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = survey.layers.iter().enumerate().map(row).collect();
    LAYERS.replace("{{rows}}", &rows)
}

/// What the script is given.
#[derive(Serialize)]
struct Data {
    nodes: Vec<Node>,
    layers: Vec<String>,
    /// Whether what a file belongs to is a layer.
    layered: bool,
    map: Drawn,
}

/// The map: what each kind of cell means, and the lines as runs of cells.
#[derive(Serialize)]
struct Drawn {
    kinds: Vec<Kind>,
    lines: Vec<Vec<(usize, usize)>>,
    cell_bytes: u64,
}

#[derive(Serialize)]
struct Kind {
    letter: char,
    meaning: String,
    bytes: u64,
    /// Of content, the position of its layer or directory.
    layer: Option<u32>,
    empty: bool,
}

fn drawn(map: &Map) -> Drawn {
    let sums = map.sums();
    let (cells, each) = map.cells(COLUMNS as u64 * LINES);
    let number = |mark: Mark| sums.iter().position(|(known, _)| *known == mark).unwrap_or(0);
    let line = |cells: &[Mark]| -> Vec<(usize, usize)> {
        cells.chunk_by(|one, next| one == next).map(|run| (number(run[0]), run.len())).collect()
    };
    let kind = |&(mark, units): &(Mark, u64)| Kind {
        letter: mark.letter(),
        meaning: mark.meaning(&map.groups),
        bytes: units * map.unit,
        layer: match mark {
            Mark::Content(group) => Some(group),
            _ => None,
        },
        empty: mark.is_empty(),
    };
    let lines = cells.chunks(COLUMNS).map(line).collect();
    Drawn { kinds: sums.iter().map(kind).collect(), lines, cell_bytes: each * map.unit }
}

/// JSON that ends no element of a page, and shows nothing where it is looked at.
fn json(data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).expect("texts and numbers");
    text::json(&data).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Text in the markup of a page.
fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_markup() {
        assert_eq!(html("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
        let text = "</script><!-- & \u{2028}\u{202e}";
        let data = json(&[text]);
        assert!(data.is_ascii() && !data.contains(['<', '>', '&']), "{data}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&data).unwrap(), [text]);
    }

    /// What the policy of the page would forbid is not there to begin with.
    #[test]
    fn the_parts_need_no_network() {
        for part in [TEMPLATE, STYLE, SCRIPT] {
            for word in ["http:", "https:", "src=", "url(", "@import", "innerHTML", "fetch(", "eval("] {
                assert!(!part.contains(word), "{word}");
            }
        }
        assert!(TEMPLATE.contains("default-src 'none'"));
        assert!(!SCRIPT.contains("</") && !STYLE.contains("</"));
    }
}
