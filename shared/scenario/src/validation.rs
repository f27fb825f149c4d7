//! The checks of a scenario.

use input::unfit::{Unfit, at_least_one, require};

use super::{Scenario, Timing};
use crate::attacks::Conditions;
use crate::defense::TooFewUpdates;

impl Scenario {
    /// Checks every value.
    pub(super) fn check(&self) -> Result<(), Unfit> {
        let named = !self.name.is_empty()
            && self.name.len() <= 64
            && self.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        require(named, "name", || format!("`{}` must be 1 to 64 characters of a-z, 0-9 and -", self.name))?;
        at_least_one("rounds", self.rounds)?;

        self.fine_tuning.check()?;
        let spec = self.dataset.spec();
        learning::models::build(&*self.model, &spec.shape, spec.classes)
            .map_err(|error| ("model", error.to_string()))?;
        self.training.check()?;

        let fleet = &self.fleet;
        at_least_one("fleet.devices", fleet.devices)?;
        require(fleet.devices <= MAX_DEVICES, "fleet.devices", || {
            format!("{} is more than the {MAX_DEVICES} that one run may have", fleet.devices)
        })?;
        require(fleet.compromised < fleet.devices, "fleet.compromised", || {
            format!("{} of {} devices compromised leaves no benign one", fleet.compromised, fleet.devices)
        })?;
        fleet.partition.iter().try_for_each(|partition| partition.check())?;
        require((1..=fleet.devices).contains(&self.selected()), "fleet.selected", || {
            format!("{} must lie between 1 and fleet.devices = {}", self.selected(), fleet.devices)
        })?;

        self.dataset.check()?;
        if self.dataset.on_devices().is_some() {
            self.check_on_devices()?;
        } else {
            self.data.check(&self.dataset, fleet.devices, self.aggregation.rule.root_examples())?;
        }

        require(self.byzantine() <= fleet.devices, "aggregation.byzantine", || {
            format!("{} is more than fleet.devices = {}", self.byzantine(), fleet.devices)
        })?;

        self.optimizer.iter().try_for_each(|optimizer| optimizer.check())?;
        self.defense.iter().try_for_each(|stage| stage.check())?;
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
        require((0.0..=1.0).contains(&self.attack.round_fraction), "attack.round-fraction", || {
            format!("{} must lie between 0 and 1", self.attack.round_fraction)
        })?;
        let conditions = Conditions {
            shape: &spec.shape,
            classes: spec.classes,
            devices: fleet.devices,
            compromised: fleet.compromised,
            selected: self.selected(),
            byzantine: self.byzantine(),
        };
        self.attack.kind.iter().try_for_each(|attack| attack.check(&conditions))?;
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
}

/// A deadline travels in milliseconds, as 32 bits.
const LONGEST_WAIT: u32 = 30 * 24 * 60 * 60;

/// More would not fit the selection of one announcement.
const MAX_DEVICES: u32 = 100_000;
