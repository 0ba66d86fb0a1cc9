//! The files of the configuration, in their order.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::parse::{Fault, parse};
use super::{Registries, RegistriesFiles};
use crate::{Error, Event};

/// The most that is read of a file. The list of short names that distributions ship has some 10
/// KiB.
const MAX_BYTES: u64 = 4 << 20;

/// The most files of one directory.
const MAX_FILES: usize = 1000;

impl Registries {
    /// Reads the configuration. What is not known in it is ignored, with an event.
    ///
    /// # Errors
    /// When a file can't be read or says something else than it should; the error says which,
    /// where, and what it should say.
    pub fn load(files: &RegistriesFiles, on: &dyn Fn(Event)) -> Result<Registries, Error> {
        let mut all = Registries::default();
        let mut add = |path: &Path, needed: bool| -> Result<bool, Error> {
            let Some(found) = read(path, needed, on)? else { return Ok(false) };
            all.override_by(found);
            Ok(true)
        };
        match &files.given {
            Some(path) => {
                add(path, true)?;
            }
            None => {
                for path in &files.usual {
                    if add(path, false)? {
                        break;
                    }
                }
            }
        }
        for dir in &files.drop_ins {
            for path in drop_ins(dir)? {
                add(&path, true)?;
            }
        }
        if let Some(path) = &files.aliases
            && let Some(found) = read(path, false, on)?
        {
            all.aliases.extend(found.aliases);
        }
        Ok(all)
    }
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Open { path: path.to_owned(), source }
}

/// One file, if it is there or must be.
fn read(path: &Path, needed: bool, on: &dyn Fn(Event)) -> Result<Option<Registries>, Error> {
    // A common way to say that there is to be none.
    if path == Path::new("/dev/null") {
        return Ok(Some(Registries::default()));
    }
    let file = match crate::file::open_regular(path) {
        Ok(file) => file,
        Err(Error::Open { source, .. }) if !needed && source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|source| unreadable(path, source))?;
    let wrong = |Fault { line, problem }: Fault| Error::Registries { path: path.to_owned(), line, problem };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong(Fault { line: 1, problem: format!("too large, expected at most {MAX_BYTES} bytes") }));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        wrong(Fault { line, problem: "expected UTF-8".to_owned() })
    })?;
    let (found, ignored) = parse(&text).map_err(wrong)?;
    for Fault { line, problem } in ignored {
        on(Event::Ignored { path: path.to_owned(), line, problem });
    }
    Ok(Some(found))
}

/// The `*.conf` in a directory, if there is one, in the order of their names.
fn drop_ins(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(unreadable(dir, source)),
    };
    let mut paths = Vec::new();
    for entry in entries.take(MAX_FILES) {
        let path = entry.map_err(|source| unreadable(dir, source))?.path();
        if path.extension().is_some_and(|extension| extension == "conf") && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
