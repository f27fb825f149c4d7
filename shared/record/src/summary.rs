//! What is recorded of a whole run.

use std::collections::BTreeMap;

use learning::parameters::Parameters;
use scenario::Scenario;
use scenario::attack_record::AttackRecord;
use serde::{Deserialize, Serialize};
use wire::Refusal;
use wire::identity::Digest;

use super::{RoundRecord, metrics};

/// A run in a dozen numbers: `summary.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the scenario.
    pub name: String,
    /// Seed of every random draw.
    pub seed: u64,
    /// Where the devices ran: `software`, `batched`, `processes`, `emulated` or `boards`.
    pub bench: String,
    /// Number of rounds.
    pub rounds: u32,
    /// Number of rounds in which updates were aggregated: the others left the model as it was.
    pub aggregated_rounds: u32,
    /// The fewest updates that were accepted in a round.
    pub least_updates: u32,
    /// Updates that were accepted in a round, in the mean.
    pub mean_updates: f64,
    /// Testing error of the last evaluation, 0 to 1.
    pub final_test_error: Option<f64>,
    /// Lowest testing error of all evaluations, 0 to 1.
    pub best_test_error: Option<f64>,
    /// Digest of the resulting model's values, in hexadecimal.
    pub model_sha256: String,
    /// Wall time of all rounds, in seconds.
    pub seconds: f64,
    /// Rounds per second of wall time.
    pub rounds_per_second: f64,
    /// Bytes from the devices to the aggregator.
    pub bytes_up: u64,
    /// Bytes from the aggregator to the devices.
    pub bytes_down: u64,
    /// Number of devices in the fleet.
    pub devices: u32,
    /// Number of refused updates by reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// Devices that took no part, at least for a time, because their data are not those of the scenario, and what each of them
    /// said of that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unfit: BTreeMap<String, Box<str>>,
    /// The attack of all rounds; `None` where nothing is crafted, or no bench tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack: Option<AttackSummary>,
    /// What else is computed from the rounds, by name: the metrics of [`RUNS`](metrics::RUNS) that are no field here.
    /// Empty in summaries of versions that did not compute them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// The number of test examples of each class (a row) that the model of the last round takes for each class (a
    /// column). Empty where [`RoundRecord::confusion`] is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<Vec<u32>>,
}

impl Summary {
    /// Whether it says what `recorded`, perhaps of a version with other metrics, says.
    pub(super) fn agrees_with(&self, recorded: &Summary) -> bool {
        let both = |one: &Summary, other: &Summary| -> BTreeMap<_, _> {
            let shared = one.metrics.iter().filter(|(name, _)| other.metrics.contains_key(*name));
            shared.map(|(name, value)| (name.clone(), *value)).collect()
        };
        let here = Summary { metrics: both(self, recorded), ..self.clone() };
        here == Summary { metrics: both(recorded, self), ..recorded.clone() }
    }
}

/// What the rounds of a run add up to, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// All that is known without the model and the scenario, but for the means.
    summary: Summary,
    /// Updates that were accepted.
    accepted: f64,
    /// The first round of lowest testing error.
    pub(super) lowest: Option<LowestError>,
}

/// The round of lowest testing error so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct LowestError {
    pub(super) round: u32,
    error: f64,
    /// The one of lowest testing error of those before it.
    pub(super) before: Option<u32>,
}

