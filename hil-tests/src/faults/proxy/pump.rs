//! One way of one connection through the proxy.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use super::State;
use super::framing::Framing;

/// How soon a held lane notices that it is free.
const POLL: Duration = Duration::from_millis(5);
/// A throttled lane sends pieces of so many parts of a second.
const PIECES_PER_SECOND: u32 = 20;

pub(super) struct Pump {
    pub(super) from: TcpStream,
    pub(super) to: TcpStream,
    pub(super) lane: usize,
    pub(super) state: Arc<State>,
    pub(super) stranded: Arc<[AtomicBool; 2]>,
}

impl Pump {
    /// Carries bytes until either end closes.
    pub(super) fn run(mut self) {
        let carried = self.carry();
        if carried.is_err() || !self.is_stranded() {
            // One end is gone: so is the other, unless the connection lies silent.
            let _ = self.to.shutdown(Shutdown::Both);
        }
        let _ = self.from.shutdown(Shutdown::Both);
    }

    fn carry(&mut self) -> io::Result<()> {
        let mut framing = Framing::default();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = self.from.read(&mut buffer)?;
            while self.lane().held.load(Ordering::SeqCst) && !self.state.ended() {
                sleep(POLL);
            }
            if count == 0 {
                return Ok(());
            }
            if self.is_stranded() {
                continue;
            }
            let bytes = &mut buffer[..count];
            framing.pass(bytes, &self.lane().damage);
            self.send(&buffer[..count])?;
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let rate = self.lane().bytes_per_second.load(Ordering::Relaxed);
            let piece = if rate == 0 { bytes.len() } else { (rate / PIECES_PER_SECOND).max(1) as usize };
            let (now, later) = bytes.split_at(piece.min(bytes.len()));
            self.to.write_all(now)?;
            if rate > 0 {
                sleep(Duration::from_secs_f64(now.len() as f64 / f64::from(rate)));
            }
            bytes = later;
        }
        Ok(())
    }

    fn is_stranded(&self) -> bool {
        self.stranded[self.lane].load(Ordering::SeqCst)
    }

    fn lane(&self) -> &super::Lane {
        &self.state.lanes[self.lane]
    }
}
