//! The aggregate of a part of the updates.

use super::{Rule, RuleError, Updates};

/// The aggregate of those `updates` whose row `keep` holds for, with their weights.
///
/// # Errors
/// As [`Updates::new`] and [`Rule::aggregate`] of what is kept.
pub fn aggregate_where<R: Rule + ?Sized>(
    rule: &R,
    updates: &Updates<'_>,
    keep: impl Fn(usize) -> bool,
) -> Result<Vec<f32>, RuleError> {
    let kept: Vec<usize> = (0..updates.len()).filter(|&row| keep(row)).collect();
    let rows: Vec<&[f32]> = kept.iter().map(|&row| updates.rows()[row]).collect();
    let weights: Option<Vec<f64>> =
        updates.weights().map(|weights| kept.iter().map(|&row| weights[row]).collect());
    rule.aggregate(&Updates::new(&rows, weights.as_deref())?)
}

#[cfg(test)]
mod tests {
    use super::super::Mean;
    use super::*;

    #[test]
    fn what_is_left_keeps_its_weights() {
        let rows: [&[f32]; 3] = [&[1.0], &[2.0], &[6.0]];
        let updates = Updates::new(&rows, Some(&[1.0, 1.0, 3.0])).unwrap();
        assert_eq!(aggregate_where(&Mean, &updates, |row| row != 0).unwrap(), [5.0]);
        assert_eq!(aggregate_where(&Mean, &updates, |_| false), Err(RuleError::NoUpdates));
    }
}
