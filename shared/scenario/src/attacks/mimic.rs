//! The mimic attack.

use std::collections::BTreeMap;

use candle_core::{DType, Result as Computed, Tensor};
use input::unfit::{Unfit, at_least_one};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statistics::mean;
use super::{Attack, AttackError, Conditions, Needs, View};

/// All compromised devices copy one benign device, whose share of what is learnt then grows at the cost of
/// the others (Karimireddy et al. 2022).
///
/// No copy can be told from an honest update. During the warm-up the attacker looks for the direction z in
/// which the updates of benign devices vary most around their mean over the rounds so far, by one step of
/// power iteration in each round, and adds up the products z·u of each device's updates. It copies the device
/// whose sum is the largest in size so far. After the warm-up nothing changes any more: it copies that
/// device, or in a round without it the one of the next largest sum; where no device of the round was there
/// during the warm-up, the one of the largest product in this round.
///
/// The first step starts from the update that is farthest from the mean. The paper's sums are taken with the
/// last z, which would take all updates of the warm-up to be kept; the authors' code goes by the last round
/// of the warm-up alone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Mimic {
    /// The number of attacked rounds in which the attacker looks for the device.
    pub warm_up: u32,
}

impl Default for Mimic {
    fn default() -> Self {
        Mimic { warm_up: 10 }
    }
}

impl Attack for Mimic {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        at_least_one("attack.warm-up", self.warm_up)
    }

    fn needs(&self) -> Needs {
        Needs::Everyone
    }

    fn craft(&self, view: &View<'_>, state: &mut State) -> Result<Option<Tensor>, AttackError> {
        let benign = Benign::of(view)?;
        let mut memory = Memory::read(state, view)?;
        if memory.rounds < f64::from(self.warm_up) {
            memory.learn(&benign)?;
            memory.write(state)?;
        }
        let copied = memory.choice(&benign)?;
        Ok(Some(view.rows(&vec![copied; view.colluders.len()])?))
    }
}

/// The benign devices of a round.
struct Benign<'a> {
    view: &'a View<'a>,
    origin: Tensor,
}

impl<'a> Benign<'a> {
    fn of(view: &'a View<'a>) -> Computed<Self> {
        Ok(Benign { view, origin: view.origin()? })
    }

    fn update(&self, row: u32) -> Computed<Tensor> {
        self.view.models.narrow(0, row as usize, 1)?.to_dtype(DType::F64)? - &self.origin
    }

    /// Each device and its row, in ascending order.
    fn devices(&self) -> impl Iterator<Item = (u32, u32)> {
        self.view.benign.iter().map(|&row| (self.view.devices[row as usize].0, row))
    }
}

/// What is kept of the warm-up.
struct Memory {
    /// How many rounds it has had.
    rounds: f64,
    /// The mean update over these rounds, `[1, d]`.
    mean: Tensor,
    /// The direction in which updates vary most, `[1, d]`, of length 1, or zero while they do not vary.
    direction: Tensor,
    /// By device: its products with the direction, added up.
    products: BTreeMap<u32, f64>,
}

impl Memory {
    fn read(state: &State, view: &View<'_>) -> Computed<Self> {
        let vector = |name| match state.get(name) {
            Some(kept) => Tensor::new(kept, view.models.device())?.to_dtype(DType::F64)?.unsqueeze(0),
            None => Tensor::zeros((1, view.models.dim(1)?), DType::F64, view.models.device()),
        };
        let numbers = |name| state.get(name).unwrap_or_default().iter().copied();
        let products = numbers("devices").zip(numbers("products"));
        Ok(Memory {
            rounds: numbers("rounds").next().unwrap_or_default().into(),
            mean: vector("mean")?,
            direction: vector("direction")?,
            products: products.map(|(device, product)| (device as u32, product.into())).collect(),
        })
    }

    fn write(&self, state: &mut State) -> Computed<()> {
        let vector = |values: &Tensor| values.to_dtype(DType::F32)?.squeeze(0)?.to_vec1::<f32>();
        state.set("rounds", [self.rounds as f32]);
        state.set("mean", vector(&self.mean)?);
        state.set("direction", vector(&self.direction)?);
        // The id of a device is below 100,000, which 32 bits hold as it is.
        state.set("devices", self.products.keys().map(|device| *device as f32).collect::<Vec<_>>());
        state.set("products", self.products.values().map(|product| *product as f32).collect::<Vec<_>>());
        Ok(())
    }

