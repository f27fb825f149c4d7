//! What is recorded of a whole run.

use std::collections::BTreeMap;

use learning::parameters::Parameters;
use scenario::Scenario;
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
    /// Of a run of `scenario` on `bench` that has come to `model`, with `records` of its rounds.
    pub(super) fn of(scenario: &Scenario, bench: &str, records: &[RoundRecord], model: &Parameters) -> Self {
        let rounds = records.len() as u32;
        let seconds: f64 = records.iter().map(|record| record.seconds).sum();
        let mut refused = BTreeMap::new();
        for (reason, count) in records.iter().flat_map(|record| &record.refused) {
            *refused.entry(*reason).or_default() += u64::from(*count);
        }
        let unfit = records.iter().flat_map(|record| &record.unfit);
        let unfit = unfit.map(|unfit| (unfit.device.to_string(), unfit.why.clone())).collect();
        let updates = || records.iter().map(|record| record.accepted);
        let errors = || records.iter().filter_map(|record| record.test_error);
        Summary {
            name: scenario.name.clone(),
            seed: scenario.seed,
            bench: bench.to_owned(),
            rounds,
            aggregated_rounds: records.iter().filter(|record| record.aggregated).count() as u32,
            least_updates: updates().min().unwrap_or(0),
            mean_updates: updates().map(f64::from).sum::<f64>() / f64::from(rounds.max(1)),
            final_test_error: errors().next_back(),
            best_test_error: errors().reduce(f64::min),
            model_sha256: Digest::of(&model.to_le_bytes()).to_string(),
            seconds,
            rounds_per_second: if seconds > 0.0 { f64::from(rounds) / seconds } else { 0.0 },
            bytes_up: records.iter().map(|record| record.bytes_up).sum(),
            bytes_down: records.iter().map(|record| record.bytes_down).sum(),
            devices: scenario.fleet.devices,
            refused,
            unfit,
            attack: AttackSummary::of(records),
            metrics: metrics::computed(records),
            confusion: records.last().map(|record| record.confusion.clone()).unwrap_or_default(),
        }
    }

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
        let summary = attacks.fold(AttackSummary::default(), |sum, attack| AttackSummary {
            rounds: sum.rounds + 1,
            as_meant: sum.as_meant + u32::from(attack.is_as_meant()),
            gave_up: sum.gave_up + u32::from(attack.crafted.iter().any(|crafted| crafted.gave_up)),
            fell_back: sum.fell_back + attack.fell_back.len() as u32,
            silent: sum.silent + attack.silent.len() as u32,
        });
        (summary.rounds > 0).then_some(summary)
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
