//! A certificate authority of a test's own.

use std::fs;
use std::path::{Path, PathBuf};

use link::TlsFiles;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// Signs certificates and keeps them in a folder.
pub(crate) struct Authority {
    folder: PathBuf,
    ca: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub(crate) enum Validity {
    Always,
    Past,
    Future,
    Since2020,
}

impl Authority {
    /// Called `name`, as is its certificate.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = folder.join(format!("{name}.pem"));
        fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { folder: folder.to_owned(), ca, issuer: Issuer::new(params, key) }
    }

    /// The files of a program called `name`, with a certificate that is always valid.
    pub(crate) fn issue(&self, name: &str) -> TlsFiles {
        self.issue_for(name, Validity::Always)
    }

    /// As [`Authority::issue`], for a broker at 127.0.0.1 too.
    pub(crate) fn issue_for(&self, name: &str, validity: Validity) -> TlsFiles {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let (from, until) = match validity {
            Validity::Always => (1975, 4096),
            Validity::Past => (1975, 2001),
            Validity::Future => (4000, 4096),
            Validity::Since2020 => (2020, 4096),
        };
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |extension: &str, text: String| {
            let path = self.folder.join(format!("{name}.{extension}"));
            fs::write(&path, text).unwrap();
            Some(path)
        };
        TlsFiles {
            ca: Some(self.ca.clone()),
            cert: file("crt", certificate.pem()),
            key: file("key", key.serialize_pem()),
        }
    }
}
