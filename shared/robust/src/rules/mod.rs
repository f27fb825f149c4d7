//! The rules, one in each file.

mod bulyan;
mod caf;
mod centered_clipping;
mod cge;
mod fltrust;
mod foolsgold;
mod geometric_median;
mod krum;
mod mda;
mod meamed;
mod mean;
mod median;
mod median_of_means;
mod multi_krum;
mod sign_majority;
mod smea;
mod trimmed_mean;

pub use bulyan::Bulyan;
pub use caf::Caf;
pub use centered_clipping::CenteredClipping;
pub use cge::Cge;
pub use fltrust::FlTrust;
pub use foolsgold::FoolsGold;
pub use geometric_median::GeometricMedian;
pub use krum::{Distance, Krum};
pub use mda::Mda;
pub use meamed::Meamed;
pub use mean::Mean;
pub use median::Median;
pub use median_of_means::MedianOfMeans;
pub use multi_krum::MultiKrum;
pub use sign_majority::SignMajority;
pub use smea::Smea;
pub use trimmed_mean::TrimmedMean;

use super::{Byzantine, Plan, Round, RuleError};

/// Refuses a round of which half, or more, may be Byzantine.
fn at_most_half(rule: &'static str, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
    let byzantine = byzantine.left();
    if byzantine.saturating_mul(2) < devices {
        return Ok(());
    }
    let (condition, parameter) = ("byzantine < devices / 2", "byzantine");
    Err(RuleError::Condition { rule, condition, parameter, value: byzantine, devices })
}

/// Refuses a setting that is not above 0 and finite.
fn is_positive(rule: &'static str, parameter: &'static str, value: f64) -> Result<(), RuleError> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(RuleError::Setting { rule, parameter, value, condition: "a number above 0" })
}

/// The mean of some of so many updates.
fn mean_of(rows: &[usize], devices: usize) -> Plan {
    let mut weights = vec![0.0; devices];
    rows.iter().for_each(|row| weights[*row] = 1.0);
    Plan::Mean { weights: Some(weights) }
}

/// The model `aggregate` as an update of the round.
fn update_of(round: &Round<'_>, aggregate: &[f32]) -> Vec<f32> {
    let from = |origin: &[f32]| aggregate.iter().zip(origin).map(|(value, origin)| value - origin).collect();
    round.origin().map_or_else(|| aggregate.to_vec(), from)
}
