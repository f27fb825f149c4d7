//! Updates that come late.

use input::unfit::{Unfit, require};
use learning::random::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attack, Conditions, Delivery};

/// Compromised devices send what they honestly trained when a share of the round's time has passed, so that everybody waits
/// for them.
///
/// With a share of 1 and more they send after the round is over: the aggregator waits for them to the end, and refuses the
/// update as late.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Delay {
    /// The share of the round's time, 0 to 2, rounded to hundredths, in which devices count.
    pub share: f64,
}

impl Default for Delay {
    fn default() -> Self {
        Delay { share: 0.9 }
    }
}

impl Attack for Delay {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        require((0.0..=2.0).contains(&self.share), "attack.share", || {
            format!("{} must lie between 0 and 2", self.share)
        })
    }

    fn deliver(&self, _: u32, _: &mut Stream) -> Delivery {
        Delivery::After((100.0 * self.share).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use learning::random::{Purpose, stream};

    use super::super::testing::conditions;
    use super::*;

    #[test]
    fn an_update_is_in_time_before_the_round_is_over() {
        let delivery = |share| Delay { share }.deliver(1, &mut stream(1, Purpose::Delivery, None, 1));
        assert_eq!(delivery(0.4), Delivery::After(0.4));
        assert_eq!(
            [0.0, 0.994, 0.996, 1.0].map(|share| delivery(share).is_in_time(1)),
            [true, true, false, false]
        );
    }

    #[test]
    fn a_share_that_is_none_is_refused() {
        let check = |share| Delay { share }.check(&conditions(&[28, 28])).map_err(|(key, _)| key);
        assert_eq!([0.0, 2.0].map(check), [Ok(()); 2]);
        assert_eq!([-0.01, 2.01, f64::NAN].map(check), [Err("attack.share"); 3]);
    }
}
