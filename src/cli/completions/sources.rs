//! Images and places for them, by their beginnings.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use clap_complete::engine::CompletionCandidate;
use cvbake::store::{Named, Store};
use cvbake::text::line;

/// What an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The name of an image.
    Name,
    /// A file or directory, behind what says of which kind it is.
    Place,
    /// Either.
    Source,
}

/// Where candidates come from.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    pub(super) store: Option<PathBuf>,
}

/// What stands before places.
const TRANSPORTS: [&str; 4] = ["docker-archive:", "oci-archive:", "oci:", "tar:"];

/// More than anybody looks through.
const MOST: usize = 1000;

/// What names of Docker Hub need not begin with.
const HUB: [&str; 2] = ["docker.io/library/", "docker.io/"];

impl Sources {
    pub(super) fn candidates(&self, kind: Kind, current: &OsStr) -> Vec<CompletionCandidate> {
        let found = if kind == Kind::Name { self.names(current) } else { self.sources(kind, current) };
        let can_be_shown = |text: &OsString| text.to_str().is_some_and(|text| line(text) == text);
        found.into_iter().filter(can_be_shown).take(MOST).map(CompletionCandidate::new).collect()
    }

    fn sources(&self, kind: Kind, current: &OsStr) -> Vec<OsString> {
        let of_transport = |transport: &&&str| current.as_bytes().starts_with(transport.as_bytes());
        if let Some(transport) = TRANSPORTS.iter().find(of_transport) {
            let path = OsStr::from_bytes(&current.as_bytes()[transport.len()..]);
            let with_transport = |path: OsString| OsString::from_vec([transport.as_bytes(), path.as_bytes()].concat());
            return files(path, *transport == "oci:").into_iter().map(with_transport).collect();
        }
        let mut found = if kind == Kind::Source { self.names(current) } else { Vec::new() };
        let may_be = |transport: &&str| transport.as_bytes().starts_with(current.as_bytes());
        found.extend(TRANSPORTS.into_iter().filter(may_be).map(OsString::from));
        found
    }

    /// The names in the store that begin like this, as short as they may be written so.
    fn names(&self, current: &OsStr) -> Vec<OsString> {
        let store = self.store.as_deref().and_then(|path| Store::open_read_only(path).ok()?);
        let Some(names) = store.and_then(|store| store.names().inspect().ok()) else { return Vec::new() };
        let written = |named: &Named| {
            let full = named.name.as_str();
            let mut forms = HUB.iter().filter_map(|hub| full.strip_prefix(hub)).chain([full]);
            forms.find(|form| form.as_bytes().starts_with(current.as_bytes())).map(str::to_owned)
        };
        let mut found: Vec<String> = names.known.iter().filter_map(written).collect();
        found.sort();
        found.dedup();
        found.into_iter().map(OsString::from).collect()
    }
}

/// The files and directories whose paths begin like this, those that may have something in them
/// with a slash.
fn files(begin: &OsStr, only_directories: bool) -> Vec<OsString> {
    let bytes = begin.as_bytes();
    let (above, name) = bytes.split_at(bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1));
    let dir = if above.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(above)) };
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let (entry_name, path) = (entry.file_name(), entry.path());
        let entry_name = entry_name.as_bytes();
        // Behind a colon there is something else.
        if !entry_name.starts_with(name) || entry_name.contains(&b':') || name.is_empty() && entry_name[0] == b'.' {
            continue;
        }
        let is_directory = path.is_dir();
        let slash: &[u8] = if is_directory && !path.join("oci-layout").is_file() { b"/" } else { b"" };
        if is_directory || !only_directories {
            found.push(OsString::from_vec([above, entry_name, slash].concat()));
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_begin_alike() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        // What would act on a terminal is not offered.
        for name in ["a.tar", "b.tar", ".hidden", "a:b", "a\u{1b}[2J", "a\u{202e}"] {
            fs::write(at(name), "").unwrap();
        }
        for name in ["apples", "layout"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("layout/oci-layout"), "{}").unwrap();
        let sources = Sources { store: None };
        let found = |transport: &str, begin: &str| -> Vec<String> {
            let current = format!("{transport}{}", at(begin).display());
            let found = sources.candidates(Kind::Source, OsStr::new(&current));
            let prefix = format!("{transport}{}/", dir.path().display());
            let name = |found: &CompletionCandidate| {
                found.get_value().to_str().unwrap().strip_prefix(&prefix).unwrap().to_owned()
            };
            found.iter().map(name).collect()
        };
        assert_eq!(found("tar:", "a"), ["a.tar", "apples/"]);
        assert_eq!(found("tar:", ".h"), [".hidden"]);
        assert_eq!(found("oci-archive:", "b"), ["b.tar"]);
        assert_eq!(found("oci:", ""), ["apples/", "layout"]);
        assert_eq!(found("oci:", "nothing/there"), [""; 0]);
        let words = |kind, text: &str| sources.candidates(kind, OsStr::new(text)).len();
        assert_eq!([words(Kind::Source, "oci"), words(Kind::Place, ""), words(Kind::Name, "oci")], [2, 4, 0]);
    }
}
