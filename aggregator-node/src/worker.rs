//! What the aggregator computes: the aggregate, and how good it is. Both are pure functions of their jobs.

use std::borrow::Cow;
use std::sync::Arc;

use learning::data::Dataset;
use learning::evaluation::ClassEvaluation;
use learning::models::{Model, ModelError, restore_frozen};
use rayon::prelude::*;
use robust::{Context, InContext, Measured, RuleError};
use scenario::Scenario;
use scenario::defense::DefenseError;
use scenario::remembered::Remembered;
use wire::identity::DeviceId;

use crate::backend::{Backend, Engine};
use crate::evaluator::{Evaluator, Examples};
use crate::root::Root;
use crate::screening::{self, Received, Screening};
use crate::trial::Trial;

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
        /// Selected devices that have shown themselves Byzantine and have no update.
        known_byzantine: usize,
        /// The global model that they were trained from, length d.
        global: Arc<[f32]>,
        /// What rule and stages have kept of earlier rounds.
        remembered: Arc<Remembered>,
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
        /// Devices whose updates were refused after all, in ascending order: no model could be trained from them.
        unusable: Vec<DeviceId>,
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
        result: Result<ClassEvaluation, String>,
    },
}

/// What the rule made of the updates that the defense left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aggregate {
    /// The new global model, length d.
    pub parameters: Vec<f32>,
    /// The devices whose updates the defense removed, in ascending order.
    pub removed: Vec<DeviceId>,
    /// The devices whose updates have a part in it, in ascending order, if these are not all others.
    pub used: Vec<DeviceId>,
    /// What rule and stages keep, if it becomes the global model.
    pub remembered: Remembered,
}

/// Computes for the aggregator.
pub struct Worker {
    scenario: Scenario,
    trial: Trial,
    screening: Screening,
    model: Arc<dyn Model>,
    engine: Box<dyn Engine>,
    test: Evaluator,
    /// What judges by the examples that the attack is after.
    stamped: Option<Evaluator>,
    root: Option<Root>,
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
        let trial = Trial::new(model.clone(), &test);
        let stamped = scenario.attack.kind.as_ref().and_then(|attack| attack.stamped(&test));
        let stamped = stamped.map(|examples| Evaluator::new(model.clone(), Examples::All(examples.into())));
        let test = Evaluator::new(model.clone(), Examples::All(test));
        Ok(Worker {
            scenario: scenario.clone(),
            trial,
            screening,
            model: model.clone(),
            engine: backend.engine(),
            test,
            stamped,
            root: None,
        })
    }

    /// The same, that trains on `examples` of its own where the rule wants it to.
    #[must_use]
    pub fn with_root(self, model: &Arc<dyn Model>, examples: Option<Arc<Dataset>>) -> Self {
        let root = examples.map(|examples| Root::new(&self.scenario, model.clone(), examples));
        Worker { root, ..self }
    }

    /// The same, that judges the attack by these `examples`, if it has examples of its own.
    #[must_use]
    pub fn with_attack_examples(self, model: &Arc<dyn Model>, examples: Option<Arc<Dataset>>) -> Self {
        let examples = examples.map(|examples| Evaluator::new(model.clone(), Examples::All(examples)));
        Worker { stamped: examples.or(self.stamped), ..self }
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
            Job::Aggregate { round, devices, updates, weights, known_byzantine, global, remembered } => {
                let usable: Vec<bool> =
                    updates.par_iter().map(|update| self.trial.is_usable(update)).collect();
                let unusable: Vec<_> = select(&devices, usable.iter().map(|usable| !usable));
                let known = known_byzantine + unusable.len();
                let kept = || usable.iter().copied();
                let (devices, updates) = (select(&devices, kept()), select(&updates, kept()));
                let weights = select(&weights, kept());
                let rows = updates.iter().map(|update| Cow::Borrowed(&update[..])).collect();
                let from = (&global, &*remembered);
                let result = self.aggregate(round, devices, rows, weights, known, from);
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
                        let result = result.map_err(|error| error.to_string());
                        Outcome::Aggregated { round, result, unusable }
                    }
                }
            }
            Job::Evaluate { round, global } => {
                let result = self.judged(&global);
                Outcome::Evaluated { round, result: result.map_err(|error| error.to_string()) }
            }
        }
    }

    /// How good the global model is, and how far the attack has come with it.
    fn judged(&self, global: &[f32]) -> Result<ClassEvaluation, ModelError> {
        let mut judged = self.test.evaluate_classes(global)?;
        if let Some(stamped) = &self.stamped {
            judged.attack_success =
                stamped.evaluate(&[global])?.first().map(|evaluation| 1.0 - evaluation.error_rate);
        }
        Ok(judged)
    }

    fn aggregate(
        &self,
        round: u32,
        devices: Vec<DeviceId>,
        rows: Vec<Cow<'_, [f32]>>,
        weights: Vec<f64>,
        known_byzantine: usize,
        (global, remembered): (&Arc<[f32]>, &Remembered),
    ) -> Result<Aggregate, DefenseError> {
        let fewer = self.scenario.fewer_byzantine(rows.len(), known_byzantine)?;
        let (byzantine, executor) = (self.scenario.assumed(fewer), &*self.engine);
        let mut after = remembered.clone();
        let (state, seed) = (Some(&remembered.rule), self.scenario.seed);
        let root = self.root.as_ref().map(|root| root.update(round, global, &mut after)).transpose()?;
        let context = Context { state, seed, round, root: root.as_ref(), ..Context::default() };
        let received = Received {
            screening: &self.screening,
            devices,
            rows,
            weights,
            byzantine,
            origin: Some(global),
            measured: Measured::default(),
            rule: InContext { rule: &*self.scenario.aggregation.rule, context },
            executor,
        };
        let left = self.screening.screen(&self.scenario, round, received, &mut after.stages)?;
        let (aggregate, used) = screening::aggregate(&left, &mut after.rule)?;
        let mut parameters = match &self.scenario.optimizer {
            Some(optimizer) => optimizer.step(global, &aggregate.values, &mut after.optimizer),
            None => aggregate.values,
        };
        restore_frozen(&*self.model, &mut parameters, global);
        Ok(Aggregate { parameters, removed: left.removed, used, remembered: after })
    }
}

