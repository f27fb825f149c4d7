//! The small model by which a device judges its own examples: logistic regression, whatever the devices train.

use std::iter::repeat_n;
use std::sync::Arc;

use learning::data::Shard;
use learning::evaluation::Tally;
use learning::models::{LogisticRegression, Model, ModelError, build};
use learning::training::{Descent, train};

/// Fits models to examples of a shard.
pub(super) struct SmallModel<'a> {
    model: Box<dyn Model>,
    shard: &'a Shard,
}

impl<'a> SmallModel<'a> {
    pub(super) fn of(shard: &'a Shard) -> Result<Self, ModelError> {
        let dataset = shard.dataset();
        let model = build(&LogisticRegression {}, dataset.shape(), dataset.classes())?;
        Ok(SmallModel { model, shard })
    }

    /// The model after so many steps of gradient descent on all examples at these places, from zeros.
    pub(super) fn fit(&self, places: &[usize], steps: usize) -> Result<Arc<[f32]>, ModelError> {
        let batch = self.shard.select(places).all();
        // The loss bends by half the mean squared length of an example at most, the one that the bias sees included.
        let squares: f64 = batch.features.to_floats().iter().map(|value| f64::from(value * value)).sum();
        let rate = 2.0 / (1.0 + squares / places.len() as f64);
        let zeros = vec![0.0; self.model.layout().dimension()].into();
        let batches = repeat_n(batch, steps);
        Ok(train(&*self.model, zeros, &Descent::plain(rate), None, batches)?.parameters)
    }

    /// The loss of each example of the shard.
    pub(super) fn losses(&self, parameters: &[f32]) -> Result<Vec<f64>, ModelError> {
        let batch = self.shard.all();
        let logits = self.model.logits(parameters, &batch)?;
        let loss = |(logits, label): (&[f32], &u32)| {
            let mut tally = Tally::default();
            tally.add(logits, &[*label])?;
            Ok(tally.evaluation()?.loss)
        };
        logits.chunks_exact(self.shard.dataset().classes()).zip(&batch.labels).map(loss).collect()
    }
}