    /// One round of the warm-up.
    fn learn(&mut self, benign: &Benign<'_>) -> Computed<()> {
        let share = 1.0 / (self.rounds + 1.0);
        let round_mean = (mean(benign.view.models, benign.view.benign)? - &benign.origin)?;
        self.mean = ((&self.mean * (1.0 - share))? + (round_mean * share)?)?;
        let centred = |row: u32| benign.update(row)? - &self.mean;

        if square(&self.direction)? == 0.0 {
            let mut farthest = 0.0;
            for &row in benign.view.benign {
                let centred = centred(row)?;
                let squared = square(&centred)?;
                if squared > farthest {
                    (farthest, self.direction) = (squared, unit(&centred)?);
                }
            }
        }
        let mut step = self.direction.zeros_like()?;
        for &row in benign.view.benign {
            let centred = centred(row)?;
            step = (step + (&centred * product(&centred, &self.direction)?)?)?;
        }
        if square(&step)? > 0.0 {
            let kept = if self.rounds > 0.0 { 1.0 - share } else { 0.0 };
            self.direction = unit(&((&self.direction * kept)? + (unit(&step)? * share)?)?)?;
        }
        for (device, row) in benign.devices() {
            *self.products.entry(device).or_default() += product(&benign.update(row)?, &self.direction)?;
        }
        self.rounds += 1.0;
        Ok(())
    }

    /// The row that is copied; of equals the first.
    fn choice(&self, benign: &Benign<'_>) -> Computed<u32> {
        let mut sums: Vec<(f64, u32)> = benign
            .devices()
            .filter_map(|(device, row)| self.products.get(&device).map(|sum| (*sum, row)))
            .collect();
        if sums.is_empty() {
            let now = |(_, row): (u32, u32)| Ok((product(&benign.update(row)?, &self.direction)?, row));
            sums = benign.devices().map(now).collect::<Computed<_>>()?;
        }
        let mut best = sums[0];
        for sum in &sums[1..] {
            if sum.0.abs() > best.0.abs() {
                best = *sum;
            }
        }
        Ok(best.1)
    }
}

fn square(values: &Tensor) -> Computed<f64> {
    product(values, values)
}

fn product(a: &Tensor, b: &Tensor) -> Computed<f64> {
    (a * b)?.sum_all()?.to_scalar()
}

/// The same direction with length 1.
fn unit(values: &Tensor) -> Computed<Tensor> {
    values * (1.0 / square(values)?.sqrt())
}

#[cfg(test)]
mod tests {
    use proptest::array::uniform3;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::testing::{crafted_with, refused, scenario};
    use super::*;

    const GLOBAL: [f32; 3] = [0.25, -0.5, 1.0];

    /// What the compromised device 4 sends among `devices`, each of which moves by its update.
    fn craft(state: &mut State, warm_up: u32, devices: &[u32], updates: &[[f32; 3]]) -> Vec<f32> {
        let scenario = scenario(&["attack.kind=mimic", &format!("attack.warm-up={warm_up}")]);
        let models: Vec<Vec<f32>> = updates.iter().map(|update| model(*update)).collect();
        let colluder = devices.iter().position(|device| *device == 4).unwrap();
        let sent = crafted_with(state, &scenario, devices, &GLOBAL, &models, &[colluder]).unwrap();
        sent.into_iter().next().unwrap()
    }

    fn model(update: [f32; 3]) -> Vec<f32> {
        update.iter().zip(GLOBAL).map(|(update, global)| global + update).collect()
    }

    const NEAR: [f32; 3] = [0.5, 0.25, 0.0];
    const OWN: [f32; 3] = [9.0, 9.0, 9.0];
    const FAR: [f32; 3] = [8.0, 0.0, 0.25];
    const OPPOSITE: [f32; 3] = [-6.0, 0.25, 0.0];
    const LOW: [f32; 3] = [0.5, 0.0, -0.5];

    /// Device 7 is far out in the first coordinate, device 9 a little less far on the other side.
    const UPDATES: [[f32; 3]; 5] = [NEAR, OWN, FAR, OPPOSITE, LOW];
    const DEVICES: [u32; 5] = [2, 4, 7, 9, 11];

    #[test]
    fn the_device_that_stands_out_most_is_copied_from_the_first_round_on() {
        assert_eq!(craft(&mut State::default(), 10, &DEVICES, &UPDATES), model(UPDATES[2]));
    }

    #[test]
    fn after_the_warm_up_the_device_is_copied_whatever_it_and_others_send() {
        let mut state = State::default();
        for _ in 0..2 {
            craft(&mut state, 2, &DEVICES, &UPDATES);
        }
        let kept = state.clone();
        assert_eq!(craft(&mut state, 2, &DEVICES, &[FAR, OWN, NEAR, LOW, OPPOSITE]), model(NEAR));
        assert_eq!(state, kept);
        // During the warm-up it would count.
        let mut others = State::default();
        craft(&mut others, 3, &DEVICES, &UPDATES);
        assert_eq!(
            craft(&mut others, 3, &DEVICES, &[[80.0, 0.0, 0.0], OWN, NEAR, LOW, OPPOSITE]),
            model([80.0, 0.0, 0.0])
        );
    }

