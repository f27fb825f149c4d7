//! The host of a client on a machine that is reached over ssh.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use wire::identity::DeviceId;

use super::power;
use crate::faults::{Host, Surroundings};
use crate::fleet::deploy::{Claim, DeviceReport, Line, Release, Ssh, Survey, place};
use crate::fleet::inventory::{Device, Power, Service};

/// How long it takes until a device is tried again that was out of reach.
const PAUSE: Duration = Duration::from_secs(3);
/// How long a device may take until it is back after its power was.
const BOOT: Duration = Duration::from_secs(300);
/// How long a client of an earlier run may take to leave.
const PARTING: Duration = Duration::from_secs(10);

/// The host of a client on a machine of its own.
#[derive(Debug)]
pub(super) struct RemoteHost {
    device: Device,
    ssh: Ssh,
    release: Release,
    claim: Claim,
    told: fn(DeviceId, &str),
    line: Option<Line>,
    /// When a line that is lost is tried again.
    try_at: Instant,
    state: State,
    /// The number of what a line that was made again was first asked for.
    asked: u64,
    /// Since when the device has been out of reach.
    lost: Option<Instant>,
    /// Whether a client has been started in this run: there is a log of it then.
    begun: bool,
    /// Last words that have not been told yet.
    failure: Option<String>,
}

/// Of the client, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has not been started, or has left, or a fault keeps it away.
    Away,
    /// It is running; the line tells of it under this number.
    Up(u64),
    /// It was running when the line was lost.
    Lost,
    /// Its device is without power.
    Off,
    /// Its device has got its power back.
    Booting { since: Instant },
}

impl RemoteHost {
    /// The host of the client on `device`, which is to run `release` and is reached by `ssh`. `told` hears what is done to
    /// it before the run.
    pub(super) fn new(
        device: &Device,
        release: Release,
        ssh: Ssh,
        claim: &Claim,
        told: fn(DeviceId, &str),
    ) -> Self {
        RemoteHost {
            device: device.clone(),
            ssh,
            release,
            claim: claim.clone(),
            told,
            line: None,
            try_at: Instant::now(),
            state: State::Away,
            asked: 0,
            lost: None,
            begun: false,
            failure: None,
        }
    }

