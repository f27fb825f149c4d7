//! The Krum attack (paper section 3.2), also used against Bulyan (its appendix A).
//!
//! All compromised devices send about the same model, as far from the global one, against the direction it would
//! take, as still lets Krum find it among the nearest neighbours of others.

use candle_core::Tensor;
use input::unfit::{Unfit, at_least_one, fits_f32, positive, require};
use learning::random::Stream;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use robust::{Byzantine, Rule as _, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::krum_search::{Measures, Search};
use super::statistics::{finite, mean};
use super::{Attack, AttackError, Conditions, Direction, Goal, Knowledge, Needs, View};

/// A model as far against the direction of the global one as Krum still selects, and supporters around it (Fang et al.
/// 2020, section 3.2).
///
/// - Partial knowledge: the colluders' own c before-attack models stand for the benign ones. λ must let Krum select one
///   crafted model among these; where none does, two copies of it, and so on. Krum sums c - 2 neighbours: of n crafted and c
///   known models it assumes n to be Byzantine. More than c - 2 copies are not tried, since they would be selected however
///   far they are.
/// - Full knowledge: λ must let Krum select a crafted model among the benign ones, with as many Byzantine devices as the
///   aggregator assumes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Krum {
    /// What the attacker knows.
    pub knowledge: Knowledge,
    /// What the attack is after.
    pub goal: Goal,
    /// Where the directed deviation takes its direction from under full knowledge.
    pub direction: Direction,
    /// Euclidean distance from the crafted model within which its supporters lie.
    pub epsilon: f64,
    /// The attack gives up where it would have to shift each coordinate by less than this.
    pub threshold: f64,
}

impl Default for Krum {
    fn default() -> Self {
        Krum {
            knowledge: Knowledge::default(),
            goal: Goal::default(),
            direction: Direction::default(),
            epsilon: 0.01,
            threshold: 1e-5,
        }
    }
}

/// What the attack takes under partial knowledge: with two, no neighbour is left for Krum to count.
const FEWEST_COLLUDERS: u32 = 3;

impl Attack for Krum {
    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        require(fits_f32(self.epsilon) && self.epsilon >= 0.0, "attack.epsilon", || {
            format!("{} must be a distance of at least 0 that a 32-bit float holds", self.epsilon)
        })?;
        positive("attack.threshold", self.threshold)?;
        let Conditions { compromised, selected, byzantine, .. } = *conditions;
        if self.knowledge == Knowledge::Partial {
            return require(compromised >= FEWEST_COLLUDERS, "fleet.compromised", || {
                format!(
                    "{compromised} is less than the {FEWEST_COLLUDERS} devices that the krum attack takes under \
                     partial knowledge"
                )
            });
        }
        at_least_one("fleet.compromised", compromised)?;
        // It tries its models out on a Krum of its own, whatever the rule is.
        let fits = robust::Krum::default().check(selected as usize, Byzantine::of(byzantine as usize));
        fits.map_err(|error| ("attack.kind", error.to_string()))
    }

    fn needs(&self) -> Needs {
        self.knowledge.needs()
    }

    /// The way from the crafted model to that of a supporter; none for the first.
    ///
    /// Its direction is drawn uniformly, and its length uniformly from 0 to `epsilon`. (In a ball of so many dimensions,
    /// uniform points would all lie at its surface.)
    fn draw(&self, rank: usize, random: &mut Stream, values: &mut [f64]) {
        if rank == 0 {
            return;
        }
        let radius = self.epsilon * random.random::<f64>();
        values.fill_with(|| StandardNormal.sample(random));
        let norm = values.iter().map(|step| step * step).sum::<f64>().sqrt();
        let scale = radius / norm.max(f64::MIN_POSITIVE);
        values.iter_mut().for_each(|step| *step *= scale);
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let origin = view.origin()?;
        let signs = self.signs(view, &origin)?;
        let Some(lambda) = self.lambda(view, &origin, &signs)? else { return Ok(None) };
        let crafted = (&origin - (signs * lambda)?)?;
        Ok(Some(finite(&view.draws()?.broadcast_add(&crafted)?)?))
    }
}

impl Krum {
    /// The paper's s, `[1, d]`: +1 where the global model would rise, else -1; all ones where any deviation will do
    /// (appendix B).
    fn signs(&self, view: &View<'_>, origin: &Tensor) -> Result<Tensor, AttackError> {
        let ones = origin.ones_like()?;
        let without_attack = match (self.goal, self.knowledge) {
            (Goal::Undirected, _) => return Ok(ones),
            (Goal::Directed, Knowledge::Partial) => mean(view.models, view.colluders)?,
            (Goal::Directed, Knowledge::Full) => view.without_attack(self.direction)?,
        };
        Ok(without_attack.gt(origin)?.where_cond(&ones, &ones.neg()?)?)
    }

    /// How far the crafted models may lie, if there is a λ.
    fn lambda(&self, view: &View<'_>, origin: &Tensor, signs: &Tensor) -> Result<Option<f64>, AttackError> {
        let colluders = view.colluders.len();
        if self.knowledge == Knowledge::Partial {
            let neighbours = colluders.saturating_sub(2);
            let search = Search::new(&Measures::of(view, view.colluders, origin, signs)?, neighbours);
            return Ok((1..=neighbours).find_map(|copies| search.lambda(copies, self.threshold)));
        }
        let devices = colluders + view.benign.len();
        robust::Krum::default().check(devices, Byzantine::of(view.byzantine))?;
        let benign = Measures::of(view, view.benign, origin, signs)?;
        let search = Search::new(&benign, devices - view.byzantine - 2);
        Ok(search.lambda(colluders, self.threshold))
    }
}

#[cfg(test)]
mod tests;
