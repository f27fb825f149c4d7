//! What partitions do with examples: shuffle, sort and cut them.
//!
//! What is drawn comes from bits of the stream by arithmetic that is exact or that of the crate `libm`, so that all boards draw
//! the same: the logarithms of the standard library are those of the platform.

use std::array::from_fn;

use rand::Rng as _;
use rand::seq::SliceRandom as _;

use super::leave_none_empty;
use crate::random::Stream;

/// The examples in random order.
pub(super) fn shuffled(mut examples: Vec<u32>, random: &mut Stream) -> Vec<u32> {
    examples.shuffle(random);
    examples
}

/// The examples in the order of their labels, those of one label in their own.
pub(super) fn by_label(mut examples: Vec<u32>, labels: &[u16]) -> Vec<u32> {
    examples.sort_unstable_by_key(|&example| (labels[example as usize], example));
    examples
}

/// `count` contiguous pieces, whose lengths differ by at most one.
pub(super) fn cut_evenly(examples: &[u32], count: usize) -> impl Iterator<Item = &[u32]> {
    let place = move |piece: usize| (examples.len() as u64 * piece as u64 / count as u64) as usize;
    (0..count).map(move |piece| &examples[place(piece)..place(piece + 1)])
}

/// Adds to each of `parts` a contiguous piece of the examples; the shares of the pieces come from a symmetric Dirichlet
/// distribution.
pub(super) fn cut_by_dirichlet(examples: &[u32], alpha: f64, parts: &mut [Vec<u32>], random: &mut Stream) {
    let drawn: Vec<f64> = parts.iter().map(|_| log_gamma_variate(alpha, random)).collect();
    // A Dirichlet variate is Gamma variates over their sum; their logarithms do not underflow.
    let largest = drawn.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = drawn.iter().map(|log| libm::exp(log - largest)).collect();
    let all: f64 = weights.iter().sum();
    let (mut sum, mut from) = (0.0, 0);
    for (part, weight) in parts.iter_mut().zip(weights) {
        sum += weight;
        let to = (examples.len() as f64 * (sum / all)).round() as usize;
        part.extend(&examples[from..to]);
        from = to;
    }
}

/// The logarithm of a variate of the Gamma distribution with this shape (Marsaglia and Tsang 2000, sections 2 and 6).
fn log_gamma_variate(shape: f64, random: &mut Stream) -> f64 {
    if shape < 1.0 {
        let uniform = 1.0 - random.random::<f64>();
        return log_gamma_variate(shape + 1.0, random) + libm::log(uniform) / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let normal = normal_variate(random);
        let root = 1.0 + c * normal;
        if root <= 0.0 {
            continue;
        }
        let (cube, uniform) = (root * root * root, 1.0 - random.random::<f64>());
        if libm::log(uniform) < 0.5 * normal * normal + d * (1.0 - cube + libm::log(cube)) {
            return libm::log(d * cube);
        }
    }
}

/// A variate of the standard normal distribution, by Marsaglia's polar method.
fn normal_variate(random: &mut Stream) -> f64 {
    loop {
        let [x, y]: [f64; 2] = from_fn(|_| 2.0 * random.random::<f64>() - 1.0);
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * libm::log(square) / square).sqrt();
        }
    }
}

/// The parts as a [`Partition`](super::Partition) returns them: in ascending order, none of them empty if that can be.
pub(super) fn finished(mut parts: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    parts.iter_mut().for_each(|part| part.sort_unstable());
    leave_none_empty(&mut parts);
    parts
}

#[cfg(test)]
pub(super) mod testing {
    use crate::data::{Dataset, Features, Partition};
    use crate::random::{Purpose, stream};

    pub(in super::super) fn deal(partition: &dyn Partition, labels: &[u16], devices: usize) -> Vec<Vec<u32>> {
        let features = Features::Bytes(vec![0; labels.len()]);
        let train = Dataset::new(vec![1], 10, features, labels.to_vec()).unwrap();
        partition.deal(&train, devices, &mut stream(7, Purpose::Partition, None, 0))
    }

    /// That each of `examples` is in one part, in ascending order, and that no part is empty.
    pub(in super::super) fn assert_all_dealt(parts: &[Vec<u32>], examples: usize) {
        assert!(parts.iter().all(|part| !part.is_empty() && part.is_sorted()));
        let mut all: Vec<u32> = parts.concat();
        all.sort_unstable();
        assert_eq!(all, (0..examples as u32).collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use wire::identity::Digest;

    use super::super::{Dirichlet, LabelShards, Partition, Quantity, Similarity};
    use super::testing::deal;
    use super::*;
    use crate::random::{Purpose, stream};

    #[test]
    fn variates_have_the_mean_and_the_variance_of_their_distribution() {
        let random = &mut stream(3, Purpose::Partition, None, 0);
        for shape in [0.3, 1.0, 4.5] {
            let drawn: Vec<f64> = (0..20_000).map(|_| log_gamma_variate(shape, random).exp()).collect();
            let mean = drawn.iter().sum::<f64>() / 20_000.0;
            let variance = drawn.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 20_000.0;
            assert!((mean - shape).abs() < 0.04 * shape.max(1.0), "{mean} for {shape}");
            assert!((variance - shape).abs() < 0.12 * shape.max(1.0), "{variance} for {shape}");
        }
    }

    #[test]
    fn pieces_are_of_even_length_and_lose_nothing() {
        let pieces: Vec<&[u32]> = cut_evenly(&[1, 2, 3, 4, 5, 6, 7], 3).collect();
        assert_eq!(pieces, [&[1, 2][..], &[3, 4], &[5, 6, 7]]);
        assert_eq!(cut_evenly(&[1], 3).collect::<Vec<_>>().concat(), [1]);
    }

    /// What is dealt decides every result: it may not change with a library, and not from one processor to another.
    #[test]
    fn what_a_seed_deals_is_pinned() {
        let labels: Vec<u16> = (0..5_000).map(|index| (index * index % 10) as u16).collect();
        let partitions: [&dyn Partition; 4] = [
            &Dirichlet::default(),
            &LabelShards::default(),
            &Similarity::default(),
            &Quantity { alpha: 1.5 },
        ];
        let digests = partitions.map(|partition| {
            let parts = deal(partition, &labels, 13);
            let bytes: Vec<u8> = parts
                .iter()
                .flat_map(|part| [part.len() as u32].into_iter().chain(part.iter().copied()))
                .flat_map(u32::to_le_bytes)
                .collect();
            Digest::of(&bytes).to_string()
        });
        assert_eq!(
            digests.map(|digest| digest[..16].to_owned()),
            ["9bbc6d77bd497838", "6855bc9ad619fda4", "78c8e63b6287ce3d", "82698faac23db2ec"]
        );
    }
}
