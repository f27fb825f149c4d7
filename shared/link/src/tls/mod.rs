//! TLS of the link to the broker: which files it takes, and what a failed handshake means.
//!
//! With `--ca`, that CA is the only root: a fleet has its own CA, and no public one may vouch for its broker. Without it, the
//! roots are the system's, for a broker whose certificate comes from a public CA. The certificate of a program identifies it;
//! a broker that asks for it (mTLS) needs no password.

mod expiry;
mod failure;
mod files;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};

use crate::BrokerAddress;
pub use expiry::not_after;
pub(crate) use failure::{Failure, explain};
pub(crate) use files::warn_if_others_can_read;

/// The files that TLS takes, all PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsFiles {
    /// Certificate of the CA that signed the broker's (PEM), the only one that is trusted then; without it, mqtts:// trusts
    /// the system's
    #[arg(long, value_name = "FILE", env = "OUTPOST_CA")]
    pub ca: Option<PathBuf>,
    /// Certificate of this program (PEM), for a broker that asks for one; needs --key
    #[arg(long, value_name = "FILE", env = "OUTPOST_CERT")]
    pub cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", env = "OUTPOST_KEY")]
    pub key: Option<PathBuf>,
}

/// What a link needs to speak TLS. Never shows the key.
#[derive(Clone)]
pub struct Tls(pub(crate) Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// Why the files, or the options that name them, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// TLS without a CA.
    #[error(
        "{broker} needs --ca FILE, the certificate of the CA that signed the broker's: this system has no CA of its own \
         ({cause})"
    )]
    NoCa {
        /// The broker.
        broker: BrokerAddress,
        /// What was found instead.
        cause: String,
    },
    /// Files for a broker without TLS.
    #[error(
        "--{option} is of no use with {broker}: name the broker as mqtts://HOST, or leave --{option} out"
    )]
    NoTls {
        /// The option.
        option: &'static str,
        /// The broker.
        broker: BrokerAddress,
    },
    /// One half of a pair.
    #[error("--{given} without --{missing}: the certificate and its key go together")]
    Half {
        /// What is there.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// A file that cannot be read or holds something else.
    #[error("--{option} {}: {what}", file.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A key of another certificate.
    #[error("the key {} does not belong to the certificate {}", key.display(), cert.display())]
    OtherKey {
        /// The key.
        key: PathBuf,
        /// The certificate.
        cert: PathBuf,
    },
}

impl TlsFiles {
    /// The same, as options of a program.
    pub fn arguments(&self) -> Vec<OsString> {
        let options = [("--ca", &self.ca), ("--cert", &self.cert), ("--key", &self.key)];
        let given =
            options.into_iter().filter_map(|(option, file)| Some([option.into(), file.clone()?.into()]));
        given.flatten().collect()
    }

    /// The name of the first option that is given.
    fn first(&self) -> Option<&'static str> {
        let given = [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)];
        given.into_iter().find_map(|(name, file)| file.is_some().then_some(name))
    }

    /// Reads the files for a link to `broker`; `None` if that is spoken to without TLS.
    ///
    /// # Errors
    /// [`TlsError`] if options and broker contradict each other, or a file is unusable.
    pub fn load(&self, broker: &BrokerAddress) -> Result<Option<Tls>, TlsError> {
        if !broker.tls {
            return match self.first() {
                Some(option) => Err(TlsError::NoTls { option, broker: broker.clone() }),
                None => Ok(None),
            };
        }
        let pair = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((cert.as_path(), key.as_path())),
            (Some(_), None) => return Err(TlsError::Half { given: "cert", missing: "key" }),
            (None, Some(_)) => return Err(TlsError::Half { given: "key", missing: "cert" }),
            (None, None) => None,
        };
        let roots = match &self.ca {
            Some(ca) => files::roots(ca)?,
            None => system_roots().map_err(|cause| TlsError::NoCa { broker: broker.clone(), cause })?,
        };
        let config = config(roots, pair)?;
        if let Some((cert, _)) = pair {
            expiry::warn_of_expiry(cert);
        }
        Ok(Some(Tls(Arc::new(config))))
    }
}

