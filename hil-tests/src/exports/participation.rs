//! What is recorded of each device in a round.

use std::collections::{BTreeMap, BTreeSet};

use record::{DeviceRecord, MutedDevice, RoundRecord};
use wire::identity::DeviceId;

use super::run::ExportedRun;
use super::table::{Cell, Kind};

/// A device in a round.
#[derive(Debug)]
pub(super) struct Participation<'a> {
    round: &'a RoundRecord,
    device: DeviceId,
    compromised: bool,
    /// Whether its update was accepted; `None` where the record does not say whose were.
    accepted: Option<bool>,
    /// What it told of itself.
    told: Option<&'a DeviceRecord>,
    muted: Option<&'a MutedDevice>,
}

/// Something that is recorded of a device in a round.
pub(super) struct DeviceMetric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
    pub(super) read: fn(&Participation<'_>) -> Cell,
}

/// The devices that take part in the round of `record`, and those that are named in it, in ascending order.
pub(super) fn of<'a>(run: &ExportedRun, record: &'a RoundRecord) -> Vec<Participation<'a>> {
    let selection = run.stored.scenario().selection(record.round);
    let told: BTreeMap<_, _> = record.devices.iter().map(|device| (device.device, device)).collect();
    let muted: BTreeMap<_, _> =
        record.muted.iter().filter_map(|muted| Some((muted.device?, muted))).collect();
    let refused: BTreeSet<_> = record.refused_devices.iter().filter_map(|refused| refused.device).collect();
    let accepted = accepted(record, &selection, &refused);
    let named = refused.into_iter().chain(told.keys().copied()).chain(muted.keys().copied());
    let devices: BTreeSet<DeviceId> = selection.iter().copied().chain(named).collect();
    let participation = |device| Participation {
        round: record,
        device,
        compromised: run.attackers.contains(&device),
        accepted: match &accepted {
            Some(accepted) => Some(accepted.contains(&device)),
            None => record.absent.contains(&device).then_some(false),
        },
        told: told.get(&device).copied(),
        muted: muted.get(&device).copied(),
    };
    devices.into_iter().map(participation).collect()
}

/// The devices whose updates were accepted, where that follows from `record`. It names those that told something of
/// themselves; where none did, they are those that are neither absent nor refused, if they are as many as were accepted.
fn accepted(
    record: &RoundRecord,
    selection: &BTreeSet<DeviceId>,
    refused: &BTreeSet<DeviceId>,
) -> Option<BTreeSet<DeviceId>> {
    let as_many = |devices: &BTreeSet<DeviceId>| devices.len() == record.accepted as usize;
    let told: BTreeSet<_> = record.devices.iter().map(|device| device.device).collect();
    let absent: BTreeSet<_> = record.absent.iter().copied().collect();
    let came = selection - &absent;
    // What was refused of a device may have come again.
    let never_refused = &came - refused;
    [told, came, never_refused].into_iter().find(as_many)
}

