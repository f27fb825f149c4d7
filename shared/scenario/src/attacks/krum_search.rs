//! How far Krum can be pushed (paper section 3.2): the search for λ.
//!
//! The crafted model is g - λs, where g is the global model and s has +1 or -1 for each of d coordinates. Its distance
//! from a known model v follows from three numbers, |v - g|², s·(v - g) and d, so that a step of the search needs no
//! pass over the coordinates.

use candle_core::{DType, Tensor};
use robust::Distances;

use super::{AttackError, View};

/// What the search must know of the models that the attacker knows, wherever they are.
#[derive(Clone, Debug)]
pub(super) struct Measures {
    /// Between all pairs of them.
    pub(super) distances: Distances,
    /// Of each of them.
    pub(super) offsets: Vec<Offset>,
    /// Number of values of each (the paper's d).
    pub(super) dimension: usize,
}

/// Where a model v lies, as seen from the global model g and the direction s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Offset {
    /// |v - g|².
    pub(super) squared: f64,
    /// s·(v - g).
    pub(super) along: f64,
}

impl Measures {
    /// Measures the `known` rows of the models of `view` from `origin`, `[1, d]`, in the direction `signs`, `[1, d]`.
    ///
    /// # Errors
    /// If candle or the GPU fails.
    pub(super) fn of(
        view: &View<'_>,
        known: &[u32],
        origin: &Tensor,
        signs: &Tensor,
    ) -> Result<Self, AttackError> {
        let models = view.rows(known)?;
        let offset = |row: usize| -> candle_core::Result<Offset> {
            let offset = (models.narrow(0, row, 1)?.to_dtype(DType::F64)? - origin)?;
            let squared = offset.sqr()?.sum_all()?.to_scalar()?;
            Ok(Offset { squared, along: (offset * signs)?.sum_all()?.to_scalar()? })
        };
        let offsets = (0..known.len()).map(offset).collect::<candle_core::Result<_>>()?;
        let distances = view.executor.measure(view.updates(&models)).distances()?;
        Ok(Measures { distances, offsets, dimension: origin.dim(1)? })
    }
}

/// A Krum of the attacker's own: over some copies of the crafted model and the models it knows.
#[derive(Debug)]
pub(super) struct Search {
    known: Vec<Known>,
    /// Number of nearest others whose distances Krum sums.
    neighbours: usize,
    dimension: f64,
}

/// What the search must know of a model.
#[derive(Debug)]
struct Known {
    offset: Offset,
    /// Distances to the other known models, ascending.
    nearest: Vec<f64>,
    /// Entry k is the sum of the first k of them.
    sums: Vec<f64>,
}

impl Search {
    /// A search among the models that were measured, with Krum summing the distances to `neighbours` others.
    pub(super) fn new(measures: &Measures, neighbours: usize) -> Self {
        let Measures { distances, offsets, dimension } = measures;
        let known = offsets.iter().enumerate().map(|(i, offset)| Known::new(*offset, distances, i));
        Search { known: known.collect(), neighbours, dimension: *dimension as f64 }
    }

    /// The first λ that [succeeds](Search::succeeds), from the [bound](Search::bound) down by halves; `None` if none
    /// of at least `threshold` does, or the models are so far away that there is no number for the bound.
    pub(super) fn lambda(&self, copies: usize, threshold: f64) -> Option<f64> {
        let bound = Some(self.bound(copies)).filter(|bound| bound.is_finite());
        std::iter::successors(bound, |lambda| Some(lambda / 2.0))
            .take_while(|lambda| *lambda >= threshold)
            .find(|lambda| self.succeeds(*lambda, copies))
    }

    /// The upper bound on λ of the paper's Theorem 1. With the whole fleet's m - c - 2 neighbours and c copies, the
    /// first denominator is the paper's m - 2c - 1.
    ///
    /// Where Krum assumes fewer attackers than there are copies, no λ is too large; the bound is then only where
    /// the search begins.
    fn bound(&self, copies: usize) -> f64 {
        let least = self.known.iter().map(|known| known.sum_to_nearest(self.neighbours)).reduce(f64::min);
        let farthest = self.known.iter().map(|known| known.offset.squared.sqrt()).fold(0.0, f64::max);
        let counted = self.counted(copies).max(1) as f64;
        (least.unwrap_or(0.0) / counted + farthest) / self.dimension.sqrt()
    }

    /// How many known models a copy of the crafted one counts among its neighbours, besides the other copies.
    fn counted(&self, copies: usize) -> usize {
        (self.neighbours + 1).saturating_sub(copies)
    }

    /// Whether Krum selects one of the copies. They come first, so that ties go to them.
    fn succeeds(&self, lambda: f64, copies: usize) -> bool {
        let distances: Vec<f64> =
            self.known.iter().map(|known| known.distance(lambda, self.dimension)).collect();
        let mut nearest = distances.clone();
        nearest.sort_by(f64::total_cmp);
        let crafted: f64 = nearest.iter().take(self.counted(copies)).sum();
        let mut known = self.known.iter().zip(distances);
        known.all(|(known, distance)| crafted <= known.score(distance, copies, self.neighbours))
    }
}