    fn service(&self) -> &'static str {
        self.device.service.name()
    }

    /// Has an action done on the device, which takes as long as `takes`, and gives its number.
    fn ask(
        &mut self,
        action: &str,
        words: &[&str],
        takes: Duration,
        stop: Option<&AtomicBool>,
    ) -> anyhow::Result<u64> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => Line::open_now(&self.ssh, self.service(), &self.claim.again(), stop)
                .with_context(|| self.device.label())?,
        };
        let asked = line.ask(action, words, takes, stop);
        // A dead line is given up: the next thing that is asked for opens another.
        self.line = line.is_alive().then_some(line);
        asked.with_context(|| self.device.label())
    }

    fn signal(&mut self, signal: &str) -> anyhow::Result<()> {
        ensure!(matches!(self.state, State::Up(_)), "{} is not running, or out of reach", self.device.id);
        self.ask("send", &[signal], Duration::ZERO, None).map(drop)
    }

    /// Looks after the line and the client, without waiting.
    fn tend(&mut self) -> anyhow::Result<()> {
        if matches!(self.state, State::Away | State::Off) {
            return Ok(());
        }
        let Some(line) = &mut self.line else {
            if Instant::now() >= self.try_at {
                let mut line = Line::open(&self.ssh, self.service(), &self.claim.again())?;
                if matches!(self.state, State::Booting { .. }) {
                    // It may have no client yet.
                    self.asked = line.send("again", &[]);
                } else {
                    self.asked = line.send("attach", &[]);
                    self.state = State::Lost;
                }
                self.line = Some(line);
            }
            return Ok(());
        };
        for report in line.reports() {
            self.hear(report);
        }
        Ok(())
    }

    fn hear(&mut self, report: DeviceReport) {
        let device = self.device.label();
        match (report, self.state) {
            (DeviceReport::Done(number), State::Lost | State::Booting { .. }) if number == self.asked => {
                if let Some(since) = self.lost.take() {
                    tracing::warn!("{device} is back after {} s", since.elapsed().as_secs());
                }
                self.state = State::Up(number);
            }
            (DeviceReport::Failed(_, why), State::Lost | State::Booting { .. }) => {
                self.fall(format!("{device}: {why}"));
            }
            (DeviceReport::Left(number), State::Up(current)) if number == current => self.state = State::Away,
            (DeviceReport::Fell(number, words), State::Up(current)) if number == current => {
                self.fall(format!("the client of {device} has ended: {words}"));
            }
            (DeviceReport::Closed(why), state) => {
                self.line = None;
                self.try_at = Instant::now() + PAUSE;
                match state {
                    State::Up(_) => {
                        tracing::warn!("{device} is out of reach, and is tried again and again: {why}");
                        self.lost = Some(Instant::now());
                        self.state = State::Lost;
                    }
                    State::Booting { since } if since.elapsed() > BOOT => {
                        self.fall(format!("{device} has not come back within {} s: {why}", BOOT.as_secs()));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn fall(&mut self, words: String) {
        self.failure = Some(words);
        self.state = State::Away;
    }

    /// Words to put before the client there, for surroundings that can be had there.
    fn words<'a>(&self, surroundings: &'a Surroundings) -> anyhow::Result<Vec<&'a str>> {
        let id = self.device.id;
        let words = surroundings.words();
        let words = words.with_context(|| format!("{id} cannot have another clock over ssh"))?;
        ensure!(
            words.is_empty() || self.device.service == Service::Process,
            "{id}: systemd starts the client as its unit says, and not otherwise"
        );
        Ok(words)
    }
}

impl Host for RemoteHost {
    fn device(&self) -> DeviceId {
        self.device.id
    }

    fn reserve(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let line = Line::open_now(&self.ssh, self.service(), &self.claim, Some(stop));
        self.line = Some(line.with_context(|| self.device.label())?);
        Ok(())
    }

    fn prepare(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let (id, told) = (self.device.id, self.told);
        let named = || self.device.label();
        let survey = Survey::at(&self.device, &self.ssh, &self.release, stop).with_context(named)?;
        // What an earlier run has left there would answer in this one's place.
        self.ask("halt", &["100"], PARTING, Some(stop))?;
        let named = || self.device.label();
        let tell = |what: &str| told(id, what);
        let placed =
            place(&self.device, &self.ssh, &self.release, &survey, stop, &tell).with_context(named)?;
        if let Some((release, _)) = placed {
            self.ssh.run("activate", &[&release], stop).with_context(named)?;
        }
        Ok(())
    }

    fn start(&mut self, surroundings: &Surroundings) -> anyhow::Result<()> {
        let words = self.words(surroundings)?;
        let action = if self.begun { "again" } else { "begin" };
        self.begun = true;
        self.state = State::Up(self.ask(action, &words, Duration::ZERO, None)?);
        Ok(())
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
        self.ask("twin", &[], Duration::ZERO, None).map(drop)
    }

    fn check_twin_has_left(&mut self) -> anyhow::Result<()> {
        self.ask("twin-has-left", &[], Duration::ZERO, None).map(drop)
    }

    fn power(&mut self, on: bool) -> anyhow::Result<()> {
        if on {
            power::switch(&self.device, Power::On)?;
            self.state = State::Booting { since: Instant::now() };
        } else {
            power::switch(&self.device, Power::Off)?;
            self.state = State::Off;
        }
        // A line through a loss of power is a dead one, whether it has noticed or not.
        self.line = None;
        Ok(())
    }

    fn has_left(&mut self) -> anyhow::Result<bool> {
        self.tend()?;
        Ok(self.state == State::Away)
    }

    fn fresh_failure(&mut self) -> anyhow::Result<Option<String>> {
        self.tend()?;
        Ok(self.failure.take())
    }

    fn stop(&mut self, patience: Duration) -> anyhow::Result<()> {
        let state = std::mem::replace(&mut self.state, State::Away);
        if state == State::Off {
            // A shelf is not left in the dark.
            power::switch(&self.device, Power::On)?;
            bail!("{} was without power, and has got it back; its client was not stopped", self.device.id);
        }
        if !self.begun {
            return Ok(());
        }
        let tenths = (patience.as_millis() / 100).to_string();
        // All is coming to its end: one that hangs is not waited for as if it were not.
        let ending = AtomicBool::new(true);
        self.ask("halt", &[&tenths], patience, Some(&ending)).map(drop)
    }

    fn keep_log(&mut self, to: &Path) -> anyhow::Result<()> {
        if !self.begun {
            return Ok(());
        }
        let log = self.ssh.log(self.service()).with_context(|| self.device.label())?;
        fs::write(to, log).with_context(|| to.display().to_string())
    }
}

impl Drop for RemoteHost {
    fn drop(&mut self) {
        if self.state != State::Away
            && let Err(error) = self.stop(Duration::ZERO)
        {
            tracing::warn!("{error:#}");
        }
        if let Some(line) = self.line.take() {
            line.let_go(&self.claim);
        }
    }
}
