//! The same way in every round (PoisonedFL).

use candle_core::{DType, Tensor};
use input::unfit::{Unfit, at_least_one, fits_f32, require};
use learning::random::Stream;
use rand::Rng;
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::binomial::quantile_of_half;
use super::statistics::{finite, mean};
use super::{Attack, AttackError, Conditions, Needs, View};

/// All compromised devices push the global model the same way in every round, and know nothing of what others send
/// (PoisonedFL; Xie et al. 2025).
///
/// A sign for each coordinate, s, is drawn once for the run. Let h be what the global model has changed since the round that
/// was attacked last, and a what was sent then. The magnitudes are v = |h - a ‖h‖/‖a‖|, the part of the change that others
/// made, and all send the update c ‖h‖ (v∘s)/‖v‖. Every `interval` rounds it is tested whether that has an effect: if fewer
/// coordinates of the change over these rounds have the sign s than the 99% quantile of the binomial distribution (d, 1/2), c
/// is multiplied by `decay`, but does not fall below `least`.
///
/// In the first round, of which no change is known, they send what they trained, whose mean is a. Where the last change was that of the
/// attack alone, and v would be 0, it is |h|.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PoisonedFl {
    /// How many times as long as the last global change an update is at first (the paper's c at round 0).
    pub scale: f64,
    /// The number of rounds from one test to the next.
    pub interval: u32,
    /// What c is multiplied by if the attack has no effect, above 0 and at most 1.
    pub decay: f64,
    /// What c does not fall below.
    pub least: f64,
}

impl Default for PoisonedFl {
    fn default() -> Self {
        PoisonedFl { scale: 8.0, interval: 50, decay: 0.7, least: 0.5 }
    }
}

/// The probability that the change of a model that nobody pushes passes the test.
const SIGNIFICANCE: f64 = 0.99;

/// The sign of each coordinate.
const SIGNS: &str = "signs";
/// The global model of the last round that was attacked, and what was sent then.
const GLOBAL: &str = "global";
const SENT: &str = "sent";
/// The global model at the last test, and its round.
const TESTED: &str = "tested";
const TESTED_IN: &str = "tested in";
/// How often c was multiplied by the decay.
const DECAYS: &str = "decays";

impl Attack for PoisonedFl {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        require(fits_f32(self.least) && self.least > 0.0, "attack.least", || {
            format!("{} must be a number above 0 that a 32-bit float holds", self.least)
        })?;
        require(fits_f32(self.scale) && self.scale >= self.least, "attack.scale", || {
            format!(
                "{} must be a number of at least attack.least = {} that a 32-bit float holds",
                self.scale, self.least
            )
        })?;
        require(self.decay > 0.0 && self.decay <= 1.0, "attack.decay", || {
            format!("{} must lie above 0 and be at most 1", self.decay)
        })?;
        at_least_one("attack.interval", self.interval)
    }

    fn needs(&self) -> Needs {
        Needs::Colluders
    }

    /// Signs, of which those of the first device in the first round count.
    fn draw(&self, rank: usize, random: &mut Stream, values: &mut [f64]) {
        if rank == 0 {
            values.fill_with(|| if random.random() { 1.0 } else { -1.0 });
        }
    }

    fn craft(&self, view: &View<'_>, state: &mut State) -> Result<Option<Tensor>, AttackError> {
        let global = view.global_values;
        if state.get(SIGNS).is_none() {
            let signs = view.draws()?.get(0)?.to_vec1::<f64>()?;
            state.set(SIGNS, signs.into_iter().map(|sign| sign as f32).collect::<Vec<f32>>());
            state.set(TESTED, global);
            state.set(TESTED_IN, [view.round as f32]);
            state.set(DECAYS, [0.0]);
            state.set(GLOBAL, global);
            let trained = mean(view.models, view.colluders)?;
            state.set(SENT, trained.to_dtype(DType::F32)?.squeeze(0)?.to_vec1::<f32>()?);
            return Ok(None);
        }
        self.test(view.round, global, state);
        let update = self.update(global, state);
        let sent: Vec<f64> =
            global.iter().zip(update).map(|(global, step)| f64::from(*global) + step).collect();
        let sent = finite(&Tensor::from_vec(sent, (1, global.len()), view.models.device())?)?;
        state.set(GLOBAL, global);
        state.set(SENT, sent.squeeze(0)?.to_vec1::<f32>()?);
        Ok(Some(sent.repeat((view.colluders.len(), 1))?))
    }
}

