//! What goes wrong on the in-memory link.

use learning::random::{Purpose, Stream, stream};
use rand::Rng;
use wire::Millis;

/// Faults of the link, drawn anew for each delivery from a seeded stream.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct Faults {
    /// Probability that a delivery is lost
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = probability, help_heading = "Faults (software)")]
    pub loss: f64,
    /// Probability that a delivery comes twice
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = probability, help_heading = "Faults (software)")]
    pub duplicate: f64,
    /// Probability that a delivery may be overtaken
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = probability, help_heading = "Faults (software)")]
    pub reorder: f64,
    /// Deliveries take up to this many milliseconds longer
    #[arg(long, value_name = "MS", default_value_t = 0, help_heading = "Faults (software)")]
    pub delay_ms: u64,
    /// Seed of the faults
    #[arg(long, value_name = "SEED", default_value_t = 1, help_heading = "Faults (software)")]
    pub fault_seed: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Faults { loss: 0.0, duplicate: 0.0, reorder: 0.0, delay_ms: 0, fault_seed: 1 }
    }
}

fn probability(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    // A certain loss would let nothing ever arrive.
    if (0.0..1.0).contains(&value) { Ok(value) } else { Err("must be at least 0 and below 1".to_owned()) }
}

impl Faults {
    /// Whether any delivery meets with a fault.
    pub fn any(&self) -> bool {
        self.loss > 0.0 || self.duplicate > 0.0 || self.reorder > 0.0 || self.delay_ms > 0
    }

    pub(super) fn stream(&self) -> Stream {
        stream(self.fault_seed, Purpose::Faults, None, 0)
    }

    /// The fate of one delivery: for each copy that arrives, its delay and whether it may overtake others.
    pub(super) fn fate(&self, random: &mut Stream) -> Vec<(Millis, bool)> {
        if !self.any() {
            return vec![(Millis(0), false)];
        }
        if random.random_bool(self.loss) {
            return Vec::new();
        }
        let copies = 1 + usize::from(random.random_bool(self.duplicate));
        let copy = |_| (Millis(random.random_range(0..=self.delay_ms)), random.random_bool(self.reorder));
        (0..copies).map(copy).collect()
    }
}
