//! `provision.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The format of manifests, for later versions to tell theirs from this one.
pub(super) const FORMAT: u32 = 1;

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
    /// SHA-256 of the authority's certificate.
    pub authority_sha256: String,
}
