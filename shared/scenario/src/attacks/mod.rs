//! What compromised devices do, behind one trait (paper sections 3 and 4.1).
//!
//! An attack is written once, with operations on tensors: a device crafts on its own processors, the batched bench where its
//! models are. Random draws come from the streams of the run, so that all benches draw alike. What an attack keeps from round
//! to round is a [`State`].
//!
//! # Layout
//! - This file: [`Attack`], with its hooks, each of which has an honest default.
//! - One file for each attack, or a folder: settings, defaults, condition, hooks and tests.
//! - [`View`]: what an attack that crafts sees of a round; `crafting`: how a bench provides it.
//! - `example_file`: examples of the user's own; `planting`: what joins the shards of compromised devices.
//! - `settings`: settings that several attacks have; `statistics`: of models, coordinate by coordinate; `stamp`: what a
//!   trigger does to an example; `binomial`, `normal`: quantiles.
//! - `shift`: models away from the mean of those that are known; `search`: how far the rule under attack is moved most.

mod alternating;
pub mod back_gradient;
mod binomial;
mod copy;
mod crafting;
mod delay;
mod edge_case;
mod example_file;
mod flood;
mod gaussian;
mod inner_product;
mod krum;
mod krum_search;
mod label_flip;
mod little_is_enough;
mod mimic;
mod min_max;
mod min_sum;
mod model_replacement;
mod neurotoxin;
mod noise;
mod normal;
mod planting;
mod poisoned_fl;
mod random;
mod replay;
mod search;
mod settings;
mod shift;
mod sign_flip;
mod silence;
mod slow_loris;
mod split_trigger;
mod stamp;
mod statistics;
mod tailored;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trigger;
mod trimmed_mean;
mod view;

use std::fmt::Debug;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

pub use alternating::Alternating;
pub use back_gradient::BackGradient;
pub use copy::GlobalCopy;
pub use crafting::{Attacked, Crafting};
pub use delay::Delay;
pub use edge_case::EdgeCase;
pub use example_file::ExampleFile;
pub use flood::Flood;
pub use gaussian::Gaussian;
pub use inner_product::InnerProduct;
pub use krum::Krum;
pub use label_flip::LabelFlip;
pub use little_is_enough::LittleIsEnough;
pub use mimic::Mimic;
pub use min_max::MinMax;
pub use min_sum::{MinSum, SumBound};
pub use model_replacement::ModelReplacement;
pub use neurotoxin::Neurotoxin;
pub use noise::Noise;
pub use planting::{Memory, Planted, Planting};
pub use poisoned_fl::PoisonedFl;
pub use random::Random;
pub use replay::{Replay, Replayed, SentAs};
pub use settings::{Direction, Goal, Knowledge, Poison};
pub use shift::Perturbation;
pub use sign_flip::{Flipped, SignFlip};
pub use silence::Silence;
pub use slow_loris::SlowLoris;
pub use split_trigger::SplitTrigger;
pub use tailored::Tailored;
pub use trigger::{Corner, Labels, Pattern, Trigger};
pub use trimmed_mean::TrimmedMean;
pub use view::View;

use input::unfit::Unfit;
use learning::data::{Dataset, Shard};
use learning::models::ModelError;
use learning::random::Stream;
use learning::training::{Trained, Training};
use program::ProgramError;
use robust::{OtherProgram, RuleError, State};

use crate::tensor_executor::TensorError;

/// An attack: what a compromised device does where an honest one would do something else.
///
/// # Behavior
/// - A hook that an attack does not have is honest: the device then does what all devices do.
/// - All that is drawn is drawn from the [`Stream`] that a hook is given, so that a run can be repeated.
pub trait Attack: Debug + Send + Sync {
    /// Whether the attack makes sense under `conditions`.
    ///
    /// # Errors
    /// The dotted key that is wrong, and what would be right.
    fn check(&self, _conditions: &Conditions<'_>) -> Result<(), Unfit> {
        Ok(())
    }

    /// What it must know before it can craft; by default it crafts nothing.
    fn needs(&self) -> Needs {
        Needs::Nothing
    }

    /// Whether the client of a compromised device is honest, and only its data are not: it then looks for poison in what it
    /// trains on, if the defense has it do so.
    fn is_of_data(&self) -> bool {
        false
    }

    /// Whether shards differ by the attack: whether [`Attack::plant`] plants anything.
    fn plants(&self) -> bool {
        false
    }

    /// The file with examples of the user's own that it is after, if there is one. The attack success rate is judged on those
    /// of them that are held out.
    fn example_file(&self) -> Option<&ExampleFile> {
        None
    }

    /// Training examples that join the shards of compromised devices before the run.
    fn plant(&self, _planting: &Planting<'_>) -> Planted {
        Planted::default()
    }

