//! Evaluation of models.

use std::borrow::Cow;
use std::sync::Arc;

use learning::data::{Batch, Dataset};
use learning::evaluation::{ClassEvaluation, Evaluation, evaluate, evaluate_classes};
use learning::models::{Model, ModelError};
use rayon::prelude::*;

/// Examples evaluated at a time, which bounds the memory of a convolution.
pub const BATCH: usize = 500;

/// Evaluates models on the same examples again and again, several at a time. The number of threads changes no bit.
pub struct Evaluator {
    model: Arc<dyn Model>,
    examples: Examples,
}

impl Evaluator {
    /// Evaluates `model` on `examples`.
    pub fn new(model: Arc<dyn Model>, examples: Examples) -> Self {
        Evaluator { model, examples }
    }

    /// How good the model is with each of `parameters`, d values each, in their order.
    ///
    /// # Errors
    /// As [`evaluate`], for the first of them that is refused.
    pub fn evaluate(&self, parameters: &[&[f32]]) -> Result<Vec<Evaluation>, ModelError> {
        let judge = |parameters: &&[f32]| evaluate(self.model.as_ref(), parameters, self.examples.batches());
        // Gathered before any is looked at, so that it is always the first error that is reported.
        let judged: Vec<_> = parameters.par_iter().map(judge).collect();
        judged.into_iter().collect()
    }

    /// What the last layer of the model takes of all examples with each of `parameters`, d values each, in their order.
    ///
    /// # Errors
    /// As [`Model::representations`], for the first of them that is refused.
    pub fn represent(&self, parameters: &[&[f32]]) -> Result<Vec<Vec<f32>>, ModelError> {
        let represent = |parameters: &&[f32]| {
            let batches = self.examples.batches();
            let represented = batches.map(|batch| self.model.representations(parameters, &batch));
            Ok(represented.collect::<Result<Vec<_>, _>>()?.concat())
        };
        let represented: Vec<_> = parameters.par_iter().map(represent).collect();
        represented.into_iter().collect()
    }

    /// How good the model is with `parameters`, d values, on each class.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn evaluate_classes(&self, parameters: &[f32]) -> Result<ClassEvaluation, ModelError> {
        evaluate_classes(self.model.as_ref(), parameters, self.examples.batches())
    }
}

/// What models are evaluated on.
pub enum Examples {
    /// A whole data set.
    All(Arc<Dataset>),
    /// Some of one.
    Drawn(Vec<Batch>),
}

impl Examples {
    /// In batches of at most [`BATCH`].
    pub fn batches(&self) -> Box<dyn Iterator<Item = Cow<'_, Batch>> + '_> {
        match self {
            Examples::All(set) => Box::new(set.batches(BATCH).map(Cow::Owned)),
            Examples::Drawn(batches) => Box::new(batches.iter().map(Cow::Borrowed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{model, rows_of_bias, test_set};

    fn evaluate(examples: Examples, biases: &[f32]) -> Result<Vec<usize>, ModelError> {
        let rows = rows_of_bias(biases);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let evaluations = Evaluator::new(model(), examples).evaluate(&rows)?;
        Ok(evaluations.into_iter().map(|evaluation| evaluation.errors).collect())
    }

    #[test]
    fn models_are_evaluated_in_their_order_on_all_examples_or_some() {
        assert_eq!(evaluate(Examples::All(test_set().into()), &[1.0, -1.0, 2.0]).unwrap(), [1, 2, 1]);
        let drawn = vec![test_set().batch(&[2]), test_set().batch(&[0])];
        assert_eq!(evaluate(Examples::Drawn(drawn), &[1.0, -1.0]).unwrap(), [1, 1]);
        assert!(evaluate(Examples::Drawn(vec![]), &[]).unwrap().is_empty());
    }

    #[test]
    fn the_first_model_that_is_refused_is_reported() {
        let evaluator = Evaluator::new(model(), Examples::All(test_set().into()));
        let refused = evaluator.evaluate(&[&[0.0; 4], &[0.0; 3], &[0.0; 2]]).unwrap_err();
        assert!(refused.to_string().contains('3'), "{refused}");
        assert!(matches!(evaluate(Examples::Drawn(vec![]), &[0.0]), Err(ModelError::Empty)));
    }
}
