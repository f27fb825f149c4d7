//! A rule over combinations of the updates that came in, which are not computed for that.

use std::iter::zip;
use std::sync::Arc;

use super::combination::others_of;
use super::kernels::products::product;
use super::{
    Byzantine, Combination, Distances, Geometry, Gram, Measure, Plan, Round, Rule, RuleError, State, Updates,
    combine,
};

/// A rule, of combinations of the updates of a round: a rule of these updates.
///
/// What it asks of the combinations follows from what is known of the updates, and its plan becomes one for the updates.
#[derive(Clone, Copy, Debug)]
pub struct Mixing<'a> {
    /// The rule.
    pub rule: &'a dyn Rule,
    /// What it takes for updates.
    pub mixtures: &'a [Combination],
    /// The number of examples behind each.
    pub examples: Option<&'a [f64]>,
}

impl Rule for Mixing<'_> {
    fn check(&self, _: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        self.rule.check(self.mixtures.len(), byzantine)
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let geometry = round.geometry().mixed(self.mixtures, self.examples);
        let plan = self.rule.plan(&Round::new(&geometry, round.byzantine()).in_context(*round.context()))?;
        Ok(plan.of_parts(self.mixtures))
    }

    fn remember(&self, round: &Round<'_>, aggregate: &[f32], state: &mut State) -> Result<(), RuleError> {
        let geometry = round.geometry().mixed(self.mixtures, self.examples);
        let round = Round::new(&geometry, round.byzantine()).in_context(*round.context());
        self.rule.remember(&round, aggregate, state)
    }

    fn in_turn(&self) -> bool {
        self.rule.in_turn()
    }
}

impl Geometry<'_> {
    /// That of combinations of the updates, with the number of examples behind each, if that is known.
    pub fn mixed<'b>(&'b self, mixtures: &'b [Combination], examples: Option<&'b [f64]>) -> Geometry<'b> {
        Geometry::new(
            mixtures.len(),
            examples,
            Box::new(Mixed { updates: self, mixtures, others: others_of(mixtures) }),
        )
    }
}

/// Combinations of updates.
struct Mixed<'a> {
    updates: &'a Geometry<'a>,
    mixtures: &'a [Combination],
    /// The other vectors in them, each once.
    others: Vec<&'a Arc<[f32]>>,
}

impl Mixed<'_> {
    /// The mixtures of `parts` of the updates, where `of_other` is that part of another vector.
    fn of_parts(
        &self,
        parts: &[Vec<f32>],
        of_other: impl Fn(&Arc<[f32]>) -> Arc<[f32]>,
    ) -> Result<Vec<Vec<f32>>, RuleError> {
        let others: Vec<Arc<[f32]>> = self.others.iter().map(|other| of_other(other)).collect();
        let of_part = |mixture: &Combination| {
            let shares = self.others.iter().map(|other| mixture.share(other));
            let others = zip(&others, shares).filter(|(_, share)| *share != 0.0);
            Combination {
                weights: mixture.weights.clone(),
                others: others.map(|(other, share)| (other.clone(), share)).collect(),
            }
        };
        let rows: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
        combine(&self.mixtures.iter().map(of_part).collect::<Vec<_>>(), &Updates::new(&rows, None)?)
    }
}

