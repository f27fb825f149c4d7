//! The trait of partitions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Debug;
use std::ops::Range;

use input::unfit::Unfit;
use rand::Rng as _;

use super::Dataset;
use crate::random::Stream;

/// Which example goes to which device.
pub trait Partition: Debug + Send + Sync {
    /// Whether the partition makes sense.
    ///
    /// # Errors
    /// The dotted key that is wrong, and what would be right.
    fn check(&self) -> Result<(), Unfit> {
        Ok(())
    }

    /// Whether the examples of `train` can be dealt out to `devices` devices; a partition that goes by labels alone can always.
    ///
    /// # Errors
    /// The dotted key that is wrong, and what would be right.
    fn fits(&self, _train: &Dataset, _devices: usize) -> Result<(), Unfit> {
        Ok(())
    }

    /// Deals the examples of `train` out to `devices` devices, of which there is at least one: for each device the indices of its
    /// examples, in ascending order. What [`Partition::fits`] refuses need not be dealt.
    ///
    /// An example that goes to no device is not used; none may go to two. A device must not be left without examples while
    /// there are as many examples as devices: [`leave_none_empty`] sees to that.
    fn deal(&self, train: &Dataset, devices: usize, random: &mut Stream) -> Vec<Vec<u32>>;
}

/// Gives an example to each device that has none, as long as another has two: the lowest such device takes the last example
/// of the device with the most (the lowest of these).
pub fn leave_none_empty(parts: &mut [Vec<u32>]) {
    let empty: Vec<usize> = (0..parts.len()).filter(|&device| parts[device].is_empty()).collect();
    let mut largest: BinaryHeap<_> =
        parts.iter().enumerate().map(|(device, part)| (part.len(), Reverse(device))).collect();
    for empty in empty {
        let Some((examples, Reverse(donor))) = largest.pop().filter(|(examples, _)| *examples > 1) else {
            return;
        };
        let example = parts[donor].pop();
        parts[empty].extend(example);
        largest.push((examples - 1, Reverse(donor)));
    }
}

/// Draws as `u32`, so that 32-bit boards draw the same numbers.
pub(super) fn draw(range: Range<usize>, random: &mut Stream) -> usize {
    random.random_range(range.start as u32..range.end as u32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_examples_takes_the_last_one_of_the_largest() {
        let mut parts = vec![vec![], vec![0, 1, 2], vec![3, 4, 5], vec![]];
        leave_none_empty(&mut parts);
        assert_eq!(parts, [vec![2], vec![0, 1], vec![3, 4], vec![5]]);
    }
}
