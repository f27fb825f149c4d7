//! What a bench lets faults reach.

use wire::identity::DeviceId;

use super::{Host, Proxy};

/// A running fleet, as faults see it. What a bench cannot do to it is an error that says so.
pub trait FaultTarget {
    /// Number of rounds that are recorded by now.
    ///
    /// # Errors
    /// If the record cannot be read.
    fn recorded(&mut self) -> anyhow::Result<u32>;

    /// Where the client of `device` runs, and what can be done to it there.
    ///
    /// # Errors
    /// If it is not of the fleet.
    fn host(&mut self, device: DeviceId) -> anyhow::Result<&mut dyn Host>;

    /// The link between `device` and the broker.
    ///
    /// # Errors
    /// If nothing stands in between.
    fn link(&self, device: DeviceId) -> anyhow::Result<&Proxy>;

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
