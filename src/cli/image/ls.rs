//! `cvbake image ls`: the images of the store.

use std::sync::Arc;

use cvbake::images::{Listed, begins, calls};
use cvbake::text::line;
use indicatif::BinaryBytes;
use serde::Serialize;

use super::{date, table};
use crate::cli::ask::short;
use crate::cli::output;
use crate::cli::work::InStore;
use crate::failure::Failure;
use crate::ui::Ui;

/// List the images in the store
///
/// There is a line for each name. An image that was pulled by its digest has no tag, and one
/// without a name has neither: both are <none>. PLATFORM lists the platforms that are in the store,
/// and SIZE is the size of what the store has of the image, compressed as it is there. The store is
/// not changed.
///
/// --json prints objects with name, repository, tag, digest, media_type, platforms, created, bytes
/// and complete.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// List only images of this name, end of a name, or beginning of a digest; * stands for any
    /// text, ? for one character
    #[arg(value_name = "PATTERN")]
    pattern: Option<String>,

    /// Show whole digests
    #[arg(long)]
    digests: bool,

    /// Print only digests; with --json, the list stays complete
    #[arg(short, long, conflicts_with_all = ["format", "digests"])]
    quiet: bool,

    /// Print a line for each name from this template, with the fields {{.Name}}, {{.Repository}},
    /// {{.Tag}}, {{.Digest}}, {{.ID}}, {{.Platform}}, {{.CreatedAt}} and {{.Size}}; \t is a tab, \n
    /// a new line; one that begins with the word table prints columns with headings, which tabs
    /// separate; json is the same as --json
    #[arg(long, value_name = "TEMPLATE", value_parser = template, conflicts_with = "json")]
    format: Option<Template>,

    /// Print the result as a JSON list
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    store: InStore,
}

pub(super) fn run(args: &Args, ui: &Arc<Ui>) -> Result<(), Failure> {
    let listed = match args.store.path() {
        Some(_) => cvbake::images::list(&args.store.there(ui)?, &|event| ui.on(&event))?,
        None => Vec::new(),
    };
    let matching = |image: &&Listed| args.pattern.as_ref().is_none_or(|pattern| matches(pattern, image));
    let listed: Vec<&Listed> = listed.iter().filter(matching).collect();
    if args.json || args.format.as_ref().is_some_and(Template::is_json) {
        let items: Vec<Item<'_>> = listed.iter().map(|image| Item::of(image)).collect();
        let items = serde_json::to_string(&items).expect("numbers, texts and lists of them");
        return output::json(&format!("{items}\n"));
    }
    let text = if let Some(template) = args.format.as_ref().filter(|template| !template.is_default()) {
        template.list(&listed)
    } else if args.quiet {
        listed.iter().map(|image| format!("{}\n", image.details.reference.digest)).collect()
    } else {
        text(&listed, args.digests)
    };
    output::lines(&text)
}

fn text(listed: &[&Listed], digests: bool) -> String {
    let head = ["REPOSITORY", "TAG", "DIGEST", "PLATFORM", "CREATED", "SIZE"].map(str::to_owned).to_vec();
    let row = |image: &&Listed| {
        let digest = &image.details.reference.digest;
        let digest = if digests { digest.to_string() } else { short(digest) };
        let incomplete = if image.details.is_complete() { "" } else { " (incomplete)" };
        let size = format!("{}{incomplete}", Field::Size.of(image));
        vec![
            Field::Repository.of(image),
            Field::Tag.of(image),
            digest,
            Field::Platform.of(image),
            Field::Created.of(image),
            size,
        ]
    };
    table(&[vec![head], listed.iter().map(row).collect()].concat())
}

/// An element of the JSON list.
#[derive(Serialize)]
struct Item<'a> {
    name: &'a str,
    repository: Option<&'a str>,
    tag: Option<&'a str>,
    digest: String,
    media_type: &'a str,
    platforms: Vec<&'a str>,
    created: Option<&'a str>,
    bytes: u64,
    complete: bool,
}

impl Item<'_> {
    fn of(image: &Listed) -> Item<'_> {
        let details = &image.details;
        Item {
            name: &image.name,
            repository: image.repository.as_deref(),
            tag: image.tag.as_deref(),
            digest: details.reference.digest.to_string(),
            media_type: &details.reference.media_type,
            platforms: details.images.iter().filter_map(|image| image.platform.as_deref()).collect(),
            created: created(image),
            bytes: details.stored_bytes(),
            complete: details.is_complete(),
        }
    }
}

fn created(image: &Listed) -> Option<&str> {
    image.details.images.iter().find_map(|image| image.created.as_deref())
}

/// What a template can say of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Repository,
    Tag,
    Digest,
    Id,
    Platform,
    Created,
    Size,
}

