//! FoolsGold: devices whose updates are alike over the rounds count for less.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_positive;
use crate::{Byzantine, Combination, Geometry, Gram, Plan, Round, Rule, RuleError, State, Updates};

/// A mean in which devices that have sent updates like those of others count for less, for they may be one attacker (FoolsGold;
/// Fung et al. 2018).
///
/// What is compared are the sums of the updates of each device so far, of all coordinates (the paper may choose some). A device
/// that is absent keeps its sum. Nobody counts where all are alike: the model then stays as it is. The number of examples is
/// ignored.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FoolsGold {
    /// How sharply those that are alike are told from others (the paper's kappa).
    pub confidence: f64,
}

impl Default for FoolsGold {
    fn default() -> Self {
        FoolsGold { confidence: 1.0 }
    }
}

/// Devices whose cosine is so near 1 are alike: inner products have no more digits.
const ALIKE: f64 = 1e-6;

impl FoolsGold {
    /// How much each device counts, 0 to 1, by the inner products of what they have sent so far.
    fn trust(&self, gram: &Gram) -> Vec<f64> {
        let devices = gram.size();
        let others = |device: usize| (0..devices).filter(move |other| *other != device);
        let similarity = |a: usize, b: usize| gram.cosine(a, b);
        let most = |device: usize| others(device).map(|other| similarity(device, other)).reduce(f64::max);
        let most: Vec<f64> = (0..devices).map(|device| most(device).unwrap_or(0.0)).collect();
        // Who is less like any other than that other is like someone is pardoned.
        let pardoned = |device: usize, other: usize| {
            let ratio = if most[device] < most[other] { most[device] / most[other] } else { 1.0 };
            similarity(device, other) * ratio
        };
        let unlike = |device: usize| {
            1.0 - others(device).map(|other| pardoned(device, other)).reduce(f64::max).unwrap_or(0.0)
        };
        let unlike: Vec<f64> = (0..devices).map(|device| unlike(device).clamp(0.0, 1.0)).collect();
        let largest = unlike.iter().copied().fold(0.0, f64::max);
        if largest <= ALIKE {
            return vec![0.0; devices];
        }
        let trust = |unlike: f64| (self.confidence * ((unlike / (1.0 - unlike)).ln() + 0.5)).clamp(0.0, 1.0);
        unlike.into_iter().map(|unlike| trust(unlike / largest)).collect()
    }
}

impl Rule for FoolsGold {
    fn check(&self, devices: usize, _: Byzantine) -> Result<(), RuleError> {
        is_positive("foolsgold", "confidence", self.confidence)?;
        if devices == 0 { Err(RuleError::NoUpdates) } else { Ok(()) }
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let sums = sums(round)?;
        let rows: Vec<&[f32]> = sums.iter().map(|(_, sum)| &sum[..]).collect();
        let updates = Updates::new(&rows, None)?;
        let geometry = Geometry::of(&updates);
        let mut weights = self.trust(&Round::new(&geometry, round.byzantine()).gram(&[])?);
        let total: f64 = weights.iter().sum();
        if total > 0.0 {
            weights.iter_mut().for_each(|weight| *weight /= total);
        }
        Ok(Plan::Combination(Combination::of(weights)))
    }

    fn remember(&self, round: &Round<'_>, _: &[f32], state: &mut State) -> Result<(), RuleError> {
        sums(round)?.into_iter().for_each(|(name, sum)| state.set(name, sum));
        Ok(())
    }
}

/// The sum of all updates of each sender, with those of this round, and what it is kept as.
fn sums(round: &Round<'_>) -> Result<Vec<(String, Vec<f32>)>, RuleError> {
    let with_those_before = |(row, mut sum): (usize, Vec<f32>)| {
        let name = format!("sum of {:03}", round.sender(row).unwrap_or(row as u32));
        if let Some(before) = round.state(&name) {
            sum.iter_mut().zip(before).for_each(|(sum, before)| *sum += before);
        }
        (name, sum)
    };
    Ok(round.updates()?.into_iter().enumerate().map(with_those_before).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Executor as _, InContext, Processors};

    /// Aggregates in a round in which these devices send these updates, and keeps what is to be kept.
    fn round(rows: &[&[f32]], devices: &[u32], state: &mut State) -> Vec<f32> {
        let rule = FoolsGold::default();
        let updates = Updates::new(rows, None).unwrap();
        let kept = state.clone();
        let ruled =
            InContext { rule: &rule, context: Context { state: Some(&kept), devices, ..Context::default() } };
        let aggregate = Processors.aggregate(&ruled, &updates, Byzantine::of(1)).unwrap().values;
        ruled.remember(&Round::new(&Geometry::of(&updates), Byzantine::of(1)), &aggregate, state).unwrap();
        aggregate
    }

    #[test]
    fn devices_that_send_the_same_do_not_count() {
        let rows: [&[f32]; 4] = [&[1.0, 0.0], &[0.0, 1.0], &[-3.0, -3.0], &[-3.0, -3.0]];
        assert_eq!(round(&rows, &[0, 1, 2, 3], &mut State::default()), [0.5, 0.5]);
    }

    #[test]
    fn where_all_are_alike_nobody_counts() {
        let rows: [&[f32]; 2] = [&[1.0, 2.0], &[1.0, 2.0]];
        assert_eq!(round(&rows, &[0, 1], &mut State::default()), [0.0, 0.0]);
    }

    #[test]
    fn what_a_device_has_sent_stays_with_it_wherever_it_stands() {
        let mut state = State::default();
        round(&[&[1.0, 0.0], &[0.0, 1.0], &[0.0, 1.0]], &[2, 5, 9], &mut state);
        // Without device 2.
        round(&[&[0.5, 0.0], &[0.0, 0.25], &[1.0, 1.0]], &[5, 9, 11], &mut state);
        assert_eq!(state.get("sum of 005"), Some(&[0.5, 1.0][..]));
        assert_eq!(state.get("sum of 002"), Some(&[1.0, 0.0][..]));
        assert_eq!(state.get("sum of 009"), Some(&[0.0, 1.25][..]));
    }

    /// The authors' arithmetic, in their order, for three devices.
    #[test]
    fn trust_is_that_of_the_paper() {
        let rows = [vec![1.0, 0.2], vec![0.9, 0.3], vec![-0.2, 1.0]];
        let gram = Gram::new(3, |i, j| rows[i].iter().zip(&rows[j]).map(|(a, b): (&f64, &f64)| a * b).sum());
        let cosine = |a: usize, b: usize| gram.cosine(a, b);
        let most = [cosine(0, 1), cosine(0, 1), cosine(2, 1)];
        let mut unlike = [1.0 - cosine(0, 1), 1.0 - cosine(0, 1), 1.0 - cosine(2, 1) * most[2] / most[1]];
        let largest = unlike[2];
        unlike.iter_mut().for_each(|value| *value /= largest);
        let expected = unlike.map(|value: f64| ((value / (1.0 - value)).ln() + 0.5).clamp(0.0, 1.0));
        for (trust, expected) in FoolsGold::default().trust(&gram).into_iter().zip(expected) {
            assert!((trust - expected).abs() < 1e-12, "{trust} {expected}");
        }
    }
}
