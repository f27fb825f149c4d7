//! The Gaussian baseline (paper section 4.1).

use rand_distr::{Distribution, StandardNormal};

use super::statistics::{finite, means_and_deviations};
use super::{Attack, AttackError, Needs, View};

/// Each compromised device sends a draw, coordinate by coordinate, from a normal fitted to the before-attack
/// models of all devices.
#[derive(Clone, Copy, Debug)]
pub struct Gaussian;

impl Attack for Gaussian {
    fn needs(&self) -> Needs {
        Needs::Everyone
    }

    fn craft(&self, view: &View<'_>) -> Result<Vec<Vec<f32>>, AttackError> {
        let fitted = means_and_deviations(&view.everyone());
        let draw = |device| {
            let mut random = view.stream(device);
            let coordinate = |&(mean, deviation): &(f64, f64)| {
                let standard: f64 = StandardNormal.sample(&mut random);
                finite(mean + deviation * standard)
            };
            fitted.iter().map(coordinate).collect()
        };
        Ok(view.before_attack.iter().map(|(device, _)| draw(*device)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::identity::DeviceId;

    #[test]
    fn draws_have_the_mean_and_deviation_of_all_devices() {
        const D: usize = 20_000;
        let (low, high) = (vec![-1.0; D], vec![3.0; D]);
        let view = View {
            seed: 1,
            round: 1,
            global: &vec![0.0; D],
            before_attack: &[(DeviceId(0), &low)],
            benign: &[(DeviceId(1), &high)],
        };
        let crafted = &Gaussian.craft(&view).unwrap()[0];
        let (mean, deviation) = {
            let columns: Vec<&[f32]> = crafted.chunks(1).collect();
            means_and_deviations(&columns)[0]
        };
        assert!((mean - 1.0).abs() < 0.06, "{mean}");
        assert!((deviation - 2.0).abs() < 0.06, "{deviation}");
    }
}
