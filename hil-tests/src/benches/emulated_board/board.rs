//! What can be done to an emulated board.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use wire::identity::DeviceId;

use super::machine::{Hardware, IsDown, Machine, qemu};
use super::message::{BoardMessage, Who};
use super::{Kernel, initramfs};
use crate::fleet::boards::Board;
use crate::fleet::deploy::Release;
use crate::fleet::inventory::Device;
use crate::system::child_output::end_of;

/// What the client must be built for: a board has no libraries that others would need.
const TARGET: &str = "aarch64-unknown-linux-musl";
/// How long a board may take until it is up. Some four seconds on a machine of its own; many share one in tests.
const BOOT: Duration = Duration::from_secs(300);
/// How long `init` may take to do what it is asked for.
const ANSWER: Duration = Duration::from_secs(60);
/// Most that is kept of what its console has shown, in bytes; the end.
const LONGEST_LOG: u64 = 16 << 20;
/// How often it is looked whether waiting has become pointless.
const POLL: Duration = Duration::from_millis(100);

/// A board under QEMU, off at first. Dropped, nothing of it is left running.
#[derive(Debug)]
pub struct EmulatedBoard {
    hardware: Hardware,
    /// `None` without power.
    machine: Option<Machine>,
    /// Who is running there, or about to.
    present: BTreeSet<Who>,
    /// Whether the client is to end.
    unwanted: bool,
    twin_status: Option<u8>,
    /// What has not been told yet.
    failure: Option<String>,
}

impl EmulatedBoard {
    /// The board of `device`, with `release` on it. Its file system and its console are files in `folder`.
    ///
    /// # Errors
    /// If it is a board that cannot be emulated, QEMU is missing, or a file cannot be written.
    pub(crate) fn new(
        device: &Device,
        kernel: &Kernel,
        release: &Release,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let id = device.id;
        let board = device.board_to_emulate()?;
        ensure!(
            board.target == TARGET,
            "{}: a board for {}; only those for {TARGET} can be emulated",
            board.name,
            board.target
        );
        let (qemu, place) = (qemu()?, folder.join(id.to_string()));
        let (initramfs, console) = (place.with_extension("initramfs"), place.with_extension("log"));
        let shown = initramfs.display().to_string();
        let file = File::create(&initramfs).with_context(|| shown.clone())?;
        initramfs::write(kernel, release, device, BufWriter::new(file)).context(shown)?;
        let hardware = Hardware { device: id, board, qemu, kernel: kernel.image.clone(), initramfs, console };
        Ok(EmulatedBoard {
            hardware,
            machine: None,
            present: BTreeSet::new(),
            unwanted: false,
            twin_status: None,
            failure: None,
        })
    }

    /// Whose board it is.
    pub fn device(&self) -> DeviceId {
        self.hardware.device
    }

    /// What it is, for people.
    pub fn description(&self) -> String {
        let Board { name, processor, cores, memory_mib, .. } = &self.hardware.board;
        format!("{name}, {cores} x {processor}, {memory_mib} MiB")
    }

    /// Switches it on, without its client, and waits until it is up, or until `stop` is set.
    ///
    /// # Errors
    /// If it does not come up; with the console's last words.
    pub fn boot(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        self.machine = Some(self.hardware.switch_on(false)?);
        let deadline = Instant::now() + BOOT;
        while !stop.load(Ordering::Relaxed) {
            match self.machine()?.wait_for_word(POLL) {
                Ok(Some(BoardMessage::Ready)) => return Ok(()),
                Ok(_) if Instant::now() < deadline => {}
                Ok(_) => {
                    self.machine = None;
                    bail!("{} is not up after {} s: {}", self.device(), BOOT.as_secs(), self.last_words());
                }
                Err(IsDown) => {
                    self.machine = None;
                    bail!("{} does not come up: {}", self.device(), self.last_words());
                }
            }
        }
        self.machine = None;
        Ok(())
    }

    /// Switches it on or off, from one moment to the next. Switched on, it starts its client once it is up.
    ///
    /// # Errors
    /// If QEMU does not start.
    pub fn power(&mut self, on: bool) -> anyhow::Result<()> {
        // One that is on already goes off first.
        self.machine = None;
        self.present.clear();
        if on {
            self.machine = Some(self.hardware.switch_on(true)?);
            self.present.insert(Who::Client);
            self.unwanted = false;
        }
        Ok(())
    }

    /// Starts a client behind `words`, which are quoted for a shell.
    pub(super) fn start(&mut self, who: Who, words: &str) -> anyhow::Result<()> {
        self.tend();
        ensure!(!self.present.contains(&who), "{} has its {who} already", self.device());
        self.unwanted &= who != Who::Client;
        self.present.insert(who);
        self.ask("start", who, words, |said| said == BoardMessage::Started(who))
    }

