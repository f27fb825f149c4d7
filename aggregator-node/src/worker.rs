//! What the aggregator computes: the aggregate, and how good it is. Pure functions of their jobs.

use std::collections::BTreeSet;
use std::sync::Arc;

use shared::data::Dataset;
use shared::evaluation::Evaluation;
use shared::identity::DeviceId;
use shared::models::Model;
use shared::rules::{RuleError, Updates, aggregate_where};
use shared::scenario::Scenario;

use crate::backend::{Backend, Engine};
use crate::defense::{DefenseError, Screening};
use crate::evaluator::{Evaluator, Examples};

/// Something to compute.
#[derive(Clone, Debug)]
pub enum Job {
    /// Apply the defense, if there is one, and the rule.
    Aggregate {
        /// The round.
        round: u32,
        /// Whose updates there are, in ascending order.
        devices: Vec<DeviceId>,
        /// The update of each, of length d.
        updates: Vec<Arc<[f32]>>,
        /// The number of examples behind each.
        weights: Vec<f64>,
    },
    /// Evaluate the global model on the whole test set.
    Evaluate {
        /// The round.
        round: u32,
        /// The global model, length d.
        global: Arc<[f32]>,
    },
}

/// What came of a [`Job`].
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The aggregate.
    Aggregated {
        /// The round.
        round: u32,
        /// The aggregate, or why there is none.
        result: Result<Aggregate, String>,
    },
    /// What rules are computed on, or models evaluated, failed: not for anything that a device sent.
    BackendFailed {
        /// The round.
        round: u32,
        /// How.
        what: String,
    },
    /// How good the global model is.
    Evaluated {
        /// The round.
        round: u32,
        /// The evaluation, or why there is none.
        result: Result<Evaluation, String>,
    },
}

/// What the rule made of the updates that the defense left.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The new global model, length d.
    pub parameters: Vec<f32>,
    /// The devices whose updates the defense removed, in ascending order.
    pub removed: Vec<DeviceId>,
}

/// Computes for the aggregator.
pub struct Worker {
    screening: Option<Screening>,
    engine: Box<dyn Engine>,
    /// Whether the rule is told the number of examples behind each update.
    weighted: bool,
    test: Evaluator,
}

impl Worker {
    /// A worker that applies the defense and the rule of `scenario` on `backend`, and evaluates `model` on `test`.
    ///
    /// # Errors
    /// As [`Screening::new`].
    pub fn new(
        scenario: &Scenario,
        model: &Arc<dyn Model>,
        test: Arc<Dataset>,
        backend: &dyn Backend,
    ) -> Result<Self, DefenseError> {
        let screening = Screening::new(scenario, model, &test)?;
        let test = Evaluator::new(model.clone(), Examples::All(test));
        let (engine, weighted) = (backend.engine(scenario), scenario.aggregation.weighted);
        Ok(Worker { screening, engine, weighted, test })
    }

    /// Whether [`Worker::take`] does anything.
    pub fn takes_updates(&self) -> bool {
        self.engine.takes_updates()
    }

    /// Takes an update of `round` that is complete to where it will be aggregated.
    pub fn take(&self, round: u32, update: &Arc<[f32]>) {
        self.engine.take(round, update);
    }

    /// Does a job.
    pub fn perform(&self, job: Job) -> Outcome {
        match job {
            Job::Aggregate { round, devices, updates, weights } => {
                let result = self.aggregate(round, &devices, &updates, &weights);
                self.engine.release(round);
                match result {
                    Err(DefenseError::Rule(RuleError::Backend(what))) => {
                        Outcome::BackendFailed { round, what }
                    }
                    // Updates have the model's length and are finite: whatever this is, none of them did it.
                    Err(error @ DefenseError::Model(_)) => {
                        Outcome::BackendFailed { round, what: error.to_string() }
                    }
                    result => {
                        Outcome::Aggregated { round, result: result.map_err(|error| error.to_string()) }
                    }
                }
            }
            Job::Evaluate { round, global } => {
                let result = self.test.evaluate_one(&global);
                Outcome::Evaluated { round, result: result.map_err(|error| error.to_string()) }
            }
        }
    }

