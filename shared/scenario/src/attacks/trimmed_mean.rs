//! The trimmed-mean attack (paper sections 3.3 and 3.4), also used against median and mean.
//!
//! Where a coordinate of the global model would rise, the compromised devices send values just below what benign
//! devices send, and the other way round: trimming then removes benign extremes in their place.

use candle_core::{DType, Tensor};
use input::unfit::{Unfit, fits_f32, require};
use learning::random::Stream;
use rand::Rng;
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statistics::{extremes, finite, mean_and_deviation};
use super::{Attack, AttackError, Conditions, Direction, Goal, Knowledge, Needs, View};

/// Values at or beyond the benign extreme, against the direction of the global model (Fang et al. 2020, section 3.3).
///
/// With partial knowledge, values lie 3 to 4 standard deviations from the mean of the colluders' own before-attack models;
/// with full knowledge, they lie beyond the extreme of the benign models, up to `spread` times as far.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TrimmedMean {
    /// What the attacker knows.
    pub knowledge: Knowledge,
    /// What the attack is after; undirected takes full knowledge.
    pub goal: Goal,
    /// Where the directed deviation takes its direction from under full knowledge.
    pub direction: Direction,
    /// How far beyond the benign extreme crafted values reach under full knowledge (the paper's b).
    pub spread: f64,
}

impl Default for TrimmedMean {
    fn default() -> Self {
        TrimmedMean {
            knowledge: Knowledge::default(),
            goal: Goal::default(),
            direction: Direction::default(),
            spread: 2.0,
        }
    }
}

impl Attack for TrimmedMean {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        require(fits_f32(self.spread) && self.spread >= 1.0, "attack.spread", || {
            format!("{} must be a number of at least 1 that a 32-bit float holds", self.spread)
        })?;
        let takes_sides = self.knowledge == Knowledge::Full || self.goal == Goal::Directed;
        require(takes_sides, "attack.goal", || {
            "undirected takes attack.knowledge = full: to the colluders alone, up and down look the same"
                .to_owned()
        })
    }

    fn needs(&self) -> Needs {
        self.knowledge.needs()
    }

    /// How many deviations, or which share of the spread.
    fn draw(&self, _: usize, random: &mut Stream, values: &mut [f64]) {
        match self.knowledge {
            Knowledge::Partial => values.fill_with(|| random.random_range(3.0..4.0)),
            Knowledge::Full => values.fill_with(|| random.random::<f64>()),
        }
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        if self.knowledge == Knowledge::Partial {
            let (mean, deviation) = mean_and_deviation(view.models, view.colluders)?;
            let reach = view.draws()?.broadcast_mul(&deviation)?;
            // Not to move is not to rise.
            let rises = mean.gt(&view.origin()?)?.broadcast_as(reach.shape())?;
            let (below, above) = (mean.broadcast_sub(&reach)?, mean.broadcast_add(&reach)?);
            return Ok(Some(finite(&rises.where_cond(&below, &above)?)?));
        }
        let below = match self.goal {
            Goal::Directed => view.without_attack(self.direction)?.gt(&view.origin()?)?,
            Goal::Undirected => self.farther_below(view)?,
        };
        Ok(Some(self.beyond(view, &below)?))
    }
}

impl TrimmedMean {
    /// Models whose coordinates lie below all benign ones where `below` says so, `[1, d]`, else above.
    fn beyond(&self, view: &View<'_>, below: &Tensor) -> candle_core::Result<Tensor> {
        let (least, greatest) = extremes(view.models, view.benign)?;
        let extreme = below.where_cond(&least, &greatest)?.to_dtype(DType::F64)?;
        let factor = ((view.draws()? * (self.spread - 1.0))? + 1.0)?;
        // Away from zero where the extreme lies on the side that is pushed to, towards zero otherwise.
        let nearer = extreme.gt(0.0)?.eq(below)?.broadcast_as(factor.shape())?;
        let extreme = extreme.broadcast_as(factor.shape())?;
        finite(&nearer.where_cond(&(&extreme / &factor)?, &(&extreme * &factor)?)?)
    }

