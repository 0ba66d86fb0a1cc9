//! Where results go: the work folder, and the documentation.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::args::tree;

/// Leaves results in the work folder, as JSON and as Markdown.
pub(crate) fn keep(work: &Path, name: &str, results: &impl Serialize, markdown: &str) -> Result<()> {
    let json = serde_json::to_string_pretty(results).context("results as JSON")?;
    write(&work.join("results").join(format!("{name}.json")), &(json + "\n"))?;
    write(&work.join("results").join(format!("{name}.md")), markdown)
}

/// Puts results into the documentation, between the two marks that are there for them.
pub(crate) fn publish(name: &str, markdown: &str) -> Result<()> {
    let path = tree().join("docs/performance.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let text = replace(&text, name, markdown).with_context(|| path.display().to_string())?;
    write(&path, &text)
}

/// Writes a file.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn replace(text: &str, name: &str, with: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- results: {name} -->\n"), "<!-- end -->");
    let (before, rest) = text.split_once(&begin).with_context(|| format!("there is no mark {begin:?}"))?;
    let (_, after) = rest.split_once(end).with_context(|| format!("the mark {begin:?} has no end"))?;
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", with.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = "a\n<!-- results: x -->\nold\n<!-- end -->\nb\n<!-- results: y -->\n<!-- end -->\n";
        let once = replace(text, "x", "new\n").unwrap();
        assert_eq!(once, "a\n<!-- results: x -->\n\nnew\n\n<!-- end -->\nb\n<!-- results: y -->\n<!-- end -->\n");
        assert_eq!(replace(&once, "x", "new\n").unwrap(), once);
        assert!(replace(text, "z", "new").is_err());
    }
}
