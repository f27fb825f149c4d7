//! Plays the faults of a run in time.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tracing::info;

use super::{Stage, Step};

/// A round that nobody finishes for this long waits for the device that is held: the others take milliseconds.
const STANDSTILL: Duration = Duration::from_millis(1_500);

/// The steps of a run, and how far each has come.
#[derive(Debug)]
pub struct Player(Vec<Act>);

#[derive(Debug)]
struct Act {
    step: Step,
    progress: Progress,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    Waiting,
    /// The device is held; so many rounds were recorded then.
    Holding {
        recorded: u32,
        since: Instant,
    },
    Struck {
        until: Instant,
    },
    Over,
}

impl Player {
    /// Has still to play all of `steps`.
    pub fn new(steps: &[Step]) -> Self {
        let act = |step: &Step| Act { step: step.clone(), progress: Progress::Waiting };
        Player(steps.iter().map(act).collect())
    }

    /// Begins what is due, and ends what is over. To be called again and again; never waits.
    ///
    /// # Errors
    /// If a fault cannot be brought about.
    pub fn play(&mut self, stage: &mut dyn Stage) -> anyhow::Result<()> {
        for index in 0..self.0.len() {
            let (earlier, later) = self.0.split_at_mut(index);
            // The same fault twice is first the one, then the other.
            if !earlier.iter().any(|act| act.is_under_way_like(&later[0])) {
                later[0].play(stage)?;
            }
        }
        Ok(())
    }

    /// To be called when the run is over.
    ///
    /// # Errors
    /// If a fault has not been played to its end: such a run proves nothing.
    pub fn check_all_played(&self) -> anyhow::Result<()> {
        for Act { step, progress } in &self.0 {
            if !matches!(progress, Progress::Over) {
                let Step { at_round, fault, .. } = step;
                let what = if matches!(progress, Progress::Waiting) { "began" } else { "was over" };
                bail!("the run ended before the fault {} of round {at_round} {what}", fault.name());
            }
        }
        Ok(())
    }
}

impl Act {
    /// Whether it is not over, and brings the same fault upon the same victim as `other`.
    fn is_under_way_like(&self, other: &Act) -> bool {
        let same = self.step.device == other.step.device && self.step.fault.name() == other.step.fault.name();
        same && !matches!(self.progress, Progress::Over)
    }

    fn play(&mut self, stage: &mut dyn Stage) -> anyhow::Result<()> {
        let Act { step, progress } = self;
        let named = || format!("the fault {} of round {}", step.fault.name(), step.at_round);
        match *progress {
            Progress::Waiting if stage.recorded() >= step.at_round => {
                if step.fault.hold(step, stage).with_context(named)? {
                    *progress = Progress::Holding { recorded: stage.recorded(), since: Instant::now() };
                } else {
                    self.strike(stage)?;
                }
            }
            // A round that was recorded since opened the next one, of which the held device knows nothing: that round
            // waits for it. If none is recorded, it is the open round itself that does.
            Progress::Holding { recorded, since }
                if stage.recorded() > recorded || since.elapsed() >= STANDSTILL =>
            {
                self.strike(stage)?;
            }
            Progress::Struck { until } if Instant::now() >= until => {
                step.fault.heal(step, stage).with_context(named)?;
                info!("{} is over", named());
                *progress = Progress::Over;
            }
            _ => {}
        }
        Ok(())
    }

    fn strike(&mut self, stage: &mut dyn Stage) -> anyhow::Result<()> {
        let Step { at_round, lasts, fault, .. } = &self.step;
        let named = || format!("the fault {} of round {at_round}", fault.name());
        fault.strike(&self.step, stage).with_context(named)?;
        info!("{} strikes for {} s", named(), lasts.as_secs_f64());
        self.progress = Progress::Struck { until: Instant::now() + *lasts };
        Ok(())
    }
}
