//! Sums of updates, each times a coefficient.

use std::sync::Arc;

/// A combination of the updates of a round, and of other vectors: the model that the round started from, plus the sum of all
/// updates, which are taken from that model, and of the other vectors, each times its coefficient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Combination {
    /// The coefficient of each update.
    pub weights: Vec<f64>,
    /// Other vectors, d values each, with their coefficients.
    pub others: Vec<(Arc<[f32]>, f64)>,
}

impl Combination {
    /// One of `devices` updates as it is.
    pub fn row(row: usize, devices: usize) -> Self {
        let mut weights = vec![0.0; devices];
        weights[row] = 1.0;
        Combination::of(weights)
    }

    /// Of updates alone.
    pub fn of(weights: Vec<f64>) -> Self {
        Combination { weights, others: Vec::new() }
    }

    /// The rows that have a part in it, in ascending order.
    pub fn used(&self) -> impl Iterator<Item = usize> {
        self.weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0).map(|(row, _)| row)
    }

    /// The row that it is, as it is.
    pub(crate) fn only(&self) -> Option<usize> {
        let mut used = self.used();
        let row = used.next().filter(|row| self.weights[*row] == 1.0 && self.others.is_empty())?;
        used.next().is_none().then_some(row)
    }

    /// What it is of rows that are combinations themselves: a combination of what these are of.
    #[must_use]
    pub fn of_parts(&self, parts: &[Combination]) -> Self {
        let devices = parts.first().map_or(0, |part| part.weights.len());
        let mut whole = Combination::of(vec![0.0; devices]);
        let counted = parts.iter().zip(&self.weights).filter(|(_, weight)| **weight != 0.0);
        for (part, weight) in counted {
            whole.weights.iter_mut().zip(&part.weights).for_each(|(sum, share)| *sum += weight * share);
            part.others.iter().for_each(|(other, share)| whole.add(other, weight * share));
        }
        self.others.iter().for_each(|(other, share)| whole.add(other, *share));
        whole
    }

    /// The coefficient of another vector.
    pub(crate) fn share(&self, other: &Arc<[f32]>) -> f64 {
        self.others.iter().filter(|(known, _)| Arc::ptr_eq(known, other)).map(|(_, share)| share).sum()
    }

    fn add(&mut self, other: &Arc<[f32]>, share: f64) {
        match self.others.iter_mut().find(|(known, _)| Arc::ptr_eq(known, other)) {
            Some((_, sum)) => *sum += share,
            None => self.others.push((other.clone(), share)),
        }
    }
}

/// The other vectors in some combinations, each once.
pub(crate) fn others_of(combinations: &[Combination]) -> Vec<&Arc<[f32]>> {
    let mut others: Vec<&Arc<[f32]>> = Vec::new();
    for (other, _) in combinations.iter().flat_map(|combination| &combination.others) {
        if !others.iter().any(|known| Arc::ptr_eq(known, other)) {
            others.push(other);
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_combination_of_combinations_is_one_of_the_rows() {
        let noise: Arc<[f32]> = [1.0, 2.0].into();
        let parts = [
            Combination { weights: vec![0.5, 0.5, 0.0], others: vec![(noise.clone(), 1.0)] },
            Combination { weights: vec![0.0, 0.0, 2.0], others: vec![(noise.clone(), 3.0)] },
        ];
        let whole = Combination::of(vec![0.5, 0.25]).of_parts(&parts);
        assert_eq!(whole, Combination { weights: vec![0.25, 0.25, 0.5], others: vec![(noise, 1.25)] });
    }

    #[test]
    fn a_row_as_it_is_is_known_as_such() {
        assert_eq!(Combination::row(1, 3).only(), Some(1));
        assert_eq!(Combination::of(vec![0.0, 2.0]).only(), None);
        assert_eq!(Combination::of(vec![1.0, 1.0]).only(), None);
        assert_eq!(Combination { others: vec![([1.0].into(), 1.0)], ..Combination::row(0, 1) }.only(), None);
    }
}
