//! What the aggregator computes: the aggregate, and how good it is. Pure functions of their jobs.

use std::sync::Arc;

use shared::data::Dataset;
use shared::evaluation::{Evaluation, evaluate};
use shared::models::Model;
use shared::rules::{Rule, Updates};

/// Test examples evaluated at a time.
const BATCH: usize = 500;

/// Something to compute.
#[derive(Clone, Debug)]
pub enum Job {
    /// Apply the rule.
    Aggregate {
        /// The round.
        round: u32,
        /// The updates in ascending order of device, each of length d.
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
    /// The aggregate, length d.
    Aggregated {
        /// The round.
        round: u32,
        /// The aggregate, or why there is none.
        result: Result<Vec<f32>, String>,
    },
    /// How good the global model is.
    Evaluated {
        /// The round.
        round: u32,
        /// The evaluation, or why there is none.
        result: Result<Evaluation, String>,
    },
}

/// Computes for the aggregator.
pub struct Worker {
    rule: Box<dyn Rule>,
    model: Arc<dyn Model>,
    test: Arc<Dataset>,
}

impl Worker {
    /// A worker that applies `rule`, and evaluates `model` on `test`.
    pub fn new(rule: Box<dyn Rule>, model: Arc<dyn Model>, test: Arc<Dataset>) -> Self {
        Worker { rule, model, test }
    }

    /// Does a job.
    pub fn perform(&self, job: Job) -> Outcome {
        match job {
            Job::Aggregate { round, updates, weights } => {
                let rows: Vec<&[f32]> = updates.iter().map(|update| &update[..]).collect();
                let result =
                    Updates::new(&rows, Some(&weights)).and_then(|updates| self.rule.aggregate(&updates));
                Outcome::Aggregated { round, result: result.map_err(|error| error.to_string()) }
            }
            Job::Evaluate { round, global } => {
                let result = evaluate(self.model.as_ref(), &global, self.test.batches(BATCH));
                Outcome::Evaluated { round, result: result.map_err(|error| error.to_string()) }
            }
        }
    }
}
