//! What the aggregator does with the rule's aggregate: how the next global model follows from it.

mod adam;
mod momentum;

use std::fmt::Debug;

use input::unfit::Unfit;
use robust::State;

pub use adam::Adam;
pub use momentum::Momentum;

/// How the global model moves. Without one, the rule's aggregate is the next global model.
///
/// # Behavior
/// - An optimizer computes coordinate by coordinate, with arithmetic that is the same on all processors.
/// - What it keeps from round to round, it keeps in the state that it receives.
/// - Stages, and attacks that try the rule out, judge the rule's aggregate, not what an optimizer makes of it.
pub trait Optimizer: Debug + Send + Sync {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// The dotted key that is wrong, and what would be right.
    fn check(&self) -> Result<(), Unfit> {
        Ok(())
    }

    /// The next global model, from that which the round started from and the rule's aggregate, d values each. What it leaves in
    /// `state` counts only if all values of the model are finite.
    fn step(&self, global: &[f32], aggregate: &[f32], state: &mut State) -> Vec<f32>;
}

/// The vector of that name which an optimizer has kept, of d values; `initial` ones, if it has kept none.
fn kept(state: &State, name: &str, dimension: usize, initial: f32) -> Vec<f32> {
    let kept = state.get(name).filter(|kept| kept.len() == dimension);
    kept.map_or_else(|| vec![initial; dimension], <[f32]>::to_vec)
}
