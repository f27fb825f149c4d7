//! The trimmed-mean attack (paper sections 3.3 and 3.4), also used against median and mean.
//!
//! Where a coordinate of the global model would rise, the compromised devices send values just below what benign
//! devices send, and the other way round: trimming then removes benign extremes in their place.

use rand::Rng;
use shared::random::Stream;
use shared::rules::{Rule, Updates};
use shared::scenario::{Goal, Scenario};

use super::direction::{WithoutAttack, rises};
use super::statistics::{extremes, finite, means_and_deviations};
use super::{Attack, AttackError, Needs, View};

/// Partial knowledge: values 3 to 4 standard deviations from the mean of the colluders' own before-attack models,
/// against the direction that these models take.
#[derive(Clone, Copy, Debug)]
pub struct PartialTrimmedMean;

impl Attack for PartialTrimmedMean {
    fn needs(&self) -> Needs {
        Needs::Colluders
    }

    fn craft(&self, view: &View<'_>) -> Result<Vec<Vec<f32>>, AttackError> {
        let fitted = means_and_deviations(&view.colluders());
        Ok(draw_each(view, |j, random| {
            let (mean, deviation) = fitted[j];
            let reach = random.random_range(3.0..4.0) * deviation;
            if mean > f64::from(view.global[j]) { mean - reach } else { mean + reach }
        }))
    }
}

/// Full knowledge: values beyond the extreme of the benign models, up to `spread` (the paper's b) times as far.
pub struct FullTrimmedMean {
    aim: Aim,
    spread: f64,
}

/// On which side of the benign models the crafted ones lie.
enum Aim {
    /// Against the direction that the global model would take.
    Against(WithoutAttack),
    /// Where the aggregate by this rule gets farther from what it would be without attack (the paper's appendix B).
    Farther(Box<dyn Rule>),
}

impl FullTrimmedMean {
    /// The attack as the scenario sets it up.
    pub fn new(scenario: &Scenario) -> Self {
        let aim = match scenario.attack.goal {
            Goal::Directed => Aim::Against(WithoutAttack::new(scenario)),
            Goal::Undirected => Aim::Farther(scenario.rule()),
        };
        FullTrimmedMean { aim, spread: scenario.attack.spread }
    }

    /// Models whose coordinates lie below all benign ones where `below` says so, else above.
    fn beyond(&self, view: &View<'_>, below: &[bool]) -> Vec<Vec<f32>> {
        let benign: Vec<&[f32]> = view.benign.iter().map(|(_, model)| *model).collect();
        let (least, greatest) =
            extremes(&benign).unwrap_or_else(|| (view.global.to_vec(), view.global.to_vec()));
        let extreme = |(j, below): (usize, &bool)| f64::from(if *below { least[j] } else { greatest[j] });
        let extremes: Vec<f64> = below.iter().enumerate().map(extreme).collect();
        draw_each(view, |j, random| {
            let factor = 1.0 + (self.spread - 1.0) * random.random::<f64>();
            // Away from zero where the extreme lies on the side that is pushed to, towards zero otherwise.
            if (extremes[j] > 0.0) == below[j] { extremes[j] / factor } else { extremes[j] * factor }
        })
    }

    /// Per coordinate whether the aggregate gets farther from where it would be by values below the benign ones than
    /// by values above.
    fn farther_below(&self, view: &View<'_>, rule: &dyn Rule) -> Result<Vec<bool>, AttackError> {
        let aggregate = |rows: &[&[f32]]| rule.aggregate(&Updates::new(rows, None)?);
        let after = |below: bool| {
            let crafted = self.beyond(view, &vec![below; view.global.len()]);
            let benign = view.benign.iter().map(|(_, model)| *model);
            aggregate(&crafted.iter().map(Vec::as_slice).chain(benign).collect::<Vec<_>>())
        };
        let (before, low, high) = (aggregate(&view.everyone())?, after(true)?, after(false)?);
        let farther =
            |((before, low), high): ((&f32, f32), f32)| (low - before).abs() > (high - before).abs();
        Ok(before.iter().zip(low).zip(high).map(farther).collect())
    }
}

impl Attack for FullTrimmedMean {
    fn needs(&self) -> Needs {
        Needs::Everyone
    }

    fn craft(&self, view: &View<'_>) -> Result<Vec<Vec<f32>>, AttackError> {
        let below = match &self.aim {
            Aim::Against(without_attack) => rises(&without_attack.aggregate(view)?, view.global),
            Aim::Farther(rule) => self.farther_below(view, rule.as_ref())?,
        };
        Ok(self.beyond(view, &below))
    }
}

