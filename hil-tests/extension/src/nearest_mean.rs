//! A model: every class has a mean, and the nearest one is the answer.

use candle_core::Tensor;
use learning::models::{Architecture, Classifier, Model, ModelError, Network};
use learning::parameters::Layout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The class whose mean is nearest to an example; training moves the means.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NearestMean {
    /// How sure the model is of the nearest mean where others are hardly farther.
    pub sharpness: f64,
}

impl Default for NearestMean {
    fn default() -> Self {
        NearestMean { sharpness: 1.0 }
    }
}

impl Architecture for NearestMean {
    fn build(&self, shape: &[usize], classes: usize) -> Result<Box<dyn Model>, ModelError> {
        let layout = Layout::new([("means", vec![classes, shape.iter().product()])]);
        Ok(Box::new(Classifier::new(self.clone(), layout, shape, classes)))
    }
}

impl Network for NearestMean {
    fn forward(&self, parameters: &[Tensor], input: &Tensor) -> candle_core::Result<Tensor> {
        let (means, examples) = (&parameters[0], input.flatten_from(1)?);
        // Less the square of the distance; that of the example itself is the same for all classes.
        let nearness = (examples.matmul(&means.t()?)? * 2.0)?.broadcast_sub(&means.sqr()?.sum(1)?)?;
        nearness * self.sharpness
    }
}
