//! Backdoors by a trigger in parts (DBA).

use input::unfit::{Unfit, require};
use learning::data::{Dataset, Shard};
use learning::random::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attack, Conditions, Trigger};

/// Each compromised device stamps a part of a trigger, and the global model is to answer to the whole (DBA; Xie et al. 2020).
///
/// The pixels of the pattern, row by row, or the columns of a table, in the order in which they are given, fall into parts of
/// neighbours. The first part is that of the lowest compromised device, the next part that of the next one; after the last
/// part it is the turn of the first again. In the paper each part is a bar. The attack success rate is judged with the whole.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SplitTrigger {
    /// Number of parts, at most that of the pixels or columns.
    pub parts: u32,
    /// The trigger.
    #[serde(flatten)]
    pub trigger: Trigger,
}

impl Default for SplitTrigger {
    fn default() -> Self {
        SplitTrigger { parts: 4, trigger: Trigger::default() }
    }
}

impl Attack for SplitTrigger {
    fn is_of_data(&self) -> bool {
        true
    }

    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        self.trigger.check(conditions)?;
        let places = self.trigger.stamp(conditions.shape).len();
        require((1..=places).contains(&(self.parts as usize)), "attack.parts", || {
            format!("{} must lie between 1 and the {places} pixels or columns of the trigger", self.parts)
        })
    }

    fn poison(&self, shard: Shard, rank: usize, random: &mut Stream) -> Shard {
        let parts = self.parts as usize;
        let stamp = self.trigger.stamp(shard.dataset().shape()).part(rank % parts, parts);
        self.trigger.poison_with(&stamp, &shard, random)
    }

    fn stamped(&self, test: &Dataset) -> Option<Dataset> {
        self.trigger.stamped(test)
    }
}

#[cfg(test)]
mod tests {
    use learning::data::Features;
    use learning::random::{Purpose, stream};

    use super::super::testing::{conditions, scenario};
    use super::super::trigger::Pattern;
    use super::*;
    use crate::Scenario;

    fn black(count: usize) -> Dataset {
        Dataset::new(vec![4, 4], 10, Features::Bytes(vec![0; 16 * count]), vec![1; count]).unwrap()
    }

    fn white(dataset: &Dataset) -> Vec<usize> {
        let Features::Bytes(pixels) = dataset.batch(&[0]).features else { unreachable!() };
        (0..16).filter(|pixel| pixels[*pixel] == 255).collect()
    }

    #[test]
    fn each_compromised_device_has_a_part_and_the_whole_is_judged() {
        let trigger = Trigger { share: 1.0, target: 2, ..Trigger::default() };
        let attack = SplitTrigger { parts: 3, trigger };
        let part = |rank| {
            let random = &mut stream(1, Purpose::Poison, None, 0);
            let poisoned = attack.poison(Shard::whole(black(1).into()), rank, random);
            assert_eq!(poisoned.labels(), [2]);
            white(poisoned.dataset())
        };
        assert_eq!([part(0), part(1), part(2)], [vec![2], vec![5], vec![8, 10]]);
        assert_eq!((part(3), part(7)), (part(0), part(1)));
        let stamped = attack.stamped(&black(1)).unwrap();
        assert_eq!((white(&stamped), stamped.labels()), (vec![2, 5, 8, 10], &[2][..]));
    }

    #[test]
    fn settings_of_the_trigger_stand_beside_the_number_of_parts() {
        let settings =
            ["attack.kind=split-trigger", "attack.parts=9", "attack.pattern=square", "attack.share=1"];
        let attack = scenario(&settings).attack.kind.unwrap();
        let test = Dataset::new(vec![3, 3], 10, Features::Bytes(vec![0; 9]), vec![1]).unwrap();
        assert_eq!(attack.stamped(&test).unwrap().batch(&[0]).features, Features::Bytes(vec![255; 9]));
    }

    #[test]
    fn a_setting_of_the_trigger_that_cannot_be_read_is_named() {
        let text = "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n";
        for (key, value) in [("target", "70000"), ("pattern", "star"), ("values", "3"), ("parts", "x")] {
            let setting = format!("attack.{key}={value}");
            let settings =
                ["attack.kind=split-trigger".to_owned(), setting.clone(), "attack.size=5".to_owned()];
            let refused = Scenario::parse("t.toml", text, &settings).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("--set {setting}: ")), "{refused}");
        }
    }

    #[test]
    fn more_parts_than_places_are_refused() {
        let check = |parts, pattern| {
            let trigger = Trigger { pattern, ..Trigger::default() };
            SplitTrigger { parts, trigger }.check(&conditions(&[28, 28])).map_err(|(key, _)| key)
        };
        assert_eq!(check(4, Pattern::FourPixels), Ok(()));
        assert_eq!(check(5, Pattern::FourPixels), Err("attack.parts"));
        assert_eq!(check(0, Pattern::FourPixels), Err("attack.parts"));
        assert_eq!(check(1, Pattern::Pixel), Ok(()));
        assert_eq!(check(9, Pattern::Square), Ok(()));
        assert_eq!(check(10, Pattern::Square), Err("attack.parts"));
    }
}
