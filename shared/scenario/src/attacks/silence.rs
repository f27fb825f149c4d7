//! Updates that do not come.

use input::unfit::{Unfit, require};
use learning::random::Stream;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attack, Conditions, Delivery};

/// Compromised devices answer only a share of the rounds, each of them on its own draw, so that everybody waits for them.
///
/// In these rounds they send what they honestly trained.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Silence {
    /// The share of the rounds that a compromised device answers, 0 to 1.
    pub share: f64,
}

impl Default for Silence {
    fn default() -> Self {
        Silence { share: 0.5 }
    }
}

impl Attack for Silence {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        require((0.0..=1.0).contains(&self.share), "attack.share", || {
            format!("{} must lie between 0 and 1", self.share)
        })
    }

    fn deliver(&self, _: u32, random: &mut Stream) -> Delivery {
        if random.random::<f64>() < self.share { Delivery::AtOnce } else { Delivery::Never }
    }
}

#[cfg(test)]
mod tests {
    use learning::random::{Purpose, stream};

    use super::super::testing::conditions;
    use super::*;

    #[test]
    fn a_share_of_the_rounds_is_answered() {
        let answered = |share| {
            let delivery =
                |round| Silence { share }.deliver(round, &mut stream(1, Purpose::Delivery, None, round));
            (0..1000).filter(|round| delivery(*round) == Delivery::AtOnce).count()
        };
        assert_eq!((answered(0.0), answered(1.0)), (0, 1000));
        // The standard deviation is 14.
        assert!((230..=370).contains(&answered(0.3)), "{}", answered(0.3));
        assert_eq!(
            Silence { share: 0.0 }.deliver(1, &mut stream(1, Purpose::Delivery, None, 1)),
            Delivery::Never
        );
    }

    #[test]
    fn a_share_that_is_none_is_refused() {
        let check = |share| Silence { share }.check(&conditions(&[28, 28])).map_err(|(key, _)| key);
        assert_eq!([0.0, 1.0].map(check), [Ok(()); 2]);
        assert_eq!([-0.01, 1.01, f64::NAN].map(check), [Err("attack.share"); 3]);
    }
}
