//! Whether devices reported what their boards measure, and nothing else.

use record::{DeviceRecord, RoundRecord};
use serde::Deserialize;

use crate::fleet::boards::Sensor;
use crate::fleet::inventory::{Device, Inventory, Kind};

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
    /// What people call it, whether a device told it, and what of its board measures it: Linux tells every process its
    /// memory.
    fn about(self) -> (&'static str, fn(&DeviceRecord) -> bool, Option<Sensor>) {
        match self {
            Measurement::Rss => ("memory", |told| told.rss_kib.is_some(), None),
            Measurement::Temperature => {
                ("temperature", |told| told.temperature.is_some(), Some(Sensor::Temperature))
            }
            Measurement::Throttling => {
                ("throttling", |told| told.throttled.is_some(), Some(Sensor::Throttling))
            }
            Measurement::Clock => ("clock", |told| told.clock_mhz.is_some(), Some(Sensor::Clock)),
            Measurement::Energy => ("energy", |told| told.energy_joules.is_some(), Some(Sensor::Energy)),
        }
    }
}

impl Demand {
    /// Whether `device` must tell what `sensor` measures. Of that the profile of a board knows; that of an emulated one does
    /// not speak of the machine that it is emulated on.
    fn on(device: &Device, sensor: Option<Sensor>) -> Self {
        let Some(sensor) = sensor else { return Demand::Must };
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
            let (what, is_told, sensor) = measurement.about();
            let (all, those) = (told().count(), told().filter(|told| is_told(told)).count());
            let id = device.id;
            match Demand::on(device, sensor) {
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
    use wire::Telemetry;
    use wire::identity::DeviceId;

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
    fn complaints_about(devices: [Telemetry; 3]) -> Vec<String> {
        let told =
            devices.iter().zip(0..).map(|(told, id)| DeviceRecord::new(DeviceId(id), 1, 100_000, told));
        let devices: Vec<_> = told.collect();
        let record =
            |round| RoundRecord { round, accepted: 3, devices: devices.clone(), ..Default::default() };
        let expected = [Measurement::Rss, Measurement::Temperature, Measurement::Energy];
        complaints(&expected, &fleet(), &[record(1), record(2)])
    }

    #[test]
    fn a_board_tells_what_it_measures_and_a_process_at_least_its_memory() {
        let process = Telemetry { rss_kib: Some(1), ..Telemetry::default() };
        let pi_4b = Telemetry { temperature: Some(483), ..process };
        let pi_5 = Telemetry { energy: Some(100_000), ..pi_4b };
        for native in [process, pi_5] {
            assert_eq!(complaints_about([native, pi_4b, pi_5]), [""; 0]);
        }
    }

    #[test]
    fn what_is_missing_or_invented_is_named() {
        let silent = Telemetry { rss_kib: Some(1), energy: Some(100_000), ..Telemetry::default() };
        let told = Telemetry { temperature: Some(483), ..silent };
        assert_eq!(
            complaints_about([Telemetry::default(), told, silent]),
            [
                "device-000: memory came with 0 of 2 updates only",
                "device-001: energy came, which its board does not measure",
                "device-002: temperature came with 0 of 2 updates only",
            ]
        );
    }

    #[test]
    fn a_round_in_which_somebody_told_nothing_at_all_is_named() {
        let records = [RoundRecord { round: 7, accepted: 3, ..RoundRecord::default() }];
        let complained = complaints(&[Measurement::Rss], &fleet(), &records);
        assert_eq!(complained, ["round 7: 0 of 3 devices told anything"]);
        assert_eq!(complaints(&[], &fleet(), &records), [""; 0]);
    }
}
