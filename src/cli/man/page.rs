//! From a command to the source of its page: the sections that pages have, and what is a list or an
//! example in a help is one here, too.

use std::fmt::Write as _;

use clap::{Arg, Command};

/// A page that is being written.
pub(super) struct Page {
    roff: String,
}

/// A part of a help text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Paragraph(String),
    /// Terms, each with what it means; lines without a meaning, as they are.
    List(Vec<(&'t str, String)>),
}

impl Page {
    /// Goes on after what is there.
    pub(super) fn after(roff: String) -> Page {
        Page { roff }
    }

    pub(super) fn finish(self) -> String {
        self.roff
    }

    fn put(&mut self, line: &str) {
        self.roff.push_str(line);
        self.roff.push('\n');
    }

    pub(super) fn section(&mut self, name: &str) {
        self.put(&format!(".SH \"{}\"", escape(&name.to_uppercase())));
    }

    /// From `Usage: cvbake bake [OPTIONS] <SOURCE> -o <DISK>`: what is typed as it is stands in
    /// bold, what it stands for in italics.
    pub(super) fn synopsis(&mut self, usage: &str) {
        self.section("Synopsis");
        for usage in usage.lines().filter(|usage| !usage.trim().is_empty()) {
            let usage = usage.trim();
            let words: Vec<&str> = usage.strip_prefix("Usage: ").unwrap_or(usage).split(' ').collect();
            let name = words.iter().take_while(|word| !word.starts_with(['[', '<', '-'])).count();
            let mut parts = vec![format!("\\fB{}\\fR", escape(&words[..name].join(" ")))];
            parts.extend(words[name..].iter().map(|word| argument(word)));
            self.put(&parts.join(" "));
        }
    }

    /// Paragraphs and lists, of which the first follows what is there.
    pub(super) fn text(&mut self, text: &str, indented: bool) {
        let paragraph = if indented { ".IP" } else { ".PP" };
        for (at, part) in parts(text).into_iter().enumerate() {
            match part {
                Part::Paragraph(paragraph_text) => {
                    if at > 0 {
                        self.put(paragraph);
                    }
                    self.put(&line(&paragraph_text));
                }
                Part::List(terms) => {
                    self.put(".RS");
                    self.terms(&terms);
                    self.put(".RE");
                }
            }
        }
    }

    fn terms(&mut self, terms: &[(&str, String)]) {
        for (term, meaning) in terms {
            self.put(".TP");
            self.put(&format!("\\fB{}\\fR", escape(term)));
            self.put(&line(meaning));
        }
    }

    /// The options, those without a heading first.
    pub(super) fn options(&mut self, command: &Command) {
        let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
        let positional: Vec<&Arg> = shown().filter(|arg| arg.is_positional()).collect();
        if !positional.is_empty() {
            self.section("Arguments");
            positional.iter().for_each(|arg| self.option(arg));
        }
        let options = || shown().filter(|arg| !arg.is_positional());
        if options().next().is_none() {
            return;
        }
        self.section("Options");
        let mut headings: Vec<Option<&str>> = vec![None];
        for arg in options() {
            if !headings.contains(&arg.get_help_heading()) {
                headings.push(arg.get_help_heading());
            }
        }
        for heading in headings {
            if let Some(heading) = heading {
                self.put(&format!(".SS \"{}\"", escape(heading)));
            }
            options().filter(|arg| arg.get_help_heading() == heading).for_each(|arg| self.option(arg));
        }
    }

    fn option(&mut self, arg: &Arg) {
        let mut names: Vec<String> = arg.get_short().map(|short| format!("\\fB\\-{short}\\fR")).into_iter().collect();
        names.extend(arg.get_long().map(|long| format!("\\fB{}\\fR", escape(&format!("--{long}")))));
        let mut head = names.join(", ");
        let takes_values = arg.get_num_args().is_some_and(|count| count.takes_values());
        if let Some(values) = arg.get_value_names().filter(|_| takes_values || arg.is_positional()) {
            let values = format!("\\fI{}\\fR", escape(&values.join(" ")));
            let may_lack = arg.get_num_args().is_some_and(|count| count.min_values() == 0);
            match (head.is_empty(), may_lack) {
                (true, _) => head = values,
                (false, true) => write!(head, "[={values}]").expect("a string takes everything"),
                (false, false) => write!(head, " {values}").expect("a string takes everything"),
            }
        }
        self.put(".TP");
        self.put(&head);
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        self.text(&help, true);
        self.possible_values(arg);
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = (takes_values && !arg.is_hide_default_value_set() && !defaults.is_empty())
            .then(|| format!("[default: {}]", defaults.join(",")));
        let variable = arg.get_env().filter(|_| !arg.is_hide_env_set());
        let variable = variable.map(|variable| format!("[env: {}]", variable.to_string_lossy()));
        let notes: Vec<String> = default.into_iter().chain(variable).collect();
        if !notes.is_empty() {
            self.put(".IP");
            self.put(&line(&notes.join(" ")));
        }
    }

    fn possible_values(&mut self, arg: &Arg) {
        let values = arg.get_possible_values();
        let shown = values.iter().filter(|value| !value.is_hide_set());
        let terms: Vec<(&str, String)> = shown
            .map(|value| (value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default()))
            .collect();
        let takes_values = arg.get_num_args().is_some_and(|count| count.takes_values());
        if terms.is_empty() || arg.is_hide_possible_values_set() || !takes_values {
            return;
        }
        self.put(".RS");
        self.terms(&terms);
        self.put(".RE");
    }

    /// What stands behind a help: sections, each with a line `Name:` above it. Examples are shown
    /// as they are typed.
    pub(super) fn appendix(&mut self, text: &str) {
        for block in text.split("\n\n") {
            let Some((name, body)) = block.split_once(":\n") else {
                self.put(".PP");
                self.put(&line(block));
                continue;
            };
            self.section(name);
            if name == "Examples" {
                self.put(".EX");
                body.lines().for_each(|example| self.put(&line(example.trim_start())));
                self.put(".EE");
            } else {
                for part in parts(body) {
                    match part {
                        Part::Paragraph(text) => self.put(&line(&text)),
                        Part::List(terms) => self.terms(&terms),
                    }
                }
            }
        }
    }
}

/// A word of a usage: `<DISK>`, `[NAME]`, `<NAME>...`, or as it is.
fn argument(word: &str) -> String {
    let (inner, more) = word.strip_suffix("...").map_or((word, ""), |inner| (inner, "..."));
    let between = |open, close| inner.strip_prefix(open).and_then(|inner: &str| inner.strip_suffix(close));
    match (between('<', '>'), between('[', ']')) {
        (Some(name), _) => format!("\\fI{}\\fR{more}", escape(name)),
        (None, Some(name)) => format!("[\\fI{}\\fR]{more}", escape(name)),
        (None, None) => format!("\\fB{}\\fR", escape(word)),
    }
}

/// Paragraphs are apart by empty lines, or by lists, whose terms are indented; what a line says of
/// a term that is indented more goes on with it.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    // Whether the last paragraph has ended.
    let mut ended = true;
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        match (content, indent, parts.last_mut()) {
            ("", ..) => ended = true,
            (content, 0, Some(Part::Paragraph(paragraph))) if !ended => {
                paragraph.push(' ');
                paragraph.push_str(content);
            }
            (content, 0, _) => {
                parts.push(Part::Paragraph(content.to_owned()));
                ended = false;
            }
            (content, 3.., Some(Part::List(terms))) => {
                let (_, meaning) = terms.last_mut().expect("a list has a term");
                meaning.push(' ');
                meaning.push_str(content);
            }
            (content, _, last) => {
                let (term, meaning) = content.split_once("  ").unwrap_or((content, ""));
                let term = (term, meaning.trim_start().to_owned());
                match last {
                    Some(Part::List(terms)) => terms.push(term),
                    _ => parts.push(Part::List(vec![term])),
                }
                ended = true;
            }
        }
    }
    parts
}

/// A line of text. One that begins like a request is none.
fn line(text: &str) -> String {
    let text = escape(text);
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// Text as it is: a hyphen is what one types.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_parts() {
        let text = "How large:\n  auto   as much as is\n         needed\n  +512M  more\nUnits are K\nand M.\n\nMore.";
        let expected = [
            Part::Paragraph("How large:".to_owned()),
            Part::List(vec![("auto", "as much as is needed".to_owned()), ("+512M", "more".to_owned())]),
            Part::Paragraph("Units are K and M.".to_owned()),
            Part::Paragraph("More.".to_owned()),
        ];
        assert_eq!(parts(text), expected);
    }

    #[test]
    fn sections_and_examples() {
        let mut page = Page::after(String::new());
        page.appendix("Examples:\n  cvbake bake a -o b\n  .x \\\n\nExit status:\n  0  success\n  2  wrong:\n     very");
        let expected = ".SH \"EXAMPLES\"\n.EX\ncvbake bake a \\-o b\n\\&.x \\e\n.EE\n.SH \"EXIT STATUS\"\n\
                        .TP\n\\fB0\\fR\nsuccess\n.TP\n\\fB2\\fR\nwrong: very\n";
        assert_eq!(page.finish(), expected);
    }
}
