//! A certificate authority of the fleet's own, and what it issues: ECDSA on P-256.
//!
//! Provisioning again renews what expires soon, with the existing keys; also the authority's own certificate, under which the
//! earlier certificates stay valid. A change of authority takes two steps, so that no device is shut out in between. First all
//! trust both authorities, devices get certificates of the new one, and the broker keeps its certificate of the earlier one,
//! which every device knows. Then the earlier one is removed.

use anyhow::{Context, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use time::{Duration, OffsetDateTime};
use wire::identity::Digest;

use super::Keys;
use super::folder::{Folder, Secrecy};
use super::manifest::CertificateEntry;

/// How long certificates are valid from now on.
const VALID: Duration = Duration::days(2 * 365);
/// How long the authority's is. It is renewed in time for what it issues.
const AUTHORITY_VALID: Duration = Duration::days(10 * 365);
/// For how long they have been. A board without a battery starts with the clock of its image, or of its last
/// shutdown, and may connect before it has asked a time server.
const BACKDATED: Duration = Duration::days(365);

/// Where the authority is, and what the manifest calls it.
const AUTHORITY: (&str, &str) = ("ca/ca", "authority");
/// The one before it, as long as it is trusted, too.
const EARLIER: (&str, &str) = ("ca/earlier", "earlier authority");

/// The authorities of a fleet.
pub(super) struct Certificates {
    authority: Authority,
    earlier: Option<Authority>,
    /// The certificates of all that are trusted.
    trusted: Vec<u8>,
    renew_within: Duration,
}

/// One authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: Vec<u8>,
    /// Of its public key: what it has issued stays valid as long as that is the same.
    sha256: String,
}

impl Authority {
    /// The authority in `folder` at `place`; made, if there is none.
    fn of(folder: &mut Folder, (path, name): (&str, &str), fleet: &str) -> anyhow::Result<Self> {
        let key = key(folder, &format!("{path}.key"))?;
        let sha256 = Digest::of(&key.subject_public_key_info()).to_string();
        let mut parameters = parameters(&format!("Outpost fleet {fleet}"), &[], AUTHORITY_VALID)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let entry = CertificateEntry {
            hosts: Vec::new(),
            expires: last_day(&parameters),
            authority_sha256: sha256.clone(),
        };
        // What it issues today must not outlive it.
        let file = format!("{path}.pem");
        let pem = match folder.read(&file)? {
            Some(pem) if folder.is_valid(name, &[], &sha256, VALID) => pem,
            _ => {
                folder.enter(name, entry);
                parameters.self_signed(&key).context("the authority's certificate")?.pem().into_bytes()
            }
        };
        folder.write(&file, &pem, Secrecy::Open)?;
        Ok(Authority { issuer: Issuer::new(parameters, key), pem, sha256 })
    }
}

impl Certificates {
    /// The authorities in `folder`, after what is to become of them; one is made, if there is none. Certificates with
    /// less than `renew_within` left are renewed.
    pub(super) fn of(
        folder: &mut Folder,
        fleet: &str,
        keys: Keys,
        renew_within: Duration,
    ) -> anyhow::Result<Self> {
        let in_transition = folder.read("ca/earlier.key")?.is_some();
        match keys {
            Keys::Keep | Keys::Rotate => {}
            Keys::NewAuthority => {
                ensure!(
                    !in_transition,
                    "two authorities are trusted already; deploy to every device, then --end-transition"
                );
                folder.rename("ca/ca.key", "ca/earlier.key")?;
                folder.rename("ca/ca.pem", "ca/earlier.pem")?;
            }
            Keys::EndTransition => {
                ensure!(
                    in_transition,
                    "one authority is trusted; --new-authority begins a transition to another"
                );
                let retired = folder.retired();
                folder.rename("ca/earlier.key", &format!("{retired}/ca/earlier.key"))?;
                folder.rename("ca/earlier.pem", &format!("{retired}/ca/earlier.pem"))?;
            }
        }
        let authority = Authority::of(folder, AUTHORITY, fleet)?;
        let mut trusted = authority.pem.clone();
        let earlier = if folder.read("ca/earlier.key")?.is_some() {
            let earlier = Authority::of(folder, EARLIER, fleet)?;
            trusted.extend(&earlier.pem);
            Some(earlier)
        } else {
            folder.manifest.certificates.remove(EARLIER.1);
            None
        };
        Ok(Certificates { authority, earlier, trusted, renew_within })
    }

    /// Makes sure that `path`.key, `path`.pem and the authorities' certificates beside them are there, issued to `name`
    /// and valid for `hosts`. A key that is there is kept; so is a certificate, if nothing has changed and it is valid
    /// for long enough.
    pub(super) fn issue(
        &mut self,
        folder: &mut Folder,
        name: &str,
        path: &str,
        hosts: &[String],
    ) -> anyhow::Result<()> {
        let key = key(folder, &format!("{path}.key"))?;
        let mut parameters = parameters(name, hosts, VALID)?;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        // Devices that have not heard of the new authority yet know the earlier one only.
        let (usage, authority) = match (hosts, &self.earlier) {
            ([], _) => (ExtendedKeyUsagePurpose::ClientAuth, &self.authority),
            (_, earlier) => {
                (ExtendedKeyUsagePurpose::ServerAuth, earlier.as_ref().unwrap_or(&self.authority))
            }
        };
        parameters.extended_key_usages = vec![usage];
        let certificate = match folder.read(&format!("{path}.pem"))? {
            Some(pem) if folder.is_valid(name, hosts, &authority.sha256, self.renew_within) => pem,
            _ => {
                let entry = CertificateEntry {
                    hosts: hosts.to_vec(),
                    expires: last_day(&parameters),
                    authority_sha256: authority.sha256.clone(),
                };
                folder.enter(name, entry);
                let issued = parameters.signed_by(&key, &authority.issuer);
                issued.with_context(|| format!("the certificate of {name}"))?.pem().into_bytes()
            }
        };
        folder.write(&format!("{path}.pem"), &certificate, Secrecy::Open)?;
        let (parent, _) = path.rsplit_once('/').unwrap_or((".", path));
        folder.write(&format!("{parent}/ca.pem"), &self.trusted, Secrecy::Open)
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

fn parameters(name: &str, hosts: &[String], valid: Duration) -> anyhow::Result<CertificateParams> {
    let hosts_error = || format!("a certificate for {}", hosts.join(", "));
    let mut parameters = CertificateParams::new(hosts).with_context(hosts_error)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    (parameters.not_before, parameters.not_after) = (now - BACKDATED, now + valid);
    Ok(parameters)
}

fn last_day(parameters: &CertificateParams) -> String {
    parameters.not_after.date().to_string()
}