impl Known {
    fn new(offset: Offset, distances: &Distances, i: usize) -> Self {
        let nearest: Vec<f64> =
            distances.nearest_first(i).into_iter().map(|(_, distance)| distance).collect();
        let mut sums = vec![0.0];
        for distance in &nearest {
            sums.push(sums[sums.len() - 1] + distance);
        }
        Known { offset, nearest, sums }
    }

    /// The Euclidean distance from the crafted model.
    fn distance(&self, lambda: f64, dimension: f64) -> f64 {
        // Rounding may take it below zero where the two models are the same.
        let Offset { squared, along } = self.offset;
        (squared + 2.0 * lambda * along + lambda * lambda * dimension).max(0.0).sqrt()
    }

    /// Sum of the distances to the `count` nearest other known models, or to all.
    fn sum_to_nearest(&self, count: usize) -> f64 {
        self.sums[count.min(self.nearest.len())]
    }

    /// Krum's score while `copies` models lie at `distance`.
    fn score(&self, distance: f64, copies: usize, neighbours: usize) -> f64 {
        let neighbours = neighbours.min(self.nearest.len() + copies);
        let nearer = self.nearest.partition_point(|other| *other <= distance);
        let copies = copies.min(neighbours.saturating_sub(nearer));
        self.sum_to_nearest(neighbours - copies) + copies as f64 * distance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use robust::{Byzantine, Geometry, Krum, Plan, Updates};

    fn search(known: &[Vec<f32>], signs: &[f64], neighbours: usize) -> Search {
        let offset = |model: &Vec<f32>| Offset {
            squared: model.iter().map(|value| f64::from(*value).powi(2)).sum(),
            along: model.iter().zip(signs).map(|(value, sign)| f64::from(*value) * sign).sum(),
        };
        let rows: Vec<&[f32]> = known.iter().map(Vec::as_slice).collect();
        let distances = Distances::of(&Updates::new(&rows, None).unwrap());
        let offsets = known.iter().map(offset).collect();
        Search::new(&Measures { distances, offsets, dimension: signs.len() }, neighbours)
    }

    #[test]
    fn the_bound_is_that_of_theorem_1() {
        // m = 6, c = 1: 3 neighbours. The least sum of 3 distances is 1 + 1 + 3 = 5 from 2, over m - 2c - 1 = 3; the
        // farthest from g is 9. With d = 4 like coordinates both distances and the root of d double.
        let known = [1.0, 2.0, 3.0, 5.0, 9.0].map(|value| vec![value; 4]);
        assert_eq!(search(&known, &[1.0; 4], 3).bound(1), 5.0 / 3.0 + 9.0);
        assert_eq!(search(&known, &[1.0; 4], 3).bound(2), 5.0 / 2.0 + 9.0);
    }

    #[test]
    fn models_beyond_all_numbers_end_the_search() {
        for far in [f32::INFINITY, f32::NAN] {
            let known = [vec![1.0; 3], vec![2.0; 3], vec![far; 3], vec![3.0; 3]];
            assert_eq!(search(&known, &[1.0; 3], 2).lambda(1, 1e-5), None);
        }
    }

    /// Models of quarters, whose differences and squares are exact; equal distances are rare.
    fn models() -> impl Strategy<Value = Vec<Vec<f32>>> {
        vec(vec((-400..400_i16).prop_map(|quarters| f32::from(quarters) / 4.0), 3), 4..10)
    }

    fn signs() -> impl Strategy<Value = Vec<f64>> {
        vec(prop_oneof![Just(-1.0), Just(1.0)], 3)
    }

    proptest! {
        #[test]
        fn success_is_what_krum_says_of_the_very_models(
            (known, signs) in (models(), signs()),
            quarters in 0..400_i16,
            copies in 1..8_usize,
            byzantine in 0..8_usize,
        ) {
            let lambda = f32::from(quarters) / 4.0;
            let crafted: Vec<f32> = signs.iter().map(|&sign| -lambda * sign as f32).collect();
            let mut rows = vec![crafted.as_slice(); copies];
            rows.extend(known.iter().map(Vec::as_slice));
            let byzantine = byzantine.min((rows.len() - 3) / 2);
            let updates = Updates::new(&rows, None).unwrap();
            let plan = Plan::of(&Krum::default(), &Geometry::of(&updates), Byzantine::of(byzantine)).unwrap();
            let Plan::Row(selected) = plan else { panic!("{plan:?}") };
            let search = search(&known, &signs, rows.len() - byzantine - 2);
            prop_assert_eq!(search.succeeds(f64::from(lambda), copies), selected < copies);
        }

        #[test]
        fn no_lambda_beyond_the_bound_succeeds(
            (known, signs) in (models(), signs()),
            copies in 1..8_usize,
            beyond in 1.001..10.0_f64,
        ) {
            let neighbours = known.len() - 2;
            let copies = copies.min(neighbours);
            let search = search(&known, &signs, neighbours);
            prop_assert!(!search.succeeds(search.bound(copies) * beyond, copies));
            if let Some(lambda) = search.lambda(copies, 1e-5) {
                prop_assert!(lambda <= search.bound(copies));
                prop_assert!(search.succeeds(lambda, copies));
            }
        }
    }
}
