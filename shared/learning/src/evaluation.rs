//! How good a model is: its testing error rate and its loss.

use std::borrow::Borrow;

use serde::{Deserialize, Serialize};

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

/// The number of classes up to which examples are counted class by class: a table of more would be read by nobody.
pub const MOST_CLASSES: usize = 100;

/// How a model does on some examples, and on those of each class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassEvaluation {
    /// How it does on all of them.
    pub overall: Evaluation,
    /// How it does on those of each class, in order of classes; empty if there are more than [`MOST_CLASSES`].
    pub classes: Vec<ClassErrors>,
    /// The number of examples of each class (a row) that are taken for each class (a column); empty if there are more
    /// than [`MOST_CLASSES`]. Examples that have a NaN among their logits are taken for no class.
    pub confusion: Vec<Vec<u32>>,
    /// Share of the examples of an attack that get the label which it wants for them; `None` where it wants none.
    pub attack_success: Option<f64>,
}

/// How a model does on the examples of one class. It is written as a pair: `[errors, examples]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct ClassErrors {
    /// Number of its examples that are classified wrongly.
    pub errors: u32,
    /// Number of its examples.
    pub examples: u32,
}

impl ClassErrors {
    /// The share that is classified wrongly, 0 to 1; `None` for a class without examples.
    pub fn rate(self) -> Option<f64> {
        (self.examples > 0).then(|| f64::from(self.errors) / f64::from(self.examples))
    }
}

impl From<(u32, u32)> for ClassErrors {
    fn from((errors, examples): (u32, u32)) -> Self {
        ClassErrors { errors, examples }
    }
}

impl From<ClassErrors> for (u32, u32) {
    fn from(class: ClassErrors) -> Self {
        (class.errors, class.examples)
    }
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

/// As [`evaluate`], class by class.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_classes<B: Borrow<Batch>>(
    model: &dyn Model,
    parameters: &[f32],
    batches: impl IntoIterator<Item = B>,
) -> Result<ClassEvaluation, ModelError> {
    let mut tally = ClassTally::default();
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
            self.errors += usize::from(class_of(row) != Some(label as usize));
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

/// A [`ClassEvaluation`] in progress.
#[derive(Clone, Debug, Default)]
pub struct ClassTally {
    overall: Tally,
    classes: Vec<ClassErrors>,
    confusion: Vec<Vec<u32>>,
}

impl ClassTally {
    /// Adds examples with their `logits`, as many for each of the `labels`.
    ///
    /// # Errors
    /// [`ModelError::Empty`] if there is none.
    pub fn add(&mut self, logits: &[f32], labels: &[u32]) -> Result<(), ModelError> {
        self.overall.add(logits, labels)?;
        let count = logits.len() / labels.len();
        if count > MOST_CLASSES {
            return Ok(());
        }
        self.classes.resize(count, ClassErrors::default());
        self.confusion.resize_with(count, || vec![0; count]);
        for (row, &label) in logits.chunks_exact(count).zip(labels) {
            let (label, taken_for) = (label as usize, class_of(row));
            // A label that the model knows no class for is an error, and of none of the classes.
            let Some(class) = self.classes.get_mut(label) else { continue };
            class.examples += 1;
            class.errors += u32::from(taken_for != Some(label));
            if let Some(taken_for) = taken_for {
                self.confusion[label][taken_for] += 1;
            }
        }
        Ok(())
    }

    /// How good the model is on all examples that were added.
    ///
    /// # Errors
    /// [`ModelError::Empty`] if none was.
    pub fn evaluation(self) -> Result<ClassEvaluation, ModelError> {
        let ClassTally { overall, classes, confusion } = self;
        Ok(ClassEvaluation { overall: overall.evaluation()?, classes, confusion, attack_success: None })
    }
}

/// The class of the largest logit, the lowest of several; `None` if there is a NaN among them.
fn class_of(logits: &[f32]) -> Option<usize> {
    let larger = |best: usize, next: usize| if logits[next] > logits[best] { next } else { best };
    let class = (0..logits.len()).reduce(larger)?;
    (!logits.iter().any(|logit| logit.is_nan())).then_some(class)
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
    use crate::models::{LogisticRegression, build};

    /// Logistic regression on one feature of value 0, so that the logits are the biases.
    fn evaluation(logits: [f32; 3], labels: &[u32]) -> Evaluation {
        let model = build(&LogisticRegression {}, &[1], 3).unwrap();
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
        let model = build(&LogisticRegression {}, &[1], 2).unwrap();
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
    fn each_class_has_its_errors_and_says_what_its_examples_are_taken_for() {
        let mut tally = ClassTally::default();
        tally.add(&[3.0, 1.0, 2.0, 0.0, 1.0, 9.0], &[0, 1]).unwrap();
        tally.add(&[f32::NAN, 1.0, 9.0], &[1]).unwrap();
        tally.add(&[9.0, 1.0, 1.0], &[7]).unwrap();
        let evaluation = tally.evaluation().unwrap();
        assert_eq!((evaluation.overall.errors, evaluation.overall.examples), (3, 4));
        assert_eq!(evaluation.classes, [(0, 1), (2, 2), (0, 0)].map(ClassErrors::from));
        assert_eq!(
            evaluation.classes.iter().map(|class| class.rate()).collect::<Vec<_>>(),
            [Some(0.0), Some(1.0), None]
        );
        assert_eq!(evaluation.confusion, [[1, 0, 0], [0, 0, 1], [0, 0, 0]], "a NaN is no class");
    }

    #[test]
    fn more_classes_than_anybody_reads_are_not_counted_one_by_one() {
        for (count, counted) in [(MOST_CLASSES, MOST_CLASSES), (MOST_CLASSES + 1, 0)] {
            let mut tally = ClassTally::default();
            tally.add(&vec![0.0; count], &[0]).unwrap();
            let ClassEvaluation { overall, classes, confusion, .. } = tally.evaluation().unwrap();
            assert_eq!((overall.errors, classes.len(), confusion.len()), (0, counted, counted));
        }
    }

    #[test]
    fn no_examples_are_an_error() {
        let model = build(&LogisticRegression {}, &[1], 2).unwrap();
        let none: [Batch; 0] = [];
        assert!(matches!(evaluate(model.as_ref(), &[0.0; 4], none), Err(ModelError::Empty)));
    }
}
