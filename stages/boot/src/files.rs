//! Where kernels and modules come from.

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;

use crate::Error;

/// The largest file that is read: kernels with debug information have a few hundred MiB.
pub const MAX_FILE_BYTES: u64 = 512 << 20;

/// A tree of files. Paths are relative, with `/` between names.
pub trait Files {
    /// What it is called in messages.
    fn name(&self) -> String;

    /// The content of a file; none where there is no file. Links are followed within the tree.
    ///
    /// # Errors
    /// When there is one, and it can't be read or has more than [`MAX_FILE_BYTES`].
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error>;

    /// The names in a directory, sorted; none where there is no directory.
    ///
    /// # Errors
    /// When there is one, and it can't be read.
    fn names(&self, path: &str) -> Result<Vec<String>, Error>;
}

/// A directory of this machine.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

impl Directory {
    /// The content of a file wherever it is, by its path as a user says it.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read_file(path: &std::path::Path) -> Result<Vec<u8>, Error> {
        let name = || path.display().to_string();
        let failed = |source| Error::Read { name: name(), source };
        let file = fs::File::open(path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?.len();
        if found > MAX_FILE_BYTES {
            return Err(Error::TooLarge { name: name(), found, max: MAX_FILE_BYTES });
        }
        let mut content = Vec::new();
        // It may be a pipe, and grow.
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(failed)?;
        let found = content.len() as u64;
        if found > MAX_FILE_BYTES {
            return Err(Error::TooLarge { name: name(), found, max: MAX_FILE_BYTES });
        }
        Ok(content)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}

impl Files for Directory {
    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.0.join(path);
        // Nobody has named it: opening a pipe would wait for whoever writes to it.
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Ok(None);
        }
        match Directory::read_file(&path) {
            Ok(content) => Ok(Some(content)),
            Err(Error::Read { source, .. }) if is_absent(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn names(&self, path: &str) -> Result<Vec<String>, Error> {
        let path = self.0.join(path);
        let failed = |source| Error::Read { name: path.display().to_string(), source };
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is no text is none of a kernel or a module.
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }
}