    #[test]
    fn a_device_is_known_by_its_id_wherever_its_row_is() {
        let mut state = State::default();
        craft(&mut state, 1, &DEVICES, &UPDATES);
        assert_eq!(
            craft(&mut state, 1, &[1, 3, 4, 7, 9], &[FAR, OPPOSITE, OWN, LOW, NEAR]),
            model(LOW),
            "device 7"
        );
        assert_eq!(craft(&mut state, 1, &[4, 9, 50], &[OWN, LOW, FAR]), model(LOW), "device 9 in place of 7");
        assert_eq!(
            craft(&mut state, 1, &[4, 50, 60], &[OWN, NEAR, FAR]),
            model(FAR),
            "the largest of strangers"
        );
    }

    #[test]
    fn devices_that_all_send_the_same_are_all_worth_a_copy() {
        let mut state = State::default();
        for _ in 0..2 {
            assert_eq!(craft(&mut state, 2, &[1, 4, 5], &[UPDATES[0]; 3]), model(UPDATES[0]));
        }
        // Once they differ, there is a direction.
        let mut state = State::default();
        craft(&mut state, 2, &[1, 4, 5], &[UPDATES[0]; 3]);
        assert_eq!(
            craft(&mut state, 2, &[1, 4, 5], &[UPDATES[0], UPDATES[1], UPDATES[2]]),
            model(UPDATES[2])
        );
    }

    #[test]
    fn a_warm_up_of_no_round_is_refused() {
        let text = refused(&["attack.kind=mimic", "attack.warm-up=0"]);
        assert!(text.contains("attack.warm-up: must be at least 1"), "{text}");
    }

    /// The definition, value by value: the direction, and each device's sum, after rounds with these updates.
    fn literally(rounds: &[Vec<[f32; 3]>]) -> ([f64; 3], Vec<f64>) {
        let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let scaled = |a: [f64; 3], factor: f64| a.map(|value| value * factor);
        let plus = |a: [f64; 3], b: [f64; 3]| [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
        let unit = |a: [f64; 3]| scaled(a, 1.0 / dot(a, a).sqrt());
        let (mut mu, mut z, mut sums) = ([0.0; 3], None, vec![0.0; rounds[0].len()]);
        for (t, updates) in rounds.iter().enumerate() {
            let t = t as f64;
            let updates: Vec<_> = updates.iter().map(|update| update.map(f64::from)).collect();
            let total = updates.iter().fold([0.0; 3], |total, update| plus(total, *update));
            let round_mean = scaled(total, 1.0 / updates.len() as f64);
            mu = plus(scaled(mu, t / (t + 1.0)), scaled(round_mean, 1.0 / (t + 1.0)));
            let centred: Vec<_> = updates.iter().map(|update| plus(*update, scaled(mu, -1.0))).collect();
            let start = || *centred.iter().max_by(|a, b| dot(**a, **a).total_cmp(&dot(**b, **b))).unwrap();
            let last = z.unwrap_or_else(|| unit(start()));
            let step = centred.iter().fold([0.0; 3], |sum, row| plus(sum, scaled(*row, dot(*row, last))));
            let mixed = plus(scaled(last, t / (t + 1.0)), scaled(unit(step), 1.0 / (t + 1.0)));
            z = Some(unit(mixed));
            for (sum, update) in sums.iter_mut().zip(&updates) {
                *sum += dot(*update, z.unwrap());
            }
        }
        (z.unwrap(), sums)
    }

    proptest! {
        #[test]
        fn direction_and_sums_are_those_of_the_definition(
            rounds in vec(vec(uniform3((-400..400_i16).prop_map(|i| f32::from(i) / 4.0)), 4), 1..6),
        ) {
            let mut state = State::default();
            let mut sent = Vec::new();
            for updates in &rounds {
                let [a, b, c, d] = updates[..] else { unreachable!() };
                sent = craft(&mut state, 10, &DEVICES, &[a, [1e6; 3], b, c, d]);
            }
            let (direction, sums) = literally(&rounds);
            let kept: Vec<f64> = state.get("direction").unwrap().iter().copied().map(f64::from).collect();
            for (kept, expected) in kept.iter().zip(direction) {
                prop_assert!((kept - expected).abs() < 1e-4, "{kept}, not {expected}");
            }
            let sizes = || sums.iter().map(|sum| sum.abs());
            let largest = sizes().fold(0.0, f64::max);
            let second = sizes().filter(|size| *size < largest).fold(0.0, f64::max);
            prop_assume!(largest - second > 0.1);
            let place = sizes().position(|size| size == largest).unwrap();
            prop_assert_eq!(sent, model(rounds.last().unwrap()[place]));
        }
    }
}
