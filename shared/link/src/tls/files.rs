//! Reading certificates and keys. What an error says is never the content: that may be a key.

use std::fs;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::warn;

use super::TlsError;

/// The error of a file.
pub(super) fn wrong(option: &'static str, file: &Path, what: impl Into<String>) -> TlsError {
    TlsError::File { option, file: file.to_owned(), what: what.into() }
}

/// The certificates in a file, at least one.
pub(super) fn certificates(
    option: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = fs::read(file).map_err(|error| wrong(option, file, error.to_string()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(option, file, explain(&error, "certificate")))?;
    if certificates.is_empty() {
        return Err(wrong(option, file, explain(&Error::NoItemsFound, "certificate")));
    }
    Ok(certificates)
}

/// The certificates of CAs in a file, as the only roots.
pub(super) fn roots(ca: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", ca)? {
        roots.add(certificate).map_err(|error| wrong("ca", ca, error.to_string()))?;
    }
    Ok(roots)
}

/// The first private key in a file.
pub(super) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = fs::read(file).map_err(|error| wrong("key", file, error.to_string()))?;
    warn_if_others_can_read("key", file);
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| wrong("key", file, explain(&error, "private key without a passphrase")))
}

fn explain(error: &Error, wanted: &str) -> String {
    match error {
        Error::NoItemsFound => format!("holds no {wanted} in PEM (-----BEGIN ...-----)"),
        // The library would repeat the line that it stumbled over.
        _ => format!("damaged or not PEM; expected a {wanted}"),
    }
}

/// A secret that is no secret on this machine is worth a line.
#[cfg(unix)]
pub(crate) fn warn_if_others_can_read(what: &str, file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        warn!("others on this machine may use the {what} {}: chmod 600 keeps it private", file.display());
    }
}

#[cfg(not(unix))]
pub(crate) fn warn_if_others_can_read(_: &str, _: &Path) {}
