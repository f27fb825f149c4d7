//! One fault at one round.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use wire::identity::DeviceId;

use super::Fault;

/// One thing that goes wrong, in TOML:
///
/// ```toml
/// at-round = 5            # as soon as this many rounds are recorded
/// seconds = 2             # how long it lasts; 0 unless said
/// device = "device-001"   # whom it strikes, if it strikes a device
/// fault = "throttle"      # the kind, and what belongs to it
/// bytes-per-second = 2000
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Step {
    /// Number of recorded rounds at which it begins.
    pub at_round: u32,
    /// How long it lasts.
    pub lasts: Duration,
    /// Whom it strikes. A case may leave that to the fleet; a bench needs it for every fault of a device.
    pub device: Option<DeviceId>,
    /// What goes wrong.
    pub fault: Fault,
}

/// What every fault has, whatever its kind.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Common {
    at_round: u32,
    #[serde(default)]
    seconds: f64,
    device: Option<String>,
}

impl TryFrom<toml::Table> for Step {
    type Error = anyhow::Error;

    fn try_from(mut table: toml::Table) -> Result<Self, Self::Error> {
        let mut common = toml::Table::new();
        for key in ["at-round", "seconds", "device"] {
            common.extend(table.remove(key).map(|value| (key.to_owned(), value)));
        }
        // A whole number of seconds is as good as one with a point.
        if let Some(toml::Value::Integer(seconds)) = common.get("seconds") {
            let seconds = *seconds as f64;
            common.insert("seconds".to_owned(), toml::Value::Float(seconds));
        }
        let Common { at_round, seconds, device } = common.try_into().map_err(|error| one_line(&error))?;
        let fault: Fault = table.try_into().map_err(|error| one_line(&error))?;
        let lasts = Duration::try_from_secs_f64(seconds).context("seconds")?;
        let device = device.map(|name| name.parse().context("device")).transpose()?;
        let strikes_devices = fault.target() == super::Target::Device;
        ensure!(strikes_devices || device.is_none(), "device: {} strikes no device", fault.name());
        Ok(Step { at_round, lasts, device, fault })
    }
}

fn one_line(error: &toml::de::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", error.message())
}

impl Step {
    /// The device whose link to the broker is to fail, if it is one's link that does.
    pub(crate) fn failing_link(&self) -> Option<DeviceId> {
        self.device.filter(|_| self.fault.needs() == Some("link"))
    }

    /// Whether it is the broker that fails.
    pub(crate) fn breaks_broker(&self) -> bool {
        self.fault.target() == super::Target::Broker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Direction;

    fn parse(text: &str) -> Result<Step, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_step_reads_as_written() {
        let text =
            "at-round = 5\nseconds = 2\ndevice = \"device-001\"\nfault = \"stall\"\ndirection = \"up\"\n";
        let expected = Step {
            at_round: 5,
            lasts: Duration::from_secs(2),
            device: Some(DeviceId(1)),
            fault: Fault::Stall { direction: Direction::Up },
        };
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn what_does_not_belong_is_named() {
        for (text, part) in [
            ("fault = \"kill\"", "at-round"),
            ("at-round = 1\nfault = \"flood\"", "flood"),
            ("at-round = 1\nfault = \"kill\"\nbytes-per-second = 3", "bytes-per-second"),
            ("at-round = 1\nfault = \"kill\"\nseconds = -1", "seconds"),
            ("at-round = 1\nfault = \"kill\"\ndevice = \"pi\"", "device"),
            ("at-round = 1\nfault = \"aggregator-restart\"\ndevice = \"device-001\"", "strikes no device"),
            ("at-round = 1\nfault = \"throttle\"", "bytes-per-second"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "no `{part}` in: {error}");
        }
    }
}
