//! What is shown of a fleet.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::identity::DeviceId;
use shared::wire::Status;

use crate::inventory::Inventory;
use crate::table::align;

/// Whether a device is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It is connected to the broker.
    Online,
    /// It has left, or the broker has lost it.
    Offline,
    /// The broker has nothing of it.
    NeverSeen,
}

/// What is known of a device. What it did not tell is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceState {
    /// The device.
    pub device: String,
    /// Its board, as the inventory has it.
    pub board: Option<String>,
    /// Whether it is there.
    pub presence: Presence,
    /// Version of its client.
    pub version: Option<String>,
    /// What else it told.
    #[serde(flatten)]
    pub details: Details,
}

/// What a device tells of its work and its board.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Details {
    /// The last round whose update was accepted.
    pub round: Option<u32>,
    /// Of the processor, in degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// What slows the processor down or has done so, as the firmware calls it; empty if nothing does.
    pub throttling: Option<Vec<String>>,
    /// Resident memory of the client, in KiB.
    pub rss_kib: Option<u32>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// The details of a status.
fn details(status: &Status) -> Details {
    let told = &status.telemetry;
    Details {
        round: status.delivered,
        temperature_celsius: told.celsius(),
        throttling: told.throttled.map(|flags| flags.now().map(ToOwned::to_owned).collect()),
        rss_kib: told.rss_kib,
        last_error: status.error.as_deref().map(ToOwned::to_owned),
    }
}

/// The state of every device of a fleet, in the order of its inventory.
pub fn states(inventory: &Inventory, latest: &BTreeMap<DeviceId, Status>) -> Vec<DeviceState> {
    let state = |device: &crate::inventory::Device| {
        let status = latest.get(&device.id);
        DeviceState {
            device: device.id.to_string(),
            board: device.board.clone(),
            presence: match status {
                Some(status) if status.online => Presence::Online,
                Some(_) => Presence::Offline,
                None => Presence::NeverSeen,
            },
            version: status.map(|status| status.version.clone()),
            details: status.map(details).unwrap_or_default(),
        }
    };
    inventory.devices.iter().map(state).collect()
}

/// The states as a table for a terminal.
pub fn table(states: &[DeviceState]) -> String {
    let header = ["device", "board", "state", "version", "round", "°C", "throttling", "RSS", "last error"];
    let mut lines = vec![header.map(ToOwned::to_owned).to_vec()];
    lines.extend(states.iter().map(line));
    align(&lines)
}

fn line(state: &DeviceState) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let presence = match state.presence {
        Presence::Online => "online",
        Presence::Offline => "offline",
        Presence::NeverSeen => "never seen",
    };
    let details = &state.details;
    let throttling = details.throttling.as_ref().map(|causes| match causes.as_slice() {
        [] => "none".to_owned(),
        causes => causes.join(", "),
    });
    vec![
        state.device.clone(),
        or_dash(state.board.clone()),
        presence.to_owned(),
        or_dash(state.version.clone()),
        or_dash(details.round.map(|round| round.to_string())),
        or_dash(details.temperature_celsius.map(|celsius| format!("{celsius:.1}"))),
        or_dash(throttling),
        or_dash(details.rss_kib.map(|kib| indicatif::BinaryBytes(u64::from(kib) << 10).to_string())),
        or_dash(details.last_error.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use shared::identity::Digest;
    use shared::wire::{PROTOCOL_VERSION, Telemetry, Throttling};

    use super::*;

    #[test]
    fn a_device_is_online_or_offline_or_has_never_been_seen() {
        let text = include_str!("../../../firmware-configs/fleets/shelf.toml");
        let inventory = Inventory::parse("shelf.toml", text).unwrap();
        let status = |device: u32, online: bool| Status {
            protocol: PROTOCOL_VERSION,
            device: DeviceId(device),
            boot: 1,
            up_ms: 0,
            online,
            scenario: Digest::of(b""),
            shard: Digest::of(b""),
            examples: 1,
            version: "0.1.0".into(),
            delivered: Some(7),
            telemetry: Telemetry {
                rss_kib: Some(10 << 10),
                temperature: Some(615),
                throttled: Some(Throttling(0x5_0001)),
                ..Telemetry::default()
            },
            error: None,
        };
        let latest = [(DeviceId(0), status(0, true)), (DeviceId(1), status(1, false))].into();
        let shown = states(&inventory, &latest);
        let presences: Vec<Presence> = shown.iter().map(|state| state.presence).collect();
        assert_eq!(presences, [Presence::Online, Presence::Offline, Presence::NeverSeen]);
        let table = table(&shown);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = table.lines().map(words).collect();
        assert!(lines[1].ends_with("online 0.1.0 7 61.5 under-voltage 10.00 MiB -"), "{table}");
        assert!(lines[3].ends_with("zero-2-w never seen - - - - - -"), "{table}");
    }
}
