//! The kinds of faults, and what each does to a running fleet.

use anyhow::Context;
use serde::Deserialize;
use wire::identity::DeviceId;

use super::{Direction, FaultTarget, Step, Surroundings};

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// The client is killed in the middle of a round, and started again when the time is over.
    Kill {},
    /// The client stands still, connected, until the time is over.
    Freeze {},
    /// The client is killed in the middle of a round, and comes back with a clock that is wrong by `offset`, as
    /// `faketime` reads it: `-3y`, `+10d`.
    WrongClock {
        /// How wrong.
        offset: String,
    },
    /// The client is killed in the middle of a round, and comes back where not one byte can be written.
    FullDisk {},
    /// A second client of the same name is started; when the time is over it must have left with an error.
    Twin {},
    /// The power of the board is taken away in the middle of a round, and given back when the time is over.
    PowerCycle {},
    /// The connection is cut in the middle of a round; no other comes about until the time is over.
    Cut {},
    /// The link delivers nothing until the time is over, then all.
    Stall {
        /// Which way.
        #[serde(default)]
        direction: Direction,
    },
    /// In the middle of a round the connection turns silent for ever without being closed; a new one is fine.
    HalfOpen {
        /// Which way.
        #[serde(default)]
        direction: Direction,
    },
    /// The link is slow until the time is over.
    Throttle {
        /// What it carries each way.
        bytes_per_second: u32,
    },
    /// The link flips a bit in each of the next large messages.
    Corrupt {
        /// Which way.
        #[serde(default)]
        direction: Direction,
        /// How many messages.
        messages: u32,
    },
    /// The broker ends, and starts again when the time is over.
    BrokerRestart {
        /// Whether it writes down what it keeps, and so knows it afterwards; else it is killed and forgets everything.
        persistent: bool,
    },
    /// The aggregator is killed, and goes on with its run when the time is over.
    AggregatorRestart {},
}

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A device, or its link.
    Device,
    /// The broker.
    Broker,
    /// The aggregator.
    Aggregator,
}

impl Fault {
    /// As in a case file.
    pub fn name(&self) -> &'static str {
        self.about().0
    }

    /// Whom it strikes.
    pub fn target(&self) -> Target {
        self.about().1
    }

    /// The capability that a device must have to be struck by it, or the fleet for a fault of its broker: `process`
    /// (its client can be stopped and killed), `start` (and started in surroundings of one's choice), `clock` (with another clock, too), `link` (its way
    /// to the broker leads through this machine), `power` (so does its power), `broker`.
    pub fn needs(&self) -> Option<&'static str> {
        self.about().2
    }

    /// Its name, whom it strikes, and what it needs.
    fn about(&self) -> (&'static str, Target, Option<&'static str>) {
        use Target::{Aggregator, Broker, Device};
        match self {
            Fault::Kill {} => ("kill", Device, Some("process")),
            Fault::Freeze {} => ("freeze", Device, Some("process")),
            Fault::WrongClock { .. } => ("wrong-clock", Device, Some("clock")),
            Fault::FullDisk {} => ("full-disk", Device, Some("start")),
            Fault::Twin {} => ("twin", Device, Some("start")),
            Fault::PowerCycle {} => ("power-cycle", Device, Some("power")),
            Fault::Cut {} => ("cut", Device, Some("link")),
            Fault::Stall { .. } => ("stall", Device, Some("link")),
            Fault::HalfOpen { .. } => ("half-open", Device, Some("link")),
            Fault::Throttle { .. } => ("throttle", Device, Some("link")),
            Fault::Corrupt { .. } => ("corrupt", Device, Some("link")),
            Fault::BrokerRestart { .. } => ("broker-restart", Broker, Some("broker")),
            Fault::AggregatorRestart {} => ("aggregator-restart", Aggregator, None),
        }
    }

    /// Holds the device that is to be struck in the middle of a round; false if that is not needed.
    pub(super) fn hold(&self, step: &Step, target: &mut dyn FaultTarget) -> anyhow::Result<bool> {
        match self {
            Fault::Kill {} | Fault::WrongClock { .. } | Fault::FullDisk {} | Fault::PowerCycle {} => {
                target.host(step.device()?)?.freeze()?;
            }
            Fault::Cut {} | Fault::HalfOpen { .. } => {
                target.link(step.device()?)?.hold(Direction::Both, true);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Does it.
    pub(super) fn strike(&self, step: &Step, target: &mut dyn FaultTarget) -> anyhow::Result<()> {
        match self {
            Fault::Kill {} | Fault::WrongClock { .. } | Fault::FullDisk {} => {
                target.host(step.device()?)?.kill()?;
            }
            Fault::Freeze {} => target.host(step.device()?)?.freeze()?,
            Fault::Twin {} => target.host(step.device()?)?.start_twin()?,
            Fault::PowerCycle {} => target.host(step.device()?)?.power(false)?,
            Fault::Cut {} => {
                let link = target.link(step.device()?)?;
                link.refuse(true);
                link.cut();
                link.hold(Direction::Both, false);
            }
            Fault::Stall { direction } => target.link(step.device()?)?.hold(*direction, true),
            Fault::HalfOpen { direction } => {
                let link = target.link(step.device()?)?;
                link.strand(*direction);
                link.hold(Direction::Both, false);
            }
            Fault::Throttle { bytes_per_second } => {
                target.link(step.device()?)?.throttle(Some(*bytes_per_second));
            }
            Fault::Corrupt { direction, messages } => {
                target.link(step.device()?)?.damage(*direction, *messages);
            }
            Fault::BrokerRestart { persistent } => target.stop_broker(*persistent)?,
            Fault::AggregatorRestart {} => target.kill_aggregator()?,
        }
        Ok(())
    }

    /// Ends it when its time is over.
    pub(super) fn heal(&self, step: &Step, target: &mut dyn FaultTarget) -> anyhow::Result<()> {
        match self {
            Fault::Kill {} => target.host(step.device()?)?.start(&Surroundings::default())?,
            Fault::WrongClock { offset } => {
                target.host(step.device()?)?.start(&Surroundings::wrong_clock(offset)?)?;
            }
            Fault::FullDisk {} => target.host(step.device()?)?.start(&Surroundings::full_disk())?,
            Fault::Freeze {} => target.host(step.device()?)?.thaw()?,
            Fault::PowerCycle {} => target.host(step.device()?)?.power(true)?,
            Fault::Cut {} => target.link(step.device()?)?.refuse(false),
            Fault::Stall { direction } => target.link(step.device()?)?.hold(*direction, false),
            Fault::Throttle { .. } => target.link(step.device()?)?.throttle(None),
            Fault::BrokerRestart { .. } => target.start_broker()?,
            Fault::AggregatorRestart {} => target.start_aggregator()?,
            Fault::Twin {} => target.host(step.device()?)?.check_twin_has_left()?,
            Fault::HalfOpen { .. } | Fault::Corrupt { .. } => {}
        }
        Ok(())
    }
}

impl Step {
    fn device(&self) -> anyhow::Result<DeviceId> {
        self.device.with_context(|| format!("the fault {} names no device", self.fault.name()))
    }
}
