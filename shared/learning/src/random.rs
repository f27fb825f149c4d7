//! The seeded streams that every random draw comes from.
//!
//! A stream is keyed by (run seed, purpose, device, round), so that the same scenario draws the same
//! numbers whatever the order in which devices answer, on every bench and after every restart.

use rand::SeedableRng;
pub use rand_chacha::ChaCha12Rng as Stream;

use wire::identity::DeviceId;

/// What a stream is drawn for. The numbers are part of every recorded result: never reuse or change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Which example goes to which device.
    Partition = 1,
    /// Which devices are compromised.
    Compromise = 2,
    /// The initial global model.
    Weights = 3,
    /// The minibatches of one device in one round.
    Batches = 4,
    /// Which devices take part in a round.
    Selection = 5,
    /// What a compromised device draws while it crafts an update.
    Attack = 6,
    /// Loss, duplication, reordering and delay on a simulated link.
    Faults = 7,
    /// Which examples are for training where a data set comes unsplit.
    Split = 8,
    /// Which rounds are attacked.
    AttackRounds = 9,
    /// Which test examples a defense judges updates by, and which of equally harmful updates it removes.
    Validation = 10,
    /// What the back-gradient attack begins with.
    BackGradient = 11,
    /// Which training examples are used if not all are.
    TrainingSubset = 12,
    /// When a compromised device sends its update.
    Delivery = 13,
    /// What a defense adds to the aggregate.
    Noise = 14,
    /// Which updates a defense puts into one group.
    Bucketing = 15,
    /// Which coordinates of the updates a defense looks at.
    Coordinates = 16,
    /// Which training examples the aggregator keeps to itself, and in which minibatches it trains on them.
    Root = 17,
    /// The uniform numbers that clusters are held against.
    Gaps = 18,
    /// How a compromised device poisons the examples that it holds.
    Poison = 19,
    /// Which of its examples a device judges others by when it looks for poison among them.
    Sanitising = 20,
}

/// The stream of `purpose` for one device in one round; `None` and round 0 where these mean nothing.
pub fn stream(seed: u64, purpose: Purpose, device: Option<DeviceId>, round: u32) -> Stream {
    let device = device.map_or(0, |id| u64::from(id.0) + 1);
    let mut key = [0; 32];
    for (slot, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, device, u64::from(round)]) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    Stream::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn every_part_of_the_key_gives_another_stream() {
        let first = |seed, purpose, device, round| stream(seed, purpose, device, round).next_u64();
        let reference = first(1, Purpose::Batches, Some(DeviceId(0)), 1);
        assert_eq!(reference, first(1, Purpose::Batches, Some(DeviceId(0)), 1));
        assert_ne!(reference, first(2, Purpose::Batches, Some(DeviceId(0)), 1));
        assert_ne!(reference, first(1, Purpose::Attack, Some(DeviceId(0)), 1));
        assert_ne!(reference, first(1, Purpose::Batches, Some(DeviceId(1)), 1));
        assert_ne!(reference, first(1, Purpose::Batches, None, 1));
        assert_ne!(reference, first(1, Purpose::Batches, Some(DeviceId(0)), 2));
    }
}
