//! Attacks that nobody would want, for the tests of benches: each has one of the hooks that no attack of ours has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::attacks::{Attack, Delivery};
use shared::catalogue::Catalogue;
use shared::models::ModelError;
use shared::random::Stream;
use shared::training::{Trained, Training};

/// What comes with Outpost, and the toys.
pub(crate) fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::standard();
    catalogue.attacks.add::<Ascent>("ascent");
    catalogue.attacks.add::<Late>("late");
    catalogue
}

/// Compromised devices go up the gradient twice as far as others go down.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
struct Ascent {}

impl Attack for Ascent {
    fn train(&self, training: &Training<'_>, random: &mut Stream) -> Option<Result<Trained, ModelError>> {
        let turned = |Trained { parameters, loss }: Trained| {
            let pairs = parameters.iter().zip(&*training.global);
            Trained {
                parameters: pairs.map(|(trained, global)| 3.0 * global - 2.0 * trained).collect(),
                loss,
            }
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