/// Those of `items` that are `wanted`.
fn select<T: Clone>(items: &[T], wanted: impl Iterator<Item = bool>) -> Vec<T> {
    items.iter().zip(wanted).filter(|(_, wanted)| *wanted).map(|(item, _)| item.clone()).collect()
}

#[cfg(test)]
mod tests {
    use robust::{Byzantine, Executor, Rule, State, Updates};

    use super::*;
    use crate::backend::Cpu;
    use crate::examples::{model, rows_of_bias, test_set};

    fn aggregate(setting: &str) -> Aggregate {
        let text = "name = \"test\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n";
        let scenario = Scenario::parse("s.toml", text, &[setting.to_owned()]).unwrap();
        let job = Job::Aggregate {
            round: 1,
            devices: [3, 5, 9].map(DeviceId).to_vec(),
            updates: rows_of_bias(&[3.0, -10.0, 1.0]).into_iter().map(Arc::from).collect(),
            weights: vec![1.0, 1.0, 3.0],
            known_byzantine: 0,
            global: vec![0.0; 4].into(),
            remembered: Arc::default(),
        };
        let outcome = Worker::new(&scenario, &model(), Arc::new(test_set()), &Cpu).unwrap().perform(job);
        let Outcome::Aggregated { round: 1, result: Ok(aggregate), .. } = outcome else {
            panic!("{outcome:?}")
        };
        aggregate
    }

    #[test]
    fn what_the_defense_removes_is_named_and_has_no_part_in_the_aggregate() {
        let (parameters, removed) = (vec![0.0, 0.0, 1.5, 0.0], vec![DeviceId(5)]);
        let remembered = Remembered { stages: vec![State::default()], ..Remembered::default() };
        let expected = Aggregate { parameters, removed, remembered, ..Aggregate::default() };
        let defense = "defense={ kind = \"lfr\", validation-examples = 3, remove = 1 }";
        assert_eq!(aggregate(defense), expected);
    }

    /// A GPU that is gone.
    #[derive(Debug)]
    struct Gone;

    impl Backend for Gone {
        fn name(&self) -> String {
            "gone".to_owned()
        }

        fn engine(&self) -> Box<dyn Engine> {
            Box::new(Gone)
        }
    }

    impl Engine for Gone {}

    impl Executor for Gone {
        fn aggregate(
            &self,
            _: &dyn Rule,
            _: &Updates<'_>,
            _: Byzantine,
        ) -> Result<robust::Aggregate, RuleError> {
            Err(RuleError::Backend("it is gone".to_owned()))
        }

        fn leave_one_out(
            &self,
            _: &dyn Rule,
            _: &Updates<'_>,
            _: Byzantine,
            _: &mut Vec<Vec<f32>>,
        ) -> Result<(), RuleError> {
            Err(RuleError::Backend("it is gone".to_owned()))
        }
    }