impl Field {
    const NAMES: [(&'static str, Field); 8] = [
        ("Name", Field::Name),
        ("Repository", Field::Repository),
        ("Tag", Field::Tag),
        ("Digest", Field::Digest),
        ("ID", Field::Id),
        ("Platform", Field::Platform),
        ("CreatedAt", Field::Created),
        ("Size", Field::Size),
    ];

    /// What stands over a column.
    fn heading(self) -> String {
        let heading = match self {
            Field::Created => "CREATED",
            field => Field::NAMES.iter().find(|(_, known)| *known == field).map_or("", |(name, _)| name),
        };
        heading.to_ascii_uppercase()
    }

    /// What images and files of the store say is escaped: nothing here moves a cursor.
    fn of(self, image: &Listed) -> String {
        let part = |text: Option<&str>| line(text.unwrap_or("<none>"));
        match self {
            Field::Name => part(image.repository.as_ref().map(|_| image.name.as_str())),
            Field::Repository => part(image.repository.as_deref()),
            Field::Tag => part(image.tag.as_deref()),
            Field::Digest => image.details.reference.digest.to_string(),
            Field::Id => short(&image.details.reference.digest),
            Field::Platform => platforms(image),
            Field::Created => date(created(image)).to_owned(),
            Field::Size => BinaryBytes(image.details.stored_bytes()).to_string(),
        }
    }
}

/// The platforms; of many some, for they are for people.
fn platforms(image: &Listed) -> String {
    const SHOWN: usize = 3;
    let all: Vec<&str> = image.details.images.iter().filter_map(|image| image.platform.as_deref()).collect();
    let shown: Vec<String> = all.iter().take(SHOWN).map(|platform| line(platform)).collect();
    match all.len().saturating_sub(SHOWN) {
        _ if all.is_empty() => "-".to_owned(),
        0 => shown.join(","),
        more => format!("{},+{more}", shown.join(",")),
    }
}

/// What a line is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    /// Whether the lines are a table.
    is_table: bool,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

fn template(text: &str) -> Result<Template, String> {
    let columns = text.strip_prefix("table").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\\']));
    let is_table = columns.is_some();
    let text = columns.map_or(text, |columns| columns.trim_start().trim_start_matches("\\t"));
    let text = text.replace("\\t", "\t").replace("\\n", "\n");
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, after) = behind.split_once("}}").ok_or("there is a {{ without }}")?;
        let name = name.trim().strip_prefix('.').unwrap_or_default();
        let known = Field::NAMES.iter().find(|(known, _)| *known == name);
        let names: Vec<String> = Field::NAMES.iter().map(|(name, _)| format!("{{{{.{name}}}}}")).collect();
        let (_, field) =
            known.ok_or_else(|| format!("there is no such field, expected one of {}", names.join(", ")))?;
        parts.extend([Part::Text(before.to_owned()), Part::Field(*field)]);
        rest = after;
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(Template { is_table, parts })
}

impl Template {
    /// Whether it is the word that other programs have for lists as JSON.
    fn is_json(&self) -> bool {
        !self.is_table && matches!(self.parts.as_slice(), [Part::Text(text)] if text == "json")
    }

    /// Whether it is a table of nothing in particular.
    fn is_default(&self) -> bool {
        self.is_table && matches!(self.parts.as_slice(), [Part::Text(text)] if text.is_empty())
    }

    fn list(&self, listed: &[&Listed]) -> String {
        let lines = listed.iter().map(|image| self.fill(&|field| field.of(image)));
        if !self.is_table {
            return lines.map(|line| line + "\n").collect();
        }
        let cells = |line: String| line.split('\t').map(str::to_owned).collect();
        let rows: Vec<Vec<String>> = [self.fill(&Field::heading)].into_iter().chain(lines).map(cells).collect();
        table(&rows)
    }

    fn fill(&self, value: &dyn Fn(Field) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(field) => value(*field),
        };
        self.parts.iter().map(part).collect()
    }
}

/// Whether a pattern is like something that the image may be called by, or the beginning of its
/// digest.
fn matches(pattern: &str, image: &Listed) -> bool {
    let digest = &image.details.reference.digest;
    calls(&image.name).any(|call| is_like(pattern.as_bytes(), call.as_bytes())) || begins(digest, pattern)
}

/// Whether a text is like a pattern, in which `*` stands for any text and `?` for any character of
/// one byte.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // The last star, and where in the text what follows it was tried last: trying again from there
    // is enough.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((position, tried)) => {
                    star = Some((position, tried + 1));
                    (at, from) = (position + 1, tried + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, like) in [
            ("alpine", "alpine", true),
            ("alp*", "alpine", true),
            ("*", "", true),
            ("*e*e", "aeee", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b", "a-b-", false),
            ("", "a", false),
        ] {
            assert_eq!(is_like(pattern.as_bytes(), text.as_bytes()), like, "{pattern} {text}");
        }
        assert!(!is_like("*a".repeat(30).as_bytes(), "a".repeat(20_000).replace('a', "ab").as_bytes()));
    }

    #[test]
    fn templates() {
        let text = |text: &str| Part::Text(text.to_owned());
        let found = template(r"{{.Repository}}:{{ .Tag }}\t!").unwrap();
        let expected = [text(""), Part::Field(Field::Repository), text(":"), Part::Field(Field::Tag), text("\t!")];
        assert_eq!((found.is_table, &found.parts[..]), (false, &expected[..]));
        let found = template(r"table {{.Repository}}\t{{.CreatedAt}}").unwrap();
        let expected = [text(""), Part::Field(Field::Repository), text("\t"), Part::Field(Field::Created), text("")];
        assert_eq!((found.is_table, &found.parts[..]), (true, &expected[..]));
        assert_eq!(found.list(&[]), "REPOSITORY  CREATED\n");
        for (text, is_default) in
            [("table", true), ("table ", true), ("table {{.ID}}", false), ("tables", false), ("", false)]
        {
            assert_eq!(template(text).unwrap().is_default(), is_default, "{text}");
        }
        for (text, is_json) in [("json", true), ("json {{.Tag}}", false), ("{{.Tag}}", false), ("JSON", false)] {
            assert_eq!(template(text).unwrap().is_json(), is_json, "{text}");
        }
        for wrong in ["{{.Nothing}}", "{{Tag}}", "{{.Tag", "{{}}"] {
            assert!(template(wrong).is_err(), "{wrong}");
        }
    }
}
