//! The batched bench: a whole round as a few operations on tensors, on a GPU or on the processors.
//!
//! All devices of a round are trained as one batch. Their updates, and what is crafted and aggregated from them, stay where
//! they were made; only the new global model, losses, logits, and the numbers that the attacks and Krum's selections need
//! come back to the processors in a round. There is no link, no agent and no round machine: every device answers every round,
//! and nothing is sent that could be counted or lost.
//!
//! Draws come from the same streams as on all benches. Sums are taken in another order, so models agree only within rounding.
//!
//! # Layout
//! - This file: [`Batched`], the bench; [`Place`]: where it computes.
//! - `round`: the rounds; `updates`: what devices send in one.
//! - `examples`: the training data; `trainer`: from minibatches to models.
//! - `collusion`: what compromised devices send in a round.
//! - `resident`: aggregation rules on a GPU.
//! - `evaluator`: evaluation of models.

mod collusion;
mod evaluator;
mod examples;
mod place;
#[cfg(feature = "cuda-training")]
mod resident;
mod round;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod trainer;
mod updates;

use aggregator_node::run::Opened;
use anyhow::ensure;
use record::Summary;

use crate::benches::{Bench, Task, Watch};
pub use place::Place;
use round::Simulation;

/// Devices whose models are worked on at a time.
const DEVICES: usize = 100;

/// How many models may be worked on at a time with so many `examples` each, of so many `features`, where the examples may
/// have so many `values`.
fn together(values: usize, examples: usize, features: usize) -> usize {
    (values / (examples * features).max(1)).clamp(1, DEVICES)
}

/// The batched bench.
#[derive(Clone, Debug)]
pub struct Batched {
    /// Where everything is computed.
    pub place: Place,
}

impl Bench for Batched {
    fn name(&self) -> &'static str {
        "batched"
    }

    fn run(&self, task: &Task, watch: &Watch<'_>) -> anyhow::Result<Option<Summary>> {
        ensure!(
            task.scenario.dataset.on_devices().is_none(),
            "the data of this scenario lie on the devices, and the batched bench deals one data set out; choose --on software"
        );
        let (scenario, starting) = (&task.scenario, task.start()?);
        let mut run = match task.open(self.name(), &starting)? {
            Opened::Unfinished(run) => run,
            Opened::Finished(summary) => return Ok(Some(*summary)),
        };
        let _allowed = scenario.allow_programs();
        let start = run.start()?;
        let mut simulation =
            Simulation::new(task, &starting.model, start.global, start.remembered, &self.place)?;
        for round in start.finished + 1..=scenario.rounds {
            if watch.stopped() {
                run.checkpoint()?;
                return Ok(None);
            }
            match simulation.round(round) {
                Ok((record, global, remembered)) => {
                    (watch.on_round)(&record);
                    run.record(record, global, remembered)?;
                }
                Err(error) => {
                    run.checkpoint()?;
                    return Err(error.context(format!("round {round}")));
                }
            }
        }
        Ok(Some(run.finish()?))
    }
}

#[cfg(test)]
mod bounds {
    use super::*;

    #[test]
    fn memory_bounds_how_many_are_worked_on_at_a_time() {
        const VALUES: usize = DEVICES * 32 * 28 * 28;
        assert_eq!(together(VALUES, 32, 28 * 28), DEVICES);
        assert_eq!(together(VALUES, 1, 1), DEVICES, "models take memory, too");
        assert_eq!(together(VALUES, 500, 28 * 28), 6);
        assert_eq!(together(VALUES, 32, 64 * 64), 19);
        assert_eq!(together(VALUES, 10_000, 64 * 64), 1);
        assert_eq!(together(VALUES, 0, 0), DEVICES);
    }
}
