//! What the aggregator trains itself, on examples that no device has.

use std::iter::zip;
use std::sync::Arc;

use learning::data::{Dataset, Shard};
use learning::models::{Model, ModelError};
use learning::random::{Purpose, stream};
use learning::training::{Settings, Training};
use scenario::Scenario;
use scenario::remembered::{AGGREGATOR, Remembered};

/// The examples of the aggregator, with what it trains on them.
pub struct Root {
    model: Arc<dyn Model>,
    shard: Shard,
    settings: Settings,
    seed: u64,
}

impl Root {
    /// Training on `examples` as a device of `scenario` does.
    pub fn new(scenario: &Scenario, model: Arc<dyn Model>, examples: Arc<Dataset>) -> Self {
        let all = (0..examples.len() as u32).collect();
        let (settings, seed) = (scenario.training.clone(), scenario.seed);
        Root { model, shard: Shard::new(examples, all), settings, seed }
    }

    /// The update of a round, from the model `global`: d values. Its momentum is `remembered`, if training keeps it.
    ///
    /// # Errors
    /// As [`Training::honestly`].
    pub fn update(
        &self,
        round: u32,
        global: &Arc<[f32]>,
        remembered: &mut Remembered,
    ) -> Result<Arc<[f32]>, ModelError> {
        let (model, shard, settings) = (&*self.model, &self.shard, &self.settings);
        let (global, momentum) = (global.clone(), remembered.momentum(AGGREGATOR));
        let training = Training { model, global: global.clone(), shard, settings, round, momentum };
        let trained = training.honestly(&mut stream(self.seed, Purpose::Root, None, round))?;
        remembered.set_momentum(AGGREGATOR, trained.momentum);
        Ok(zip(&*trained.parameters, &*global).map(|(value, origin)| value - origin).collect())
    }
}
