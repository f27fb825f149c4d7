//! What a board measures of itself.

use serde::{Deserialize, Serialize};

/// What a board tells of itself. What it cannot tell is absent, and unknown it stays: nothing is estimated.
///
/// It travels with every update, so that the names on the wire are short (`rss`, `temp`, `mhz`, `uj`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Memory of the client that is resident, in KiB.
    #[serde(rename = "rss", skip_serializing_if = "Option::is_none")]
    pub rss_kib: Option<u32>,
    /// Temperature of the processor, in tenths of a degree Celsius.
    #[serde(rename = "temp", skip_serializing_if = "Option::is_none")]
    pub temperature: Option<i16>,
    /// What slows the processor down, or has done so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<Throttling>,
    /// Clock of the processor, in MHz.
    #[serde(rename = "mhz", skip_serializing_if = "Option::is_none")]
    pub clock: Option<u16>,
    /// Energy that the board took while it trained, in µJ.
    #[serde(rename = "uj", skip_serializing_if = "Option::is_none")]
    pub energy: Option<u64>,
}

impl Telemetry {
    /// Whether nothing is told.
    pub fn is_unknown(&self) -> bool {
        *self == Telemetry::default()
    }

    /// The temperature in degrees Celsius.
    pub fn celsius(&self) -> Option<f64> {
        self.temperature.map(|tenths| f64::from(tenths) / 10.0)
    }
}

/// Throttling flags as the firmware of a Raspberry Pi gives them (documentation of `vcgencmd get_throttled`): what
/// is the case now in bits 0 to 3, what has been since the board was started in bits 16 to 19.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Throttling(pub u32);

/// The names of bits 0 to 3, and 16 to 19.
const CAUSES: [&str; 4] = ["under-voltage", "frequency capped", "throttled", "soft temperature limit"];

impl Throttling {
    /// What slows the processor down now.
    pub fn now(self) -> impl Iterator<Item = &'static str> {
        let bits = self.0;
        CAUSES.into_iter().enumerate().filter(move |(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| name)
    }

    /// What has slowed it down since the board was started, or does so now.
    pub fn ever(self) -> impl Iterator<Item = &'static str> {
        Throttling(self.0 | self.0 >> 16).now()
    }

    /// The flags of both.
    #[must_use]
    pub fn or(self, other: Throttling) -> Throttling {
        Throttling(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_is_named_as_the_firmware_means_it() {
        let flags = Throttling(0x5_0001);
        assert_eq!(flags.now().collect::<Vec<_>>(), ["under-voltage"]);
        assert_eq!(flags.ever().collect::<Vec<_>>(), ["under-voltage", "throttled"]);
        assert_eq!(Throttling(0xf).now().collect::<Vec<_>>(), CAUSES);
        assert_eq!(Throttling(0xf_0000).ever().collect::<Vec<_>>(), CAUSES);
        assert_eq!(Throttling(2).or(Throttling(0x8_0000)), Throttling(0x8_0002));
    }

    #[test]
    fn unknown_bits_have_no_name() {
        assert_eq!(Throttling(0xfff0_fff0).ever().count(), 0);
    }

    #[test]
    fn what_is_told_is_known() {
        assert!(Telemetry::default().is_unknown());
        let cold = Telemetry { temperature: Some(-5), ..Telemetry::default() };
        assert!(!cold.is_unknown());
        assert_eq!(cold.celsius(), Some(-0.5));
    }
}
