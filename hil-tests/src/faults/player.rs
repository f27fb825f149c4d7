//! Plays the faults of a run in time.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tracing::info;

use super::{FaultTarget, Step};

/// A round that nobody finishes for this long waits for the device that is held: the others take milliseconds, on a
/// machine that has much else to do a multiple.
const STANDSTILL: Duration = Duration::from_secs(3);

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
    pub fn play(&mut self, target: &mut dyn FaultTarget) -> anyhow::Result<()> {
        for index in 0..self.0.len() {
            let (earlier, later) = self.0.split_at_mut(index);
            // The same fault twice is first the one, then the other.
            if !earlier.iter().any(|act| act.is_under_way_like(&later[0])) {
                later[0].play(target)?;
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

    fn play(&mut self, target: &mut dyn FaultTarget) -> anyhow::Result<()> {
        let Act { step, progress } = self;
        let named = || format!("the fault {} of round {}", step.fault.name(), step.at_round);
        match *progress {
            Progress::Waiting if target.recorded()? >= step.at_round => {
                if step.fault.hold(step, target).with_context(named)? {
                    // Counted once it stands still: many may have been recorded until it did.
                    *progress = Progress::Holding { recorded: target.recorded()?, since: Instant::now() };
                } else {
                    self.strike(target)?;
                }
            }
            // A round that was recorded since opened the next one, of which the held device knows nothing: that round
            // waits for it. If none is recorded, it is the open round itself that does.
            Progress::Holding { recorded, since }
                if target.recorded()? > recorded || since.elapsed() >= STANDSTILL =>
            {
                self.strike(target)?;
            }
            Progress::Struck { until } if Instant::now() >= until => {
                step.fault.heal(step, target).with_context(named)?;
                info!("{} is over", named());
                *progress = Progress::Over;
            }
            _ => {}
        }
        Ok(())
    }

    fn strike(&mut self, target: &mut dyn FaultTarget) -> anyhow::Result<()> {
        let Step { at_round, lasts, fault, .. } = &self.step;
        let named = || format!("the fault {} of round {at_round}", fault.name());
        fault.strike(&self.step, target).with_context(named)?;
        info!("{} strikes for {} s", named(), lasts.as_secs_f64());
        self.progress = Progress::Struck { until: Instant::now() + *lasts };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use anyhow::bail;
    use wire::identity::DeviceId;

    use super::*;
    use crate::faults::{Host, Proxy, Surroundings};

    /// Writes down what is done to it.
    #[derive(Default)]
    struct Script {
        recorded: u32,
        done: Vec<&'static str>,
    }

    impl Script {
        #[allow(clippy::unnecessary_wraps, reason = "as the methods of a target")]
        fn does(&mut self, what: &'static str) -> anyhow::Result<()> {
            self.done.push(what);
            Ok(())
        }
    }

    impl FaultTarget for Script {
        fn recorded(&mut self) -> anyhow::Result<u32> {
            Ok(self.recorded)
        }
        fn host(&mut self, _: DeviceId) -> anyhow::Result<&mut dyn Host> {
            Ok(self)
        }
        fn link(&self, device: DeviceId) -> anyhow::Result<&Proxy> {
            bail!("nothing stands between {device} and the broker")
        }
        fn stop_broker(&mut self, _: bool) -> anyhow::Result<()> {
            self.does("stop broker")
        }
        fn start_broker(&mut self) -> anyhow::Result<()> {
            self.does("start broker")
        }
        fn kill_aggregator(&mut self) -> anyhow::Result<()> {
            self.does("kill aggregator")
        }
        fn start_aggregator(&mut self) -> anyhow::Result<()> {
            self.does("start aggregator")
        }
    }

    impl Host for Script {
        fn device(&self) -> DeviceId {
            DeviceId(1)
        }
        fn freeze(&mut self) -> anyhow::Result<()> {
            self.does("freeze")
        }
        fn thaw(&mut self) -> anyhow::Result<()> {
            self.does("thaw")
        }
        fn kill(&mut self) -> anyhow::Result<()> {
            self.does("kill")
        }
        fn start(&mut self, _: &Surroundings) -> anyhow::Result<()> {
            self.does("start")
        }
        fn has_left(&mut self) -> anyhow::Result<bool> {
            Ok(false)
        }
        fn fresh_failure(&mut self) -> anyhow::Result<Option<String>> {
            Ok(None)
        }
        fn stop(&mut self, _: Duration) -> anyhow::Result<()> {
            self.does("stop")
        }
        fn keep_log(&mut self, _: &Path) -> anyhow::Result<()> {
            self.does("keep log")
        }
    }

    fn player(steps: &str) -> Player {
        let steps: Vec<Step> = steps.split(';').map(|step| toml::from_str(step).unwrap()).collect();
        Player::new(&steps)
    }

    fn step(at_round: u32, fault: &str) -> String {
        format!("at-round = {at_round}\nfault = \"{fault}\"\ndevice = \"device-001\"")
    }

    #[test]
    fn a_device_is_held_until_the_round_waits_for_it_and_struck_then() {
        let (mut player, mut script) = (player(&step(2, "kill")), Script::default());
        player.play(&mut script).unwrap();
        assert!(script.done.is_empty(), "too early");
        script.recorded = 2;
        player.play(&mut script).unwrap();
        player.play(&mut script).unwrap();
        assert_eq!(script.done, ["freeze"], "it may have delivered, and be about to be asked again");
        script.recorded = 3;
        player.play(&mut script).unwrap();
        assert_eq!(script.done, ["freeze", "kill"]);
        assert!(player.check_all_played().unwrap_err().to_string().contains("kill of round 2 was over"));
        player.play(&mut script).unwrap();
        assert_eq!(script.done, ["freeze", "kill", "start"]);
        player.check_all_played().unwrap();
    }

    #[test]
    fn the_same_fault_twice_is_first_the_one_and_then_the_other() {
        let twice = format!("{};{}", step(1, "freeze"), step(1, "freeze"));
        let (mut player, mut script) = (player(&twice), Script { recorded: 9, ..Script::default() });
        (0..4).for_each(|_| player.play(&mut script).unwrap());
        assert_eq!(script.done, ["freeze", "thaw", "freeze", "thaw"]);
    }

    #[test]
    fn a_fault_that_never_began_or_cannot_be_is_an_error() {
        let late = player(&step(2, "freeze"));
        assert!(late.check_all_played().unwrap_err().to_string().contains("freeze of round 2 began"));
        let error = player(&step(0, "cut")).play(&mut Script::default()).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "the fault cut of round 0: nothing stands between device-001 and the broker"
        );
    }
}
