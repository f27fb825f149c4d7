//! A run from its start to its end, wherever its clients run.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use link::BrokerAddress;
use record::{RecordError, StoredRun, Summary};

use super::running::Running;
use super::{PARTING, POLL};
use crate::benches::Watch;
use crate::faults::{Player, Step};

/// How often it is looked whether a fault is due: a round may take a few milliseconds.
const FAULT_POLL: Duration = Duration::from_millis(5);

/// Starts all that is to run, the clients once `broker` answers, plays `steps`, and reads what came of it. The logs are
/// kept whatever happens. `None` if `watch` asked to stop before the end.
pub(crate) fn conduct(
    mut running: Running,
    broker: &BrokerAddress,
    steps: &[Step],
    watch: &Watch<'_>,
) -> anyhow::Result<Option<Summary>> {
    let outcome = play(&mut running, broker, steps, watch);
    if outcome.is_err() {
        // What went wrong before says more.
        let _ = running.end();
    }
    if let Err(error) = running.keep_logs() {
        tracing::warn!("not all logs are kept: {error:#}");
    }
    outcome
}

fn play(
    running: &mut Running,
    broker: &BrokerAddress,
    steps: &[Step],
    watch: &Watch<'_>,
) -> anyhow::Result<Option<Summary>> {
    running.start(broker)?;
    let mut faults = Player::new(steps);
    let pause = if steps.is_empty() { POLL } else { FAULT_POLL };
    while !running.is_over()? {
        tell_rounds(running, watch)?;
        faults.play(running)?;
        let failures = running.fresh_failures()?;
        // What has failed by then because all were asked to stop, this program too, is no failure.
        sleep(pause);
        if watch.stopped() {
            running.stop()?;
            return Ok(None);
        }
        for failure in failures {
            tracing::warn!("{failure}");
        }
    }
    if running.was_interrupted()? {
        running.stop()?;
        return Ok(None);
    }
    tell_rounds(running, watch)?;
    end(running)?;
    let finished =
        StoredRun::open(running.rounds.directory(), &running.catalogue).and_then(|run| run.finished());
    if !matches!(finished, Err(RecordError::NothingAggregated { .. })) {
        running.check()?;
        faults.check_all_played()?;
    }
    Ok(Some(finished?.context("the aggregator has ended well, and left no summary.json")?))
}

fn tell_rounds(running: &mut Running, watch: &Watch<'_>) -> anyhow::Result<()> {
    for record in running.rounds.fresh()? {
        (watch.on_round)(&record);
    }
    Ok(())
}

/// The aggregator has ended: lets the clients leave.
fn end(running: &mut Running) -> anyhow::Result<()> {
    let deadline = Instant::now() + PARTING;
    if running.succeeded()? {
        // They have been told that the run is over. One that has not heard is stopped.
        while Instant::now() < deadline && !running.all_have_left() {
            sleep(POLL);
        }
    }
    running.end()
}
