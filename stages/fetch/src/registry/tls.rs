//! TLS: who vouches for a registry, and who we are to it.
//!
//! Beside the system's certificate authorities those count that stand in a directory for the registry, as docker and podman have
//! them: `*.crt` are authorities, `*.cert` with `*.key` is what we show. Authorities of a registry also vouch for where it leads;
//! what we show, only the registry itself gets to see. One that can't be read is an error: without it a connection would fail, or
//! succeed, for the wrong reason.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::problem::{Problem, plain};

/// The most that is read of a file. The list of all authorities of a system has some 200 KiB.
const MAX_BYTES: u64 = 4 << 20;

/// The most files of a directory. A system has one for each authority, and a link to it.
const MAX_FILES: usize = 10_000;

/// Where certificates are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Certificates {
    /// The directory for the registry that is asked for; mirrors have nothing to do with it.
    pub given: Option<PathBuf>,
    /// Directories that have one named `host` or `host:port` for each registry; the first that has it counts.
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

/// The authorities for all registries. They are many, and most runs that are on this machine, or have all they need in the store, ask
/// nobody for a certificate.
struct Roots {
    file: Option<PathBuf>,
    dirs: Vec<PathBuf>,
    /// If they are not the system's.
    read: OnceLock<Result<Vec<CertificateDer<'static>>, Unusable>>,
}

/// Why certificates can't be used that were needed in the middle of a handshake.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot use the certificates in {}: {reason}", path.display())]
struct Unusable {
    path: PathBuf,
    reason: String,
}

/// When the authorities for all registries are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// At once, so that what is wrong with them is said before anybody is asked for anything.
    Now,
    /// When somebody shows a certificate.
    WhenNeeded,
}

impl Roots {
    fn are_given(&self) -> bool {
        self.file.is_some() || !self.dirs.is_empty()
    }

    /// Whether there is something to read.
    fn look(&self) -> Result<(), Problem> {
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
    fn given(&self) -> Result<&[CertificateDer<'static>], rustls::Error> {
        let read = self.read.get_or_init(|| {
            self.read().map_err(|problem| match problem {
                Problem::Certificates { path, reason } => Unusable { path, reason },
                other => Unusable { path: self.file.clone().unwrap_or_default(), reason: other.to_string() },
            })
        });
        read.as_deref().map_err(|error| rustls::Error::Other(OtherError(Arc::new(error.clone()))))
    }
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
        let roots = Roots { file: roots_file.clone(), dirs: roots_dirs.clone(), read: OnceLock::new() };
        if roots_are_read == Reading::Now && roots.are_given() {
            let _just_made = roots.read.set(Ok(roots.read()?));
        } else {
            roots.look()?;
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

    /// Whether the registry itself is to see something that others are not, or may show what others may not.
    pub(super) fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// The configuration of connections: to the registry itself, or to where it leads.
    pub(super) fn config(&self, own: bool, insecure: bool) -> Result<ClientConfig, Problem> {
        let provider = Arc::new(ring::default_provider());
        let setup = |error: rustls::Error| Problem::Setup { reason: error.to_string() };
        let verifier: Arc<dyn ServerCertVerifier> = match insecure && own {
            true => Arc::new(Anybody(Arc::clone(&provider))),
            false => Arc::new(Verifier {
                provider: Arc::clone(&provider),
                authorities: self.authorities.clone(),
                roots: Arc::clone(&self.roots),
                inner: OnceLock::new(),
            }),
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

/// The files in a directory, in the order of their names; `None` if there is no directory.
fn files(dir: &Path) -> Result<Option<Vec<PathBuf>>, Problem> {
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

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let file = match crate::file::open_regular(path) {
        Ok(file) => file,
        Err(crate::Error::Open { source, .. }) => return Err(problem(path, source)),
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
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let bytes = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    all.map_err(|_| problem(path, "expected certificates in PEM form, found a broken one"))
}

/// The authorities in a file that is there for nothing else.
fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
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

/// The system's authorities; those that make no sense are left out, as everywhere.
fn system() -> &'static RootCertStore {
    static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
    SYSTEM.get_or_init(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        store
    })
}

/// Believes what an authority vouches for. The system's are read when first needed.
struct Verifier {
    provider: Arc<CryptoProvider>,
    authorities: Vec<CertificateDer<'static>>,
    roots: Arc<Roots>,
    inner: OnceLock<Result<Arc<WebPkiServerVerifier>, rustls::Error>>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    fn inner(&self) -> Result<&WebPkiServerVerifier, rustls::Error> {
        let inner = self.inner.get_or_init(|| {
            let mut store = if self.roots.are_given() { RootCertStore::empty() } else { system().clone() };
            store.add_parsable_certificates(self.named()?.cloned());
            if store.is_empty() {
                return Err(rustls::Error::General("there are no certificate authorities on this system".to_owned()));
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&self.provider))
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))
        });
        inner.as_deref().map_err(Clone::clone)
    }

    /// The authorities that somebody has named.
    fn named(&self) -> Result<impl Iterator<Item = &CertificateDer<'static>>, rustls::Error> {
        let roots = if self.roots.are_given() { self.roots.given()? } else { &[] };
        Ok(roots.iter().chain(&self.authorities))
    }
}

/// Whether nothing was found wrong with a certificate but that it is one of an authority. Its time is looked at before that.
fn is_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // Registries often have a certificate that vouches for itself. Who is trusted by name here is trusted as itself, too.
            Err(error)
                if is_authority(&error) && self.named().is_ok_and(|mut all| all.any(|known| known == end_entity)) =>
            {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Believes anybody: for a registry that may be insecure.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether it is our own certificates that a connection failed for.
pub(super) fn unusable(error: &rustls::Error) -> Option<Problem> {
    let rustls::Error::Other(OtherError(error)) = error else { return None };
    error.downcast_ref().map(|Unusable { path, reason }| problem(path, reason))
}

/// What a TLS error says about certificates, if it is about them: the server's, or ours.
pub(super) fn about_certificates(error: &rustls::Error) -> Option<String> {
    use rustls::AlertDescription as Alert;
    use rustls::CertificateError as Bad;
    Some(match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer => "no authority that is known here vouches for its certificate".to_owned(),
            Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired".to_owned(),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "its certificate is not valid yet".to_owned(),
            Bad::NotValidForName => "its certificate is for another name".to_owned(),
            Bad::NotValidForNameContext { presented, .. } => {
                // They come as `DnsName("a.example")`.
                let plain = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
                let names = presented.iter().take(5).map(plain).collect::<Vec<_>>().join(", ");
                format!("its certificate is for another name: {names}")
            }
            Bad::Other(_) if is_authority(error) => {
                "it shows a certificate of an authority, which is not known here".to_owned()
            }
            other => format!("its certificate is not accepted: {other}"),
        },
        rustls::Error::AlertReceived(Alert::CertificateRequired) => "it wants a client certificate".to_owned(),
        rustls::Error::AlertReceived(
            alert @ (Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied),
        ) => format!("it does not accept the client certificate, or wants one: {alert:?}"),
        rustls::Error::General(reason) if reason.contains("authorities") => reason.clone(),
        _ => return None,
    })
}