impl Totals {
    /// Enters the record of the next round.
    pub(super) fn enter(&mut self, record: &RoundRecord) {
        let summary = &mut self.summary;
        let least = if summary.rounds == 0 { u32::MAX } else { summary.least_updates };
        summary.least_updates = least.min(record.accepted);
        summary.rounds += 1;
        summary.aggregated_rounds += u32::from(record.aggregated);
        self.accepted += f64::from(record.accepted);
        if let Some(error) = record.test_error {
            summary.final_test_error = Some(error);
            summary.best_test_error = Some(summary.best_test_error.map_or(error, |best| best.min(error)));
            if self.lowest.is_none_or(|lowest| error < lowest.error) {
                let before = self.lowest.map(|lowest| lowest.round);
                self.lowest = Some(LowestError { round: record.round, error, before });
            }
        }
        summary.seconds += record.seconds;
        summary.bytes_up += record.bytes_up;
        summary.bytes_down += record.bytes_down;
        for (reason, count) in &record.refused {
            *summary.refused.entry(*reason).or_default() += u64::from(*count);
        }
        for unfit in &record.unfit {
            summary.unfit.insert(unfit.device.to_string(), unfit.why.clone());
        }
        if let Some(attack) = &record.attack {
            summary.attack = Some(summary.attack.unwrap_or_default().with(attack));
        }
        metrics::enter(&mut summary.metrics, record);
        summary.confusion.clone_from(&record.confusion);
    }

    /// The summary of a run of `scenario` on `bench` that has come to `model` by them.
    pub(super) fn summary(&self, scenario: &Scenario, bench: &str, model: &Parameters) -> Summary {
        let Summary { rounds, seconds, .. } = self.summary;
        Summary {
            name: scenario.name.clone(),
            seed: scenario.seed,
            bench: bench.to_owned(),
            mean_updates: self.accepted / f64::from(rounds.max(1)),
            model_sha256: Digest::of(&model.to_le_bytes()).to_string(),
            rounds_per_second: if seconds > 0.0 { f64::from(rounds) / seconds } else { 0.0 },
            devices: scenario.fleet.devices,
            ..self.summary.clone()
        }
    }
}

/// How the attack on a run took place, where models are crafted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackSummary {
    /// Rounds for which models were to be crafted.
    pub rounds: u32,
    /// Those of them in which every compromised device sent what was crafted from all that the scenario means.
    pub as_meant: u32,
    /// Those in which the attack found nothing that would do better than honest updates.
    pub gave_up: u32,
    /// Updates that compromised devices honestly trained, in place of what was to be crafted.
    pub fell_back: u32,
    /// Updates that compromised devices did not send.
    pub silent: u32,
}

impl AttackSummary {
    /// That of `records`; `None` if there is no word of an attack in them.
    pub fn of(records: &[RoundRecord]) -> Option<Self> {
        let attacks = records.iter().filter_map(|record| record.attack.as_ref());
        attacks.fold(None, |sum: Option<Self>, attack| Some(sum.unwrap_or_default().with(attack)))
    }

    /// With that of one more round.
    fn with(self, attack: &AttackRecord) -> Self {
        AttackSummary {
            rounds: self.rounds + 1,
            as_meant: self.as_meant + u32::from(attack.is_as_meant()),
            gave_up: self.gave_up + u32::from(attack.crafted.iter().any(|crafted| crafted.gave_up)),
            fell_back: self.fell_back + attack.fell_back.len() as u32,
            silent: self.silent + attack.silent.len() as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    #[test]
    fn the_summary_has_exactly_the_documented_keys() {
        let json = serde_json::to_value(examples::summary("a")).unwrap();
        let mut keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let documented = "name, seed, bench, rounds, aggregated_rounds, least_updates, mean_updates, \
                          final_test_error, best_test_error, model_sha256, seconds, rounds_per_second, bytes_up, \
                          bytes_down, devices, refused, metrics";
        let mut expected: Vec<_> = documented.split(", ").collect();
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_summary_agrees_with_one_of_a_version_that_has_other_metrics() {
        let ours = examples::summary("a");
        let with = |metrics: &[(&str, f64)]| Summary {
            metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            ..ours.clone()
        };
        assert!(ours.agrees_with(&with(&[])));
        assert!(ours.agrees_with(&with(&[("absent", 3.0), ("of a later version", 1.0)])));
        assert!(!ours.agrees_with(&with(&[("absent", 4.0)])));
        assert!(!ours.agrees_with(&Summary { rounds: 4, ..ours.clone() }));
    }
}
