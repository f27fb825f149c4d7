//! Label flipping (paper section 4.1).

use input::unfit::{Unfit, require};
use learning::data::{Dataset, Shard};
use learning::random::Stream;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attack, Conditions};

/// Compromised devices train on label L-1-l in place of l, of L classes (Fang et al. 2020, section 4.1).
///
/// With `from` and `to`, only the examples of one class get another label (Tolpegin et al. 2020). With `random`, each example
/// gets a label that is drawn once for the run from the classes other than its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LabelFlip {
    /// The only class whose examples get another label; without, those of all do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u16>,
    /// The label that the examples of `from` get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u16>,
    /// Whether labels are drawn.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub random: bool,
}

impl Attack for LabelFlip {
    fn is_of_data(&self) -> bool {
        true
    }

    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        let classes = conditions.classes;
        for (key, label) in [("attack.from", self.from), ("attack.to", self.to)] {
            require(label.is_none_or(|label| usize::from(label) < classes), key, || {
                format!("{} is none of the classes 0 to {}", label.unwrap_or_default(), classes - 1)
            })?;
        }
        match (self.from, self.to) {
            (None, Some(to)) => {
                Err(("attack.to", format!("{to} takes attack.from, the class whose examples get this label")))
            }
            (Some(from), None) if !self.random => {
                Err(("attack.from", format!("{from} takes attack.to, or attack.random = true")))
            }
            (_, Some(to)) if self.random => {
                Err(("attack.to", format!("{to} takes attack.random = false: labels are drawn, or given")))
            }
            (Some(from), Some(to)) => require(from != to, "attack.to", || {
                format!("{to} is attack.from, too; the examples would keep their label")
            }),
            _ => Ok(()),
        }
    }

    fn poison(&self, shard: Shard, _: usize, random: &mut Stream) -> Shard {
        let classes = shard.dataset().classes();
        let mut other = |label: u16| match self.to {
            Some(to) => to,
            None if self.random && classes > 1 => {
                let step = random.random_range(1..classes as u32) as usize;
                ((usize::from(label) + step) % classes) as u16
            }
            None => (classes - 1 - usize::from(label)) as u16,
        };
        let is_flipped = |label: u16| self.from.is_none_or(|from| from == label);
        shard.with_labels(|label| if is_flipped(label) { other(label) } else { label })
    }

    /// The examples of `from`, as they are.
    fn stamped(&self, test: &Dataset) -> Option<Dataset> {
        let (from, to) = (self.from?, self.to?);
        let is_source = |&example: &u32| test.labels()[example as usize] == from;
        let sources: Vec<u32> = (0..test.len() as u32).filter(is_source).collect();
        let features = test.batch(&sources).features;
        let labels = vec![to; sources.len()];
        let stamped = Dataset::new(test.shape().to_vec(), test.classes(), features, labels).ok()?;
        (!stamped.is_empty()).then_some(stamped)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{conditions, scenario};
    use super::*;
    use learning::data::Features;
    use learning::random::{Purpose, stream};
    use wire::identity::DeviceId;

    fn dataset(labels: Vec<u16>) -> Dataset {
        let features = Features::Bytes((0..labels.len() as u8).collect());
        Dataset::new(vec![1], 10, features, labels).unwrap()
    }

    fn flipped(attack: &LabelFlip, labels: Vec<u16>, device: u32) -> Vec<u16> {
        let random = &mut stream(1, Purpose::Poison, Some(DeviceId(device)), 0);
        attack.poison(Shard::whole(dataset(labels).into()), 0, random).labels().to_vec()
    }

    #[test]
    fn labels_are_mirrored() {
        let flipped = flipped(&LabelFlip::default(), (0..10).collect(), 0);
        assert_eq!(flipped, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn only_examples_of_one_class_get_another_label() {
        let attack = LabelFlip { from: Some(7), to: Some(1), random: false };
        assert_eq!(flipped(&attack, vec![7, 0, 1, 7, 9], 0), [1, 0, 1, 1, 9]);
    }

    #[test]
    fn drawn_labels_are_those_of_the_other_classes_equally_often_and_the_same_again() {
        let attack = LabelFlip { random: true, ..LabelFlip::default() };
        let labels = vec![3; 200];
        let first = flipped(&attack, labels.clone(), 0);
        let mut counts = [0; 10];
        first.iter().for_each(|label| counts[usize::from(*label)] += 1);
        // Of nine classes, mean 22 and standard deviation 4.4.
        assert_eq!(counts[3], 0);
        assert!((0..10).all(|class| class == 3 || (5..45).contains(&counts[class])), "{counts:?}");
        assert_eq!(first, flipped(&attack, labels.clone(), 0));
        assert_ne!(first, flipped(&attack, labels, 1));
        let targeted = LabelFlip { from: Some(3), ..attack };
        let some = flipped(&targeted, vec![3, 2, 3, 4], 0);
        assert!(some[0] != 3 && some[1] == 2 && some[2] != 3 && some[3] == 4, "{some:?}");
    }

    #[test]
    fn the_examples_of_the_class_are_judged_under_the_label_that_they_are_to_get() {
        let test = dataset(vec![7, 0, 1, 7]);
        let attack = LabelFlip { from: Some(7), to: Some(1), random: false };
        let stamped = attack.stamped(&test).unwrap();
        assert_eq!(stamped.labels(), [1, 1]);
        assert_eq!(stamped.batch(&[0, 1]).features, test.batch(&[0, 3]).features);
        assert_eq!(attack.stamped(&dataset(vec![0, 1])), None);
        assert_eq!(LabelFlip::default().stamped(&test), None);
    }

    #[test]
    fn settings_that_are_not_given_leave_no_trace_in_a_scenario() {
        let settings = |settings: &[&str]| {
            scenario(settings).attack.kind.unwrap().settings().keys().cloned().collect::<Vec<_>>()
        };
        assert!(settings(&["attack.kind=label-flip"]).is_empty());
        let targeted = settings(&["attack.kind=label-flip", "attack.from=1", "attack.to=2"]);
        assert_eq!(targeted, ["from", "to"]);
    }

    #[test]
    fn labels_that_contradict_each_other_are_refused() {
        let check = |from, to, random| {
            LabelFlip { from, to, random }.check(&conditions(&[28, 28])).map_err(|(key, _)| key)
        };
        assert_eq!(check(None, None, false), Ok(()));
        assert_eq!(check(None, None, true), Ok(()));
        assert_eq!(check(Some(3), None, true), Ok(()));
        assert_eq!(check(Some(9), Some(0), false), Ok(()));
        assert_eq!(check(Some(10), Some(0), false), Err("attack.from"));
        assert_eq!(check(Some(0), Some(10), false), Err("attack.to"));
        assert_eq!(check(Some(3), None, false), Err("attack.from"));
        assert_eq!(check(None, Some(3), false), Err("attack.to"));
        assert_eq!(check(Some(3), Some(3), false), Err("attack.to"));
        assert_eq!(check(Some(3), Some(4), true), Err("attack.to"));
    }
}
