//! Krum: trust the update that has the nearest neighbours.

use rayon::prelude::*;

use super::columns::give_shape;
use super::{Distances, Rule, RuleError, Updates};

/// Outputs the update of least score, where the score of an update is the sum of its Euclidean distances
/// (not squared) to its m - c - 2 nearest others (paper, section 2.2; Blanchard et al., NIPS 2017).
///
/// Needs c < (m - 2) / 2. Ties go to the lowest index. Weights are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Krum {
    /// Number of Byzantine devices to withstand (the paper's c).
    pub byzantine: usize,
}

impl Krum {
    /// Index of the row that Krum outputs.
    ///
    /// # Errors
    /// [`RuleError::Condition`] unless byzantine < (devices - 2) / 2.
    pub fn select(&self, updates: &Updates<'_>) -> Result<usize, RuleError> {
        self.select_by(&Distances::of(updates))
    }

    /// [`Krum::select`] among updates of which only the distances are known.
    ///
    /// # Errors
    /// As [`Krum::select`].
    pub fn select_by(self, distances: &Distances) -> Result<usize, RuleError> {
        let devices = distances.devices();
        self.check(devices)?;
        let neighbours = devices - self.byzantine - 2;
        let score = |device| Some((device, distances.sum_to_nearest(device, neighbours)?));
        let scores: Vec<(usize, f64)> = (0..devices).into_par_iter().filter_map(score).collect();
        least(scores.into_iter())
    }

    /// For each row what Krum selects among all others. The distances are sorted once.
    ///
    /// # Errors
    /// As [`Krum::select`] among one row less.
    pub fn select_without_each(self, distances: &Distances) -> Result<Vec<usize>, RuleError> {
        let devices = distances.devices();
        self.check(devices.saturating_sub(1))?;
        let neighbours = devices - 1 - self.byzantine - 2;
        let nearest = distances.each_nearest_first();
        let select = |left_out: usize| {
            let score = |device: usize| {
                let others = nearest[device].iter().filter(|(other, _)| *other != left_out);
                others.take(neighbours).map(|(_, distance)| distance).sum()
            };
            least((0..devices).filter(|device| *device != left_out).map(|device| (device, score(device))))
        };
        (0..devices).into_par_iter().map(select).collect()
    }
}

/// The device of the least score, the first of equals.
pub(super) fn least(scores: impl Iterator<Item = (usize, f64)>) -> Result<usize, RuleError> {
    // `min_by` keeps the first of equal elements.
    let winner = scores.min_by(|(_, a), (_, b)| a.total_cmp(b));
    winner.map(|(device, _)| device).ok_or(RuleError::NoUpdates)
}

