//! What must hold for a scenario to make sense.

use super::{AttackKind, Goal, Knowledge, Scenario, Timing, TooFewUpdates};
use crate::rules::{Krum, Rule};
use crate::toml_file::FileError;

impl Scenario {
    /// Checks every value; `file` is what errors call the scenario.
    pub(super) fn validate(&self, file: &str) -> Result<(), FileError> {
        self.check().map_err(|(key, message)| FileError::invalid(file, key, message))
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let named = !self.name.is_empty()
            && self.name.len() <= 64
            && self.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        require(named, "name", || format!("`{}` must be 1 to 64 characters of a-z, 0-9 and -", self.name))?;
        at_least_one("rounds", self.rounds)?;

        let training = &self.training;
        positive("training.learning-rate", training.learning_rate)?;
        at_least_one("training.batch-size", training.batch_size)?;

        let fleet = &self.fleet;
        at_least_one("fleet.devices", fleet.devices)?;
        require(fleet.devices <= MAX_DEVICES, "fleet.devices", || {
            format!("{} is more than the {MAX_DEVICES} that one run may have", fleet.devices)
        })?;
        require(fleet.compromised < fleet.devices, "fleet.compromised", || {
            format!("{} of {} devices compromised leaves no benign one", fleet.compromised, fleet.devices)
        })?;
        require((0.0..=1.0).contains(&fleet.non_iid), "fleet.non-iid", || {
            format!("{} must lie between 0 and 1", fleet.non_iid)
        })?;
        require((1..=fleet.devices).contains(&self.selected()), "fleet.selected", || {
            format!("{} must lie between 1 and fleet.devices = {}", self.selected(), fleet.devices)
        })?;

        self.data.check(self.dataset, fleet.devices)?;

        require(self.byzantine() <= fleet.devices, "aggregation.byzantine", || {
            format!("{} is more than fleet.devices = {}", self.byzantine(), fleet.devices)
        })?;

        at_least_one("defense.validation-examples", self.defense.validation_examples)?;
        self.check_updates(self.selected() as usize).map_err(|reason| match &reason {
            TooFewUpdates::Rule(_) | TooFewUpdates::Quorum { .. } => ("aggregation.rule", reason.to_string()),
            TooFewUpdates::Defense { .. } => ("defense.remove", reason.to_string()),
        })?;
        let (quorum, selected) = (self.aggregation.round_quorum, self.selected());
        require(
            quorum.is_none_or(|quorum| (1..=selected).contains(&quorum)),
            "aggregation.round-quorum",
            || format!("{} must lie between 1 and fleet.selected = {selected}", quorum.unwrap_or_default()),
        )?;
        let images = self.dataset.spec().shape.len() > 1;
        require(images || self.attack.kind != AttackKind::BackGradient, "attack.kind", || {
            format!(
                "back-gradient poisons pixels, and {} has none; choose a data set of images",
                self.dataset
            )
        })?;
        self.check_attack()?;
        at_least_one("evaluation.every", self.evaluation.every)?;
        at_least_one("timing.gather-seconds", self.timing.gather_seconds)?;
        at_least_one("timing.round-seconds", self.timing.round_seconds)?;
        let Timing { gather_seconds, round_seconds } = self.timing;
        for (key, seconds) in
            [("timing.gather-seconds", gather_seconds), ("timing.round-seconds", round_seconds)]
        {
            require(seconds <= LONGEST_WAIT, key, || {
                format!("{seconds} is more than the {LONGEST_WAIT} seconds, 30 days, that may be waited")
            })?;
        }
        Ok(())
    }

    fn check_attack(&self) -> Result<(), (&'static str, String)> {
        let attack = &self.attack;
        require(fits_f32(attack.spread) && attack.spread >= 1.0, "attack.spread", || {
            format!("{} must be a number of at least 1 that a 32-bit float holds", attack.spread)
        })?;
        require(fits_f32(attack.epsilon) && attack.epsilon >= 0.0, "attack.epsilon", || {
            format!("{} must be a distance of at least 0 that a 32-bit float holds", attack.epsilon)
        })?;
        positive("attack.threshold", attack.threshold)?;
        require((0.0..=1.0).contains(&attack.round_fraction), "attack.round-fraction", || {
            format!("{} must lie between 0 and 1", attack.round_fraction)
        })?;
        match (attack.kind, attack.knowledge) {
            (AttackKind::TrimmedMean, Knowledge::Partial) => {
                require(attack.goal == Goal::Directed, "attack.goal", || {
                    "undirected takes attack.knowledge = full: to the colluders alone, up and down look the same"
                        .to_owned()
                })
            }
            (AttackKind::Krum, Knowledge::Partial) => {
                require(self.fleet.compromised >= FEWEST_COLLUDERS, "fleet.compromised", || {
                    format!(
                        "{} is less than the {FEWEST_COLLUDERS} devices that the krum attack takes under partial \
                         knowledge",
                        self.fleet.compromised
                    )
                })
            }
            (AttackKind::Krum, Knowledge::Full) => {
                at_least_one("fleet.compromised", self.fleet.compromised)?;
                // It tries its models out on a Krum of its own, whatever the rule is.
                let krum = Krum { byzantine: self.byzantine() as usize };
                krum.check(self.selected() as usize).map_err(|e| ("attack.kind", e.to_string()))
            }
            _ => Ok(()),
        }
    }
}

/// What the Krum attack under partial knowledge takes: with two, no neighbour is left for Krum to count.
const FEWEST_COLLUDERS: u32 = 3;

/// A deadline travels in milliseconds, as 32 bits.
const LONGEST_WAIT: u32 = 30 * 24 * 60 * 60;

/// More would not fit the selection of one announcement.
const MAX_DEVICES: u32 = 100_000;

pub(super) fn require(
    holds: bool,
    key: &'static str,
    message: impl FnOnce() -> String,
) -> Result<(), (&'static str, String)> {
    if holds { Ok(()) } else { Err((key, message())) }
}

fn at_least_one(key: &'static str, value: u32) -> Result<(), (&'static str, String)> {
    require(value >= 1, key, || "must be at least 1".to_owned())
}

fn positive(key: &'static str, value: f64) -> Result<(), (&'static str, String)> {
    // What is computed with is the value as a 32-bit float, where a tiny one is 0.
    require(fits_f32(value) && value as f32 > 0.0, key, || {
        format!("{value} must be a positive number that a 32-bit float holds")
    })
}

fn fits_f32(value: f64) -> bool {
    (value as f32).is_finite()
}
