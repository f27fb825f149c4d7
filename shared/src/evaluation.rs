//! How good a model is: its testing error rate and its loss.

use std::borrow::Borrow;

use crate::data::Batch;
use crate::models::{Model, ModelError};

/// How a model does on some examples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Number of examples, at least 1.
    pub examples: usize,
    /// How many of them are classified wrongly.
    pub errors: usize,
    /// Their share, 0 to 1.
    pub error_rate: f64,
    /// Mean cross-entropy in nats; infinite or NaN if some logits are, as those of a diverged model.
    pub loss: f64,
}

/// Classifies all examples of `batches`, owned or borrowed, under `parameters` (d values).
///
/// The class is the one of the largest logit, the lowest of several; a row with a NaN is an error whatever
/// its label.
///
/// # Errors
/// [`ModelError::Empty`] if there is no example, and those of [`Model::logits`].
pub fn evaluate<B: Borrow<Batch>>(
    model: &dyn Model,
    parameters: &[f32],
    batches: impl IntoIterator<Item = B>,
) -> Result<Evaluation, ModelError> {
    let mut tally = Tally::default();
    for batch in batches {
        let batch = batch.borrow();
        tally.add(&model.logits(parameters, batch)?, &batch.labels)?;
    }
    tally.evaluation()
}

/// An [`Evaluation`] in progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    examples: usize,
    errors: usize,
    loss: f64,
}

impl Tally {
    /// Adds examples with their `logits`, as many for each of the `labels`.
    ///
    /// # Errors
    /// [`ModelError::Empty`] if there is none.
    pub fn add(&mut self, logits: &[f32], labels: &[u32]) -> Result<(), ModelError> {
        let classes = logits.len().checked_div(labels.len()).filter(|&classes| classes > 0);
        for (row, &label) in logits.chunks_exact(classes.ok_or(ModelError::Empty)?).zip(labels) {
            self.examples += 1;
            self.errors += usize::from(!is_correct(row, label as usize));
            self.loss += cross_entropy(row, label as usize);
        }
        Ok(())
    }

    /// How good the model is on all examples that were added.
    ///
    /// # Errors
    /// [`ModelError::Empty`] if none was.
    pub fn evaluation(self) -> Result<Evaluation, ModelError> {
        let Tally { examples, errors, loss } = self;
        if examples == 0 {
            return Err(ModelError::Empty);
        }
        let (count, error_rate) = (examples as f64, errors as f64 / examples as f64);
        Ok(Evaluation { examples, errors, error_rate, loss: loss / count })
    }
}

fn is_correct(logits: &[f32], label: usize) -> bool {
    // Every comparison with a NaN is false.
    logits.get(label).is_some_and(|&own| {
        logits
            .iter()
            .enumerate()
            .all(|(class, &other)| if class < label { other < own } else { other <= own })
    })
}

/// Cross-entropy of the softmax of one row of logits, in 64 bits.
fn cross_entropy(logits: &[f32], label: usize) -> f64 {
    let own = logits.get(label).map_or(f64::NAN, |&own| f64::from(own));
    // Shifted by the largest logit for `exp` not to overflow. `f64::max` skips a NaN, the sum does not.
    let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, &logit| largest.max(f64::from(logit)));
    let partition: f64 = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
    largest - own + partition.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Features;
    use crate::models::{ModelName, build};

    /// Logistic regression on one feature of value 0, so that the logits are the biases.
    fn evaluation(logits: [f32; 3], labels: &[u32]) -> Evaluation {
        let model = build(ModelName::LogisticRegression, &[1], 3).unwrap();
        let parameters = [&[0.0; 3], &logits[..]].concat();
        let batch = Batch {
            features: Features::Floats(vec![0.0; labels.len()]),
            shape: vec![1],
            labels: labels.to_vec(),
        };
        evaluate(model.as_ref(), &parameters, [batch]).unwrap()
    }

    #[test]
    fn the_largest_logit_decides_and_the_lowest_class_of_several() {
        assert_eq!(evaluation([1.0, 3.0, 2.0], &[0, 1, 1, 2]).errors, 2);
        assert_eq!(evaluation([1.0, 3.0, 2.0], &[0, 1, 1, 2]).error_rate, 0.5);
        assert_eq!(evaluation([0.0, 7.0, 7.0], &[1]).errors, 0);
        assert_eq!(evaluation([0.0, 7.0, 7.0], &[2]).errors, 1);
    }

    #[test]
    fn the_loss_is_the_mean_cross_entropy() {
        assert!((evaluation([0.0; 3], &[0, 2]).loss - 3f64.ln()).abs() < 1e-12);
        let expected = (1.0 + 2f64.exp() + 1f64.exp()).ln() - 1.0;
        assert!((evaluation([0.0, 2.0, 1.0], &[2]).loss - expected).abs() < 1e-12);
        assert_eq!(evaluation([3e38, 0.0, 0.0], &[0]).loss, 0.0);
    }

    #[test]
    fn logits_that_are_not_finite_are_errors_and_show_in_the_loss() {
        for label in 0..3 {
            let diverged = evaluation([0.0, f32::NAN, 9.0], &[label]);
            assert_eq!(diverged.errors, 1);
            assert!(diverged.loss.is_nan());
        }
        assert_eq!(cross_entropy(&[f32::NEG_INFINITY, 0.0], 0), f64::INFINITY);
        assert!(!cross_entropy(&[f32::INFINITY, 0.0], 1).is_finite());
    }

    #[test]
    fn batches_count_by_their_examples() {
        let model = build(ModelName::LogisticRegression, &[1], 2).unwrap();
        let batch = |labels: &[u32]| Batch {
            features: Features::Floats(vec![0.0; labels.len()]),
            shape: vec![1],
            labels: labels.to_vec(),
        };
        let batches = [batch(&[1, 1, 1]), batch(&[0])];
        let evaluation = evaluate(model.as_ref(), &[0.0; 4], &batches).unwrap();
        assert_eq!((evaluation.examples, evaluation.errors, evaluation.error_rate), (4, 3, 0.75));
    }

    #[test]
    fn no_examples_are_an_error() {
        let model = build(ModelName::LogisticRegression, &[1], 2).unwrap();
        let none: [Batch; 0] = [];
        assert!(matches!(evaluate(model.as_ref(), &[0.0; 4], none), Err(ModelError::Empty)));
    }
}
