//! Update matrices that are hard to aggregate.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Kinds of values.
pub(crate) const KINDS: [&str; 5] = ["normal", "ties", "zeros", "huge", "any"];

/// A matrix of `devices` x `dimension` values of one kind, the same each time.
pub(crate) fn matrix(kind: &str, devices: usize, dimension: usize) -> Vec<Vec<f32>> {
    let mut random = StdRng::seed_from_u64((devices * 1_000_003 + dimension) as u64);
    let mut value = || -> f32 {
        match kind {
            "normal" => random.random_range(-1.0..1.0_f32) + random.random_range(-1.0..1.0_f32),
            "ties" => f32::from(random.random_range(-2..=2_i8)) / 8.0,
            // Zeros of both signs, and what is next to them.
            "zeros" => [0.0, -0.0, f32::from_bits(1), -f32::from_bits(1)][random.random_range(0..4)],
            "huge" => [f32::MAX, -f32::MAX, 1e30, -3e38, 1.0, -0.0][random.random_range(0..6)],
            _ => loop {
                let value = f32::from_bits(random.random());
                if value.is_finite() {
                    break value;
                }
            },
        }
    };
    (0..devices).map(|_| (0..dimension).map(|_| value()).collect()).collect()
}

/// Updates as those of a fleet under attack: most near each other and far from the origin, some hardly apart, some equal,
/// and a few far away.
pub(crate) fn attacked(devices: usize, dimension: usize) -> Vec<Vec<f32>> {
    let mut random = StdRng::seed_from_u64(devices as u64);
    let center: Vec<f32> = (0..dimension).map(|_| random.random_range(-60.0..60.0)).collect();
    let mut rows: Vec<Vec<f32>> = (0..devices)
        .map(|device| {
            let apart = [1.0, 1e-3, 1e-5, 40.0][device % 4];
            center.iter().map(|value| value + apart * random.random_range(-1.0..1.0_f32)).collect()
        })
        .collect();
    for device in (5..devices).step_by(7) {
        let (before, after) = rows.split_at_mut(device);
        after[0].copy_from_slice(&before[device - 3]);
    }
    for device in (0..devices).step_by(6) {
        rows[device].fill([-1e6, 1e25, f32::MAX][device / 6 % 3]);
    }
    rows
}