impl Measure for Mixed<'_> {
    fn distances(&self) -> Result<Distances, RuleError> {
        Ok(Distances::of_gram(&self.gram()?))
    }

    fn gram(&self) -> Result<Gram, RuleError> {
        let others: Vec<&[f32]> = self.others.iter().map(|other| &other[..]).collect();
        let gram = Round::new(self.updates, Byzantine::default()).gram(&others)?;
        let coefficients = |mixture: &Combination| {
            let shares = self.others.iter().map(|other| mixture.share(other));
            mixture.weights.iter().copied().chain(shares).collect()
        };
        Ok(gram.of_combinations(&self.mixtures.iter().map(coefficients).collect::<Vec<_>>()))
    }

    fn products_with(&self, other: &[f32]) -> Result<Vec<f64>, RuleError> {
        let products = self.updates.measure().products_with(other)?;
        let of_mixture = |mixture: &Combination| {
            let others = mixture.others.iter().map(|(vector, share)| share * product(vector, other));
            zip(&mixture.weights, &products).map(|(weight, product)| weight * product).chain(others).sum()
        };
        Ok(self.mixtures.iter().map(of_mixture).collect())
    }

    fn sample(&self, columns: &[usize]) -> Result<Vec<Vec<f32>>, RuleError> {
        let part = |other: &Arc<[f32]>| columns.iter().map(|&column| other[column]).collect();
        self.of_parts(&self.updates.measure().sample(columns)?, part)
    }

    fn offsets(&self) -> Result<Vec<Vec<f32>>, RuleError> {
        self.of_parts(&self.updates.measure().offsets()?, Arc::clone)
    }

    fn origin(&self) -> Option<&[f32]> {
        self.updates.measure().origin()
    }

    fn dimension(&self) -> usize {
        self.updates.measure().dimension()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::combine::combinations;
    use crate::properties::{matrix, rules};
    use crate::{Executor as _, Processors};

    proptest! {
        /// Mixtures of whole numbers, times powers of two, are exact, and so are the distances between them.
        #[test]
        fn a_rule_of_mixtures_is_the_rule_of_what_they_are(
            rows in matrix(4..9),
            places in proptest::collection::vec((0..9_usize, 0..9_usize), 4..9),
            share in prop_oneof![Just(0.0), Just(0.5)],
        ) {
            let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let origin: Vec<f32> = rows[0].iter().map(|value| value + 2.0).collect();
            let updates = Updates::new(&slices, None).unwrap().from_origin(&origin).unwrap();
            let other: Arc<[f32]> = rows[1].clone().into();
            let mixtures: Vec<Combination> = places.iter().map(|(a, b)| {
                let mut mixture = Combination::of(vec![0.0; rows.len()]);
                mixture.weights[a % rows.len()] += 0.5;
                mixture.weights[b % rows.len()] += 0.5;
                mixture.others.push((other.clone(), share));
                mixture
            }).collect();
            let mut mixed = Vec::new();
            combinations(&updates, &mixtures, &mut mixed).unwrap();
            let mixed: Vec<&[f32]> = mixed.iter().map(Vec::as_slice).collect();
            let mixed = Updates::new(&mixed, None).unwrap().from_origin(&origin).unwrap();
            for (rule, byzantine) in rules(mixtures.len()) {
                let byzantine = Byzantine::of(byzantine);
                let mixing = Mixing { rule: &*rule, mixtures: &mixtures, examples: None };
                let of_mixtures = Processors.aggregate(&mixing, &updates, byzantine).unwrap().values;
                let expected = Processors.aggregate(&*rule, &mixed, byzantine).unwrap().values;
                for (value, expected) in zip(of_mixtures, expected) {
                    prop_assert!((value - expected).abs() <= 1e-4, "{rule:?}: {value} {expected}");
                }
            }
        }
    }

    #[test]
    fn what_is_asked_of_a_mixture_is_what_it_is() {
        let rows: [&[f32]; 2] = [&[2.0, 3.0], &[4.0, 9.0]];
        let updates = Updates::new(&rows, None).unwrap().from_origin(&[1.0, 1.0]).unwrap();
        let mixtures = [Combination { weights: vec![0.5, 0.5], others: vec![([1.0, 0.0].into(), 3.0)] }];
        let geometry = Geometry::of(&updates);
        let geometry = geometry.mixed(&mixtures, None);
        let round = Round::new(&geometry, Byzantine::default());
        assert_eq!((round.devices(), round.updates().unwrap()), (1, vec![vec![5.0, 5.0]]));
        assert_eq!(round.sample(&[1]).unwrap(), [[5.0]]);
        let gram = round.gram(&[&[1.0, 2.0]]).unwrap();
        assert_eq!([gram.product(0, 0), gram.product(0, 1), gram.product(1, 1)], [50.0, 15.0, 5.0]);
    }
}