    /// Per coordinate whether the aggregate gets farther from where it would be by values below the benign ones than by
    /// values above (the paper's appendix B).
    fn farther_below(&self, view: &View<'_>) -> Result<Tensor, AttackError> {
        let after = |below: &Tensor| {
            view.aggregate(&Tensor::cat(&[self.beyond(view, below)?, view.rows(view.benign)?], 0)?)
        };
        let before = view.aggregate(view.models)?;
        let nowhere = before.zeros_like()?.to_dtype(DType::U8)?.unsqueeze(0)?;
        let (low, high) = (after(&nowhere.ones_like()?)?, after(&nowhere)?);
        let farther = (low - &before)?.abs()?.gt(&(high - &before)?.abs()?)?;
        Ok(farther.unsqueeze(0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{crafted, scenario};

    /// The first and the third of five devices are compromised.
    fn models() -> Vec<Vec<f32>> {
        [[1.0, -1.0, 0.5], [2.0, -2.0, 1.0], [5.0, -5.0, 0.2], [4.0, -4.0, 1.0], [3.0, -3.0, -0.5]]
            .map(Vec::from)
            .into()
    }

    fn craft(settings: &[&str], global: &[f32]) -> Vec<Vec<f32>> {
        let scenario = scenario(&[&["attack.kind=trimmed-mean"], settings].concat());
        crafted(&scenario, global, &models(), &[1, 3]).unwrap()
    }

    const FULL: &[&str] = &["attack.knowledge=full"];

    /// Every crafted value of coordinate `j` lies in the range.
    fn assert_within(crafted: &[Vec<f32>], j: usize, low: f32, high: f32) {
        for model in crafted {
            assert!((low..=high).contains(&model[j]), "coordinate {j}: {} not in [{low}, {high}]", model[j]);
        }
    }

    #[test]
    fn partial_values_lie_three_to_four_deviations_against_the_direction() {
        // Mean 3, deviation 1 | mean -3, deviation 1 | mean 1, deviation 0.
        let rising = craft(&[], &[0.0, -9.0, 0.0]);
        assert_within(&rising, 0, -1.0, 0.0);
        assert_within(&rising, 1, -7.0, -6.0);
        assert_within(&rising, 2, 1.0, 1.0);
        let falling = craft(&[], &[9.0, 0.0, 1.0]);
        assert_within(&falling, 0, 6.0, 7.0);
        assert_within(&falling, 1, 0.0, 1.0);
    }

    #[test]
    fn full_values_lie_beyond_the_benign_extreme_on_the_papers_four_ranges() {
        // Rising: [min/b, min] if min > 0, else [b*min, min].
        let rising = craft(FULL, &[0.0, -9.0, -9.0]);
        assert_within(&rising, 0, 0.5, 1.0);
        assert_within(&rising, 1, -10.0, -5.0);
        assert_within(&rising, 2, -1.0, -0.5);
        // Falling: [max, b*max] if max > 0, else [max, max/b].
        let falling = craft(FULL, &[9.0, 0.0, 9.0]);
        assert_within(&falling, 0, 5.0, 10.0);
        assert_within(&falling, 1, -1.0, -0.5);
        assert_within(&falling, 2, 0.5, 1.0);
    }

    #[test]
    fn devices_draw_differently_and_the_same_again_in_the_same_round() {
        let first = craft(FULL, &[0.0; 3]);
        assert_ne!(first[0], first[1]);
        assert_eq!(first, craft(FULL, &[0.0; 3]));
    }

    #[test]
    fn a_coordinate_that_stands_still_counts_as_falling() {
        let scenario = scenario(&["attack.kind=trimmed-mean", "attack.knowledge=full"]);
        let still = crafted(&scenario, &[1.0], &[vec![1.0], vec![1.0]], &[0]).unwrap();
        assert_within(&still, 0, 1.0, 2.0);
    }

    #[test]
    fn the_undirected_goal_takes_the_side_on_which_the_rule_gets_farther() {
        // Without attack the median is 1 | -1; two values above make it 5 | 0, two below 0 | -5.
        let models = [[1.0, -1.0], [1.0, -1.0], [0.0, 0.0], [1.0, -1.0], [5.0, -5.0]].map(Vec::from);
        let scenario = scenario(&[
            "attack.kind=trimmed-mean",
            "attack.knowledge=full",
            "attack.goal=undirected",
            "aggregation.rule=median",
        ]);
        for global in [[-9.0; 2], [9.0; 2]] {
            let crafted = crafted(&scenario, &global, &models, &[0, 1]).unwrap();
            assert_within(&crafted, 0, 5.0, 10.0);
            assert_within(&crafted, 1, -10.0, -5.0);
        }
    }
}
