//! The Krum attack, with partial and with full knowledge.

use candle_core::{DType, Result, Tensor};
use edge_client::attacks::{FullKrum, Measures, Offset, PartialKrum, way_to_supporter};
use shared::random::Stream;
use shared::scenario::{Attack as Settings, Direction, Goal};

use super::statistics::{finite, mean};
use super::{Attack, RulesError, View};

/// See `edge_client::attacks::PartialKrum` and `FullKrum`.
pub(super) struct Krum {
    reach: Reach,
    goal: Goal,
    direction: Direction,
    epsilon: f64,
}

/// What tells how far crafted models may lie.
pub(super) enum Reach {
    Partial(PartialKrum),
    Full(FullKrum),
}

impl Krum {
    pub(super) fn new(attack: &Settings, reach: Reach) -> Self {
        Krum { reach, goal: attack.goal, direction: attack.direction, epsilon: attack.epsilon }
    }

    /// The paper's s, `[1, d]`, in 64 bits.
    fn signs(&self, view: &View<'_>, origin: &Tensor) -> std::result::Result<Tensor, RulesError> {
        let ones = origin.ones_like()?;
        let aggregate = match (self.goal, &self.reach) {
            (Goal::Undirected, _) => return Ok(ones),
            (Goal::Directed, Reach::Partial(_)) => mean(&view.rows(view.colluders)?.to_dtype(DType::F64)?)?,
            (Goal::Directed, Reach::Full(_)) => view.without_attack(self.direction)?,
        };
        Ok(aggregate.gt(origin)?.where_cond(&ones, &ones.neg()?)?)
    }
}

/// What the search for λ must know of `models`, `[k, d]`, seen from `origin` in the direction `signs`, `[1, d]`.
fn measure(
    view: &View<'_>,
    models: &Tensor,
    origin: &Tensor,
    signs: &Tensor,
) -> std::result::Result<Measures, RulesError> {
    let offsets = models.to_dtype(DType::F64)?.broadcast_sub(origin)?;
    let squared = offsets.sqr()?.sum(1)?.to_vec1()?;
    let along = offsets.broadcast_mul(signs)?.sum(1)?.to_vec1()?;
    let offsets = squared.into_iter().zip(along).map(|(squared, along)| Offset { squared, along });
    let dimension = models.dim(1)?;
    Ok(Measures { distances: view.rules.distances(models)?, offsets: offsets.collect(), dimension })
}

impl Attack for Krum {
    /// The way from the crafted model to that of a supporter; none for the first.
    fn draw(&self, rank: usize, random: &mut Stream, values: &mut [f32]) {
        if rank == 0 {
            return;
        }
        let way = way_to_supporter(self.epsilon, values.len(), random);
        values.iter_mut().zip(way).for_each(|(value, step)| *value = step as f32);
    }

    fn craft(&self, view: &View<'_>) -> std::result::Result<Option<Tensor>, RulesError> {
        let origin = view.origin()?;
        let signs = self.signs(view, &origin)?;
        let measure = |rows: &[u32]| measure(view, &view.rows(rows)?, &origin, &signs);
        let lambda = match &self.reach {
            Reach::Partial(attack) => attack.lambda(&measure(view.colluders)?),
            Reach::Full(attack) => attack.lambda(view.colluders.len(), &measure(view.benign)?)?,
        };
        let models = |lambda: f64| -> Result<Tensor> {
            let crafted = (&origin - (&signs * lambda)?)?;
            finite(&view.drawn.to_dtype(DType::F64)?.broadcast_add(&crafted)?)
        };
        Ok(lambda.map(models).transpose()?)
    }
}