/// The CAs that this system trusts.
fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems keep certificates that nobody could use; the others are as good.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    let empty = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .into_iter()
        .find(|name| std::env::var_os(name).is_some_and(|it| it.is_empty()));
    if let (0, Some(variable)) = (usable, empty) {
        return Err(format!("{variable} is set and empty: unset it"));
    }
    match usable {
        0 => Err(found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string)),
        _ => Ok(roots),
    }
}

/// A configuration that trusts `roots` alone and shows the certificate of `pair`, if it is given.
fn config(roots: RootCertStore, pair: Option<(&Path, &Path)>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has suites for every version")
        .with_root_certificates(roots);
    let Some((cert, key)) = pair else { return Ok(builder.with_no_client_auth()) };
    let (chain, private) = (files::certificates("cert", cert)?, files::private_key(key)?);
    builder.with_client_auth_cert(chain, private).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::OtherKey { key: key.to_owned(), cert: cert.to_owned() }
        }
        rustls::Error::InvalidCertificate(_) => files::wrong("cert", cert, error.to_string()),
        _ => files::wrong("key", key, error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    /// A certificate `ca.pem` with the key `ca.key`, the key `other.key`, and `text.pem`, which is none of these.
    fn folder() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["broker".to_owned()]).unwrap().self_signed(&key).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("ca.pem", &certificate.pem());
        write("ca.key", &key.serialize_pem());
        write("other.key", &KeyPair::generate().unwrap().serialize_pem());
        write("text.pem", "no PEM\n");
        write("torn.pem", &certificate.pem()[..200]);
        write("nothing.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        folder
    }

    fn load(broker: &str, [ca, cert, key]: [&str; 3]) -> Result<Option<Tls>, String> {
        let folder = folder();
        let file = |name: &str| (!name.is_empty()).then(|| folder.path().join(name));
        let files = TlsFiles { ca: file(ca), cert: file(cert), key: file(key) };
        files.load(&broker.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn good_files_are_taken_and_none_are_needed_without_tls() {
        assert!(load("mqtts://broker", ["ca.pem", "", ""]).unwrap().is_some());
        assert!(load("mqtts://broker", ["ca.pem", "ca.pem", "ca.key"]).unwrap().is_some());
        assert!(load("mqtt://broker", [""; 3]).unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_with_files_and_options_is_said_in_one_line() {
        for (broker, files, parts) in [
            (
                "mqtt://broker",
                ["ca.pem", "", ""],
                ["--ca is of no use with mqtt://broker:1883", "mqtts://HOST"],
            ),
            ("mqtt://broker", ["", "", "ca.key"], ["--key is of no use", "leave --key out"]),
            ("mqtts://broker", ["ca.pem", "ca.pem", ""], ["--cert without --key", "together"]),
            ("mqtts://broker", ["ca.pem", "", "ca.key"], ["--key without --cert", "together"]),
            ("mqtts://broker", ["nowhere.pem", "", ""], ["--ca", "nowhere.pem: No such file"]),
            ("mqtts://broker", ["text.pem", "", ""], ["text.pem", "no certificate"]),
            ("mqtts://broker", ["ca.key", "", ""], ["ca.key", "no certificate"]),
            ("mqtts://broker", ["torn.pem", "", ""], ["torn.pem", "not PEM"]),
            ("mqtts://broker", ["nothing.pem", "", ""], ["--ca", "nothing.pem: "]),
            ("mqtts://broker", ["ca.pem", "ca.pem", "ca.pem"], ["--key", "no private key"]),
            ("mqtts://broker", ["ca.pem", "nothing.pem", "ca.key"], ["--cert", "nothing.pem: "]),
            ("mqtts://broker", ["ca.pem", "ca.pem", "other.key"], ["other.key does not belong", "ca.pem"]),
        ] {
            let error = load(broker, files).unwrap_err();
            assert_eq!(error.lines().count(), 1, "{error}");
            parts.iter().for_each(|part| assert!(error.contains(part), "no `{part}` in: {error}"));
        }
    }
}