/// What is recorded of a device in a round, in the order of columns. A new one goes to the end.
pub(super) const DEVICES: &[DeviceMetric] = &[
    DeviceMetric {
        name: "device",
        kind: Kind::Integer,
        unit: "",
        help: "The device: 7 is `device-007`.",
        read: |it| it.device.0.into(),
    },
    DeviceMetric {
        name: "compromised",
        kind: Kind::Bool,
        unit: "",
        help: "Whether it is one of the attackers.",
        read: |it| it.compromised.into(),
    },
    DeviceMetric {
        name: "accepted",
        kind: Kind::Bool,
        unit: "",
        help: "Whether its update was accepted; unknown where the record does not say whose were.",
        read: |it| it.accepted.into(),
    },
    DeviceMetric {
        name: "absent",
        kind: Kind::Bool,
        unit: "",
        help: "Whether it was selected and sent no acceptable update in time.",
        read: |it| it.round.absent.contains(&it.device).into(),
    },
    DeviceMetric {
        name: "removed",
        kind: Kind::Bool,
        unit: "",
        help: "Whether the defense kept its update from the rule.",
        read: |it| it.round.removed.contains(&it.device).into(),
    },
    DeviceMetric {
        name: "used",
        kind: Kind::Bool,
        unit: "",
        help: "Whether its update has a part in the aggregate; unknown where it is unknown whether it was accepted.",
        read: |it| used(it).into(),
    },
    DeviceMetric {
        name: "refused",
        kind: Kind::Integer,
        unit: "number",
        help: "Updates of it that were refused.",
        read: |it| (refusals(it).count() as u64).into(),
    },
    DeviceMetric {
        name: "refused_for",
        kind: Kind::Text,
        unit: "",
        help: "Why they were refused, with commas between.",
        read: |it| {
            let reasons: Vec<String> = refusals(it).collect();
            (!reasons.is_empty()).then(|| reasons.join(",")).into()
        },
    },
    DeviceMetric {
        name: "muted_messages",
        kind: Kind::Integer,
        unit: "number",
        help: "Messages beyond its budget, which were dropped unread.",
        read: |it| it.muted.map_or(0, |muted| muted.messages).into(),
    },
    DeviceMetric {
        name: "muted_bytes",
        kind: Kind::Integer,
        unit: "bytes",
        help: "The bytes of these.",
        read: |it| it.muted.map_or(0, |muted| muted.bytes).into(),
    },
    DeviceMetric {
        name: "fell_back",
        kind: Kind::Bool,
        unit: "",
        help: "Whether it is compromised and sent an honest update in place of a crafted one; unknown where no bench tells.",
        read: |it| it.round.attack.as_ref().map(|attack| attack.fell_back.contains(&it.device)).into(),
    },
    DeviceMetric {
        name: "silent",
        kind: Kind::Bool,
        unit: "",
        help: "Whether it is compromised and sent nothing; unknown where no bench tells.",
        read: |it| it.round.attack.as_ref().map(|attack| attack.silent.contains(&it.device)).into(),
    },
    DeviceMetric {
        name: "train_seconds",
        kind: Kind::Float,
        unit: "seconds",
        help: "Wall time of its training, as it claims.",
        read: |it| it.told.map(|told| told.train_seconds).into(),
    },
    DeviceMetric {
        name: "bytes_up",
        kind: Kind::Integer,
        unit: "bytes",
        help: "What came from it since the round before.",
        read: |it| it.told.map(|told| told.bytes_up).into(),
    },
    DeviceMetric {
        name: "rss_kib",
        kind: Kind::Integer,
        unit: "KiB",
        help: "Memory of its client, as it claims.",
        read: |it| it.told.and_then(|told| told.rss_kib).into(),
    },
    DeviceMetric {
        name: "temperature",
        kind: Kind::Float,
        unit: "°C",
        help: "Temperature of its processor, as it claims.",
        read: |it| it.told.and_then(|told| told.temperature).into(),
    },
    DeviceMetric {
        name: "throttled",
        kind: Kind::Integer,
        unit: "",
        help: "Throttling flags of its firmware, as it claims: the bits that `vcgencmd get_throttled` prints.",
        read: |it| it.told.and_then(|told| told.throttled).map(|flags| flags.0).into(),
    },
    DeviceMetric {
        name: "clock_mhz",
        kind: Kind::Integer,
        unit: "MHz",
        help: "Clock of its processor, as it claims.",
        read: |it| it.told.and_then(|told| told.clock_mhz).map(u32::from).into(),
    },
    DeviceMetric {
        name: "energy_joules",
        kind: Kind::Float,
        unit: "J",
        help: "Energy that its board took while it trained, as it claims.",
        read: |it| it.told.and_then(|told| told.energy_joules).into(),
    },
];

/// Whether the update of a device has a part in the aggregate.
fn used(it: &Participation<'_>) -> Option<bool> {
    let RoundRecord { aggregated, removed, used, .. } = it.round;
    if !aggregated || removed.contains(&it.device) {
        return Some(false);
    }
    // No list stands for all that the defense has left.
    if used.is_empty() { it.accepted } else { Some(used.contains(&it.device)) }
}

