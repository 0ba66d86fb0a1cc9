//! The options that can be set besides the command line.

use crate::cli::environment;

/// Something that can be set.
#[derive(Debug)]
pub(super) struct Key {
    /// The name of the option, without dashes.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// What holds where nothing is set and the option has no default of its own.
    pub(super) built_in: fn() -> Option<String>,
    /// The subcommand whose option of this name means something else.
    pub(super) not_for: &'static str,
}

/// What a value looks like in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// A text; a number will do.
    Text,
    /// A path. One in a file is relative to the directory of the file.
    Path,
    /// `true` or `false`.
    Flag,
    /// Several texts.
    List,
}

const fn key(name: &'static str, shape: Shape) -> Key {
    Key { name, shape, built_in: || None, not_for: "" }
}

/// Everything that can be set, in the order in which it is shown.
pub(super) const KEYS: &[Key] = &[
    Key { built_in: || environment::store().map(|path| path.display().to_string()), ..key("store", Shape::Path) },
    key("no-cache", Shape::Flag),
    key("keep-packs", Shape::Text),
    key("max-store-size", Shape::Text),
    key("prune-imported", Shape::Flag),
    Key { built_in: built_in_jobs, ..key("jobs", Shape::Text) },
    Key { built_in: || Some(cvbake::fetch::CONNECTIONS.to_string()), ..key("connections", Shape::Text) },
    Key { built_in: || Some(cvbake::verify::Platform::host().to_string()), ..key("platform", Shape::Text) },
    key("fs", Shape::Text),
    key("size", Shape::Text),
    key("inodes", Shape::Text),
    key("no-journal", Shape::Flag),
    key("engine", Shape::Text),
    key("sync", Shape::Text),
    key("reuse", Shape::Text),
    // A pull that asks nobody would be none.
    Key { built_in: || Some("missing".to_owned()), not_for: "pull", ..key("pull", Shape::Text) },
    key("authfile", Shape::Path),
    key("registries-conf", Shape::Path),
    key("cert-dir", Shape::Path),
    key("insecure", Shape::List),
    key("progress", Shape::Text),
];

fn built_in_jobs() -> Option<String> {
    std::thread::available_parallelism().ok().map(|jobs| jobs.to_string())
}

impl Key {
    /// The variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("CVBAKE_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// What the parser of the command line calls the option.
    pub(super) fn id(&self) -> String {
        self.name.replace('-', "_")
    }
}