    fn aggregate(
        &self,
        round: u32,
        devices: &[DeviceId],
        updates: &[Arc<[f32]>],
        weights: &[f64],
    ) -> Result<Aggregate, DefenseError> {
        let rows: Vec<&[f32]> = updates.iter().map(|update| &update[..]).collect();
        let updates = Updates::new(&rows, self.weighted.then_some(weights))?;
        let harmful = match &self.screening {
            Some(screening) => screening.harmful(round, devices, &updates, self.engine.rule())?,
            None => BTreeSet::new(),
        };
        let parameters = aggregate_where(self.engine.rule(), &updates, |row| !harmful.contains(&row))?;
        let removed = devices.iter().enumerate().filter(|(row, _)| harmful.contains(row));
        Ok(Aggregate { parameters, removed: removed.map(|(_, &device)| device).collect() })
    }
}

#[cfg(test)]
mod tests {
    use shared::rules::Rule;

    use super::*;
    use crate::backend::Cpu;
    use crate::defense::examples::{model, rows_of_bias, test_set};

    fn aggregate(setting: &str) -> Aggregate {
        let text = "name = \"test\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n\
                    [defense]\nvalidation-examples = 3\nremove = 1\n";
        let scenario = Scenario::parse("s.toml", text, &[setting.to_owned()]).unwrap();
        let job = Job::Aggregate {
            round: 1,
            devices: [3, 5, 9].map(DeviceId).to_vec(),
            updates: rows_of_bias(&[3.0, -10.0, 1.0]).into_iter().map(Arc::from).collect(),
            weights: vec![1.0, 1.0, 3.0],
        };
        let outcome = Worker::new(&scenario, &model(), Arc::new(test_set()), &Cpu).unwrap().perform(job);
        let Outcome::Aggregated { round: 1, result: Ok(aggregate) } = outcome else { panic!("{outcome:?}") };
        aggregate
    }

    #[test]
    fn what_the_defense_removes_is_named_and_has_no_part_in_the_aggregate() {
        let expected = Aggregate { parameters: vec![0.0, 0.0, 1.5, 0.0], removed: vec![DeviceId(5)] };
        assert_eq!(aggregate("defense.kind=lfr"), expected);
    }

    /// A GPU that is gone.
    #[derive(Debug)]
    struct Gone;

    impl Backend for Gone {
        fn name(&self) -> String {
            "gone".to_owned()
        }

        fn engine(&self, _: &Scenario) -> Box<dyn Engine> {
            Box::new(Box::new(Gone) as Box<dyn Rule>)
        }
    }

    impl Rule for Gone {
        fn name(&self) -> &'static str {
            "gone"
        }

        fn aggregate(&self, _: &Updates<'_>) -> Result<Vec<f32>, RuleError> {
            Err(RuleError::Backend("it is gone".to_owned()))
        }
    }

    #[test]
    fn a_backend_that_fails_is_told_apart_from_updates_that_cannot_be_aggregated() {
        let text = "name = \"test\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n";
        let scenario = Scenario::parse("s.toml", text, &[]).unwrap();
        let worker = Worker::new(&scenario, &model(), Arc::new(test_set()), &Gone).unwrap();
        let updates = rows_of_bias(&[1.0]).into_iter().map(Arc::from).collect();
        let job = Job::Aggregate { round: 7, devices: vec![DeviceId(0)], updates, weights: vec![1.0] };
        let outcome = worker.perform(job);
        let Outcome::BackendFailed { round: 7, what } = outcome else { panic!("{outcome:?}") };
        assert_eq!(what, "it is gone");
    }

    #[test]
    fn an_evaluation_that_fails_is_not_laid_to_the_updates() {
        let text = "name = \"test\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n\
                    [defense]\nkind = \"lfr\"\nvalidation-examples = 3\nremove = 1\n";
        let scenario = Scenario::parse("s.toml", text, &[]).unwrap();
        let worker = Worker::new(&scenario, &model(), Arc::new(test_set()), &Cpu).unwrap();
        // Of a model that is not the worker's.
        let updates = vec![Arc::from([1.0]); 3];
        let devices = [0, 1, 2].map(DeviceId).to_vec();
        let outcome = worker.perform(Job::Aggregate { round: 7, devices, updates, weights: vec![1.0; 3] });
        let Outcome::BackendFailed { round: 7, what } = outcome else { panic!("{outcome:?}") };
        assert!(what.contains("cannot evaluate"), "{what}");
    }

    #[test]
    fn without_a_defense_every_update_counts() {
        let expected = Aggregate { parameters: vec![0.0, 0.0, -0.8, 0.0], removed: vec![] };
        assert_eq!(aggregate("defense.kind=none"), expected);
    }

    #[test]
    fn devices_count_once_if_they_are_not_weighted() {
        assert_eq!(aggregate("aggregation.weighted=false").parameters, [0.0, 0.0, -2.0, 0.0]);
    }
}