/// One model for each compromised device, each coordinate drawn on its own from the device's stream.
fn draw_each(view: &View<'_>, mut value: impl FnMut(usize, &mut Stream) -> f64) -> Vec<Vec<f32>> {
    let mut draw = |device| {
        let mut random = view.stream(device);
        (0..view.global.len()).map(|j| finite(value(j, &mut random))).collect()
    };
    view.before_attack.iter().map(|(device, _)| draw(*device)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::identity::DeviceId;
    use shared::rules::Median;

    const COLLUDERS: [(DeviceId, &[f32]); 2] =
        [(DeviceId(1), &[2.0, -2.0, 1.0]), (DeviceId(3), &[4.0, -4.0, 1.0])];
    const BENIGN: [(DeviceId, &[f32]); 3] = [
        (DeviceId(0), &[1.0, -1.0, 0.5]),
        (DeviceId(2), &[5.0, -5.0, 0.2]),
        (DeviceId(4), &[3.0, -3.0, -0.5]),
    ];

    fn view(global: &[f32]) -> View<'_> {
        View { seed: 1, round: 1, global, before_attack: &COLLUDERS, benign: &BENIGN }
    }

    fn full() -> FullTrimmedMean {
        FullTrimmedMean { aim: Aim::Against(WithoutAttack { rule: None }), spread: 2.0 }
    }

    /// Every crafted value of coordinate `j` lies in the range.
    fn assert_within(crafted: &[Vec<f32>], j: usize, low: f32, high: f32) {
        for model in crafted {
            assert!((low..=high).contains(&model[j]), "coordinate {j}: {} not in [{low}, {high}]", model[j]);
        }
    }

    #[test]
    fn partial_values_lie_three_to_four_deviations_against_the_direction() {
        // Mean 3, deviation 1 | mean -3, deviation 1 | mean 1, deviation 0.
        let rising = PartialTrimmedMean.craft(&view(&[0.0, -9.0, 0.0])).unwrap();
        assert_within(&rising, 0, -1.0, 0.0);
        assert_within(&rising, 1, -7.0, -6.0);
        assert_within(&rising, 2, 1.0, 1.0);
        let falling = PartialTrimmedMean.craft(&view(&[9.0, 0.0, 1.0])).unwrap();
        assert_within(&falling, 0, 6.0, 7.0);
        assert_within(&falling, 1, 0.0, 1.0);
    }

    #[test]
    fn full_values_lie_beyond_the_benign_extreme_on_the_papers_four_ranges() {
        // Rising: [min/b, min] if min > 0, else [b*min, min].
        let rising = full().craft(&view(&[0.0, -9.0, -9.0])).unwrap();
        assert_within(&rising, 0, 0.5, 1.0);
        assert_within(&rising, 1, -10.0, -5.0);
        assert_within(&rising, 2, -1.0, -0.5);
        // Falling: [max, b*max] if max > 0, else [max, max/b].
        let falling = full().craft(&view(&[9.0, 0.0, 9.0])).unwrap();
        assert_within(&falling, 0, 5.0, 10.0);
        assert_within(&falling, 1, -1.0, -0.5);
        assert_within(&falling, 2, 0.5, 1.0);
    }

    #[test]
    fn devices_draw_differently_and_the_same_again_in_the_same_round() {
        let first = full().craft(&view(&[0.0; 3])).unwrap();
        assert_ne!(first[0], first[1]);
        assert_eq!(first, full().craft(&view(&[0.0; 3])).unwrap());
    }

    #[test]
    fn a_coordinate_that_stands_still_counts_as_falling() {
        let still: [(DeviceId, &[f32]); 1] = [(DeviceId(0), &[1.0])];
        let view = View { seed: 1, round: 1, global: &[1.0], before_attack: &still, benign: &still };
        assert_within(&full().craft(&view).unwrap(), 0, 1.0, 2.0);
    }

    #[test]
    fn the_undirected_goal_takes_the_side_on_which_the_rule_gets_farther() {
        // Without attack the median is 1 | -1; two values above make it 5 | 0, two below 0 | -5.
        let colluders: [(DeviceId, &[f32]); 2] = [(DeviceId(0), &[1.0, -1.0]), (DeviceId(1), &[1.0, -1.0])];
        let benign: [(DeviceId, &[f32]); 3] =
            [(DeviceId(2), &[0.0, 0.0]), (DeviceId(3), &[1.0, -1.0]), (DeviceId(4), &[5.0, -5.0])];
        let attack = FullTrimmedMean { aim: Aim::Farther(Box::new(Median)), spread: 2.0 };
        for global in [[-9.0; 2], [9.0; 2]] {
            let view =
                View { seed: 1, round: 1, global: &global, before_attack: &colluders, benign: &benign };
            let crafted = attack.craft(&view).unwrap();
            assert_within(&crafted, 0, 5.0, 10.0);
            assert_within(&crafted, 1, -10.0, -5.0);
        }
    }
}
