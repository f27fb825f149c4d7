//! The attack by which a little is enough (ALIE).

use candle_core::Tensor;
use input::unfit::{Unfit, fits_f32, require};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::normal::quantile;
use super::search::farthest_factor;
use super::statistics::{finite, mean_and_deviation};
use super::{Attack, AttackError, Conditions, Knowledge, Needs, View};

/// The mean update less a few of its standard deviations, near enough that some honest updates lie farther
/// out (ALIE; Baruch et al. 2019).
///
/// Each compromised device sends μ - zσ, where μ and σ are the mean and the population standard deviation of
/// each coordinate of the updates that the attacker knows. If f of the m devices of a round are compromised,
/// s = ⌊m/2 + 1⌋ - f honest ones have to lie farther out to make a majority with them, and z = Φ⁻¹((m - f -
/// s) / (m - f)). With one compromised device, or two of an even number of devices, that z is not above 0:
/// only a `z` that is set makes an attack then. In a round in which the compromised devices are a majority by
/// themselves there is no such z, and without one that is set they send what they trained.
///
/// With `optimise`, the attacker tries 32 values of z from a 256th to 1,024 out on the rule, and takes the
/// one whose aggregate lies farthest from μ; as in `tailored`, its accomplices' updates stand for those of
/// benign devices that it does not know.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LittleIsEnough {
    /// What the attacker knows.
    pub knowledge: Knowledge,
    /// How many standard deviations; without, the number that follows from those of the devices and the
    /// compromised ones in the round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub z: Option<f64>,
    /// Whether `z` is found by trying the rule under attack out; what it is otherwise then counts only if the
    /// rule refuses that.
    pub optimise: bool,
}

impl Attack for LittleIsEnough {
    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        self.knowledge.check_spread(conditions)?;
        if let Some(z) = self.z {
            return require(fits_f32(z), "attack.z", || {
                format!("{z} must be a number that a 32-bit float holds")
            });
        }
        let Conditions { devices, compromised, selected, .. } = *conditions;
        let benign = devices.saturating_sub(compromised);
        let fewest = selected.saturating_sub(benign).max(1);
        let is_there = self.optimise || deviations(selected as usize, fewest as usize).is_some();
        require(is_there, "attack.z", || {
            format!(
                "none follows from {fewest} compromised of the {selected} devices of a round: that takes 3 \
                 devices, and fewer compromised ones than a majority; set it"
            )
        })
    }

    fn needs(&self) -> Needs {
        self.knowledge.needs()
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let (mean, deviation) = mean_and_deviation(view.models, &self.knowledge.rows(view))?;
        let crafted = |z: f64| finite(&(&mean - (&deviation * z)?)?);
        let best = if self.optimise { farthest_factor(view, self.knowledge, 1.0, crafted)? } else { None };
        let colluders = view.colluders.len();
        let Some(z) = best.or(self.z).or_else(|| deviations(view.selected, colluders)) else {
            return Ok(None);
        };
        Ok(Some(crafted(z)?.repeat((colluders, 1))?))
    }
}

