//! Whether a disk is what the image says: by `e2fsck`, and by what the kernel finds on it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::filesystem::ReadOnly;
use crate::images::Image;
use crate::run::python;

/// What is wrong with a disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Whether `e2fsck -fn` finds nothing.
    pub(crate) clean: bool,
    /// What differs from the image; nothing if the kernel does not mount the disk, or cannot read
    /// all of it.
    pub(crate) tree: Option<Differences>,
}

/// The differences between two trees.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Differences {
    /// How many there are of each kind, in the order in which they are to be told.
    pub(crate) wrong: serde_json::Map<String, serde_json::Value>,
    /// One path for each kind that there is.
    pub(crate) examples: serde_json::Map<String, serde_json::Value>,
}

impl Verdict {
    /// In words; `nothing` for a disk that is as it should be.
    pub(crate) fn words(&self) -> String {
        let mut words = Vec::new();
        if !self.clean {
            words.push("e2fsck finds errors".to_owned());
        }
        match &self.tree {
            None => words.push("the kernel cannot read it".to_owned()),
            Some(differences) => words.extend(
                differences
                    .wrong
                    .iter()
                    .filter(|(_, count)| count.as_u64() != Some(0))
                    .map(|(kind, count)| format!("{kind} {count}")),
            ),
        }
        if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
    }
}

/// Looks a disk over; `scratch` is a folder for the listing.
pub(crate) fn verify(disk: &Path, image: &Image, scratch: &Path) -> Result<Verdict> {
    let fsck = Command::new("e2fsck")
        .arg("-fn")
        .arg(disk)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("starting e2fsck")?;
    let found = scratch.join("found.tree");
    let listed = ReadOnly::mount(disk)
        .and_then(|mounted| python("trees.py", ["found".as_ref(), mounted.path().as_os_str(), found.as_os_str()]));
    let tree = match listed {
        Err(error) => {
            eprintln!("bench: a disk of the image {} cannot be read: {error:#}", image.name);
            None
        }
        Ok(_) => {
            let told = python("trees.py", ["compare".as_ref(), image.tree.as_os_str(), found.as_os_str()])?;
            Some(serde_json::from_str(&told).context("the differences as JSON")?)
        }
    };
    Ok(Verdict { clean: fsck.success(), tree })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_is_told() {
        let tree = |wrong| Some(serde_json::from_value(serde_json::json!({"wrong": wrong, "examples": {}})).unwrap());
        let words = |clean, tree| Verdict { clean, tree }.words();
        assert_eq!(words(true, tree(serde_json::json!({"missing": 0, "owner": 0}))), "nothing");
        assert_eq!(words(true, tree(serde_json::json!({"missing": 2, "owner": 0, "mode": 1}))), "missing 2, mode 1");
        assert_eq!(words(false, None), "e2fsck finds errors, the kernel cannot read it");
    }
}
