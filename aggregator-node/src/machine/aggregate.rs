//! Aggregate: the rule makes the new global model from what came in.

use learning::parameters::first_not_finite;
use tracing::warn;
use wire::Refusal;
use wire::identity::DeviceId;

use super::Action;
use super::collect::Update;
use super::common::Common;
use super::conclude::Closed;
use crate::worker::{self, Job};

/// A round whose updates are being aggregated.
pub(super) struct Aggregate {
    closed: Closed,
}

impl Aggregate {
    /// Has the worker aggregate `updates`, which are in ascending order of device.
    pub(super) fn begin(
        common: &Common,
        closed: Closed,
        updates: Vec<(DeviceId, Update)>,
        out: &mut Vec<Action>,
    ) -> Self {
        let weights = common.roster.weights(closed.accepted.iter().copied());
        let (devices, updates) =
            updates.into_iter().map(|(device, update)| (device, update.parameters)).unzip();
        let (round, known_byzantine) = (common.round, closed.known_byzantine);
        let (global, remembered) = (common.global.clone(), common.remembered.clone());
        let job = Job::Aggregate { round, devices, updates, weights, known_byzantine, global, remembered };
        out.push(Action::Compute(job));
        Aggregate { closed }
    }

    pub(super) fn aggregated(
        self,
        common: &mut Common,
        result: Result<worker::Aggregate, String>,
        unusable: &[DeviceId],
    ) -> Closed {
        let (round, mut closed) = (common.round, self.closed);
        closed.accepted.retain(|device| !unusable.contains(device));
        for &device in unusable {
            let detail = "parameters so large that no training can go on from them";
            common.ledger.refuse(Some(device), None, Refusal::NonFinite, detail);
            common.roster.was_refused(device);
        }
        match result {
            Ok(worker::Aggregate { parameters, removed, used, remembered }) => {
                (closed.record.removed, closed.record.used) = (removed, used);
                if first_not_finite(&parameters).is_none() {
                    closed.record.aggregated = true;
                    (common.global, common.remembered) = (parameters.into(), remembered.into());
                    let known = closed.known_byzantine + unusable.len();
                    let scenario = &common.scenario;
                    let fewer = scenario.fewer_byzantine(closed.accepted.len(), known).unwrap_or_default();
                    closed.record.byzantine = (fewer > 0).then(|| scenario.byzantine() - fewer);
                } else {
                    warn!("round {round}: the aggregate is not finite, the global model stays as it is");
                }
            }
            Err(what) => warn!("round {round}: the global model stays as it is: {what}"),
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use record::RoundRecord;
    use scenario::Scenario;
    use wire::identity::RunId;
    use wire::{Millis, Topics};

    use super::super::{Event, Machine, Phase, Start};
    use super::*;
    use crate::worker::{Aggregate, Outcome};

    /// The record of a round in which the worker came to `result`, and the model after it.
    fn recorded(result: Result<Aggregate, String>) -> (RoundRecord, Vec<f32>) {
        let text = "name = \"test\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 3\n";
        let scenario = Arc::new(Scenario::parse("s.toml", text, &[]).unwrap());
        let start = Start {
            run: RunId(1),
            term: 1,
            finished: 1,
            global: vec![0.0; 2].into(),
            remembered: Arc::default(),
            trained_on: BTreeMap::new(),
            listed: None,
        };
        let mut machine = Machine::new(scenario, Topics::default(), start, Millis(0));
        let accepted = [1, 2, 7, 9].map(DeviceId).to_vec();
        let record = RoundRecord { round: 1, ..RoundRecord::default() };
        let closed = Closed { record, accepted, known_byzantine: 0 };
        machine.phase = Phase::Aggregate(super::Aggregate { closed });
        let done = Event::Done(Outcome::Aggregated { round: 1, result, unusable: Vec::new() });
        let mut actions = machine.handle(Millis(1), done).into_iter();
        let record = actions.find_map(|action| match action {
            Action::Record { record, global, .. } => Some((record, global.to_vec())),
            _ => None,
        });
        record.unwrap()
    }

    #[test]
    fn the_record_names_the_devices_that_the_defense_removed_and_those_that_the_rule_used() {
        let (removed, used) = ([2, 7].map(DeviceId).to_vec(), vec![DeviceId(9)]);
        let (record, global) = recorded(Ok(Aggregate {
            parameters: vec![1.0, 2.0],
            removed: removed.clone(),
            used: used.clone(),
            ..Aggregate::default()
        }));
        assert_eq!((record.removed, record.used, record.aggregated), (removed, used, true));
        assert_eq!(global, [1.0, 2.0]);
    }

    #[test]
    fn without_a_usable_aggregate_the_model_stays_and_the_record_says_so() {
        let broken = Aggregate {
            parameters: vec![1.0, f32::INFINITY],
            removed: vec![DeviceId(2)],
            ..Aggregate::default()
        };
        for (result, removed) in [(Ok(broken), vec![DeviceId(2)]), (Err("why".to_owned()), vec![])] {
            let (record, global) = recorded(result);
            assert_eq!((record.removed, record.aggregated, global), (removed, false, vec![0.0; 2]));
        }
    }
}
