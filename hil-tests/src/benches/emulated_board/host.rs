//! An emulated board as the host of a client.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail};
use wire::identity::DeviceId;

use super::EmulatedBoard;
use super::message::Who;
use crate::faults::{Host, Surroundings};
use crate::fleet::deploy::quoted;

/// The client of an emulated board is stopped and killed by the board's own `init`: the board's kernel stays, and keeps
/// its connections, as on a real one.
#[derive(Debug)]
pub(crate) struct EmulatedHost {
    board: EmulatedBoard,
    told: fn(DeviceId, &str),
}

impl EmulatedHost {
    pub(crate) fn new(board: EmulatedBoard, told: fn(DeviceId, &str)) -> Self {
        EmulatedHost { board, told }
    }
}

impl Host for EmulatedHost {
    fn device(&self) -> DeviceId {
        self.board.device()
    }

    fn prepare(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        (self.told)(self.device(), &format!("booting {}", self.board.description()));
        self.board.boot(stop)
    }

    fn start(&mut self, surroundings: &Surroundings) -> anyhow::Result<()> {
        let words = surroundings.words();
        let words = words.with_context(|| format!("{} cannot have another clock", self.device()))?;
        let words: Vec<String> = words.into_iter().map(quoted).collect();
        self.board.start(Who::Client, &words.join(" "))
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.board.kill(Who::Client)
    }

    fn freeze(&mut self) -> anyhow::Result<()> {
        self.board.hold(Who::Client, true)
    }

    fn thaw(&mut self) -> anyhow::Result<()> {
        self.board.hold(Who::Client, false)
    }

    fn start_twin(&mut self) -> anyhow::Result<()> {
        self.board.start(Who::Twin, "")
    }

    fn check_twin_has_left(&mut self) -> anyhow::Result<()> {
        match self.board.twin_status() {
            Some(0) => bail!("the second client of {} has left without an error", self.device()),
            Some(_) => Ok(()),
            None => bail!("the second client of {} has not left", self.device()),
        }
    }

    fn power(&mut self, on: bool) -> anyhow::Result<()> {
        self.board.power(on)
    }

    fn has_left(&mut self) -> anyhow::Result<bool> {
        Ok(!self.board.is_busy())
    }

    fn fresh_failure(&mut self) -> anyhow::Result<Option<String>> {
        Ok(self.board.fresh_failure())
    }

    fn stop(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.board.shut_down(patience)
    }

    fn keep_log(&mut self, to: &Path) -> anyhow::Result<()> {
        self.board.keep_console(to)
    }
}