/// The paper's z for a round of so many devices, so many of them compromised; `None` where they need no
/// honest one for a majority, or there are too few devices for one.
fn deviations(devices: usize, compromised: usize) -> Option<f64> {
    let nearer = devices.checked_sub(devices / 2 + 1)?;
    let honest = devices.checked_sub(compromised)?;
    (0 < nearer && nearer < honest).then(|| quantile(nearer as f64 / honest as f64))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{crafted, refused, scenario};
    use super::*;

    /// The global model is zero; the first and the third of four devices are compromised.
    fn craft(settings: &[&str]) -> Vec<Vec<f32>> {
        let models = [[2.0, -1.0], [7.0, 9.0], [4.0, -1.0], [3.0, 5.0]].map(Vec::from);
        let scenario = scenario(&[&["attack.kind=little-is-enough"], settings].concat());
        crafted(&scenario, &[0.0; 2], &models, &[0, 2]).unwrap()
    }

    #[test]
    fn the_number_of_deviations_is_that_of_the_paper() {
        let cases = [(3, 0.027), (5, 0.084), (8, 0.180), (10, 0.253), (12, 0.336)];
        for (compromised, expected) in cases {
            let z = deviations(50, compromised).unwrap();
            assert!((z - expected).abs() < 0.0005, "{compromised} of 50: {z}");
        }
    }

    #[test]
    fn one_device_or_two_of_an_even_number_push_nowhere() {
        assert!(deviations(50, 1).unwrap() < 0.0);
        assert!(deviations(50, 2).unwrap().abs() < 1e-15);
        assert!(deviations(51, 1).unwrap().abs() < 1e-15);
        assert!(deviations(51, 2).unwrap() > 0.0);
    }

    #[test]
    fn there_is_no_number_for_a_majority_nor_for_fewer_than_three_devices() {
        assert!(deviations(50, 25).is_some() && deviations(50, 26).is_none());
        assert!(deviations(3, 1).is_some() && deviations(3, 2).is_none());
        assert!([(2, 1), (1, 1), (0, 0), (4, 5)].iter().all(|&(m, f)| deviations(m, f).is_none()));
    }

    #[test]
    fn what_is_sent_lies_below_the_mean_that_is_known_by_so_many_deviations() {
        // The colluders' means are 3 and -1, their deviations 1 and 0.
        assert_eq!(craft(&["attack.z=1.5"]), [[1.5, -1.0]; 2]);
        // Everyone's are 4 and 3, and the roots of 3.5 and of 18.
        let full = craft(&["attack.z=-2.0", "attack.knowledge=full"]);
        let expected = [4.0 + 2.0 * 3.5_f32.sqrt(), 3.0 + 2.0 * 18_f32.sqrt()];
        for sent in &full {
            assert!(
                sent.iter().zip(expected).all(|(sent, expected)| (sent - expected).abs() < 1e-5),
                "{sent:?}"
            );
        }
    }

    #[test]
    fn the_number_follows_from_the_devices_of_the_round_whoever_is_known() {
        // 49 of 100 devices may lie nearer, and 98 are honest: half of them.
        assert_eq!(craft(&["fleet.devices=100"]), [[3.0, -1.0]; 2]);
        // 4 of 9, of 7: a quantile of 0.571.
        let sent = craft(&["fleet.devices=20", "fleet.selected=9", "fleet.compromised=2"]);
        assert!((sent[0][0] - (3.0 - 0.180_012_37)).abs() < 1e-6, "{sent:?}");
    }

    #[test]
    fn a_majority_sends_what_it_trained_unless_it_has_a_number_of_its_own() {
        let few = ["fleet.devices=12", "fleet.selected=3", "fleet.compromised=3", "aggregation.rule=mean"];
        assert_eq!(craft(&few), [[2.0, -1.0], [4.0, -1.0]]);
        assert_eq!(craft(&[&few[..], &["attack.z=1.5"]].concat()), [[1.5, -1.0]; 2]);
    }

    #[test]
    fn a_fleet_without_a_number_is_refused_unless_one_is_set() {
        let kind = "attack.kind=little-is-enough";
        let majority = [kind, "fleet.devices=10", "fleet.compromised=6", "aggregation.rule=mean"];
        let text = refused(&majority);
        assert!(text.contains("attack.z: none follows from 6 compromised of the 10 devices"), "{text}");
        scenario(&[&majority[..], &["attack.z=1.5"]].concat());
        scenario(&[&majority[..], &["attack.optimise=true"]].concat());
        // Rounds of 5 devices have one to 5 compromised ones.
        scenario(&[&majority[..], &["fleet.selected=5"]].concat());
        let half = [kind, "fleet.devices=10", "fleet.compromised=5", "aggregation.rule=mean"];
        scenario(&half);
        for z in ["nan", "inf", "1e39"] {
            assert!(refused(&[kind, &format!("attack.z={z}")]).contains("attack.z: "), "{z}");
        }
        let alone = refused(&[kind, "fleet.compromised=1"]);
        assert!(alone.contains("fleet.compromised: 1 is less than the 2 devices"), "{alone}");
    }

    #[test]
    fn the_optimised_number_is_tried_out_on_the_rule() {
        // Honest devices spread from -3 to 3, and the mean of all honest models is 0; trimming 3 of 10 cuts
        // what lies beyond.
        let models: Vec<Vec<f32>> = (0..10).map(|i| vec![(i as f32 - 4.5) / 1.5]).collect();
        let sent = |settings: &[&str]| {
            let fleet = ["attack.kind=little-is-enough", "fleet.devices=10", "fleet.compromised=3"];
            let all = [&fleet[..], &["attack.knowledge=full"], settings].concat();
            crafted(&scenario(&all), &[0.0], &models, &[2, 4, 7]).unwrap()[0][0]
        };
        let mean = sent(&["attack.optimise=true", "aggregation.rule=mean"]);
        let deviation = (models.iter().map(|model| model[0].powi(2)).sum::<f32>() / 10.0).sqrt();
        assert!((mean + 1024.0 * deviation).abs() < 0.1, "{mean}");
        let krum = sent(&["attack.optimise=true", "aggregation.rule=krum", "attack.z=0.1"]);
        assert!(krum < -0.1 * deviation && krum > -9.0, "{krum}");
    }
}