impl PoisonedFl {
    /// Tests whether the attack had an effect, if it is time to.
    fn test(&self, round: u32, global: &[f32], state: &mut State) {
        let number = |name| state.get(name).and_then(|kept| kept.first()).copied().unwrap_or_default();
        let (tested_in, decays) = (number(TESTED_IN), number(DECAYS));
        if (round as f32) < tested_in + self.interval as f32 {
            return;
        }
        let (Some(tested), Some(signs)) = (state.get(TESTED), state.get(SIGNS)) else { return };
        let goes_along = |(now, (before, sign)): &(&f32, (&f32, &f32))| (**now - **before) * **sign > 0.0;
        let along = global.iter().zip(tested.iter().zip(signs)).filter(goes_along).count() as u64;
        let has_effect = along >= quantile_of_half(global.len() as u64, SIGNIFICANCE);
        state.set(DECAYS, [if has_effect { decays } else { decays + 1.0 }]);
        state.set(TESTED, global);
        state.set(TESTED_IN, [round as f32]);
    }

    /// The paper's c.
    fn scale_now(&self, state: &State) -> f64 {
        let decays = state.get(DECAYS).map_or(0.0, |kept| kept[0]) as usize;
        (0..decays).fold(self.scale, |scale, _| (scale * self.decay).max(self.least))
    }

