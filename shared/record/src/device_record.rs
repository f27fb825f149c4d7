//! What is recorded of one device in one round.

use serde::{Deserialize, Serialize};
use wire::identity::DeviceId;
use wire::{Telemetry, Throttling};

/// What a device told of itself with an accepted update, and how much came from it. What it did not tell is absent.
///
/// All but the bytes is what the device claims.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// The device.
    pub device: DeviceId,
    /// Wall time of its training, in seconds.
    pub train_seconds: f64,
    /// Bytes that came from it between the last record and the close of this round.
    pub bytes_up: u64,
    /// Resident memory of the client, in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_kib: Option<u32>,
    /// Temperature of the processor, in degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Throttling flags of the firmware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<Throttling>,
    /// Clock of the processor, in MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_mhz: Option<u16>,
    /// Energy that the board took while it trained, in J.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_joules: Option<f64>,
}

impl DeviceRecord {
    /// Of an update of `device`.
    pub fn new(device: DeviceId, bytes_up: u64, train_us: u64, telemetry: &Telemetry) -> Self {
        DeviceRecord {
            device,
            train_seconds: train_us as f64 / 1e6,
            bytes_up,
            rss_kib: telemetry.rss_kib,
            temperature: telemetry.celsius(),
            throttled: telemetry.throttled,
            clock_mhz: telemetry.clock,
            energy_joules: telemetry.energy.map(|microjoules| microjoules as f64 / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_that_people_read() {
        let telemetry = Telemetry {
            rss_kib: Some(6400),
            temperature: Some(-35),
            throttled: Some(Throttling(0x5_0005)),
            clock: Some(1500),
            energy: Some(2_750_001),
        };
        let json = serde_json::to_string(&DeviceRecord::new(DeviceId(7), 31_700, 412, &telemetry)).unwrap();
        let expected = r#"{"device":7,"train_seconds":0.000412,"bytes_up":31700,"rss_kib":6400,"temperature":-3.5,"throttled":327685,"clock_mhz":1500,"energy_joules":2.750001}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_unknown_is_absent_and_reads_back() {
        let record = DeviceRecord::new(DeviceId(7), 1, 0, &Telemetry::default());
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(json, r#"{"device":7,"train_seconds":0.0,"bytes_up":1}"#);
        assert_eq!(serde_json::from_str::<DeviceRecord>(&json).unwrap(), record);
    }
}
