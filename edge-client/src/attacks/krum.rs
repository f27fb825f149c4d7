//! The Krum attack (paper section 3.2), also used against Bulyan (its appendix A).
//!
//! All compromised devices send about the same model, as far from the global one, against the direction it would
//! take, as still lets Krum find it among the nearest neighbours of others.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use shared::identity::DeviceId;
use shared::random::Stream;
use shared::rules::{Krum, Rule, RuleError};
use shared::scenario::{Goal, Scenario};

use super::direction::{WithoutAttack, signs};
use super::krum_search::{Measures, Search};
use super::statistics::{finite, mean};
use super::{Attack, AttackError, Needs, View};

/// Partial knowledge: the colluders' own c before-attack models stand for the benign ones.
///
/// λ must let Krum select one crafted model among these; where none does, two copies of it, and so on. Krum sums c - 2
/// neighbours: of n crafted and c known models it reckons with n attackers. More than c - 2 copies are not tried, since
/// they would be selected however far they are.
#[derive(Clone, Copy, Debug)]
pub struct PartialKrum {
    tactics: Tactics,
}

impl PartialKrum {
    /// The attack as the scenario sets it up.
    pub fn new(scenario: &Scenario) -> Self {
        PartialKrum { tactics: Tactics::new(scenario) }
    }

    /// How far the crafted models may lie, if there is a λ, by what was measured of the colluders' own.
    pub fn lambda(&self, colluders: &Measures) -> Option<f64> {
        let neighbours = colluders.offsets.len().saturating_sub(2);
        let search = Search::new(colluders, neighbours);
        (1..=neighbours).find_map(|copies| search.lambda(copies, self.tactics.threshold))
    }
}

impl Attack for PartialKrum {
    fn needs(&self) -> Needs {
        Needs::Colluders
    }

    fn craft(&self, view: &View<'_>) -> Result<Vec<Vec<f32>>, AttackError> {
        let colluders = view.colluders();
        let signs = self.tactics.signs(view, || Ok(mean(&colluders)))?;
        let lambda = self.lambda(&Measures::of(view.global, &signs, &colluders)?);
        Ok(self.tactics.models(view, &signs, lambda))
    }
}

/// Full knowledge: λ must let Krum select a crafted model among the benign ones, with the number of attackers that the
/// aggregator reckons with.
pub struct FullKrum {
    tactics: Tactics,
    krum: Krum,
    without_attack: WithoutAttack,
}

impl FullKrum {
    /// The attack as the scenario sets it up.
    pub fn new(scenario: &Scenario) -> Self {
        FullKrum {
            tactics: Tactics::new(scenario),
            krum: Krum { byzantine: scenario.byzantine() as usize },
            without_attack: WithoutAttack::new(scenario),
        }
    }

    /// How far the models of so many `colluders` may lie, if there is a λ, by what was measured of the `benign` ones.
    ///
    /// # Errors
    /// If Krum refuses so many devices.
    pub fn lambda(&self, colluders: usize, benign: &Measures) -> Result<Option<f64>, RuleError> {
        let devices = colluders + benign.offsets.len();
        self.krum.check(devices)?;
        let search = Search::new(benign, devices - self.krum.byzantine - 2);
        Ok(search.lambda(colluders, self.tactics.threshold))
    }
}

impl Attack for FullKrum {
    fn needs(&self) -> Needs {
        Needs::Everyone
    }

    fn craft(&self, view: &View<'_>) -> Result<Vec<Vec<f32>>, AttackError> {
        let signs = self.tactics.signs(view, || self.without_attack.aggregate(view))?;
        let benign: Vec<&[f32]> = view.benign.iter().map(|(_, model)| *model).collect();
        let measures = Measures::of(view.global, &signs, &benign)?;
        let lambda = self.lambda(view.before_attack.len(), &measures)?;
        Ok(self.tactics.models(view, &signs, lambda))
    }
}

/// What both forms of the attack do alike.
#[derive(Clone, Copy, Debug)]
struct Tactics {
    goal: Goal,
    /// Distance from the crafted model within which its supporters lie.
    epsilon: f64,
    /// Least λ.
    threshold: f64,
}

impl Tactics {
    fn new(scenario: &Scenario) -> Self {
        let attack = &scenario.attack;
        Tactics { goal: attack.goal, epsilon: attack.epsilon, threshold: attack.threshold }
    }

    /// The paper's s; all ones where any deviation will do (appendix B).
    fn signs(
        self,
        view: &View<'_>,
        without_attack: impl FnOnce() -> Result<Vec<f64>, AttackError>,
    ) -> Result<Vec<f64>, AttackError> {
        match self.goal {
            Goal::Directed => Ok(signs(&without_attack()?, view.global)),
            Goal::Undirected => Ok(vec![1.0; view.global.len()]),
        }
    }

    /// The crafted model for the first colluder and supporters of it for the others; without a λ, what they would
    /// honestly send.
    fn models(self, view: &View<'_>, signs: &[f64], lambda: Option<f64>) -> Vec<Vec<f32>> {
        let Some(lambda) = lambda else {
            return view.colluders().into_iter().map(<[f32]>::to_vec).collect();
        };
        let crafted: Vec<f64> =
            view.global.iter().zip(signs).map(|(global, sign)| f64::from(*global) - lambda * sign).collect();
        let model = |(rank, (device, _)): (usize, &(DeviceId, _))| {
            if rank == 0 {
                crafted.iter().copied().map(finite).collect()
            } else {
                self.supporter(view, &crafted, *device)
            }
        };
        view.before_attack.iter().enumerate().map(model).collect()
    }

    /// A model near `crafted`.
    fn supporter(self, view: &View<'_>, crafted: &[f64], device: DeviceId) -> Vec<f32> {
        let way = way_to_supporter(self.epsilon, crafted.len(), &mut view.stream(device));
        crafted.iter().zip(way).map(|(value, step)| finite(value + step)).collect()
    }
}

/// From the crafted model to that of a supporter, `dimension` values: in a uniformly drawn direction, a distance drawn
/// uniformly from 0 to `epsilon`. (In a ball of so many dimensions, uniform points would all lie at its surface.)
pub fn way_to_supporter(
    epsilon: f64,
    dimension: usize,
    random: &mut Stream,
) -> impl Iterator<Item = f64> + use<> {
    let radius = epsilon * random.random::<f64>();
    let direction: Vec<f64> = (0..dimension).map(|_| StandardNormal.sample(random)).collect();
    let norm = direction.iter().map(|step| step * step).sum::<f64>().sqrt();
    let scale = radius / norm.max(f64::MIN_POSITIVE);
    direction.into_iter().map(move |step| scale * step)
}

#[cfg(test)]
mod tests;
