//! TLS: who vouches for a registry, and who we are to it.
//!
//! Beside the system's certificate authorities those count that stand in a directory for the
//! registry, as docker and podman have them: `*.crt` are authorities, `*.cert` with `*.key` is what
//! we show. Authorities of a registry also vouch for where it leads; what we show, only the
//! registry itself gets to see. One that can't be read is an error: without it a connection would
//! fail, or succeed, for the wrong reason.

mod files;
mod roots;
mod verifier;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, OtherError};

use self::files::{authorities, files, read, read_certificates};
use self::roots::{Roots, Unusable};
use self::verifier::{Anybody, Verifier, is_authority};
use super::problem::{Problem, plain};

/// Where certificates are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Certificates {
    /// The directory for the registry that is asked for; mirrors have nothing to do with it.
    pub given: Option<PathBuf>,
    /// Directories that have one named `host` or `host:port` for each registry; the first that has
    /// it counts.
    pub usual: Vec<PathBuf>,
    /// A file with authorities that count instead of the system's.
    pub roots_file: Option<PathBuf>,
    /// Directories with such files.
    pub roots_dirs: Vec<PathBuf>,
}

/// The certificates for one registry.
pub(super) struct Tls {
    /// Those of the registry.
    authorities: Vec<CertificateDer<'static>>,
    roots: Arc<Roots>,
    identity: Option<Identity>,
}

/// When the authorities for all registries are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// At once, so that what is wrong with them is said before anybody is asked for anything.
    Now,
    /// When somebody shows a certificate.
    WhenNeeded,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    path: PathBuf,
}

fn problem(path: &Path, reason: impl fmt::Display) -> Problem {
    Problem::Certificates { path: path.to_owned(), reason: plain(&reason.to_string()).to_owned() }
}

impl Tls {
    /// Reads what there is for a registry, as a reference names it.
    pub(super) fn load(certificates: &Certificates, registry: &str, roots_are_read: Reading) -> Result<Tls, Problem> {
        let Certificates { given, usual, roots_file, roots_dirs } = certificates;
        let roots = Roots::new(roots_file.clone(), roots_dirs.clone());
        match roots_are_read {
            Reading::Now => roots.read_now()?,
            Reading::WhenNeeded => roots.look()?,
        }
        let mut tls = Tls { authorities: Vec::new(), roots: Arc::new(roots), identity: None };
        if let Some(dir) = given {
            tls.add(files(dir)?.ok_or_else(|| problem(dir, "there is no such directory"))?)?;
        } else {
            for dir in usual {
                if let Some(files) = files(&dir.join(registry))? {
                    tls.add(files)?;
                    break;
                }
            }
        }
        Ok(tls)
    }

    fn add(&mut self, files: Vec<PathBuf>) -> Result<(), Problem> {
        for path in &files {
            let other = |extension| path.with_extension(extension);
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.authorities.extend(authorities(path)?),
                Some("key") if !files.contains(&other("cert")) => {
                    return Err(problem(path, format!("there is no certificate {} for it", other("cert").display())));
                }
                Some("cert") if !files.contains(&other("key")) => {
                    return Err(problem(path, format!("there is no key {} for it", other("key").display())));
                }
                Some("cert") => {
                    if let Some(Identity { path: first, .. }) = &self.identity {
                        let reason = format!("a second client certificate beside {}, expected one", first.display());
                        return Err(problem(path, reason));
                    }
                    let chain = read_certificates(path)?;
                    let key_path = other("key");
                    let key = PrivateKeyDer::from_pem_slice(&read(&key_path)?)
                        .map_err(|_| problem(&key_path, "expected a private key in PEM form"))?;
                    self.identity = Some(Identity { chain, key, path: path.clone() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the registry itself is to see something that others are not, or may show what others
    /// may not.
    pub(super) fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// The configuration of connections: to the registry itself, or to where it leads.
    pub(super) fn config(&self, own: bool, insecure: bool) -> Result<ClientConfig, Problem> {
        let provider = Arc::new(ring::default_provider());
        let setup = |error: rustls::Error| Problem::Setup { reason: error.to_string() };
        let verifier: Arc<dyn ServerCertVerifier> = match insecure && own {
            true => Arc::new(Anybody::new(Arc::clone(&provider))),
            false => Arc::new(Verifier::new(Arc::clone(&provider), self.authorities.clone(), Arc::clone(&self.roots))),
        };
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(setup)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        match self.identity.as_ref().filter(|_| own) {
            None => Ok(builder.with_no_client_auth()),
            Some(Identity { chain, key, path }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|_| problem(path, "it does not go together with its key")),
        }
    }
}

/// Whether it is our own certificates that a connection failed for.
pub(super) fn unusable(error: &rustls::Error) -> Option<Problem> {
    let rustls::Error::Other(OtherError(error)) = error else { return None };
    error.downcast_ref().map(|Unusable { path, reason }| problem(path, reason))
}

/// Whoever signed it, nobody here has said that they are to be trusted.
const UNKNOWN_AUTHORITY: &str = "its certificate is signed by an unknown authority";

/// What a TLS error says about certificates, if it is about them: the server's, or ours.
pub(super) fn about_certificates(error: &rustls::Error) -> Option<String> {
    use rustls::AlertDescription as Alert;
    use rustls::CertificateError as Bad;
    Some(match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer => UNKNOWN_AUTHORITY.to_owned(),
            Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired".to_owned(),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "its certificate is not valid yet".to_owned(),
            Bad::NotValidForName => "its certificate is for another name".to_owned(),
            Bad::NotValidForNameContext { presented, .. } => {
                // They come as `DnsName("a.example")`.
                let plain = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
                let names = presented.iter().take(5).map(plain).collect::<Vec<_>>().join(", ");
                format!("its certificate is for another name: {names}")
            }
            // It vouches for itself.
            Bad::Other(_) if is_authority(error) => UNKNOWN_AUTHORITY.to_owned(),
            other => format!("its certificate is not accepted: {other}"),
        },
        rustls::Error::AlertReceived(Alert::CertificateRequired) => "it requires a client certificate".to_owned(),
        rustls::Error::AlertReceived(
            alert @ (Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied),
        ) => format!("it does not accept the client certificate, or requires one: {alert:?}"),
        rustls::Error::General(reason) if reason.contains("authorities") => reason.clone(),
        _ => return None,
    })
}
