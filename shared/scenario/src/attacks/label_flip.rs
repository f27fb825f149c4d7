//! Label flipping (paper section 4.1).

use learning::data::Shard;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Attack;

/// Compromised devices train on label L-1-l in place of l, of L classes (Fang et al. 2020, section 4.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelFlip {}

impl Attack for LabelFlip {
    fn poison(&self, shard: Shard) -> Shard {
        let classes = shard.dataset().classes();
        shard.with_labels(|label| (classes - 1 - usize::from(label)) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use learning::data::{Dataset, Features};

    #[test]
    fn labels_are_mirrored() {
        let labels: Vec<u8> = (0..10).collect();
        let dataset = Dataset::new(vec![1], 10, Features::Bytes(vec![0; 10]), labels).unwrap();
        let flipped = LabelFlip {}.poison(Shard::whole(dataset.into()));
        assert_eq!(flipped.labels(), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }
}