    /// Stops a client in its tracks, or lets it go on.
    pub(super) fn hold(&mut self, who: Who, frozen: bool) -> anyhow::Result<()> {
        self.check_is_running(who)?;
        self.ask(if frozen { "freeze" } else { "thaw" }, who, "", |said| said == BoardMessage::Done(who))
    }

    /// Ends a client without a chance to tidy up.
    pub(super) fn kill(&mut self, who: Who) -> anyhow::Result<()> {
        self.check_is_running(who)?;
        self.unwanted |= who == Who::Client;
        self.ask("kill", who, "", |said| matches!(said, BoardMessage::Ended(ended, _) if ended == who))
    }

    /// Asks all clients to leave, gives them `patience`, and switches the board off.
    pub(super) fn shut_down(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.unwanted = true;
        let deadline = Instant::now() + patience;
        self.tend();
        for who in self.present.clone() {
            if let (Some(machine), false) = (&mut self.machine, patience.is_zero()) {
                // One that has gone down in this moment needs not be asked.
                let _ = machine.ask(&format!("stop {who}"));
            }
        }
        while self.is_busy() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        self.power(false)
    }

    /// Whether a client is running, or about to.
    pub(super) fn is_busy(&mut self) -> bool {
        self.tend();
        !self.present.is_empty()
    }

    /// What has gone wrong there, once.
    pub(super) fn fresh_failure(&mut self) -> Option<String> {
        self.tend();
        self.failure.take()
    }

    /// What the second client has left with, if it has.
    pub(super) fn twin_status(&mut self) -> Option<u8> {
        self.tend();
        self.twin_status
    }

    /// Copies what its console has shown to the file `to`.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn keep_console(&self, to: &Path) -> anyhow::Result<()> {
        let console = &self.hardware.console;
        if console.is_file() {
            let plain = end_of(console, LONGEST_LOG).replace('\r', "");
            fs::write(to, plain).with_context(|| to.display().to_string())?;
        }
        Ok(())
    }

    /// Asks `init` for something, and waits for what it answers.
    fn ask(
        &mut self,
        what: &str,
        who: Who,
        words: &str,
        answer: impl Fn(BoardMessage) -> bool,
    ) -> anyhow::Result<()> {
        let device = self.device();
        self.machine()?.ask(format!("{what} {who} {words}").trim_end())?;
        let deadline = Instant::now() + ANSWER;
        loop {
            match self.machine()?.wait_for_word(POLL) {
                Ok(Some(said)) => {
                    self.take_note(said);
                    if answer(said) {
                        return Ok(());
                    }
                }
                Ok(None) => {
                    let waited = ANSWER.as_secs();
                    ensure!(Instant::now() < deadline, "{device} has not answered `{what}` for {waited} s");
                }
                Err(IsDown) => {
                    self.go_down();
                    bail!("{device} has gone down: {}", self.last_words());
                }
            }
        }
    }

    fn machine(&mut self) -> anyhow::Result<&mut Machine> {
        let device = self.device();
        self.machine.as_mut().with_context(|| format!("{device} is without power"))
    }

    fn check_is_running(&mut self, who: Who) -> anyhow::Result<()> {
        self.tend();
        ensure!(self.present.contains(&who), "{} has no {who} running", self.device());
        Ok(())
    }

    /// Hears what the board has said, without waiting.
    fn tend(&mut self) {
        while let Some(machine) = &self.machine {
            match machine.heard() {
                Ok(Some(said)) => self.take_note(said),
                Ok(None) => return,
                Err(IsDown) => {
                    self.failure = Some(format!("{} has gone down: {}", self.device(), self.last_words()));
                    self.go_down();
                }
            }
        }
    }

    fn take_note(&mut self, said: BoardMessage) {
        match said {
            BoardMessage::Ready | BoardMessage::Done(_) => {}
            BoardMessage::Started(who) => {
                self.present.insert(who);
            }
            BoardMessage::Failed(_, status) => {
                let words = self.last_words();
                self.failure = Some(format!(
                    "the client of {} has ended with status {status}, and is started again: {words}",
                    self.device()
                ));
            }
            BoardMessage::Ended(who, status) => {
                self.present.remove(&who);
                if who == Who::Twin {
                    self.twin_status = Some(status);
                } else if status != 0 && !self.unwanted {
                    let words = self.last_words();
                    self.failure = Some(format!(
                        "the client of {} has ended with status {status}: {words}",
                        self.device()
                    ));
                }
            }
        }
    }

    fn go_down(&mut self) {
        self.machine = None;
        self.present.clear();
    }

    fn last_words(&self) -> String {
        self.hardware.last_words()
    }
}
