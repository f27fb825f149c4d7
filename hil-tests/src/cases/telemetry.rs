//! Whether devices told what their boards measure, and nothing else.

use record::{DeviceRecord, RoundRecord};
use serde::Deserialize;

use crate::boards::Sensor;
use crate::inventory::{Device, Inventory, Kind};

/// Something that a device may tell with an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measurement {
    /// Resident memory of the client.
    Rss,
    /// Of the processor.
    Temperature,
    /// The flags of the firmware.
    Throttling,
    /// Of the processor.
    Clock,
    /// What the board took while it trained.
    Energy,
}

/// Whether a device tells something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Must,
    MustNot,
    /// Nothing is known of the machine that is measured.
    May,
}

impl Measurement {
    fn name(self) -> &'static str {
        match self {
            Measurement::Rss => "memory",
            Measurement::Temperature => "temperature",
            Measurement::Throttling => "throttling",
            Measurement::Clock => "clock",
            Measurement::Energy => "energy",
        }
    }

    fn is_told(self, told: &DeviceRecord) -> bool {
        match self {
            Measurement::Rss => told.rss_kib.is_some(),
            Measurement::Temperature => told.temperature.is_some(),
            Measurement::Throttling => told.throttled.is_some(),
            Measurement::Clock => told.clock_mhz.is_some(),
            Measurement::Energy => told.energy_joules.is_some(),
        }
    }

    /// Linux tells every process its memory. Of the rest the profile of a board knows; that of an emulated one does
    /// not speak of the machine that it is emulated on.
    fn demanded_of(self, device: &Device) -> Demand {
        let sensor = match self {
            Measurement::Rss => return Demand::Must,
            Measurement::Temperature => Sensor::Temperature,
            Measurement::Throttling => Sensor::Throttling,
            Measurement::Clock => Sensor::Clock,
            Measurement::Energy => Sensor::Energy,
        };
        match device.profile() {
            Some(board) if device.kind == Kind::Ssh && board.sensors.contains(&sensor) => Demand::Must,
            Some(_) if device.kind == Kind::Ssh => Demand::MustNot,
            _ => Demand::May,
        }
    }
}

/// What the devices of `fleet` told otherwise than they must, or must not, of what is `expected`.
pub(super) fn complaints(
    expected: &[Measurement],
    fleet: &Inventory,
    records: &[RoundRecord],
) -> Vec<String> {
    let mut complaints = Vec::new();
    for record in records.iter().filter(|_| !expected.is_empty()) {
        let (accepted, told) = (record.accepted as usize, record.devices.len());
        if accepted != told {
            complaints.push(format!("round {}: {told} of {accepted} devices told anything", record.round));
        }
    }
    for device in &fleet.devices {
        let told =
            || records.iter().flat_map(|record| &record.devices).filter(|told| told.device == device.id);
        for &measurement in expected {
            let (all, those) = (told().count(), told().filter(|told| measurement.is_told(told)).count());
            let (id, what) = (device.id, measurement.name());
            match measurement.demanded_of(device) {
                Demand::Must if those < all => {
                    complaints.push(format!("{id}: {what} came with {those} of {all} updates only"));
                }
                Demand::MustNot if those > 0 => {
                    complaints.push(format!("{id}: {what} came, which its board does not measure"));
                }
                _ => {}
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A process, a Pi 4 and a Pi 5.
    fn fleet() -> Inventory {
        let board = |id: u32, name: &str| {
            format!(
                "[[device]]\nid = \"device-00{id}\"\nkind = \"ssh\"\nboard = \"{name}\"\naddress = \"pi-{id}\"\n"
            )
        };
        let native = "[[device]]\nid = \"device-000\"\nkind = \"native\"\n";
        let head = "name = \"fleet\"\n[broker]\nurl = \"mqtt://127.0.0.1:1883\"\n";
        let text = format!("{head}{native}{}{}", board(1, "pi-4b"), board(2, "pi-5"));
        Inventory::parse("fleet.toml", &text).unwrap()
    }

    /// The complaints about memory, temperature and energy, if the three devices told this in each of two rounds.
    fn complaints_about(devices: [serde_json::Value; 3]) -> Vec<String> {
        let devices = devices.into_iter().enumerate().map(|(id, mut told)| {
            for (key, value) in [("device", json!(id)), ("train_seconds", json!(0.1)), ("bytes_up", json!(1))]
            {
                told[key] = value;
            }
            told
        });
        let devices: Vec<_> = devices.collect();
        let record = |round: u32| {
            let record = json!({
                "round": round, "selected": 3, "accepted": 3, "absent": [], "refused": {}, "refused_devices": [],
                "removed": [], "aggregated": true, "train_loss": null, "test_error": null, "test_loss": null,
                "bytes_up": 0, "bytes_down": 0, "seconds": 0.5, "devices": devices,
            });
            serde_json::from_value::<RoundRecord>(record).unwrap()
        };
        let expected = [Measurement::Rss, Measurement::Temperature, Measurement::Energy];
        complaints(&expected, &fleet(), &[record(1), record(2)])
    }

    #[test]
    fn a_board_tells_what_it_measures_and_a_process_at_least_its_memory() {
        let pi_4b = json!({ "rss_kib": 1, "temperature": 48.3 });
        let pi_5 = json!({ "rss_kib": 1, "temperature": 48.3, "energy_joules": 0.1 });
        for native in [json!({ "rss_kib": 1 }), pi_5.clone()] {
            assert_eq!(complaints_about([native, pi_4b.clone(), pi_5.clone()]), [""; 0]);
        }
    }

    #[test]
    fn what_is_missing_or_invented_is_named() {
        let told = json!({ "rss_kib": 1, "temperature": 48.3, "energy_joules": 0.1 });
        let silent = json!({ "rss_kib": 1, "energy_joules": 0.1 });
        assert_eq!(
            complaints_about([json!({}), told, silent]),
            [
                "device-000: memory came with 0 of 2 updates only",
                "device-001: energy came, which its board does not measure",
                "device-002: temperature came with 0 of 2 updates only",
            ]
        );
    }

    #[test]
    fn a_round_in_which_somebody_told_nothing_at_all_is_named() {
        let record = json!({
            "round": 7, "selected": 3, "accepted": 3, "absent": [], "refused": {}, "refused_devices": [],
            "removed": [], "aggregated": true, "train_loss": null, "test_error": null, "test_loss": null,
            "bytes_up": 0, "bytes_down": 0, "seconds": 0.5,
        });
        let records = [serde_json::from_value::<RoundRecord>(record).unwrap()];
        let complained = complaints(&[Measurement::Rss], &fleet(), &records);
        assert_eq!(complained, ["round 7: 0 of 3 devices told anything"]);
        assert_eq!(complaints(&[], &fleet(), &records), [""; 0]);
    }
}
