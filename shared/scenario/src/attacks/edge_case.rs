//! Backdoors by examples from the edge of what devices have.

use input::unfit::Unfit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::back_gradient::{Placement, place};
use super::example_file::ExampleFile;
use super::planting::{Planted, Planting};
use super::{Attack, Conditions};

/// Examples from a file, such as are rare in what devices have, join the shards of compromised devices under the label that
/// the attack wants for them; these then train honestly (edge-case backdoors; Wang et al. 2020).
///
/// The attack success rate is judged on the examples that are held out. The aggregator reads the same file.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct EdgeCase {
    /// The examples.
    #[serde(flatten)]
    pub examples: ExampleFile,
    /// Which compromised devices hold the examples.
    pub placement: Placement,
}

impl Attack for EdgeCase {
    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        self.examples.check(conditions.classes)
    }

    fn is_of_data(&self) -> bool {
        true
    }

    fn plants(&self) -> bool {
        true
    }

    fn example_file(&self) -> Option<&ExampleFile> {
        Some(&self.examples)
    }

    fn plant(&self, planting: &Planting<'_>) -> Planted {
        let Some(examples) = planting.examples else { return Planted::default() };
        let all: Vec<u32> = (0..examples.len() as u32).collect();
        Planted {
            features: examples.batch(&all).features.to_floats().into_owned(),
            labels: examples.labels().to_vec(),
            places: place(examples.len(), planting.attackers, self.placement),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use learning::data::{Dataset, Features};
    use wire::identity::DeviceId;

    use super::super::Memory;
    use super::super::testing::{conditions, refused};
    use super::*;

    #[test]
    fn each_compromised_device_gets_its_share_of_the_examples_under_their_label() {
        let train = Dataset::new(vec![1], 3, Features::Bytes(vec![0; 4]), vec![0; 4]).unwrap();
        let examples = Dataset::new(vec![1], 3, Features::Floats(vec![0.1, 0.2, 0.3]), vec![2; 3]).unwrap();
        let attackers: BTreeSet<_> = [4, 7].map(DeviceId).into();
        let memory = Memory::default();
        let planting = Planting {
            train: &train,
            seed: 1,
            attackers: &attackers,
            memory: &memory,
            examples: Some(&examples),
        };
        let planted = EdgeCase::default().plant(&planting);
        assert_eq!((planted.features, planted.labels), (vec![0.1, 0.2, 0.3], vec![2; 3]));
        assert_eq!(planted.places, [(DeviceId(4), vec![0, 2]), (DeviceId(7), vec![1])].into());
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        assert_eq!(EdgeCase::default().check(&conditions(&[28, 28])), Ok(()));
        for setting in ["target=10", "held-out=0.0", "held-out=1.0", "file=../a.npy", "file=/a.npy", "file="]
        {
            let (key, _) = setting.split_once('=').unwrap();
            let refused = refused(&["attack.kind=edge-case", &format!("attack.{setting}")]);
            assert!(refused.contains(&format!("attack.{key}: ")), "{refused}");
        }
    }
}
