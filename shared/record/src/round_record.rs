//! What is recorded of one round.

use std::collections::BTreeMap;

use learning::data::ShardEntry;
use learning::evaluation::{ClassErrors, ClassEvaluation};
use scenario::attack_record::AttackRecord;
use serde::{Deserialize, Serialize};
use wire::Refusal;
use wire::identity::DeviceId;

use super::DeviceRecord;

/// One finished round: a line of `rounds.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundRecord {
    /// The round.
    pub round: u32,
    /// Number of devices that were asked for an update (the paper's m).
    pub selected: u32,
    /// Number of updates that were accepted: what the defense, if any, and the rule got.
    pub accepted: u32,
    /// Selected devices that sent no acceptable update before the round was closed.
    pub absent: Vec<DeviceId>,
    /// Number of refused updates by reason.
    pub refused: BTreeMap<Refusal, u32>,
    /// Who sent what was refused.
    pub refused_devices: Vec<RefusedDevice>,
    /// Who has said since the last record that its data are not those of the scenario, or that it has none; it takes no part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfit: Vec<UnfitDevice>,
    /// Who sent more than its budget, and how much of it was dropped unread; that is not among the refusals. Empty in
    /// records of versions without budgets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub muted: Vec<MutedDevice>,
    /// Devices whose accepted updates the defense kept from the rule, in ascending order.
    pub removed: Vec<DeviceId>,
    /// Devices whose updates have a part in the aggregate, in ascending order, where these are not all that the defense
    /// left; empty in records of versions that did not ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<DeviceId>,
    /// False if there were too few updates for the rule, or nothing usable came of them: the model is the previous
    /// round's.
    pub aggregated: bool,
    /// How many Byzantine devices the rule assumed, where these were not the scenario's: some were known and had no
    /// update, or the quorum asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byzantine: Option<u32>,
    /// Mean training loss that the devices reported (cross-entropy, nats).
    pub train_loss: Option<f32>,
    /// Number of reported losses that are not in that mean, because they cannot be.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses_ignored: u32,
    /// Share of test examples that the global model gets wrong, 0 to 1; `None` in rounds without evaluation.
    pub test_error: Option<f64>,
    /// Mean test loss of the global model (cross-entropy, nats); `None` in rounds without evaluation.
    pub test_loss: Option<f64>,
    /// How the global model does on the test examples of each class, in order of classes. Empty in rounds without
    /// evaluation, where there are more classes than [`MOST_CLASSES`](learning::evaluation::MOST_CLASSES), and in records
    /// of versions that did not count them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassErrors>,
    /// The number of test examples of each class (a row) that the global model takes for each class (a column); empty
    /// where [`RoundRecord::classes`] is, and in all rounds but the last of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<Vec<u32>>,
    /// Share of the examples of an attack with a target that get the label which it wants for them; `None` in rounds without
    /// evaluation, and where the attack has no target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack_success: Option<f64>,
    /// Bytes from the devices to the aggregator.
    pub bytes_up: u64,
    /// Bytes from the aggregator to the devices.
    pub bytes_down: u64,
    /// Wall time of the round, in seconds.
    pub seconds: f64,
    /// The attack, where models are crafted in this round and a bench tells of it: a device is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack: Option<AttackRecord>,
    /// The devices whose updates were accepted, in ascending order; empty where none told anything of itself, and in
    /// records of versions that did not ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceRecord>,
    /// What those trained on whose first accepted update in this run is one of this round, in ascending order of
    /// device; empty in runs of the batched bench, which has no shards of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardEntry>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl RoundRecord {
    /// Number of refused updates, whatever the reason.
    pub fn refusals(&self) -> u64 {
        self.refused.values().copied().map(u64::from).sum()
    }

    /// Number of updates that have a part in the aggregate; none where there is none.
    pub fn used_updates(&self) -> usize {
        let left = (self.accepted as usize).saturating_sub(self.removed.len());
        match (self.aggregated, self.used.len()) {
            (false, _) => 0,
            (true, 0) => left,
            (true, used) => used,
        }
    }

    /// Enters how good the global model is after the round.
    pub fn enter(&mut self, evaluation: ClassEvaluation) {
        self.test_error = Some(evaluation.overall.error_rate);
        self.test_loss = Some(evaluation.overall.loss);
        self.classes = evaluation.classes;
        self.confusion = evaluation.confusion;
        self.attack_success = evaluation.attack_success;
    }
}

/// One refused update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefusedDevice {
    /// Its sender; `None` if that is unknown.
    pub device: Option<DeviceId>,
    /// Why it was refused.
    pub reason: Refusal,
}

/// A device whose data are not those of the scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfitDevice {
    /// The device.
    pub device: DeviceId,
    /// What it says of that, in at most 160 printable characters.
    pub why: Box<str>,
}

/// A device that sent more than its budget since the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MutedDevice {
    /// The device; `None` for all together that are not of the fleet.
    pub device: Option<DeviceId>,
    /// Number of messages that were dropped unread.
    pub messages: u64,
    /// Their bytes of payload.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    #[test]
    fn a_round_is_one_line_that_reads_back() {
        let record = examples::record(3);
        let line = serde_json::to_string(&record).unwrap();
        assert!(!line.contains('\n') && line.contains(r#""refused":{"late":1,"non-finite":1}"#), "{line}");
        assert_eq!(serde_json::from_str::<RoundRecord>(&line).unwrap(), record);
    }

    #[test]
    fn a_record_from_before_there_was_telemetry_reads_as_one_without() {
        let line = r#"{"round":3,"selected":10,"accepted":10,"absent":[],"refused":{},"refused_devices":[],"removed":[],"aggregated":true,"train_loss":0.1,"test_error":0.25,"test_loss":0.5,"bytes_up":7000,"bytes_down":10000,"seconds":0.5}"#;
        let record: RoundRecord = serde_json::from_str(line).unwrap();
        assert_eq!(record.devices, []);
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
    }

    #[test]
    fn measurements_read_back_to_the_last_bit() {
        // serde_json rounds some of these unless its feature float_roundtrip is on.
        for wrong in 1..10_000u32 {
            let test_error = Some(f64::from(wrong) / 9_999.0);
            let record = RoundRecord { test_error, ..examples::record(1) };
            let json = serde_json::to_vec(&record).unwrap();
            assert_eq!(serde_json::from_slice::<RoundRecord>(&json).unwrap().test_error, test_error);
        }
    }
}