    #[test]
    fn a_backend_that_fails_is_told_apart_from_updates_that_cannot_be_aggregated() {
        let text = "name = \"test\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n";
        let scenario = Scenario::parse("s.toml", text, &[]).unwrap();
        let worker = Worker::new(&scenario, &model(), Arc::new(test_set()), &Gone).unwrap();
        let updates = rows_of_bias(&[1.0]).into_iter().map(Arc::from).collect();
        let devices = vec![DeviceId(0)];
        let job = Job::Aggregate {
            round: 7,
            devices,
            updates,
            weights: vec![1.0],
            known_byzantine: 0,
            global: vec![0.0; 4].into(),
            remembered: Arc::default(),
        };
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
        let weights = vec![1.0; 3];
        let job = Job::Aggregate {
            round: 7,
            devices,
            updates,
            weights,
            known_byzantine: 0,
            global: vec![0.0].into(),
            remembered: Arc::default(),
        };
        let outcome = worker.perform(job);
        let Outcome::BackendFailed { round: 7, what } = outcome else { panic!("{outcome:?}") };
        assert!(what.contains("cannot evaluate"), "{what}");
    }

    /// What comes of updates with these biases under `settings`, where `known` others are known to be Byzantine.
    fn outcome(settings: &[&str], biases: &[f32], known: usize) -> (Result<Vec<f32>, String>, Vec<DeviceId>) {
        let text = "name = \"test\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n\
                    [fleet]\ndevices = 7\ncompromised = 1\n";
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        let scenario = Scenario::parse("s.toml", text, &settings).unwrap();
        let job = Job::Aggregate {
            round: 1,
            devices: (0..).map(DeviceId).take(biases.len()).collect(),
            updates: rows_of_bias(biases).into_iter().map(Arc::from).collect(),
            weights: vec![1.0; biases.len()],
            known_byzantine: known,
            global: vec![0.0; 4].into(),
            remembered: Arc::default(),
        };
        let worker = Worker::new(&scenario, &model(), Arc::new(test_set()), &Cpu).unwrap();
        let Outcome::Aggregated { result, unusable, .. } = worker.perform(job) else {
            panic!("not aggregated")
        };
        (result.map(|aggregate| aggregate.parameters), unusable)
    }

    #[test]
    fn an_update_from_which_no_training_could_go_on_is_refused_and_the_rest_aggregated() {
        let (aggregate, unusable) = outcome(&[], &[1.0, 2.0, 3e38, 3.0], 0);
        assert_eq!((aggregate.unwrap()[2], unusable), (2.0, vec![DeviceId(2)]));
        let (aggregate, unusable) = outcome(&[], &[1.0, 2.0, 1e6, 3.0], 0);
        assert_eq!((aggregate.unwrap()[2], unusable), (250_001.5, vec![]), "far, and a model all the same");
    }

    #[test]
    fn a_device_that_is_known_to_be_byzantine_leaves_one_fewer_among_the_others() {
        let bulyan = ["aggregation.rule=bulyan"];
        let seven = outcome(&bulyan, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e37], 0);
        assert!(seven.0.is_ok() && seven.1.is_empty());
        let six = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert!(outcome(&bulyan, &six, 0).0.is_err(), "one that is absent may be honest");
        assert_eq!(
            outcome(&bulyan, &six, 1).0.unwrap()[2],
            3.5,
            "as many as there are without a Byzantine one"
        );
        let (aggregate, unusable) = outcome(&bulyan, &[1.0, 2.0, 3.0, 3e38, 4.0, 5.0, 6.0], 0);
        assert_eq!((aggregate.unwrap()[2], unusable), (3.5, vec![DeviceId(3)]));
    }

    #[test]
    fn a_quorum_is_aggregated_with_as_many_byzantine_ones_as_it_allows_for() {
        let quorum = |quorum| outcome(&["aggregation.rule=bulyan", quorum], &[1.0, 2.0, 3.0, 4.0, 5.0], 0).0;
        assert_eq!(quorum("aggregation.round-quorum=5").unwrap()[2], 3.0);
        let refused = quorum("aggregation.round-quorum=6").unwrap_err();
        assert!(refused.contains("5 updates are fewer than aggregation.round-quorum = 6"), "{refused}");
    }

    #[test]
    fn without_a_defense_every_update_counts() {
        let expected = Aggregate { parameters: vec![0.0, 0.0, -0.8, 0.0], ..Aggregate::default() };
        assert_eq!(aggregate("defense.kind=none"), expected);
    }

    #[test]
    fn devices_count_once_if_they_are_not_weighted() {
        assert_eq!(aggregate("aggregation.weighted=false").parameters, [0.0, 0.0, -2.0, 0.0]);
    }
}
