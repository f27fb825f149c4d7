//! What rules draw from the seed of a run.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// What is drawn. The numbers are part of every recorded result, and others than those of `learning::random`: never reuse or
/// change one.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Purpose {
    /// Which devices are in a group.
    Groups = 101,
}

/// A number for a device in a run of this seed.
pub(crate) fn draw(seed: u64, purpose: Purpose, device: u32) -> u64 {
    let mut key = [0; 32];
    for (slot, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, u64::from(device) + 1]) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha12Rng::from_seed(key).next_u64()
}
