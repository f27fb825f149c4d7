//! Per-coordinate mean and standard deviation over devices.

/// Mean of each coordinate.
pub(super) fn mean(models: &[&[f32]]) -> Vec<f64> {
    let mut mean = vec![0.0; models.first().map_or(0, |model| model.len())];
    for model in models {
        for (sum, value) in mean.iter_mut().zip(*model) {
            *sum += f64::from(*value);
        }
    }
    for sum in &mut mean {
        *sum /= models.len() as f64;
    }
    mean
}

/// Mean and population standard deviation (divided by n, as in the authors' code) of each coordinate.
pub(super) fn means_and_deviations(models: &[&[f32]]) -> Vec<(f64, f64)> {
    let means = mean(models);
    let mut squares = vec![0.0; means.len()];
    for model in models {
        for ((sum, value), mean) in squares.iter_mut().zip(*model).zip(&means) {
            *sum += (f64::from(*value) - mean).powi(2);
        }
    }
    let n = models.len() as f64;
    means.into_iter().zip(squares).map(|(mean, squares)| (mean, (squares / n).sqrt())).collect()
}

/// The smallest and the largest value of each coordinate; `None` without a model.
pub(super) fn extremes(models: &[&[f32]]) -> Option<(Vec<f32>, Vec<f32>)> {
    let (first, others) = models.split_first()?;
    let (mut least, mut greatest) = (first.to_vec(), first.to_vec());
    for model in others {
        for ((least, greatest), value) in least.iter_mut().zip(&mut greatest).zip(*model) {
            *least = least.min(*value);
            *greatest = greatest.max(*value);
        }
    }
    Some((least, greatest))
}

/// `value` as the nearest finite f32: a crafted value beyond the range would only be refused as non-finite.
pub(super) fn finite(value: f64) -> f32 {
    value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_of_the_population() {
        let models: [&[f32]; 4] = [&[1.0], &[3.0], &[1.0], &[3.0]];
        assert_eq!(means_and_deviations(&models)[0], (2.0, 1.0));
        assert_eq!(mean(&models), [2.0]);
    }

    #[test]
    fn values_beyond_the_range_become_its_end() {
        assert_eq!(finite(1e300), f32::MAX);
        assert_eq!(finite(-1e300), f32::MIN);
    }
}