    /// What is sent less the global model.
    fn update(&self, global: &[f32], state: &State) -> Vec<f64> {
        let (Some(last), Some(sent), Some(signs)) = (state.get(GLOBAL), state.get(SENT), state.get(SIGNS))
        else {
            return vec![0.0; global.len()];
        };
        let less = |now: &[f32], before: &[f32]| -> Vec<f64> {
            now.iter().zip(before).map(|(now, before)| f64::from(*now) - f64::from(*before)).collect()
        };
        let (change, attack) = (less(global, last), less(sent, last));
        let (length, attack_length) = (norm(&change), norm(&attack));
        let ratio = if attack_length > 0.0 { length / attack_length } else { 0.0 };
        let pairs = change.iter().zip(&attack);
        let mut magnitudes: Vec<f64> =
            pairs.map(|(change, attack)| (change - attack * ratio).abs()).collect();
        if norm(&magnitudes) == 0.0 {
            magnitudes = change.iter().map(|change| change.abs()).collect();
        }
        let total = norm(&magnitudes);
        let factor = if total > 0.0 { self.scale_now(state) * length / total } else { 0.0 };
        magnitudes.iter().zip(signs).map(|(magnitude, sign)| factor * magnitude * f64::from(*sign)).collect()
    }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rounds, conditions, scenario};
    use super::*;

    const D: usize = 40;

    fn rounds(settings: &[&str]) -> Rounds {
        Rounds::of(scenario(&[&["attack.kind=poisoned-fl"], settings].concat()))
    }

    /// A global model that goes nowhere in particular.
    fn wandering(round: usize) -> Vec<f32> {
        (0..D).map(|at| ((at * 7 + round * round * 13 + at * round * 5) % 29) as f32 / 29.0).collect()
    }

    fn craft(rounds: &mut Rounds, global: &[f32]) -> Vec<f32> {
        let honest = vec![vec![9.0; global.len()]; 3];
        let sent = rounds.craft(global, &honest, &[0, 2]).unwrap_or_else(|| honest[..2].into());
        assert_eq!(sent[0], sent[1], "all send alike");
        sent[0].clone()
    }

    #[test]
    fn what_is_sent_is_the_definition() {
        let mut rounds = rounds(&[]);
        let mut before: Option<(Vec<f32>, Vec<f32>)> = None;
        for round in 1..6 {
            let global = wandering(round);
            let sent = craft(&mut rounds, &global);
            let signs = rounds.state.get(SIGNS).unwrap().to_vec();
            assert!(signs.iter().all(|sign| sign.abs() == 1.0));
            let Some((last, sent_last)) = before.replace((global.clone(), sent.clone())) else {
                assert_eq!(sent, [9.0; D], "what is trained");
                continue;
            };
            let h: Vec<f64> = (0..D).map(|at| f64::from(global[at]) - f64::from(last[at])).collect();
            let a: Vec<f64> = (0..D).map(|at| f64::from(sent_last[at]) - f64::from(last[at])).collect();
            let square = |values: &[f64]| values.iter().map(|value| value.powi(2)).sum::<f64>();
            let ratio = if square(&a) == 0.0 { 0.0 } else { (square(&h) / square(&a)).sqrt() };
            let v: Vec<f64> = (0..D).map(|at| (h[at] - a[at] * ratio).abs()).collect();
            let unit = (square(&h) / square(&v)).sqrt();
            for at in 0..D {
                let expected = f64::from(global[at]) + 8.0 * unit * v[at] * f64::from(signs[at]);
                assert!((f64::from(sent[at]) - expected).abs() < 1e-5, "{} {expected}", sent[at]);
            }
        }
    }

    #[test]
    fn signs_are_drawn_once_for_the_run() {
        let mut one = rounds(&[]);
        craft(&mut one, &wandering(1));
        let signs = one.state.get(SIGNS).unwrap().to_vec();
        let above = signs.iter().filter(|sign| **sign > 0.0).count();
        assert!((8..=32).contains(&above), "{above}");
        craft(&mut one, &wandering(2));
        assert_eq!(one.state.get(SIGNS).unwrap(), signs);
        let mut other = rounds(&["seed=2"]);
        craft(&mut other, &wandering(1));
        assert_ne!(other.state.get(SIGNS).unwrap(), signs);
    }

    /// What c is after one interval over which `along` coordinates have gone along with the signs.
    fn scale_after(along: usize) -> f64 {
        let mut rounds = rounds(&["attack.interval=3"]);
        let start = vec![0.0; D];
        for _ in 0..3 {
            craft(&mut rounds, &start);
            assert_eq!(rounds.state.get(DECAYS).unwrap(), [0.0], "not tested before its time");
        }
        let signs = rounds.state.get(SIGNS).unwrap().to_vec();
        // The others go the other way, but for the last, which stays.
        let step = |(at, sign): (usize, &f32)| match at {
            _ if at < along => *sign,
            _ if at == D - 1 => 0.0,
            _ => -*sign,
        };
        let global: Vec<f32> = signs.iter().enumerate().map(step).collect();
        craft(&mut rounds, &global);
        PoisonedFl::default().scale_now(&rounds.state)
    }

    #[test]
    fn without_an_effect_the_scale_falls_and_at_the_quantile_there_is_one() {
        // P(X <= 26) = 0.9808 and P(X <= 27) = 0.9917, of 40.
        assert_eq!(quantile_of_half(D as u64, SIGNIFICANCE), 27);
        assert_eq!([26, 27].map(scale_after), [8.0 * 0.7, 8.0]);
    }

    #[test]
    fn the_scale_does_not_fall_below_the_least() {
        let mut rounds = rounds(&["attack.interval=1"]);
        let start = vec![0.0; D];
        let mut expected = 8.0_f64;
        for round in 1..15 {
            craft(&mut rounds, &start);
            if round > 1 {
                expected = (expected * 0.7).max(0.5);
            }
            assert_eq!(PoisonedFl::default().scale_now(&rounds.state), expected);
        }
        assert_eq!(expected, 0.5);
    }

    #[test]
    fn a_change_that_is_nothing_but_the_attack_goes_on_with_its_magnitudes() {
        let mut rounds = rounds(&[]);
        let first = vec![0.0; 4];
        craft(&mut rounds, &first);
        let second = vec![1.0, 2.0, 3.0, 4.0];
        let sent = craft(&mut rounds, &second);
        // The global model goes just as far as was sent.
        let again = craft(&mut rounds, &sent);
        let steps = |from: &[f32], to: &[f32]| -> Vec<f32> {
            from.iter().zip(to).map(|(from, to)| ((to - from) / 8.0).abs()).collect()
        };
        for (step, sent) in steps(&sent, &again).iter().zip(steps(&second, &sent)) {
            assert!((step - 8.0 * sent).abs() < 1e-3 * step, "{step} {sent}");
        }
        // It stands still, and so does the attack.
        assert_eq!(craft(&mut rounds, &sent), sent);
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let check = |settings: PoisonedFl| settings.check(&conditions(&[28, 28])).map_err(|(key, _)| key);
        let usual = PoisonedFl::default;
        assert_eq!(check(usual()), Ok(()));
        assert_eq!(check(PoisonedFl { scale: 0.5, ..usual() }), Ok(()));
        assert_eq!(check(PoisonedFl { scale: 0.49, ..usual() }), Err("attack.scale"));
        assert_eq!(check(PoisonedFl { scale: 1e39, ..usual() }), Err("attack.scale"));
        assert_eq!(check(PoisonedFl { least: 0.0, ..usual() }), Err("attack.least"));
        assert_eq!(check(PoisonedFl { decay: 0.0, ..usual() }), Err("attack.decay"));
        assert_eq!(check(PoisonedFl { decay: 1.01, ..usual() }), Err("attack.decay"));
        assert_eq!(check(PoisonedFl { interval: 0, ..usual() }), Err("attack.interval"));
    }
}
