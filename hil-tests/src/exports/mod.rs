//! Runs in the formats of the tools that people look at results with. This file has what the formats share, and the list of
//! them.
//!
//! # Layout
//! Each knows those before it, and none after it.
//! - [`run`]: the runs to export: found in folders, and named.
//! - [`staging`]: what is written takes its place when all of it is there.
//! - [`table`]: a table in a Parquet file.
//! - [`participation`]: what is recorded of each device in a round.
//! - [`parquet`]: tables of runs, rounds and devices.
//! - [`tensorboard`]: event files.
//! - [`mlflow_files`]: the folder of mlflow's file store.

pub mod mlflow_files;
pub mod parquet;
pub mod participation;
pub mod run;
pub mod staging;
pub mod table;
pub mod tensorboard;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use record::{RoundRecord, State, Summary};
use run::ExportedRun;
use staging::Staging;

/// A format that runs can be exported to.
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// Begins to write `runs`.
    pub begin: Begin,
}

/// Begins to write runs.
pub type Begin = fn(&[ExportedRun], &mut Staging) -> anyhow::Result<Box<dyn Export>>;

/// The formats. A new one is a file and a line here.
pub const FORMATS: &[Format] = &[parquet::FORMAT, tensorboard::FORMAT, mlflow_files::FORMAT];

/// What writes runs in a format. It gets one run after the other, and of each one round after the other: what it keeps of
/// rounds, it keeps in memory.
pub trait Export {
    /// A run begins.
    ///
    /// # Errors
    /// If something cannot be written, as in all of these.
    fn begin(&mut self, run: &ExportedRun, staging: &mut Staging) -> anyhow::Result<()>;

    /// The next round of the run, which was over at `time`.
    ///
    /// # Errors
    /// As above.
    fn round(&mut self, run: &ExportedRun, record: &RoundRecord, time: Time) -> anyhow::Result<()>;

    /// The run has no more rounds.
    ///
    /// # Errors
    /// As above.
    fn end(&mut self, run: &ExportedRun, outcome: &Outcome, staging: &mut Staging) -> anyhow::Result<()>;

    /// There are no more runs.
    ///
    /// # Errors
    /// As above.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time {
    /// Seconds since 1970 (UTC).
    seconds: f64,
}

impl Time {
    /// Seconds since 1970 (UTC).
    pub fn seconds(self) -> f64 {
        self.seconds
    }

    /// Milliseconds since 1970 (UTC).
    pub fn milliseconds(self) -> i64 {
        (self.seconds * 1e3).round() as i64
    }
}

/// What a run has come to.
pub struct Outcome {
    /// How far it is.
    pub state: State,
    /// Its summary, of the rounds so far.
    pub summary: Summary,
    /// When its last round was over.
    pub time: Time,
}

/// Exports `runs` in `format` into the folder `out`, and returns how far each of them was; `None` if `stop` was set before the
/// end. Nothing in `out` changes before all is written.
///
/// A record says how long a round took, and not when: the time of a round is that at which the run was made, and the
/// seconds of all rounds up to it.
///
/// # Errors
/// If a run is damaged, or something cannot be written.
pub fn export(
    runs: &[ExportedRun],
    format: &Format,
    out: &Path,
    stop: &AtomicBool,
) -> anyhow::Result<Option<Vec<Outcome>>> {
    let mut staging = Staging::into(out)?;
    let mut export = (format.begin)(runs, &mut staging)?;
    let mut outcomes = Vec::new();
    for run in runs {
        export.begin(run, &mut staging)?;
        // Before the rounds are read: a run that is finished by now is so by then.
        let state = run.stored.state()?;
        let mut rounds = run.stored.rounds()?;
        let mut time = run.created();
        for record in &mut rounds {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let record = record?;
            time.seconds += if record.seconds.is_finite() { record.seconds } else { 0.0 };
            export.round(run, &record, time)?;
        }
        let outcome = Outcome { state, summary: rounds.summary(state)?, time };
        export.end(run, &outcome, &mut staging)?;
        outcomes.push(outcome);
    }
    export.finish()?;
    staging.publish()?;
    Ok(Some(outcomes))
}
