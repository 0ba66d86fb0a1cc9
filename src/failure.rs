//! Why the program fails: the exit status, the line that says it, and what the user can do.

use std::path::PathBuf;

use cvbake::error::{Error, Kind};
use cvbake::text;
use cvbake::verify::shorten;

use crate::hint;

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The arguments, the configuration or the environment make no sense.
    #[error("{problem}")]
    Usage {
        /// What is wrong with them.
        problem: String,
        /// What to do instead, if that is known.
        hint: Option<String>,
    },
    /// An image that the store does not have, and that a registry may.
    #[error("the store has no image {:?}", shorten(name))]
    NotInStore {
        /// What was asked for.
        name: String,
        /// Names that are alike.
        similar: Vec<String>,
    },
    /// There is no store, and what was asked for needs one.
    #[error("there is no store at {}", path.display())]
    NoStore {
        /// Where it would be.
        path: PathBuf,
    },
    /// A disk is not what it was compared with.
    #[error("{old} and {new} differ at {count} {}", if *count == 1 { "path" } else { "paths" })]
    Differs {
        /// What was compared.
        old: String,
        /// With what.
        new: String,
        /// At how many paths they differ.
        count: u64,
    },
    /// Objects in the store are damaged.
    #[error("the store has {count} damaged {}", if *count == 1 { "object" } else { "objects" })]
    DamagedStore {
        /// How many.
        count: usize,
    },
    /// A disk is not as its format has it.
    #[error("{} has {count} {}", path.display(), if *count == 1 { "fault" } else { "faults" })]
    DamagedDisk {
        /// The disk.
        path: PathBuf,
        /// How many faults.
        count: u64,
    },
    /// What the library says.
    #[error(transparent)]
    Library(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Library(error.into())
    }
}

impl Failure {
    /// What went wrong, roughly.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Failure::Usage { .. } => Kind::Usage,
            Failure::NotInStore { .. } => Kind::Source,
            Failure::NoStore { .. } | Failure::DamagedStore { .. } => Kind::Store,
            Failure::DamagedDisk { .. } | Failure::Differs { .. } => Kind::Differs,
            Failure::Library(error) => error.kind(),
        }
    }

    /// The exit status of the program.
    pub(crate) fn exit_status(&self) -> u8 {
        exit_status(self.kind())
    }

    /// Everything on one line.
    pub(crate) fn line(&self) -> String {
        match self {
            Failure::Library(error) => error.line(),
            own => text::message(&own.to_string()),
        }
    }

    /// What the user can do about it, if there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Failure::Usage { hint, .. } => hint.clone(),
            Failure::NotInStore { name, similar } => Some(match &similar[..] {
                [] => {
                    format!("docker://{name} asks the registry for it; `cvbake image ls` lists the images in the store")
                }
                similar => format!("there is {}; docker://{name} asks the registry for it", similar.join(", ")),
            }),
            Failure::NoStore { .. } => {
                Some("--store DIR names another one; `cvbake pull` and the first bake make one".to_owned())
            }
            Failure::DamagedStore { .. } => Some(hint::REPAIR.to_owned()),
            Failure::DamagedDisk { .. } => Some(
                "copy the file again, or make the disk again; of qcow2 and VHDX, `qemu-img check -r all` repairs some faults"
                    .to_owned(),
            ),
            Failure::Differs { .. } => None,
            Failure::Library(error) => hint::of(error),
        }
    }
}

/// All kinds that an error message belongs to, with what a table for the user says of them.
pub(crate) const KINDS: [(Kind, &str); 10] = [
    (Kind::Other, "any other error"),
    (Kind::Usage, "invalid arguments"),
    (Kind::Source, "the source does not exist, cannot be read, or is not supported"),
    (Kind::Image, "the image is malformed, hostile, does not match its digests, or is not for the platform"),
    (Kind::Fit, "the image does not fit the requested filesystem"),
    (Kind::Output, "the disk cannot be written"),
    (Kind::Store, "the store cannot be used"),
    (Kind::Program, "a required program is missing or failed"),
    (Kind::Network, "the registry cannot be reached, or answers as no registry should"),
    (Kind::Differs, "a disk differs from what it was compared with, or has faults"),
];

/// The exit status that stands for a kind.
pub(crate) fn exit_status(kind: Kind) -> u8 {
    match kind {
        Kind::Usage => 2,
        Kind::Source => 3,
        Kind::Image => 4,
        Kind::Fit => 5,
        Kind::Output => 6,
        Kind::Store => 7,
        Kind::Program => 8,
        Kind::Network => 9,
        Kind::Differs => 10,
        // As a shell shows a process that SIGPIPE has ended, which others end by.
        Kind::Unread => 141,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_are_different() {
        let statuses: Vec<u8> = KINDS.iter().map(|(kind, _)| exit_status(*kind)).collect();
        assert_eq!(statuses, (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn kinds_and_hints() {
        let text = || "x".to_owned();
        let table = [
            (Failure::Usage { problem: text(), hint: Some("do".to_owned()) }, Kind::Usage, "do"),
            (Failure::NotInStore { name: text(), similar: Vec::new() }, Kind::Source, "docker://"),
            (
                Failure::NotInStore { name: text(), similar: vec!["r/a:1".to_owned()] },
                Kind::Source,
                "there is r/a:1; docker://",
            ),
            (Failure::NoStore { path: "/p".into() }, Kind::Store, "--store DIR names"),
            (Failure::DamagedStore { count: 2 }, Kind::Store, "check --repair"),
            (Failure::DamagedDisk { path: "/p".into(), count: 2 }, Kind::Differs, "copy the file again"),
            (Error::NotInRegistry.into(), Kind::Usage, "cvbake image import"),
        ];
        for (failure, kind, hint) in table {
            assert_eq!(failure.kind(), kind, "{failure:?}");
            assert!(failure.hint().is_some_and(|given| given.contains(hint)), "{failure:?}");
            assert!(!failure.line().contains("--"), "flags are for hints: {}", failure.line());
        }
    }
}
