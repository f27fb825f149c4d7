//! Updates of earlier rounds, sent again.

use candle_core::{DType, Tensor};
use input::unfit::{Unfit, require};
use learning::random::Stream;
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statistics::finite;
use super::{Attack, AttackError, Conditions, Delivery, Needs, View};

/// Compromised devices send an update of their own again that they have sent in an earlier round.
///
/// A device sends what it honestly trains once in `every` rounds, and in those between it sends this once more.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Replay {
    /// As what it is sent again.
    #[serde(rename = "as", skip_serializing_if = "SentAs::is_default")]
    pub sent_as: SentAs,
    /// What is sent again as an update of a new round.
    pub of: Replayed,
    /// The number of rounds from one that it trains for to the next, at least 2.
    pub every: u32,
}

impl Default for Replay {
    fn default() -> Self {
        Replay { sent_as: SentAs::default(), of: Replayed::default(), every: 10 }
    }
}

/// As what an update is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SentAs {
    /// As that of the round that is open.
    #[default]
    New,
    /// As that of its own round, which is over: the aggregator refuses it as late, and waits for another to the end. A device
    /// trains in the first round and in every `every`th after it.
    Old,
}

impl SentAs {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
    fn is_default(&self) -> bool {
        *self == SentAs::default()
    }
}

/// What is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Replayed {
    /// The update: the same change of another global model.
    #[default]
    Update,
    /// The model: what was sent, bit by bit.
    Model,
}

impl Attack for Replay {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        require(self.every >= 2, "attack.every", || {
            format!("{} must be at least 2; with 1 nothing is sent again", self.every)
        })
    }

    fn needs(&self) -> Needs {
        match self.sent_as {
            SentAs::New => Needs::Colluders,
            SentAs::Old => Needs::Nothing,
        }
    }

    fn deliver(&self, round: u32, _: &mut Stream) -> Delivery {
        match self.sent_as {
            SentAs::New => Delivery::AtOnce,
            SentAs::Old => Delivery::Under(round - (round - 1) % self.every),
        }
    }

    fn craft(&self, view: &View<'_>, state: &mut State) -> Result<Option<Tensor>, AttackError> {
        let origin = view.origin()?;
        let mut sent = Vec::new();
        for &row in view.colluders {
            let device = view.devices[row as usize];
            let (what, since) = (format!("what {device} sent"), format!("since when {device} sent it"));
            let is_recent = |kept: &[f32]| (view.round as f32) < kept[0] + self.every as f32;
            let kept = state.get(&what).filter(|_| state.get(&since).is_some_and(is_recent));
            if let Some(kept) = kept {
                let kept = Tensor::new(kept, origin.device())?.unsqueeze(0)?;
                sent.push(match self.of {
                    Replayed::Update => finite(&(kept.to_dtype(DType::F64)? + &origin)?)?,
                    Replayed::Model => kept,
                });
                continue;
            }
            let trained = view.models.narrow(0, row as usize, 1)?;
            let kept = match self.of {
                Replayed::Update => finite(&(trained.to_dtype(DType::F64)? - &origin)?)?,
                Replayed::Model => trained.clone(),
            };
            state.set(what, kept.squeeze(0)?.to_vec1::<f32>()?);
            state.set(since, [view.round as f32]);
            sent.push(trained);
        }
        Ok(Some(Tensor::cat(&sent, 0)?))
    }
}

#[cfg(test)]
mod tests {
    use learning::random::{Purpose, stream};

    use super::super::testing::{Rounds, conditions, scenario};
    use super::*;

    /// What the first and the third of three devices send, of one coordinate, in rounds from the first on; in the third
    /// round the first device does not take part.
    fn sent(settings: &[&str]) -> Vec<Vec<f32>> {
        let mut rounds =
            Rounds::of(scenario(&[&["attack.kind=replay", "attack.every=3"], settings].concat()));
        let mut sent = Vec::new();
        for round in 1..=7_u8 {
            let global = f32::from(round) * 100.0;
            let models = [1.0, 0.0, 2.0].map(|step| vec![global + step * f32::from(round)]);
            let colluders: &[usize] = if round == 3 { &[2] } else { &[0, 2] };
            sent.push(rounds.craft(&[global], &models, colluders).unwrap().concat());
        }
        sent
    }

    #[test]
    fn the_update_of_an_earlier_round_is_sent_again_from_where_the_global_model_is() {
        let expected =
            [&[101.0, 102.0][..], &[201., 202.], &[302.], &[404., 408.], &[504., 508.], &[604., 608.]];
        assert_eq!(sent(&[])[..6], expected);
        assert_eq!(sent(&[])[6], [707.0, 714.0]);
    }

    #[test]
    fn or_the_model_of_an_earlier_round() {
        let expected =
            [&[101.0, 102.0][..], &[101., 102.], &[102.], &[404., 408.], &[404., 408.], &[404., 408.]];
        assert_eq!(sent(&["attack.of=model"])[..6], expected);
    }

    #[test]
    fn or_an_update_of_an_earlier_round_under_its_old_number() {
        let replay = Replay { sent_as: SentAs::Old, every: 3, ..Replay::default() };
        assert_eq!(replay.needs(), Needs::Nothing);
        let random = |round| stream(1, Purpose::Delivery, None, round);
        let deliveries = [1, 2, 3, 4, 6, 7].map(|round| replay.deliver(round, &mut random(round)));
        assert_eq!(deliveries, [1, 1, 1, 4, 4, 7].map(Delivery::Under));
        assert!(deliveries[3].is_in_time(4) && !deliveries[4].is_in_time(6));
        let written = toml::to_string(&Replay::default()).unwrap();
        assert!(!written.contains("as = "), "{written}");
        assert!(toml::to_string(&replay).unwrap().contains("as = \"old\""));
    }

    #[test]
    fn to_train_for_every_round_is_refused() {
        let check = |every| {
            Replay { every, ..Replay::default() }.check(&conditions(&[28, 28])).map_err(|(key, _)| key)
        };
        assert_eq!([0, 1, 2].map(check), [Err("attack.every"), Err("attack.every"), Ok(())]);
    }
}
