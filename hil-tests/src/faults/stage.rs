//! What a bench lets faults reach.

use anyhow::bail;
use wire::identity::DeviceId;

use super::{Proxy, Surroundings};

/// A running fleet, as faults see it. What a bench cannot do to its devices is an error that says so.
pub trait Stage {
    /// Number of rounds that are recorded by now.
    ///
    /// # Errors
    /// If the record cannot be read.
    fn recorded(&mut self) -> anyhow::Result<u32>;

    /// Stops `device` in its tracks: it keeps its connection and answers nothing.
    ///
    /// # Errors
    /// If it is out of reach.
    fn freeze(&mut self, device: DeviceId) -> anyhow::Result<()>;

    /// Lets a frozen `device` go on.
    ///
    /// # Errors
    /// If it is out of reach.
    fn thaw(&mut self, device: DeviceId) -> anyhow::Result<()>;

    /// Ends the client of `device` without a chance to tidy up.
    ///
    /// # Errors
    /// If it is out of reach.
    fn kill(&mut self, device: DeviceId) -> anyhow::Result<()>;

    /// Starts the client of `device` again.
    ///
    /// # Errors
    /// If it is out of reach, or `surroundings` cannot be had.
    fn start(&mut self, device: DeviceId, surroundings: &Surroundings) -> anyhow::Result<()>;

    /// Starts a second client with the name of `device`.
    ///
    /// # Errors
    /// If it is out of reach.
    fn start_twin(&mut self, device: DeviceId) -> anyhow::Result<()>;

    /// Checks that the second client has noticed that it is one, and left with an error.
    ///
    /// # Errors
    /// If it has not.
    fn check_twin_has_left(&mut self, device: DeviceId) -> anyhow::Result<()>;

    /// The link between `device` and the broker.
    ///
    /// # Errors
    /// If nothing stands in between.
    fn link(&self, device: DeviceId) -> anyhow::Result<&Proxy>;

    /// Takes the power of `device` away, or gives it back.
    ///
    /// # Errors
    /// If its power cannot be controlled.
    fn power(&mut self, device: DeviceId, on: bool) -> anyhow::Result<()> {
        bail!("the power of {device} cannot be switched {} here", if on { "on" } else { "off" })
    }

    /// Ends the broker: asked to, with time to write down what it keeps, or killed.
    ///
    /// # Errors
    /// If it is out of reach.
    fn stop_broker(&mut self, asked: bool) -> anyhow::Result<()>;

    /// Starts the broker again.
    ///
    /// # Errors
    /// If it does not come up.
    fn start_broker(&mut self) -> anyhow::Result<()>;

    /// Ends the aggregator without a chance to tidy up.
    ///
    /// # Errors
    /// If it is out of reach.
    fn kill_aggregator(&mut self) -> anyhow::Result<()>;

    /// Starts the aggregator again, with the same run.
    ///
    /// # Errors
    /// If it does not start.
    fn start_aggregator(&mut self) -> anyhow::Result<()>;
}
