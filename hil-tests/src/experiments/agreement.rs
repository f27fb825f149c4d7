//! How far the results of the same scenario on several benches differ.

use std::path::Path;

use learning::parameters::Parameters;
use record::{RecordError, StoredRun, Summary};
use scenario::catalogue::Catalogue;

use crate::terminal::table::align;

/// How far the test errors of two architectures may lie apart, if nothing else is said: they round differently.
pub const TOLERANCE: f64 = 0.005;

/// What a scenario came to on one bench.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The bench, as in the table.
    pub label: String,
    /// The run in a dozen numbers.
    pub summary: Summary,
    /// The resulting model.
    pub model: Parameters,
}

impl Outcome {
    /// Reads the finished run in `folder`.
    ///
    /// # Errors
    /// If the run is damaged.
    pub fn read(
        label: &str,
        folder: &Path,
        summary: Summary,
        catalogue: &Catalogue,
    ) -> Result<Self, RecordError> {
        let model = StoredRun::open(folder, catalogue)?.model()?.parameters;
        Ok(Outcome { label: label.to_owned(), summary, model })
    }
}

/// How far the test error of one run is from that of another; infinite where one of the two has none.
pub fn distance(one: &Summary, other: &Summary) -> f64 {
    match (one.final_test_error, other.final_test_error) {
        (Some(error), Some(expected)) => (error - expected).abs(),
        _ => f64::INFINITY,
    }
}

/// How far a model lies from another of the same layout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// The largest difference of a parameter.
    pub max: f64,
    /// Root of the mean squared difference.
    pub rms: f64,
    /// Norm of the difference in units of the reference's norm; 0 where there is no difference.
    pub relative: f64,
    /// Number of parameters whose bits differ.
    pub differing: usize,
}

impl Drift {
    /// The drift of `values` from `reference`. Values that are not finite make it so.
    ///
    /// # Panics
    /// If they are not equally many.
    pub fn between(reference: &[f32], values: &[f32]) -> Self {
        assert_eq!(reference.len(), values.len(), "models of one layout");
        let (mut max, mut squares, mut norm, mut differing) = (0f64, 0f64, 0f64, 0);
        for (&expected, &value) in reference.iter().zip(values) {
            norm += f64::from(expected).powi(2);
            if expected.to_bits() != value.to_bits() {
                differing += 1;
                let difference = (f64::from(value) - f64::from(expected)).abs();
                // `f64::max` would skip a NaN.
                if difference.is_nan() || difference > max {
                    max = difference;
                }
                squares += difference.powi(2);
            }
        }
        let relative = if squares == 0.0 { 0.0 } else { (squares / norm).sqrt() };
        Drift { max, rms: (squares / reference.len().max(1) as f64).sqrt(), relative, differing }
    }
}

/// Results of benches that differ by more than they may.
#[derive(Debug, thiserror::Error)]
#[error(
    "the test error on {bench} is {distance:.4} from that on {reference}, which is more than {tolerance}"
)]
pub struct Disagreement {
    bench: String,
    reference: String,
    distance: f64,
    tolerance: f64,
}

/// Checks that all test errors are within `tolerance` of the first result's.
///
/// # Errors
/// [`Disagreement`] names the first that is not.
pub fn check(results: &[Outcome], tolerance: f64) -> Result<(), Disagreement> {
    let Some((reference, others)) = results.split_first() else { return Ok(()) };
    for result in others {
        let distance = distance(&result.summary, &reference.summary);
        if distance > tolerance {
            let (bench, reference) = (result.label.clone(), reference.label.clone());
            return Err(Disagreement { bench, reference, distance, tolerance });
        }
    }
    Ok(())
}