    /// What a compromised device trains on in the rounds that are attacked, in place of its `shard`. It may be a view of
    /// another data set. `rank` is the place of the device among the compromised ones of the run, from 0; `random` is the
    /// same whenever the device starts.
    fn poison(&self, shard: Shard, _rank: usize, _random: &mut Stream) -> Shard {
        shard
    }

    /// Of an attack that is after a class of its own: examples of `test` as it presents them to the global model, each
    /// under the label that it wants for it. Those that have this label anyway are left out. The share of them that gets
    /// this label is the attack success rate, which is one less the error rate. `None` if no example is left.
    fn stamped(&self, _test: &Dataset) -> Option<Dataset> {
        None
    }

    /// What a compromised device trains in a round that is attacked, if not what an honest one would: `random` is what
    /// the minibatches are drawn from.
    fn train(&self, _training: &Training<'_>, _random: &mut Stream) -> Option<Result<Trained, ModelError>> {
        None
    }

    /// When and how a compromised device sends its update of a round that is attacked.
    fn deliver(&self, _round: u32, _random: &mut Stream) -> Delivery {
        Delivery::AtOnce
    }

    /// Draws what the compromised device of rank `rank` among those of the round needs for [`Attack::craft`]: d values,
    /// which are zeros.
    fn draw(&self, _rank: usize, _random: &mut Stream, _values: &mut [f64]) {}

    /// The models `[c, d]` that the compromised devices of the round send in place of what they trained; `None` if they
    /// are to send that. It is called if what the attack [needs](Attack::needs) is there. `state` is what it has kept of
    /// earlier rounds that it crafted in, and takes what it keeps of this one.
    ///
    /// # Errors
    /// [`AttackError`]; the devices then send what they trained.
    fn craft(&self, _view: &View<'_>, _state: &mut State) -> Result<Option<Tensor>, AttackError> {
        Ok(None)
    }

    /// The program that crafts, if that is another one than this: it is started only if it has been allowed.
    fn program(&self) -> Option<&dyn OtherProgram> {
        None
    }
}

/// What a scenario says that the condition of an attack may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// The shape of an example.
    pub shape: &'a [usize],
    /// Number of devices.
    pub devices: u32,
    /// Number of classes.
    pub classes: usize,
    /// Number of compromised devices.
    pub compromised: u32,
    /// Devices that take part in a round.
    pub selected: u32,
    /// How many compromised devices the aggregator assumes.
    pub byzantine: u32,
}

/// When and how an update is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delivery {
    /// As soon as it is there, as an honest device does.
    AtOnce,
    /// Once this share of the round's time has passed, even if the next round has begun by then; not if one more has.
    After(f64),
    /// At once, and its chunks over and over: so many messages more.
    Repeated(u32),
    /// All of it but the last chunk; and the same again and again, each time as another transfer.
    Unfinished {
        /// The number of seconds from one transfer to the next.
        restart_seconds: u32,
    },
    /// At once, under the number of this round. Under that of an earlier one it is the update of that round that is sent: the
    /// last one that was sent under its own number in this way, or else what was trained just now.
    Under(u32),
    /// Not at all.
    Never,
}

impl Delivery {
    /// Whether the update of `round` comes in time, where time is all that it lacks.
    pub fn is_in_time(self, round: u32) -> bool {
        match self {
            Delivery::AtOnce | Delivery::Repeated(_) => true,
            Delivery::After(share) => share < 1.0,
            Delivery::Under(number) => number == round,
            Delivery::Unfinished { .. } | Delivery::Never => false,
        }
    }
}

/// What an attack must know before it can craft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Nothing of others: it does not craft.
    Nothing,
    /// The before-attack models of the compromised devices.
    Colluders,
    /// Those, and the updates of the benign devices.
    Everyone,
}

impl Needs {
    /// Whether the models of so many compromised and benign devices are enough to craft at all.
    pub fn are_met(self, colluders: usize, benign: usize) -> bool {
        self > Needs::Nothing && colluders > 0 && (self < Needs::Everyone || benign > 0)
    }
}

/// The models that something is crafted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Models {
    /// What compromised devices trained.
    pub colluders: u32,
    /// What benign devices sent; 0 under partial knowledge.
    pub benign: u32,
}

/// Why nothing was crafted; the compromised devices then send what they honestly trained.
#[derive(Debug, thiserror::Error)]
pub enum AttackError {
    /// A rule that the attacker tried out refused the models.
    #[error("cannot try out the rule under attack: {0}")]
    Rule(#[from] RuleError),
    /// Another program, which is to craft, fails.
    #[error(transparent)]
    Program(ProgramError),
    /// Candle or the GPU fails.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl From<TensorError> for AttackError {
    fn from(error: TensorError) -> Self {
        match error {
            TensorError::Rule(error) => AttackError::Rule(error),
            TensorError::Tensor(error) => AttackError::Tensor(error),
        }
    }
}
