//! Until when a certificate is valid.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tracing::warn;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// From so long before its end on, a certificate is remarked on.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// The end of the validity of the first certificate in `pem`.
///
/// # Errors
/// If there is none, in one line.
pub fn not_after(pem: &[u8]) -> Result<SystemTime, String> {
    let certificate =
        CertificateDer::from_pem_slice(pem).map_err(|_| "holds no certificate in PEM".to_owned())?;
    let certificate = Certificate::from_der(&certificate);
    let certificate =
        certificate.map_err(|error| format!("holds a certificate that cannot be read: {error}"))?;
    Ok(SystemTime::UNIX_EPOCH + certificate.tbs_certificate.validity.not_after.to_unix_duration())
}

/// Warns if the certificate of this program in `file` has run out, or will soon.
pub(super) fn warn_of_expiry(file: &Path) {
    // What cannot be read is an error elsewhere.
    let expiry = fs::read(file).ok().and_then(|pem| not_after(&pem).ok());
    if let Some(remark) = expiry.and_then(|expiry| remark(expiry, SystemTime::now())) {
        warn!("the certificate {} {remark}", file.display());
    }
}

/// What is to be said at `now` of a certificate that ends at `expiry`.
fn remark(expiry: SystemTime, now: SystemTime) -> Option<String> {
    let days = |time: Duration| time.as_secs() / (24 * 3600);
    match expiry.duration_since(now) {
        Ok(left) if left > SOON => None,
        Ok(left) => Some(format!("runs out in {} days: renew it before the broker refuses it", days(left))),
        Err(over) => Some(format!(
            "ran out {} days ago, unless this device's clock is wrong: the broker will refuse it; renew it",
            days(over.duration())
        )),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn the_end_of_a_certificate_is_read_from_its_file() {
        let mut parameters = CertificateParams::new(vec!["device-007".to_owned()]).unwrap();
        // The first is written with two digits for the year, the second, from 2050 on, with four.
        for (year, unix) in [(2031, 1_924_992_000), (2051, 2_556_144_000_u64)] {
            parameters.not_after = date_time_ymd(year, 1, 1);
            let pem = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
            assert_eq!(not_after(pem.as_bytes()), Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(unix)));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for pem in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = not_after(pem.as_bytes()).unwrap_err();
            assert!(error.contains("certificate") && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn a_certificate_is_remarked_on_thirty_days_before_its_end() {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        assert_eq!(remark(now + 31 * DAY, now), None);
        let soon = remark(now + 29 * DAY + DAY / 2, now).unwrap();
        assert!(soon.contains("runs out in 29 days"), "{soon}");
        let over = remark(now - 3 * DAY, now).unwrap();
        assert!(over.contains("ran out 3 days ago"), "{over}");
    }
}
