//! The updates of a round.

use candle_core::{Result, Tensor};
use learning::training;
use wire::identity::DeviceId;

/// What devices send in a round.
pub(super) struct Updates {
    /// Who, in ascending order.
    pub(super) devices: Vec<DeviceId>,
    /// `[m, d]`, in their order.
    pub(super) values: Tensor,
    /// The number of examples of each.
    pub(super) weights: Vec<f64>,
    /// The training loss of each.
    pub(super) losses: Vec<f32>,
}

impl Updates {
    /// Those of the rows that are to be kept, if there are any.
    pub(super) fn select(self, keep: impl Fn(usize) -> bool) -> Result<Option<Self>> {
        let rows: Vec<usize> = (0..self.devices.len()).filter(|&row| keep(row)).collect();
        if rows.len() == self.devices.len() {
            return Ok(Some(self));
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let numbers: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        Ok(Some(Updates {
            devices: rows.iter().map(|&row| self.devices[row]).collect(),
            values: rows_of(&self.values, &numbers)?,
            weights: rows.iter().map(|&row| self.weights[row]).collect(),
            losses: rows.iter().map(|&row| self.losses[row]).collect(),
        }))
    }

    /// The mean of the losses that are numbers.
    pub(super) fn mean_loss(&self) -> (Option<f32>, u32) {
        training::mean_loss(self.losses.iter().copied())
    }
}

/// Of each row of a matrix whether all its values are finite.
pub(super) fn are_finite(matrix: &Tensor) -> Result<Vec<bool>> {
    // Zero times a number is zero, and times anything else is not.
    let zeros = (matrix * 0.0)?.sum(1)?.to_vec1::<f32>()?;
    Ok(zeros.into_iter().map(|zero| zero == 0.0).collect())
}

/// Some rows of a matrix, at least one, in the order given.
pub(super) fn rows_of(matrix: &Tensor, rows: &[u32]) -> Result<Tensor> {
    matrix.index_select(&Tensor::new(rows, matrix.device())?, 0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::device;
    use super::*;

    fn updates() -> Updates {
        let rows = [[1.0, f32::MAX], [f32::NAN, 0.0], [-f32::MAX, -f32::MAX], [0.0, f32::NEG_INFINITY]];
        Updates {
            devices: [2, 3, 5, 7].map(DeviceId).to_vec(),
            values: Tensor::new(&rows, device()).unwrap(),
            weights: vec![2.0, 3.0, 5.0, 7.0],
            losses: vec![1.0, f32::NAN, 2.0, f32::INFINITY],
        }
    }

    #[test]
    fn what_is_not_finite_is_found_and_left_out() {
        let finite = are_finite(&updates().values).unwrap();
        assert_eq!(finite, [true, false, true, false]);
        let kept = updates().select(|row| finite[row]).unwrap().unwrap();
        assert_eq!((kept.devices, kept.weights), ([2, 5].map(DeviceId).to_vec(), vec![2.0, 5.0]));
        assert_eq!(kept.values.to_vec2::<f32>().unwrap(), [[1.0, f32::MAX], [-f32::MAX, -f32::MAX]]);
        assert!(updates().select(|_| false).unwrap().is_none(), "a GPU has no memory of no bytes");
    }

    #[test]
    fn losses_that_are_no_numbers_do_not_count() {
        assert_eq!(updates().mean_loss(), (Some(1.5), 2));
        assert_eq!(updates().select(|row| row == 1).unwrap().unwrap().mean_loss(), (None, 1));
    }
}
