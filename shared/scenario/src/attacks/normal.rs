//! The standard normal distribution.

use std::f64::consts::SQRT_2;

/// The number below which a draw lies with this `probability`, between 0 and 1: Φ⁻¹, to 1e-10 where
/// `probability` lies between 1e-6 and 1 - 1e-6.
///
/// Bisection of Φ, so that it is as precise as Φ is, and the same on every processor.
pub(super) fn quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return middle;
        }
        if distribution(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The probability of a draw below `value` (Φ).
fn distribution(value: f64) -> f64 {
    libm::erfc(-value / SQRT_2) / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (probability, quantile_of_tables) in [
            (0.5, 0.0),
            (0.75, 0.674_489_750_196_082),
            (0.975, 1.959_963_984_540_054),
            (0.999_999, 4.753_424_308_822_899),
            (1e-6, -4.753_424_308_822_899),
        ] {
            let found = quantile(probability);
            assert!((found - quantile_of_tables).abs() < 1e-10, "{probability}: {found}");
        }
    }

    proptest! {
        #[test]
        fn the_quantile_of_the_probability_of_a_value_is_that_value(value in -4.5..4.5_f64) {
            prop_assert!((quantile(distribution(value)) - value).abs() < 1e-10);
        }
    }
}
