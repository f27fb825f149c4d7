//! Quantiles of a binomial distribution of probability 1/2.

/// The least k for which P(X <= k) is at least `probability`, below 1, where X is the number of heads among `n` tosses of a
/// fair coin.
///
/// It sums the distribution itself, whatever n is. The weights C(n, k), as multiples of the largest, follow from each other,
/// outwards from the middle to where they no longer count, twelve standard deviations away. Each step rounds twice, so that
/// P(X <= k) is right to about 1e-13 for n up to a thousand, 1e-12 for n of a million and 1e-10 for n of four thousand
/// million. The result is off by one only if P(X <= k) is as near to `probability` as that.
pub(super) fn quantile_of_half(n: u64, probability: f64) -> u64 {
    let middle = n / 2;
    let counts = |weight: &f64| *weight > f64::EPSILON * f64::EPSILON;
    let outwards = |ratio: &dyn Fn(u64) -> f64| {
        let next = |(weight, step): &(f64, u64)| Some((weight * ratio(*step), step + 1));
        let weights = std::iter::successors(Some((1.0, 0)), next).map(|(weight, _)| weight);
        weights.take_while(counts).skip(1).collect::<Vec<f64>>()
    };
    let below = outwards(&|step| middle.saturating_sub(step) as f64 / (n - middle + step + 1) as f64);
    let above = outwards(&|step| (n - middle).saturating_sub(step) as f64 / (middle + step + 1) as f64);
    let weights = below.iter().rev().chain([&1.0]).chain(&above);
    let total: f64 = weights.clone().sum();
    let mut sum = 0.0;
    let reaches = |weight: &f64| {
        sum += weight;
        sum >= probability * total
    };
    let place = weights.copied().collect::<Vec<_>>().iter().position(reaches);
    middle - below.len() as u64 + place.unwrap_or(below.len() + above.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ones_are_those_of_exact_integers() {
        for n in 1..=120_u64 {
            // Σ C(n, i) for i up to k is at least 99% of 2^n.
            let (mut choose, mut sum, mut k) = (1_u128, 1_u128, 0);
            while sum * 100 < (1_u128 << n) * 99 {
                choose = choose * u128::from(n - k) / u128::from(k + 1);
                sum += choose;
                k += 1;
            }
            assert_eq!(quantile_of_half(n, 0.99), k, "of {n}");
        }
    }

    #[test]
    fn large_ones_lie_where_the_normal_distribution_has_them() {
        for n in [1_000, 7_850, 266_060, 10_000_001, 4_000_000_000] {
            let normal = n as f64 / 2.0 + 2.326_347_874_040_841 * (n as f64).sqrt() / 2.0;
            let quantile = quantile_of_half(n, 0.99) as f64;
            assert!((quantile - normal).abs() < 1.5, "{quantile} {normal}");
        }
    }

    #[test]
    fn probabilities_at_a_boundary_fall_to_the_lower_side() {
        // Of two tosses: 1/4, 3/4, 1.
        assert_eq!([0.2, 0.25, 0.5, 0.75, 0.76].map(|p| quantile_of_half(2, p)), [0, 0, 1, 1, 2]);
        assert_eq!(quantile_of_half(1, 0.99), 1);
    }
}
