//! The authorities that vouch for all registries.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::{OtherError, RootCertStore};

use super::files::{authorities, files, read_certificates};
use super::problem;
use crate::registry::problem::Problem;

/// The authorities for all registries. They are many, and most runs that are on this machine, or
/// have all they need in the store, ask nobody for a certificate.
pub(super) struct Roots {
    file: Option<PathBuf>,
    dirs: Vec<PathBuf>,
    /// If they are not the system's.
    read: OnceLock<Result<Vec<CertificateDer<'static>>, Unusable>>,
}

/// Why certificates can't be used that were needed in the middle of a handshake.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot use the certificates in {}: {reason}", path.display())]
pub(super) struct Unusable {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

impl Roots {
    pub(super) fn new(file: Option<PathBuf>, dirs: Vec<PathBuf>) -> Roots {
        Roots { file, dirs, read: OnceLock::new() }
    }

    /// Reads them, if any are given.
    pub(super) fn read_now(&self) -> Result<(), Problem> {
        if self.are_given() {
            let _just_made = self.read.set(Ok(self.read()?));
        }
        Ok(())
    }

    pub(super) fn are_given(&self) -> bool {
        self.file.is_some() || !self.dirs.is_empty()
    }

    /// Whether there is something to read.
    pub(super) fn look(&self) -> Result<(), Problem> {
        self.file.iter().try_for_each(|path| fs::metadata(path).map(drop).map_err(|error| problem(path, error)))?;
        self.dirs.iter().try_for_each(|dir| match dir.is_dir() {
            true => Ok(()),
            false => Err(problem(dir, "there is no such directory")),
        })
    }

    fn read(&self) -> Result<Vec<CertificateDer<'static>>, Problem> {
        let mut roots = self.file.as_deref().map(authorities).transpose()?.unwrap_or_default();
        for dir in &self.dirs {
            for path in files(dir)?.ok_or_else(|| problem(dir, "there is no such directory"))? {
                // There are lists of what is revoked, too.
                roots.extend(read_certificates(&path)?);
            }
        }
        Ok(roots)
    }

    /// Those that were given.
    pub(super) fn given(&self) -> Result<&[CertificateDer<'static>], rustls::Error> {
        let read = self.read.get_or_init(|| {
            self.read().map_err(|problem| match problem {
                Problem::Certificates { path, reason } => Unusable { path, reason },
                other => Unusable { path: self.file.clone().unwrap_or_default(), reason: other.to_string() },
            })
        });
        read.as_deref().map_err(|error| rustls::Error::Other(OtherError(Arc::new(error.clone()))))
    }
}

/// The system's authorities; those that make no sense are left out, as everywhere.
pub(super) fn system() -> &'static RootCertStore {
    static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
    SYSTEM.get_or_init(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        store
    })
}