/// Why updates of a device were refused.
fn refusals(it: &Participation<'_>) -> impl Iterator<Item = String> {
    let refused = it.round.refused_devices.iter().filter(|refused| refused.device == Some(it.device));
    refused.map(|refused| refused.reason.to_string())
}

#[cfg(test)]
mod tests {
    use record::RefusedDevice;
    use wire::Refusal;

    use super::*;

    fn ids(ids: &[u32]) -> BTreeSet<DeviceId> {
        ids.iter().copied().map(DeviceId).collect()
    }

    fn record(accepted: u32) -> RoundRecord {
        RoundRecord { round: 1, selected: 4, accepted, absent: vec![DeviceId(3)], ..RoundRecord::default() }
    }

    #[test]
    fn whose_updates_were_accepted_is_said_only_where_it_is_known() {
        let all = ids(&[0, 1, 2, 3]);
        let of =
            |accepted_updates: u32, refused: &[u32]| accepted(&record(accepted_updates), &all, &ids(refused));
        assert_eq!(of(3, &[]), Some(ids(&[0, 1, 2])));
        assert_eq!(of(3, &[1]), Some(ids(&[0, 1, 2])), "it came again");
        assert_eq!(of(2, &[1]), Some(ids(&[0, 2])));
        assert_eq!(of(2, &[0, 1]), None, "one of the two came again");
        let told = |device| DeviceRecord::new(DeviceId(device), 1, 1, &wire::Telemetry::default());
        let record = RoundRecord { devices: vec![told(1), told(2)], ..record(2) };
        assert_eq!(accepted(&record, &all, &ids(&[0, 1])), Some(ids(&[1, 2])));
    }

    #[test]
    fn an_update_is_used_if_the_rule_has_used_it() {
        let of = |record: &RoundRecord, accepted| {
            let (device, compromised) = (DeviceId(1), false);
            used(&Participation { round: record, device, compromised, accepted, told: None, muted: None })
        };
        let whole = RoundRecord { aggregated: true, ..record(3) };
        assert_eq!((of(&whole, Some(true)), of(&whole, None)), (Some(true), None));
        assert_eq!(of(&record(3), Some(true)), Some(false), "nothing was aggregated");
        let removed = RoundRecord { removed: vec![DeviceId(1)], ..whole.clone() };
        assert_eq!(of(&removed, Some(true)), Some(false));
        let others = RoundRecord { used: vec![DeviceId(2)], ..whole };
        assert_eq!(of(&others, Some(true)), Some(false));
    }

    #[test]
    fn every_column_is_a_row_of_the_documents() {
        let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let document = std::fs::read_to_string(document).unwrap();
        for DeviceMetric { name, unit, help, .. } in DEVICES {
            let row = format!("| `{name}` | {unit} | {help} |");
            assert!(document.contains(&row), "docs/metrics.md lacks the row\n{row}");
        }
    }

    #[test]
    fn refusals_are_those_of_the_device() {
        let refused = |device, reason| RefusedDevice { device: Some(DeviceId(device)), reason };
        let refused_devices = vec![
            refused(1, Refusal::Late),
            refused(2, Refusal::Late),
            refused(1, Refusal::NonFinite),
            RefusedDevice { device: None, reason: Refusal::Malformed },
        ];
        let record = RoundRecord { refused_devices, ..record(1) };
        let device = DeviceId(1);
        let it = Participation {
            round: &record,
            device,
            compromised: false,
            accepted: None,
            told: None,
            muted: None,
        };
        let cell = |name: &str| (DEVICES.iter().find(|metric| metric.name == name).unwrap().read)(&it);
        assert_eq!(cell("refused"), Cell::Integer(2));
        assert_eq!(cell("refused_for"), Cell::Text("late,non-finite".into()));
        assert_eq!(cell("temperature"), Cell::Unknown);
    }
}
