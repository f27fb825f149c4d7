//! Additions to the catalogue for the tests of benches: those of `hil-tests/extension`, which keep something from round to
//! round, a stage that mixes updates, and attacks with hooks that no attack of ours has.

use learning::models::ModelError;
use learning::random::Stream;
use learning::training::{Trained, Training};
use robust::{Byzantine, Combination, State};
use scenario::attacks::{Attack, Delivery};
use scenario::catalogue::Catalogue;
use scenario::defense::{DefenseError, Gate, Mixture, Passed, Stage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[path = "../../extension/src/closest_pair.rs"]
#[expect(unreachable_pub, reason = "it is public there")]
mod closest_pair;
#[path = "../../extension/src/farthest.rs"]
#[expect(unreachable_pub, reason = "it is public there")]
mod farthest;
#[path = "../../extension/src/opposite.rs"]
#[expect(unreachable_pub, reason = "it is public there")]
mod opposite;

/// What comes with Outpost, and the toys.
pub(crate) fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::standard();
    catalogue.rules.add::<closest_pair::ClosestPair>("closest-pair");
    catalogue.stages.add::<farthest::Farthest>("farthest");
    catalogue.stages.add::<Pairs>("pairs");
    catalogue.attacks.add::<opposite::Opposite>("opposite");
    catalogue.attacks.add::<Ascent>("ascent");
    catalogue.attacks.add::<Late>("late");
    catalogue
}

/// Puts the mean of each two neighbours in their place.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
struct Pairs {}

impl Stage for Pairs {
    fn leaves(&self, devices: usize, _: Byzantine) -> usize {
        devices.div_ceil(2)
    }

    fn pass(&self, gate: &Gate<'_>, _: &mut State) -> Result<Passed, DefenseError> {
        let devices = gate.devices.len();
        let pair = |place| {
            let pair = place..devices.min(place + 2);
            let share = |row| if pair.contains(&row) { 1.0 / pair.len() as f64 } else { 0.0 };
            Mixture { place, of: Combination::of((0..devices).map(share).collect()) }
        };
        Ok(Passed::Mixed((0..devices).step_by(2).map(pair).collect()))
    }
}

/// Compromised devices go up the gradient twice as far as others go down.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
struct Ascent {}

impl Attack for Ascent {
    fn train(&self, training: &Training<'_>, random: &mut Stream) -> Option<Result<Trained, ModelError>> {
        let turned = |honest: Trained| {
            let pairs = honest.parameters.iter().zip(&*training.global);
            let parameters = pairs.map(|(trained, global)| 3.0 * global - 2.0 * trained).collect();
            Trained { parameters, ..honest }
        };
        Some(training.honestly(random).map(turned))
    }
}

/// Compromised devices send when a share of the round's time has passed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Late {
    /// The share.
    share: f64,
}

impl Attack for Late {
    fn deliver(&self, round: u32, _: &mut Stream) -> Delivery {
        // In the last of three rounds, they say nothing.
        if round.is_multiple_of(3) { Delivery::Never } else { Delivery::After(self.share) }
    }
}