impl Rule for Krum {
    fn name(&self) -> &'static str {
        "krum"
    }

    fn check(&self, devices: usize) -> Result<(), RuleError> {
        if self.byzantine.saturating_mul(2).saturating_add(2) < devices {
            return Ok(());
        }
        Err(RuleError::Condition {
            rule: self.name(),
            condition: "byzantine < (devices - 2) / 2",
            parameter: "byzantine",
            value: self.byzantine,
            devices,
        })
    }

    fn aggregate(&self, updates: &Updates<'_>) -> Result<Vec<f32>, RuleError> {
        Ok(updates.rows()[self.select(updates)?].to_vec())
    }

    /// The distances are computed and sorted once.
    fn leave_one_out(&self, updates: &Updates<'_>, aggregates: &mut Vec<Vec<f32>>) -> Result<(), RuleError> {
        self.check(updates.len().saturating_sub(1))?;
        let selected = self.select_without_each(&Distances::of(updates))?;
        give_shape(aggregates, updates.len(), updates.dimension());
        let copies = aggregates.par_iter_mut().zip(selected);
        copies.for_each(|(aggregate, row)| aggregate.copy_from_slice(updates.rows()[row]));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate, column, matrix, select};
    use proptest::prelude::*;

    /// Selects among updates of one value each.
    fn select_scalar(byzantine: usize, values: &[f32]) -> usize {
        select(Krum { byzantine }, &column(values))
    }

    #[test]
    fn distances_are_summed_not_their_squares() {
        // m - c - 2 = 2. The first scores 0 + 3 = 3 and the fourth 2 + 2 = 4; squared it would be 9 and 8.
        assert_eq!(select_scalar(1, &[0.0, 0.0, 3.0, 5.0, 7.0]), 0);
    }

    #[test]
    fn m_minus_c_minus_2_neighbours_count() {
        // Of 3 neighbours, 7 and 6 score 4 alike; of 4 neighbours, 7 would score 11 and 6 only 10.
        assert_eq!(select_scalar(1, &[7.0, 0.0, 5.0, 6.0, 8.0, 100.0]), 0);
        assert_eq!(select_scalar(0, &[7.0, 0.0, 5.0, 6.0, 8.0, 100.0]), 3);
    }

    #[test]
    fn ties_go_to_the_lowest_index() {
        assert_eq!(select_scalar(1, &[9.0, 1.0, 1.0, 1.0, -9.0]), 1);
        assert_eq!(select_scalar(0, &[4.0; 3]), 0);
    }

    #[test]
    fn the_output_is_the_selected_row_itself() {
        let rows = [vec![9.0, 9.0], vec![0.5, 0.25], vec![0.5, 0.5]];
        assert_eq!(aggregate(&Krum { byzantine: 0 }, &rows), rows[1]);
    }

    #[test]
    fn the_condition_is_exact_at_its_boundary() {
        assert_eq!(Krum { byzantine: 1 }.check(5), Ok(()));
        assert_eq!(Krum { byzantine: 0 }.check(3), Ok(()));
        assert_eq!(Krum { byzantine: 48 }.check(100), Ok(()));
        for (byzantine, devices) in [(1, 4), (0, 2), (49, 100), (0, 0), (usize::MAX, 100)] {
            assert!(Krum { byzantine }.check(devices).is_err(), "{byzantine} of {devices}");
        }
        let rows: [&[f32]; 4] = [&[1.0]; 4];
        let refused = Krum { byzantine: 1 }.aggregate(&Updates::new(&rows, None).unwrap());
        assert_eq!(
            refused.unwrap_err().to_string(),
            "krum needs byzantine < (devices - 2) / 2, but byzantine = 1 and devices = 4: \
             raise the number of devices or lower aggregation.byzantine"
        );
    }

    #[test]
    fn values_that_are_not_finite_do_not_panic() {
        let rows = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, 1.0].map(|value| vec![value]);
        assert!(select(Krum { byzantine: 1 }, &rows) < rows.len());
    }

    /// The definition, word by word. Distances of whole numbers are exact up to the square root.
    fn by_definition(rows: &[Vec<f32>], byzantine: usize) -> usize {
        let score = |i: usize| {
            let distance =
                |other: &Vec<f32>| rows[i].iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
            let mut left: Vec<usize> = (0..rows.len()).filter(|&j| j != i).collect();
            let mut score = 0.0;
            for _ in 0..rows.len() - byzantine - 2 {
                let mut nearest = 0;
                for k in 1..left.len() {
                    if distance(&rows[left[k]]) < distance(&rows[left[nearest]]) {
                        nearest = k;
                    }
                }
                score += f64::from(distance(&rows[left.swap_remove(nearest)])).sqrt();
            }
            score
        };
        let mut best = 0;
        for i in 1..rows.len() {
            if score(i) < score(best) {
                best = i;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(rows in matrix(3..12), byzantine in 0..5_usize) {
            let byzantine = byzantine.min((rows.len() - 3) / 2);
            prop_assert_eq!(select(Krum { byzantine }, &rows), by_definition(&rows, byzantine));
        }
    }
}
