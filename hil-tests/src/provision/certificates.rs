//! A certificate authority of the fleet's own, and what it issues: ECDSA on P-256.

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use shared::identity::Digest;
use time::{Duration, OffsetDateTime};

use super::folder::{Folder, Secrecy};
use super::manifest::CertificateEntry;

/// How long certificates are valid from now on.
const VALID: Duration = Duration::days(2 * 365);
/// For how long they have been. A board without a battery starts with the clock of its image, or of its last
/// shutdown, and may connect before it has asked a time server.
const BACKDATED: Duration = Duration::days(365);

/// The authority of a fleet.
pub(super) struct Certificates {
    issuer: Issuer<'static, KeyPair>,
    pem: Vec<u8>,
}

impl Certificates {
    /// The authority in `folder`; made, if there is none.
    pub(super) fn of(folder: &mut Folder, fleet: &str) -> anyhow::Result<Self> {
        let key = key(folder, "ca/ca.key")?;
        let mut parameters = parameters(&format!("Outpost fleet {fleet}"), &[])?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let entry = CertificateEntry {
            hosts: Vec::new(),
            expires: last_day(&parameters),
            authority_sha256: String::new(),
        };
        let known = folder.manifest.certificates.contains_key("authority");
        let pem = match folder.read("ca/ca.pem")? {
            Some(pem) if known => pem,
            _ => {
                folder.manifest.certificates.insert("authority".to_owned(), entry);
                parameters.self_signed(&key).context("the authority's certificate")?.pem().into_bytes()
            }
        };
        folder.write("ca/ca.pem", &pem, Secrecy::Open)?;
        Ok(Certificates { issuer: Issuer::new(parameters, key), pem })
    }

    /// Makes sure that `path`.key, `path`.pem and the authority's certificate beside them are there, issued to `name`
    /// and valid for `hosts`. A key that is there is kept; so is a certificate, if nothing has changed.
    pub(super) fn issue(
        &mut self,
        folder: &mut Folder,
        name: &str,
        path: &str,
        hosts: &[String],
    ) -> anyhow::Result<()> {
        let key = key(folder, &format!("{path}.key"))?;
        let mut parameters = parameters(name, hosts)?;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        let usage = match hosts {
            [] => ExtendedKeyUsagePurpose::ClientAuth,
            _ => ExtendedKeyUsagePurpose::ServerAuth,
        };
        parameters.extended_key_usages = vec![usage];
        let authority_sha256 = Digest::of(&self.pem).to_string();
        let earlier = folder.manifest.certificates.get(name);
        let same = earlier.is_some_and(|it| it.hosts == hosts && it.authority_sha256 == authority_sha256);
        let certificate = match folder.read(&format!("{path}.pem"))? {
            Some(pem) if same => pem,
            _ => {
                let entry = CertificateEntry {
                    hosts: hosts.to_vec(),
                    expires: last_day(&parameters),
                    authority_sha256,
                };
                folder.manifest.certificates.insert(name.to_owned(), entry);
                let issued = parameters.signed_by(&key, &self.issuer);
                issued.with_context(|| format!("the certificate of {name}"))?.pem().into_bytes()
            }
        };
        folder.write(&format!("{path}.pem"), &certificate, Secrecy::Open)?;
        let (parent, _) = path.rsplit_once('/').unwrap_or((".", path));
        folder.write(&format!("{parent}/ca.pem"), &self.pem, Secrecy::Open)
    }
}

/// The key in the file `name`; made, if there is none.
fn key(folder: &mut Folder, name: &str) -> anyhow::Result<KeyPair> {
    let key = match folder.read(name)? {
        Some(pem) => {
            let text = String::from_utf8(pem).ok().context("not PEM");
            let unusable = || format!("{name}: no key any more; --rotate replaces all of them");
            KeyPair::from_pem(&text.with_context(unusable)?).with_context(unusable)?
        }
        None => KeyPair::generate().context("no key can be made")?,
    };
    folder.write(name, key.serialize_pem().as_bytes(), Secrecy::Secret)?;
    Ok(key)
}

fn parameters(name: &str, hosts: &[String]) -> anyhow::Result<CertificateParams> {
    let hosts_error = || format!("a certificate for {}", hosts.join(", "));
    let mut parameters = CertificateParams::new(hosts).with_context(hosts_error)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    (parameters.not_before, parameters.not_after) = (now - BACKDATED, now + VALID);
    Ok(parameters)
}

fn last_day(parameters: &CertificateParams) -> String {
    parameters.not_after.date().to_string()
}
