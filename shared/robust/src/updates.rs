//! The updates of one round, borrowed from wherever they were received.

use super::{Local, Measured, RuleError};

/// A matrix of m updates of d values each, in ascending order of their devices, and optionally the number
/// of examples that each was trained on.
///
/// Rows need not be contiguous: an aggregate without one device takes a list without its row, and no copy
/// of the values.
#[derive(Clone, Copy, Debug)]
pub struct Updates<'a> {
    rows: &'a [&'a [f32]],
    weights: Option<&'a [f64]>,
    origin: Option<&'a [f32]>,
    measured: Option<&'a Measured>,
}

impl<'a> Updates<'a> {
    /// Borrows the updates. Their values must be finite; that is not checked again here.
    ///
    /// # Errors
    /// If there is no row, rows differ in length, weights are not one for each row, a weight is negative or
    /// not finite, or all are zero.
    pub fn new(rows: &'a [&'a [f32]], weights: Option<&'a [f64]>) -> Result<Self, RuleError> {
        let expected = rows.first().ok_or(RuleError::NoUpdates)?.len();
        if let Some(row) = rows.iter().position(|row| row.len() != expected) {
            return Err(RuleError::Dimension { row, expected, actual: rows[row].len() });
        }
        if let Some(weights) = weights {
            check_weights(rows.len(), weights)?;
        }
        Ok(Updates { rows, weights, origin: None, measured: None })
    }

    /// The same, as models that were trained from the model `origin`: what rules know of an update is how far it is from there.
    /// Without one, updates are taken from zero.
    ///
    /// # Errors
    /// If it is not as long as the rows.
    pub fn from_origin(self, origin: &'a [f32]) -> Result<Self, RuleError> {
        if origin.len() != self.dimension() {
            return Err(RuleError::Origin { expected: self.dimension(), actual: origin.len() });
        }
        Ok(Updates { origin: Some(origin), ..self })
    }

    /// The same, of which this has been measured; and what is measured from now on is known there.
    #[must_use]
    pub fn knowing(self, measured: &'a Measured) -> Self {
        Updates { measured: Some(measured), ..self }
    }

    /// What has been measured of them.
    pub fn measured(&self) -> Option<&'a Measured> {
        self.measured
    }

    /// What `compute` makes of some of the rows, in this order and without their number of examples.
    ///
    /// # Errors
    /// [`RuleError::NoUpdates`] if there are none, and what `compute` fails with.
    pub(crate) fn of_rows<T>(
        &self,
        rows: &[usize],
        compute: impl FnOnce(&Updates<'_>) -> Result<T, RuleError>,
    ) -> Result<T, RuleError> {
        let rows: Vec<&[f32]> = rows.iter().map(|row| self.rows[*row]).collect();
        if rows.is_empty() {
            return Err(RuleError::NoUpdates);
        }
        compute(&Updates { rows: &rows, weights: None, measured: None, ..*self })
    }

    /// The updates; at least one.
    pub fn rows(&self) -> &'a [&'a [f32]] {
        self.rows
    }

    /// Number of updates (the paper's m).
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Number of values of each update (the paper's d).
    pub fn dimension(&self) -> usize {
        self.rows[0].len()
    }

    /// The model that they were trained from, if it is known: d values.
    pub fn origin(&self) -> Option<&'a [f32]> {
        self.origin
    }

    /// Examples of each update, if given: finite, not negative, not all zero.
    pub fn weights(&self) -> Option<&'a [f64]> {
        self.weights
    }
}

impl Local for Updates<'_> {
    fn updates<T>(&self, compute: impl FnOnce(&Updates<'_>) -> Result<T, RuleError>) -> Result<T, RuleError> {
        compute(self)
    }

    fn origin(&self) -> Option<&[f32]> {
        self.origin
    }

    fn dimension(&self) -> usize {
        Updates::dimension(self)
    }
}

pub(crate) fn check_weights(rows: usize, weights: &[f64]) -> Result<(), RuleError> {
    if weights.len() != rows {
        return Err(RuleError::WeightCount { rows, weights: weights.len() });
    }
    if let Some(row) = weights.iter().position(|weight| !weight.is_finite() || *weight < 0.0) {
        return Err(RuleError::Weight { row, weight: weights[row] });
    }
    if weights.iter().all(|&weight| weight == 0.0) {
        return Err(RuleError::NoWeight { rows });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_length_are_taken_as_they_are() {
        let rows: [&[f32]; 2] = [&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]];
        let updates = Updates::new(&rows, Some(&[0.0, 600.0])).unwrap();
        assert_eq!((updates.len(), updates.dimension()), (2, 3));
        assert_eq!(updates.rows()[1], [4.0, 5.0, 6.0]);
        assert_eq!(updates.weights(), Some([0.0, 600.0].as_slice()));
    }

    #[test]
    fn no_rows_and_uneven_rows_are_refused() {
        assert_eq!(Updates::new(&[], None).unwrap_err(), RuleError::NoUpdates);
        let uneven: [&[f32]; 3] = [&[1.0, 2.0], &[3.0, 4.0], &[5.0]];
        let error = Updates::new(&uneven, None).unwrap_err();
        assert_eq!(error, RuleError::Dimension { row: 2, expected: 2, actual: 1 });
    }

    #[test]
    fn weights_that_are_no_numbers_of_examples_are_refused() {
        let rows: [&[f32]; 2] = [&[1.0], &[2.0]];
        let refused = |weights: &[f64]| Updates::new(&rows, Some(weights)).unwrap_err();
        assert_eq!(refused(&[1.0]), RuleError::WeightCount { rows: 2, weights: 1 });
        assert_eq!(refused(&[1.0, -1.0]), RuleError::Weight { row: 1, weight: -1.0 });
        assert_eq!(refused(&[f64::INFINITY, 1.0]), RuleError::Weight { row: 0, weight: f64::INFINITY });
        assert!(matches!(refused(&[f64::NAN, 1.0]), RuleError::Weight { row: 0, .. }));
        assert_eq!(refused(&[0.0, -0.0]), RuleError::NoWeight { rows: 2 });
    }
}
