//! Updates cut to a length, and noise: what several stages do.

use std::collections::BTreeSet;
use std::sync::Arc;

use learning::random::{Purpose, stream};
use rand_distr::{Distribution as _, StandardNormal};
use robust::Combination;

use super::{Gate, Mixture, Passed};

/// Each row times its share, with the same noise.
pub(super) fn scaled(shares: &[f64], noise: Option<&Arc<[f32]>>) -> Passed {
    if noise.is_none() && shares.iter().all(|share| *share == 1.0) {
        return Passed::AllBut(BTreeSet::new());
    }
    Passed::Mixed((0..shares.len()).map(|row| times(row, shares, noise)).collect())
}

/// What rows with these norms are multiplied by, so that none is longer than `limit`.
pub(super) fn shares(norms: &[f64], limit: f64) -> Vec<f64> {
    norms.iter().map(|norm| if *norm > limit { limit / norm } else { 1.0 }).collect()
}

/// Some rows of those with these norms, none of which is longer than `limit` then, with the same noise.
pub(super) fn clipped(kept: &[usize], norms: &[f64], limit: f64, noise: Option<&Arc<[f32]>>) -> Passed {
    let shares = shares(norms, limit);
    Passed::Mixed(kept.iter().map(|row| times(*row, &shares, noise)).collect())
}

/// A row times its share of these, with noise.
fn times(row: usize, shares: &[f64], noise: Option<&Arc<[f32]>>) -> Mixture {
    let mut of = Combination::row(row, shares.len());
    of.weights[row] = shares[row];
    of.others.extend(noise.map(|noise| (noise.clone(), 1.0)));
    Mixture { place: row, of }
}

/// Draws of a normal distribution for the round, one for each coordinate; none where they would all be 0.
pub(super) fn noise(gate: &Gate<'_>, deviation: f64) -> Option<Arc<[f32]>> {
    let mut random = stream(gate.seed, Purpose::Noise, None, gate.round);
    let mut draw = || -> f64 { StandardNormal.sample(&mut random) };
    (deviation > 0.0).then(|| (0..gate.updates.dimension()).map(|_| (deviation * draw()) as f32).collect())
}

/// The middle one of some numbers, at least one, or the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}
