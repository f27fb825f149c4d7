//! Transfers that never end.

use input::unfit::{Unfit, require};
use learning::random::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attack, Conditions, Delivery};

/// The longest pause between two transfers, in seconds.
const LONGEST: u32 = 3_600;

/// Compromised devices send all chunks of what they honestly trained but the last, so that everybody waits for them and the
/// aggregator holds what is never complete.
///
/// From time to time they begin again, with another transfer. An update that fits into one chunk is sent in two; one of 1 KiB
/// or less cannot be divided, and is not sent at all.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SlowLoris {
    /// The number of seconds from one transfer to the next, 1 to 3,600.
    pub restart_seconds: u32,
}

impl Default for SlowLoris {
    fn default() -> Self {
        SlowLoris { restart_seconds: 10 }
    }
}

impl Attack for SlowLoris {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        require((1..=LONGEST).contains(&self.restart_seconds), "attack.restart-seconds", || {
            format!("{} must lie between 1 and {LONGEST}", self.restart_seconds)
        })
    }

    fn deliver(&self, _: u32, _: &mut Stream) -> Delivery {
        Delivery::Unfinished { restart_seconds: self.restart_seconds }
    }
}

#[cfg(test)]
mod tests {
    use learning::random::{Purpose, stream};

    use super::super::testing::conditions;
    use super::*;

    #[test]
    fn an_update_without_its_last_chunk_is_never_in_time() {
        let delivery = SlowLoris::default().deliver(1, &mut stream(1, Purpose::Delivery, None, 1));
        assert_eq!((delivery, delivery.is_in_time(1)), (Delivery::Unfinished { restart_seconds: 10 }, false));
    }

    #[test]
    fn a_pause_that_is_none_is_refused() {
        let check = |restart_seconds| {
            SlowLoris { restart_seconds }.check(&conditions(&[28, 28])).map_err(|(key, _)| key)
        };
        assert_eq!([1, 3_600].map(check), [Ok(()); 2]);
        assert_eq!([0, 3_601].map(check), [Err("attack.restart-seconds"); 2]);
    }
}
