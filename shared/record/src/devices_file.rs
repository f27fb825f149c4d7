//! The hardware and clients of a run's devices: `devices.json`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use wire::Hardware;
use wire::identity::DeviceId;

use super::RecordError;
use super::files::{parse, read_if_there, write_json};

pub(super) const DEVICES: &str = "devices.json";
/// So many changes of one device are remembered: a hostile one may say something else every time.
const MOST: usize = 16;

/// What is known of each device, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Devices(pub(super) BTreeMap<String, DeviceEntry>);

/// What is known of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// Whether the run was started, the last time, without waiting for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left_out: bool,
    /// What it said that it is, from which round on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<DeviceDescription>,
}

/// What a device says that it is; it is its own claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDescription {
    /// The first round that it may have taken part in as such.
    pub from_round: u32,
    /// Version of the client.
    pub version: String,
    /// Model of the board.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Box<str>>,
    /// Its processor, as `uname -m` calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Box<str>>,
    /// The release of its kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Box<str>>,
    /// SHA-256 of the client's program, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_sha256: Option<String>,
    /// The release that was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Box<str>>,
}

impl Devices {
    /// Those of the run in `directory`; none where nothing has been written yet.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] or [`RecordError::Io`].
    pub fn load(directory: &Path) -> Result<Self, RecordError> {
        let path = directory.join(DEVICES);
        read_if_there(&path)?.map_or_else(|| Ok(Devices::default()), |json| parse(&path, &json))
    }

    /// Writes them into `directory`.
    ///
    /// # Errors
    /// [`RecordError::Io`].
    pub fn save(&self, directory: &Path) -> Result<(), RecordError> {
        write_json(&directory.join(DEVICES), self)
    }

    /// Nobody waits for `devices` at this start; whether that is news.
    pub fn leave_out(&mut self, devices: &[DeviceId]) -> bool {
        let before: Vec<String> = self.left_out().map(ToOwned::to_owned).collect();
        self.0.values_mut().for_each(|entry| entry.left_out = false);
        for device in devices {
            self.0.entry(device.to_string()).or_default().left_out = true;
        }
        !self.left_out().eq(before)
    }

    /// The names of those that were left out at the last start.
    pub(super) fn left_out(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, entry)| entry.left_out).map(|(name, _)| name.as_str())
    }

    /// A device has said what it is, before `round` was called; whether that is news.
    pub fn describe(&mut self, device: DeviceId, round: u32, version: &str, hardware: &Hardware) -> bool {
        let entry = self.0.entry(device.to_string()).or_default();
        let hardware = hardware.clone();
        let told = DeviceDescription {
            from_round: round,
            version: version.to_owned(),
            model: hardware.model,
            architecture: hardware.architecture,
            kernel: hardware.kernel,
            client_sha256: hardware.client.map(|digest| digest.to_string()),
            release: hardware.release,
        };
        let is_known =
            |last: &DeviceDescription| DeviceDescription { from_round: round, ..last.clone() } == told;
        if entry.told.last().is_some_and(is_known) || entry.told.len() >= MOST {
            return false;
        }
        entry.told.push(told);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pi(kernel: &str) -> Hardware {
        Hardware { model: Some("Raspberry Pi 5".into()), kernel: Some(kernel.into()), ..Hardware::default() }
    }

    #[test]
    fn what_a_device_says_is_kept_with_the_round_from_which_on_it_held() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Devices::load(folder.path()).unwrap(), Devices::default());
        let mut devices = Devices::default();
        assert!(devices.describe(DeviceId(7), 1, "0.1.0", &pi("6.6")));
        assert!(!devices.describe(DeviceId(7), 9, "0.1.0", &pi("6.6")));
        assert!(devices.describe(DeviceId(7), 20, "0.1.0", &pi("6.12")));
        devices.leave_out(&[DeviceId(1)]);
        devices.save(folder.path()).unwrap();
        assert_eq!(Devices::load(folder.path()).unwrap(), devices);
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.path().join(DEVICES)).unwrap()).unwrap();
        assert_eq!(json["device-007"]["told"][1]["from_round"], 20);
        assert_eq!(json["device-007"]["told"][1]["kernel"], "6.12");
        assert_eq!(json["device-001"], serde_json::json!({ "left_out": true }));
        // It has come the next time.
        devices.leave_out(&[]);
        assert!(!devices.0["device-001"].left_out);
    }

    #[test]
    fn one_that_says_something_else_every_time_is_remembered_so_far_and_no_further() {
        let mut devices = Devices::default();
        let news =
            (0..1000).filter(|at| devices.describe(DeviceId(0), 1, "0.1.0", &pi(&at.to_string()))).count();
        assert_eq!(news, MOST);
    }
}
