//! The seat of a client on a machine that is reached over ssh.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use shared::identity::DeviceId;

use super::watch::{Seen, Watch};
use crate::deploy::{Look, Release, Ssh, last_words, place};
use crate::faults::Surroundings;
use crate::inventory::{Device, Power, Service};
use crate::processes::Seat;

/// The seat of a client on a machine of its own.
#[derive(Debug)]
pub(super) struct RemoteSeat {
    device: Device,
    ssh: Ssh,
    release: Release,
    /// What the watch over the client says.
    log: PathBuf,
    told: fn(DeviceId, &str),
    state: State,
    /// Whether a client has been started in this run: there is a log of it then.
    begun: bool,
    /// What has not been told yet.
    failure: Option<String>,
}

#[derive(Debug)]
enum State {
    /// The client has not been started, or has left, or a fault keeps it away.
    Away,
    /// The client is running, as far as is known.
    Up(Box<Watch>),
    /// The device is without power.
    Off,
}

impl RemoteSeat {
    pub(super) fn new(
        device: &Device,
        release: Release,
        ssh_options: &[OsString],
        log: PathBuf,
        told: fn(DeviceId, &str),
    ) -> Self {
        let ssh = Ssh::new(device, ssh_options);
        let (device, state) = (device.clone(), State::Away);
        RemoteSeat { device, ssh, release, log, told, state, begun: false, failure: None }
    }

    /// Runs an action on the device, on the service that runs the client.
    fn act(&self, action: &str, words: &[&str]) -> anyhow::Result<String> {
        let words: Vec<&str> =
            [self.device.service.name()].into_iter().chain(words.iter().copied()).collect();
        self.ssh.run(action, &words).with_context(|| self.device.id.to_string())
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        ensure!(matches!(self.state, State::Up(_)), "{} is not running", self.device.id);
        self.act("signal", &[signal]).map(drop)
    }

    fn watch(&mut self, revive: bool) {
        let service = self.device.service.name();
        self.state =
            State::Up(Box::new(Watch::new(self.device.id, &self.ssh, service, self.log.clone(), revive)));
    }

    /// Looks after the client, without waiting.
    fn tend(&mut self) -> anyhow::Result<()> {
        let State::Up(watch) = &mut self.state else { return Ok(()) };
        match watch.look()? {
            Seen::Running => return Ok(()),
            Seen::Left => {}
            Seen::Failed(words) => self.failure = Some(words),
        }
        self.state = State::Away;
        Ok(())
    }

    fn switch(&self, action: Power) -> anyhow::Result<()> {
        let (id, name) = (self.device.id, action.name());
        let words = self.device.power(action);
        let words = words.with_context(|| format!("{id} has no `power` command in the inventory"))?;
        let (program, arguments) = words.split_first().context("an empty `power` command")?;
        let output = Command::new(program).args(arguments).output();
        let output = output.with_context(|| format!("{id}: the power command cannot start {program}"))?;
        let said = last_words(&String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{id}: `{}` has not switched it {name}: {said}", words.join(" "));
        Ok(())
    }

    /// Words to put before the client there, for surroundings that can be had there.
    fn words<'a>(&self, surroundings: &'a Surroundings) -> anyhow::Result<Vec<&'a str>> {
        let words = surroundings.words();
        let id = self.device.id;
        let words = words.with_context(|| format!("{id} cannot have another clock over ssh"))?;
        ensure!(
            words.is_empty() || self.device.service == Service::Process,
            "{id}: systemd starts the client as its unit says, and not otherwise"
        );
        Ok(words)
    }
}

impl Seat for RemoteSeat {
    fn device(&self) -> DeviceId {
        self.device.id
    }

    fn prepare(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let id = self.device.id;
        let tell = |what: &str| (self.told)(id, what);
        let place = || {
            let look = Look::at(&self.device, &self.ssh, &self.release)?;
            // What an earlier run has left there would answer in this one's place.
            self.ssh.run("halt", &[self.device.service.name(), "100"])?;
            let placed = place(&self.device, &self.ssh, &self.release, &look, stop, &tell)?;
            if let Some((release, _)) = placed {
                self.ssh.run("activate", &[&release])?;
            }
            anyhow::Ok(())
        };
        place().with_context(|| id.to_string())
    }

    fn start(&mut self, surroundings: &Surroundings) -> anyhow::Result<()> {
        let words = self.words(surroundings)?;
        // One that does not start well may run all the same.
        let action = if self.begun { "again" } else { "start" };
        self.begun = true;
        self.watch(false);
        self.act(action, &words).map(drop)
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.signal("KILL")?;
        self.state = State::Away;
        Ok(())
    }

    fn freeze(&mut self) -> anyhow::Result<()> {
        self.signal("STOP")
    }

    fn thaw(&mut self) -> anyhow::Result<()> {
        self.signal("CONT")
    }

    fn start_twin(&mut self) -> anyhow::Result<()> {
        let id = self.device.id;
        ensure!(self.device.service == Service::Process, "{id}: systemd runs one client of a name only");
        self.act("twin", &[]).map(drop)
    }

    fn check_twin_has_left(&mut self) -> anyhow::Result<()> {
        self.act("twin-left", &[]).map(drop)
    }

    fn power(&mut self, on: bool) -> anyhow::Result<()> {
        if on {
            self.switch(Power::On)?;
            self.watch(true);
        } else {
            self.switch(Power::Off)?;
            self.state = State::Off;
        }
        Ok(())
    }

    fn has_left(&mut self) -> anyhow::Result<bool> {
        self.tend()?;
        Ok(matches!(self.state, State::Away))
    }

    fn fresh_failure(&mut self) -> anyhow::Result<Option<String>> {
        self.tend()?;
        Ok(self.failure.take())
    }

    fn stop(&mut self, patience: Duration) -> anyhow::Result<()> {
        if matches!(self.state, State::Off) {
            // A shelf is not left in the dark.
            self.switch(Power::On)?;
            self.state = State::Away;
            bail!("{} was without power, and has got it back; its client was not stopped", self.device.id);
        }
        self.state = State::Away;
        if !self.begun {
            return Ok(());
        }
        let tenths = (patience.as_millis() / 100).to_string();
        self.act("halt", &[&tenths]).map(drop)
    }

    fn keep_log(&mut self, to: &Path) -> anyhow::Result<()> {
        if !self.begun {
            return Ok(());
        }
        let log = self.act("whole-log", &[])?;
        fs::write(to, log).with_context(|| to.display().to_string())
    }
}

impl Drop for RemoteSeat {
    fn drop(&mut self) {
        if !matches!(self.state, State::Away)
            && let Err(error) = self.stop(Duration::ZERO)
        {
            tracing::warn!("{error:#}");
        }
    }
}
