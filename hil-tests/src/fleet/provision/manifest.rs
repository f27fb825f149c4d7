//! `provision.json`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime};

use super::folder::read_manifest;
use crate::fleet::inventory::Inventory;

/// The format of manifests, for later versions to tell theirs from this one.
pub(super) const FORMAT: u32 = 1;
/// What has fewer days left is worth a warning, and is renewed unless another number is given.
pub const RENEW_WITHIN_DAYS: u16 = 30;

/// What a provisioned folder holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// What the fleet is called.
    pub fleet: String,
    /// The broker, as the devices reach it.
    pub broker: String,
    /// The scenario's name.
    pub scenario: String,
    /// SHA-256 of the resolved scenario, which devices and aggregator compare.
    pub scenario_sha256: String,
    /// The certificates, by the name that each is issued to.
    pub certificates: BTreeMap<String, CertificateEntry>,
    /// SHA-256 of each file, by its path in the folder.
    pub files: BTreeMap<String, String>,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateEntry {
    /// Hosts that it is valid for; none for a client.
    pub hosts: Vec<String>,
    /// Its last day, in UTC.
    pub expires: String,
    /// SHA-256 of the authority's public key.
    pub authority_sha256: String,
}

impl CertificateEntry {
    /// Days until its last, from `today`; negative once that is over, and if nobody knows.
    pub(super) fn days_left(&self, today: Date) -> i64 {
        let parts: Vec<u16> = self.expires.split('-').filter_map(|part| part.parse().ok()).collect();
        let [year, month, day] = *parts else { return -1 };
        let month = u8::try_from(month).ok().and_then(|month| Month::try_from(month).ok());
        let day = u8::try_from(day).ok();
        let date =
            month.zip(day).and_then(|(month, day)| Date::from_calendar_date(year.into(), month, day).ok());
        date.map_or(-1, |date| (date - today).whole_days())
    }
}

/// The certificate that ends first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstToExpire<'a> {
    /// Whose it is.
    pub name: &'a str,
    /// Its last day.
    pub day: &'a str,
    /// Days until then.
    pub days_left: i64,
}

impl Manifest {
    /// Reads the manifest of a provisioned folder, and makes sure that it is one of the fleet called `fleet`.
    ///
    /// # Errors
    /// If it is not provisioned, or for another fleet.
    pub fn load(folder: &Path, fleet: &str) -> anyhow::Result<Self> {
        let shown = folder.display();
        let Some(manifest) = read_manifest(folder)? else {
            bail!(
                "{shown}: not provisioned; `hil provision FLEET.toml SCENARIO.toml --out {shown}` writes it"
            )
        };
        ensure!(
            manifest.fleet == fleet,
            "{shown}: provisioned for the fleet `{}`, but this one is `{fleet}`",
            manifest.fleet
        );
        Ok(manifest)
    }

    /// Makes sure that the devices of `inventory` have been told of its broker, and of no other.
    ///
    /// # Errors
    /// If they have not.
    pub fn check_broker(&self, folder: &Path, inventory: &Inventory) -> anyhow::Result<()> {
        let broker = &inventory.broker.url;
        ensure!(
            self.broker == broker.to_string(),
            "{}: provisioned for the broker {}, but {} says {broker}; provision it again",
            folder.display(),
            self.broker,
            inventory.file()
        );
        Ok(())
    }

    /// Which of the certificates ends first; `None` without certificates.
    pub fn first_to_expire(&self) -> Option<FirstToExpire<'_>> {
        self.first_of(|_| true)
    }

    /// Makes sure that neither the authority's certificate nor one of `names` is over, and gives the sentence that is due
    /// if one will be soon.
    ///
    /// # Errors
    /// If one is over.
    pub fn check_dates(&self, folder: &Path, names: &[&str]) -> anyhow::Result<Option<String>> {
        let first = self.first_of(|name| name.ends_with("authority") || names.contains(&name));
        let Some(FirstToExpire { name, day, days_left }) = first else { return Ok(None) };
        let what = "`hil provision` once more renews it: give the broker its new files and deploy";
        let shown = folder.display();
        ensure!(days_left >= 0, "{shown}: the certificate of {name} expired on {day}; {what}");
        let soon = days_left < i64::from(RENEW_WITHIN_DAYS);
        Ok(soon.then(|| {
            format!("{shown}: the certificate of {name} expires on {day}, in {days_left} days; {what}")
        }))
    }

    fn first_of(&self, counts: impl Fn(&str) -> bool) -> Option<FirstToExpire<'_>> {
        let today = OffsetDateTime::now_utc().date();
        let counted = self.certificates.iter().filter(|(name, _)| counts(name));
        let (name, entry) = counted.min_by_key(|(_, entry)| entry.days_left(today))?;
        Some(FirstToExpire { name, day: &entry.expires, days_left: entry.days_left(today) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_to_the_last_one_and_a_date_that_is_none_is_over() {
        let today = Date::from_calendar_date(2028, Month::February, 28).unwrap();
        let left = |expires: &str| {
            CertificateEntry {
                hosts: Vec::new(),
                expires: expires.to_owned(),
                authority_sha256: String::new(),
            }
            .days_left(today)
        };
        assert_eq!([left("2028-02-28"), left("2028-03-01"), left("2029-02-28")], [0, 2, 366]);
        assert_eq!(left("2028-02-27"), -1);
        assert!(
            ["", "soon", "2028-13-01", "2028-02-30", "2028-02", "999-1-1-1"]
                .into_iter()
                .all(|text| left(text) < 0)
        );
    }
}
