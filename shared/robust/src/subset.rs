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

/// Of what is equal the first place, in order, and for each of `all` which of those it is equal to. Without one or
/// another update, a rule that selects often makes the same.
pub fn different<T: PartialEq>(all: &[T]) -> (Vec<usize>, Vec<usize>) {
    let mut firsts: Vec<usize> = Vec::new();
    let mut places = Vec::with_capacity(all.len());
    for (index, item) in all.iter().enumerate() {
        let place = firsts.iter().position(|&first| all[first] == *item).unwrap_or(firsts.len());
        if place == firsts.len() {
            firsts.push(index);
        }
        places.push(place);
    }
    (firsts, places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mean;

    #[test]
    fn what_is_equal_is_there_once() {
        assert_eq!(different(&["c", "a", "c", "c", "b", "a"]), (vec![0, 1, 4], vec![0, 1, 0, 0, 2, 1]));
        assert_eq!(different::<u8>(&[]), (vec![], vec![]));
    }

    #[test]
    fn what_is_left_keeps_its_weights() {
        let rows: [&[f32]; 3] = [&[1.0], &[2.0], &[6.0]];
        let updates = Updates::new(&rows, Some(&[1.0, 1.0, 3.0])).unwrap();
        assert_eq!(aggregate_where(&Mean, &updates, |row| row != 0).unwrap(), [5.0]);
        assert_eq!(aggregate_where(&Mean, &updates, |_| false), Err(RuleError::NoUpdates));
    }
}
