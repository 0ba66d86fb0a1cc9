//! Certificates and keys as they stand in files.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::problem;
use crate::registry::problem::Problem;

/// The most that is read of a file. The list of all authorities of a system has some 200 KiB.
const MAX_BYTES: u64 = 4 << 20;

/// The most files of a directory. A system has one for each authority, and a link to it.
const MAX_FILES: usize = 10_000;

/// The files in a directory, in the order of their names; `None` if there is no directory.
pub(super) fn files(dir: &Path) -> Result<Option<Vec<PathBuf>>, Problem> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(problem(dir, error)),
    };
    let mut paths = Vec::new();
    for entry in entries.take(MAX_FILES) {
        let path = entry.map_err(|error| problem(dir, error))?.path();
        // A link to nothing is none; `openssl rehash` leaves such.
        if path.metadata().is_ok_and(|meta| meta.is_file()) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(Some(paths))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let file = match crate::file::open_regular(path) {
        Ok(file) => file,
        Err(crate::Error::Open { source, .. }) => return Err(problem(path, source)),
        Err(crate::Error::Kind { expected, found, .. }) => {
            return Err(problem(path, format!("expected {expected}, found {found}")));
        }
        Err(error) => return Err(problem(path, error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| problem(path, error))?;
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(problem(path, format!("expected at most {MAX_BYTES} bytes"))),
        false => Ok(bytes),
    }
}

/// The certificates in a file, if there are any.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let bytes = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    all.map_err(|_| problem(path, "expected certificates in PEM form, found a broken one"))
}

/// The authorities in a file that is there for nothing else.
pub(super) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let all = read_certificates(path)?;
    if all.is_empty() {
        return Err(problem(path, "expected a certificate in PEM form"));
    }
    for certificate in &all {
        let added = RootCertStore::empty().add(certificate.clone());
        added.map_err(|_| problem(path, "expected certificates in PEM form, found something else in one"))?;
    }
    Ok(all)
}