/// A table of `results` beside the first of them.
pub fn table(results: &[Outcome]) -> String {
    let header = ["bench", "test error", "difference", "same bits", "drift: max", "rms", "relative"];
    let mut lines = vec![header.map(ToOwned::to_owned).to_vec()];
    let Some(reference) = results.first() else { return String::new() };
    for (place, result) in results.iter().enumerate() {
        let error = result.summary.final_test_error;
        let error = error.map_or_else(|| "-".to_owned(), |error| format!("{error:.4}"));
        let mut line = vec![result.label.clone(), error];
        if place == 0 {
            line.resize(header.len(), "-".to_owned());
        } else {
            let (expected, values) = (reference.model.values(), result.model.values());
            let drift = Drift::between(expected, values);
            let same = values.len() - drift.differing;
            line.push(format!("{:.4}", distance(&result.summary, &reference.summary)));
            line.push(if drift.differing == 0 {
                "all".to_owned()
            } else {
                format!("{same} of {}", values.len())
            });
            line.extend([drift.max, drift.rms, drift.relative].map(|value| format!("{value:.1e}")));
        }
        lines.push(line);
    }
    align(&lines)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use learning::parameters::Layout;

    use super::*;

    fn outcome(label: &str, final_test_error: Option<f64>, values: &[f32]) -> Outcome {
        let layout = Arc::new(Layout::new([("weight", vec![values.len()])]));
        let summary = Summary { bench: label.to_owned(), final_test_error, ..Summary::default() };
        Outcome { label: label.to_owned(), summary, model: Parameters::new(layout, values.to_vec()).unwrap() }
    }

    #[test]
    fn test_errors_within_the_tolerance_agree_and_others_are_named() {
        let results = |last| {
            [Some(0.1), Some(0.104), last].map(|error| outcome(&format!("bench {error:?}"), error, &[1.0]))
        };
        check(&results(Some(0.096)), 0.005).unwrap();
        let error = check(&results(Some(0.11)), 0.005).unwrap_err().to_string();
        assert!(error.contains("bench Some(0.11)") && error.contains("0.0100"), "{error}");
        assert!(check(&results(None), 1.0).is_err(), "no test error agrees with nothing");
    }

    #[test]
    fn the_table_has_each_bench_beside_the_first() {
        let results =
            [outcome("software", Some(0.1), &[3.0, 4.0]), outcome("emulated", Some(0.102), &[3.0, 4.5])];
        let table = table(&results);
        let cells: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(cells[1], ["software", "0.1000", "-", "-", "-", "-", "-"]);
        assert_eq!(cells[2], ["emulated", "0.1020", "0.0020", "1", "of", "2", "5.0e-1", "3.5e-1", "1.0e-1"]);
    }

    #[test]
    fn equal_models_have_no_drift() {
        let none = Drift { max: 0.0, rms: 0.0, relative: 0.0, differing: 0 };
        assert_eq!(Drift::between(&[0.0, -1.5], &[0.0, -1.5]), none);
        assert_eq!(Drift::between(&[0.0; 3], &[0.0; 3]), none);
    }

    #[test]
    fn drift_is_the_largest_the_mean_and_the_relative_difference() {
        let drift = Drift::between(&[3.0, 4.0, 0.0, 0.0], &[3.0, 4.0, 0.5, 0.0]);
        assert_eq!(drift, Drift { max: 0.5, rms: 0.25, relative: 0.1, differing: 1 });
    }

    #[test]
    fn zeros_of_either_sign_differ_in_their_bits_and_by_nothing() {
        let drift = Drift::between(&[0.0, 1.0], &[-0.0, 1.0]);
        assert_eq!((drift.differing, drift.max, drift.relative), (1, 0.0, 0.0));
    }

    #[test]
    fn what_is_not_finite_is_not_passed_over() {
        for values in [[f32::NAN, 2.0], [2.0, f32::NAN]] {
            let drift = Drift::between(&[1.0, 1.0], &values);
            assert!(drift.max.is_nan() && drift.rms.is_nan() && drift.relative.is_nan(), "{drift:?}");
        }
    }
}
