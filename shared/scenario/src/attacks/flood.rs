//! More messages than the aggregator has time for.

use input::unfit::{Unfit, require};
use learning::random::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attack, Conditions, Delivery};

/// The device has all of them in its queue at once.
const MOST: u32 = 100_000;

/// Compromised devices send what they honestly trained, and then its chunks over and over, as fast as the link takes them,
/// so that the aggregator has no time for others.
///
/// The first chunk sent again is a probe, which asks for the receipt. The aggregator mutes a device that sends more than its
/// budget allows, and does not select it before it has been quiet.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Flood {
    /// How many messages a device sends in a round beside its update, 1 to 100,000.
    pub messages: u32,
}

impl Default for Flood {
    fn default() -> Self {
        Flood { messages: 1000 }
    }
}

impl Attack for Flood {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        require((1..=MOST).contains(&self.messages), "attack.messages", || {
            format!("{} must lie between 1 and {MOST}", self.messages)
        })
    }

    fn deliver(&self, _: u32, _: &mut Stream) -> Delivery {
        Delivery::Repeated(self.messages)
    }
}

#[cfg(test)]
mod tests {
    use learning::random::{Purpose, stream};

    use super::super::testing::conditions;
    use super::*;

    #[test]
    fn the_update_itself_is_in_time() {
        let delivery = Flood { messages: 7 }.deliver(3, &mut stream(1, Purpose::Delivery, None, 3));
        assert_eq!((delivery, delivery.is_in_time(3)), (Delivery::Repeated(7), true));
    }

    #[test]
    fn no_messages_and_too_many_are_refused() {
        let check = |messages| Flood { messages }.check(&conditions(&[28, 28])).map_err(|(key, _)| key);
        assert_eq!([1, 100_000].map(check), [Ok(()); 2]);
        assert_eq!([0, 100_001].map(check), [Err("attack.messages"); 2]);
    }
}
