//! A board that is read in the background.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::warn;
use wire::Telemetry;

use super::board::{Board, Reading, Sources};
use super::files;

/// How old a reading gets.
const REFRESH: Duration = Duration::from_secs(2);

/// The latest reading of a board, always available.
#[derive(Clone, Debug)]
pub struct Gauge {
    process: Arc<Path>,
    readings: watch::Receiver<Reading>,
}

/// A training that is being measured.
#[derive(Debug)]
pub struct Measuring {
    gauge: Gauge,
    before: Reading,
    begun: Instant,
}

impl Gauge {
    /// Begins to read, until nobody holds the gauge any more. Nothing is known until the first reading is there.
    pub fn start(sources: Sources) -> Self {
        let process = sources.process.as_path().into();
        let (sender, readings) = watch::channel(Reading::default());
        let mut board = Board::new(sources);
        let read = move || {
            // Fails when nobody listens any more.
            while sender.send(board.read()).is_ok() {
                thread::sleep(REFRESH);
            }
        };
        // A thread of its own: where a program hangs, nothing else waits for it.
        if let Err(error) = thread::Builder::new().name("telemetry".to_owned()).spawn(read) {
            warn!("the board is not read: no thread: {error}");
        }
        Gauge { process, readings }
    }

    /// Waits for the next reading; for ever if there will be none.
    pub async fn next(&mut self) -> Telemetry {
        if self.readings.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.readings.borrow_and_update().telemetry
    }

    /// A training begins.
    pub fn begin(&self) -> Measuring {
        Measuring { gauge: self.clone(), before: *self.readings.borrow(), begun: Instant::now() }
    }
}

impl Measuring {
    /// The training is done: what the board tells. Memory is read now, energy is the mean power meanwhile times the
    /// time it took, the rest is as it was read last.
    pub fn end(self) -> Telemetry {
        let took = self.begun.elapsed();
        let after = *self.gauge.readings.borrow();
        let microjoules = |milliwatts: f64| (1e3 * milliwatts * took.as_secs_f64()).round() as u64;
        Telemetry {
            rss_kib: files::resident(&self.gauge.process),
            energy: after.mean_power_since(&self.before).map(microjoules),
            ..after.telemetry
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::{file, program, sources};
    use super::*;

    fn next(gauge: &mut Gauge) -> Telemetry {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(gauge.next())
    }

    #[test]
    fn memory_is_read_when_the_training_is_done() {
        let home = tempfile::tempdir().unwrap();
        file(home.path(), "status", "VmRSS: 100 kB\n");
        file(home.path(), "clock", "1500000\n");
        let mut gauge = Gauge::start(sources(home.path()));
        let told = next(&mut gauge);
        assert_eq!((told.rss_kib, told.clock, told.energy), (Some(100), Some(1500), None));
        let measuring = gauge.begin();
        file(home.path(), "status", "VmRSS: 200 kB\n");
        let told = measuring.end();
        assert_eq!((told.rss_kib, told.clock, told.energy), (Some(200), Some(1500), None));
    }

    #[test]
    fn energy_is_power_times_time() {
        let home = tempfile::tempdir().unwrap();
        program(home.path(), "echo 'A_A current(0)=2.0A'; echo 'A_V volt(1)=50.0V'");
        let mut gauge = Gauge::start(sources(home.path()));
        next(&mut gauge);
        let measuring = gauge.begin();
        let begun = measuring.begun;
        thread::sleep(Duration::from_millis(20));
        let energy = measuring.end().energy.unwrap() as f64;
        // At 100 W; rounded.
        let most = 1e8 * begun.elapsed().as_secs_f64() + 1.0;
        assert!((2e6..most).contains(&energy), "{energy} µJ, at most {most}");
    }

    #[test]
    fn a_board_that_tells_nothing_holds_nobody_up() {
        let home = tempfile::tempdir().unwrap();
        let gauge = Gauge::start(sources(home.path()));
        assert!(gauge.begin().end().is_unknown());
    }
}
