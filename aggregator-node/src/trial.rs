//! Whether training can go on from a model.

use std::sync::Arc;

use learning::data::{Batch, Dataset};
use learning::models::Model;
use learning::parameters::first_not_finite;

/// A model none of whose parameters is larger in magnitude is not tried: nothing overflows with it.
pub const LARGE: f32 = 1e3;

/// How much larger than it is a model must still be of use: what training adds to it is far less.
const MARGIN: f32 = 16.0;

/// Test examples that a model is tried on.
const EXAMPLES: usize = 32;

/// Tries updates that are suspiciously large.
///
/// From a model near the end of what an `f32` holds, honest devices train one that is beyond, and would be refused for it
/// in place of the one that moved the model. So an update with a parameter beyond [`LARGE`] must have a finite loss and
/// gradient with `MARGIN` times its parameters; a mean of such updates has too.
pub struct Trial {
    model: Arc<dyn Model>,
    examples: Batch,
}

impl Trial {
    /// Tries updates of `model` on the first examples of `test`.
    pub fn new(model: Arc<dyn Model>, test: &Dataset) -> Self {
        let first: Vec<u32> = (0..test.len().min(EXAMPLES) as u32).collect();
        Trial { model, examples: test.batch(&first) }
    }

    /// Whether training can go on from `update`, d finite values.
    pub fn is_usable(&self, update: &[f32]) -> bool {
        if update.iter().all(|parameter| parameter.abs() <= LARGE) {
            return true;
        }
        let larger: Vec<f32> = update.iter().map(|parameter| MARGIN * parameter).collect();
        let tried = self.model.loss_and_gradient(&larger, &self.examples);
        tried.is_ok_and(|(loss, gradient)| loss.is_finite() && first_not_finite(&gradient).is_none())
    }
}

#[cfg(test)]
mod tests {
    use learning::models::{Architecture, Dnn, LogisticRegression, ResNet20, build};
    use learning::random::{Purpose, stream};

    use super::*;

    #[test]
    fn every_kind_of_model_is_of_use_as_it_begins_and_a_thousand_times_larger_but_not_near_the_end_of_the_numbers()
     {
        let pixels = learning::data::Features::Bytes((0..40 * 144).map(|i| (i % 251) as u8).collect());
        let test = Dataset::new(vec![12, 12], 2, pixels, (0..40).map(|i| i % 2).collect()).unwrap();
        let architectures: [&dyn Architecture; 3] = [&LogisticRegression {}, &Dnn {}, &ResNet20 {}];
        for architecture in architectures {
            let model: Arc<dyn Model> = build(architecture, &[12, 12], 2).unwrap().into();
            let initial = model.initial(&mut stream(1, Purpose::Weights, None, 0)).into_values();
            let trial = Trial::new(model, &test);
            let times = |factor: f32| initial.iter().map(|p| factor * (p + 0.01)).collect::<Vec<_>>();
            assert!(trial.is_usable(&initial) && trial.is_usable(&times(1e3)), "{architecture:?}");
            assert!(!trial.is_usable(&times(1e38)), "{architecture:?}");
        }
    }
}
