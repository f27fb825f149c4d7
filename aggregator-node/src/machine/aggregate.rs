//! Aggregate: the rule makes the new global model from what came in.

use learning::parameters::first_not_finite;
use learning::training::mean_loss;
use tracing::warn;
use wire::identity::DeviceId;
use wire::{Millis, Refusal};

use super::collect::Missed;
use super::evaluate::Closed;
use super::{Action, Machine, Phase};
use crate::worker::{Aggregate, Job};

impl Machine {
    /// The round takes no more updates.
    pub(super) fn close_round(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Phase::Collect(collect) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let (updates, Missed { selected, absent, refused, known_byzantine }) = collect.close();
        let round = self.round;
        if !absent.is_empty() {
            let names: Vec<_> = absent.iter().map(ToString::to_string).collect();
            warn!("round {round}: nothing in time from {}", names.join(", "));
        }
        absent.iter().for_each(|device| self.roster.was_absent(*device));
        refused.iter().for_each(|device| self.roster.was_refused(*device));
        let (train_loss, losses_ignored) = mean_loss(updates.iter().map(|(_, update)| update.loss));
        let closed = Closed {
            selected: selected.len() as u32,
            accepted: updates.iter().map(|(device, _)| *device).collect(),
            absent,
            known_byzantine,
            byzantine: None,
            removed: Vec::new(),
            used: Vec::new(),
            aggregated: false,
            train_loss,
            losses_ignored,
            devices: self.traffic.devices(&updates),
            shards: self.roster.trained(updates.iter().map(|(device, _)| *device)),
        };
        match self.scenario.fewer_byzantine(updates.len(), known_byzantine) {
            Ok(_) => {
                let weights = self.roster.weights(updates.iter().map(|(device, _)| *device));
                let (devices, updates) =
                    updates.into_iter().map(|(device, update)| (device, update.parameters)).unzip();
                out.push(Action::Compute(Job::Aggregate {
                    round,
                    devices,
                    updates,
                    weights,
                    known_byzantine,
                    remembered: self.remembered.clone(),
                }));
                self.phase = Phase::Aggregate(closed);
            }
            Err(reason) => {
                warn!("round {round}: the global model stays as it is: {reason}");
                self.phase = Phase::Aggregate(closed);
                self.evaluate(now, out);
            }
        }
    }

    pub(super) fn aggregated(
        &mut self,
        now: Millis,
        round: u32,
        result: Result<Aggregate, String>,
        unusable: &[DeviceId],
        out: &mut Vec<Action>,
    ) {
        let Phase::Aggregate(closed) = &mut self.phase else { return };
        if round != self.round {
            return;
        }
        closed.accepted.retain(|device| !unusable.contains(device));
        for &device in unusable {
            let detail = "parameters so large that no training can go on from them";
            self.ledger.refuse(Some(device), None, Refusal::NonFinite, detail);
            self.roster.was_refused(device);
        }
        match result {
            Ok(Aggregate { parameters, removed, used, remembered }) => {
                (closed.removed, closed.used) = (removed, used);
                if first_not_finite(&parameters).is_none() {
                    closed.aggregated = true;
                    (self.global, self.remembered) = (parameters.into(), remembered.into());
                    let known = closed.known_byzantine + unusable.len();
                    let fewer =
                        self.scenario.fewer_byzantine(closed.accepted.len(), known).unwrap_or_default();
                    closed.byzantine = (fewer > 0).then(|| self.scenario.byzantine() - fewer);
                } else {
                    warn!("round {round}: the aggregate is not finite, the global model stays as it is");
                }
            }
            Err(what) => warn!("round {round}: the global model stays as it is: {what}"),
        }
        self.evaluate(now, out);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use record::RoundRecord;
    use scenario::Scenario;
    use wire::Topics;
    use wire::identity::RunId;

    use super::super::{Event, Start};
    use super::*;
    use crate::worker::Outcome;

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
        machine.phase = Phase::Aggregate(Closed {
            selected: 4,
            accepted: [1, 2, 7, 9].map(DeviceId).to_vec(),
            absent: Vec::new(),
            known_byzantine: 0,
            byzantine: None,
            removed: Vec::new(),
            used: Vec::new(),
            aggregated: false,
            train_loss: None,
            losses_ignored: 0,
            devices: Vec::new(),
            shards: Vec::new(),
        });
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
