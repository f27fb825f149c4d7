//! Where the client of one device runs.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::bail;
use wire::identity::DeviceId;

use super::Surroundings;

/// The place where the client of one device runs, and what can be done to the client there. What cannot be done there
/// is an error that says so, and names the device. Dropped, it leaves no client behind.
pub trait Host: Send {
    /// Whose client it is.
    fn device(&self) -> DeviceId;

    /// Makes sure that it is within reach and this run's alone. Nothing there is changed: the run may still be called off.
    ///
    /// # Errors
    /// If it is out of reach, or another's.
    fn reserve(&mut self, _stop: &AtomicBool) -> anyhow::Result<()> {
        Ok(())
    }

    /// Brings there what the client needs, before the run begins; what has not been brought when `stop` is set is not
    /// brought any more.
    ///
    /// # Errors
    /// If it is out of reach, or cannot run the client.
    fn prepare(&mut self, _stop: &AtomicBool) -> anyhow::Result<()> {
        Ok(())
    }

    /// Starts the client in `surroundings`, and waits until it is under way: not until it has reached the broker.
    ///
    /// # Errors
    /// If it does not start, or cannot be started in these surroundings.
    fn start(&mut self, surroundings: &Surroundings) -> anyhow::Result<()>;

    /// Ends the client without a chance to tidy up.
    ///
    /// # Errors
    /// If it is out of reach, or not running.
    fn kill(&mut self) -> anyhow::Result<()>;

    /// Stops the client in its tracks: it keeps its connection and answers nothing.
    ///
    /// # Errors
    /// If it is out of reach, or not running.
    fn freeze(&mut self) -> anyhow::Result<()>;

    /// Lets the client go on.
    ///
    /// # Errors
    /// If it is out of reach, or not running.
    fn thaw(&mut self) -> anyhow::Result<()>;

    /// Starts a second client with the name of the first.
    ///
    /// # Errors
    /// If there can be none here.
    fn start_twin(&mut self) -> anyhow::Result<()> {
        bail!("{} has no place for a second client", self.device())
    }

    /// Checks that the second client has left with an error.
    ///
    /// # Errors
    /// If it has not.
    fn check_twin_has_left(&mut self) -> anyhow::Result<()> {
        bail!("{} has no second client", self.device())
    }

    /// Switches the power of the device off, or on again. With the power, the client comes back.
    ///
    /// # Errors
    /// If it cannot be switched.
    fn power(&mut self, on: bool) -> anyhow::Result<()> {
        bail!("the power of {} cannot be switched {} here", self.device(), if on { "on" } else { "off" })
    }

    /// Whether no client is running here, the second one included. Asked many times a second; must not wait.
    ///
    /// # Errors
    /// If it cannot be known.
    fn has_left(&mut self) -> anyhow::Result<bool>;

    /// Last words of a client that has ended badly, once. Asked many times a second; must not wait.
    ///
    /// # Errors
    /// If it cannot be known.
    fn fresh_failure(&mut self) -> anyhow::Result<Option<String>>;

    /// Asks the client to leave, and ends it after `patience`.
    ///
    /// # Errors
    /// If it is out of reach.
    fn stop(&mut self, patience: Duration) -> anyhow::Result<()>;

    /// Writes what the client has logged to the file `to`; nothing, if there is nothing.
    ///
    /// # Errors
    /// If the log is out of reach, or the file cannot be written.
    fn keep_log(&mut self, to: &Path) -> anyhow::Result<()>;
}
