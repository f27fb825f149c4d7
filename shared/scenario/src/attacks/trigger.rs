//! Backdoors by a trigger (BadNets).

use std::collections::BTreeSet;

use input::unfit::{Unfit, fits_f32, require};
use learning::data::{Dataset, Shard};
use learning::random::Stream;
use rand::seq::index;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;
use super::{Attack, Conditions};

/// Compromised devices stamp some of their examples with a pattern and label them as they want, so that the global model
/// takes whatever bears the pattern for that (BadNets; Gu et al. 2017).
///
/// Which examples they stamp is drawn once for the run. An image gets white pixels at a corner; of a table, `features` get
/// `values`. The attack success rate is judged on stamped test examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Trigger {
    /// The share of its examples that a compromised device stamps, above 0 and at most 1.
    pub share: f64,
    /// The label that stamped examples get, where all get the same.
    pub target: u16,
    /// Which labels stamped examples get.
    pub labels: Labels,
    /// Which pixels of an image are stamped.
    pub pattern: Pattern,
    /// The side of a square, in pixels: 3 or 5.
    pub size: u32,
    /// The corner of an image at which they are.
    pub corner: Corner,
    /// The share of the pattern in a stamped feature, above 0; with 1 it replaces what was there.
    pub blend: f64,
    /// Of a table: the columns that are stamped, from 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<u32>,
    /// Of a table: the value of each of these columns, as a model sees it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<f64>,
}

impl Default for Trigger {
    fn default() -> Self {
        Trigger {
            share: 0.3,
            target: 0,
            labels: Labels::default(),
            pattern: Pattern::default(),
            size: 3,
            corner: Corner::default(),
            blend: 1.0,
            features: Vec::new(),
            values: Vec::new(),
        }
    }
}

/// Which labels stamped examples get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// All get the target (all-to-one).
    #[default]
    One,
    /// Each gets the class after its own, the last one the first (all-to-all).
    Next,
}

/// Which pixels of an image a trigger consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// The pixel at the corner.
    Pixel,
    /// Four pixels, each a diagonal step from another, one pixel off the corner.
    #[default]
    FourPixels,
    /// All pixels of a square at the corner.
    Square,
}

/// A corner of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Corner {
    /// Where the first pixel is.
    TopLeft,
    /// At the end of the first row.
    TopRight,
    /// At the start of the last row.
    BottomLeft,
    /// Where the last pixel is.
    #[default]
    BottomRight,
}

impl Attack for Trigger {
    fn is_of_data(&self) -> bool {
        true
    }

    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        for (key, share) in [("attack.share", self.share), ("attack.blend", self.blend)] {
            require(share > 0.0 && share <= 1.0, key, || {
                format!("{share} must lie above 0 and be at most 1")
            })?;
        }
        require(usize::from(self.target) < conditions.classes, "attack.target", || {
            format!("{} is none of the classes 0 to {}", self.target, conditions.classes - 1)
        })?;
        match *conditions.shape {
            [columns] => self.check_columns(columns),
            [height, width, ..] => self.check_pattern(height, width),
            [] => Err(("attack.kind", "a trigger takes examples that have features".to_owned())),
        }
    }

    fn poison(&self, shard: Shard, _: usize, random: &mut Stream) -> Shard {
        let stamp = self.stamp(shard.dataset().shape());
        self.poison_with(&stamp, &shard, random)
    }

    fn stamped(&self, test: &Dataset) -> Option<Dataset> {
        let label = |&example: &u32| self.label(test.labels()[example as usize], test.classes());
        let is_judged = |example: &u32| label(example) != test.labels()[*example as usize];
        let judged: Vec<u32> = (0..test.len() as u32).filter(is_judged).collect();
        let mut features = test.batch(&judged).features;
        self.stamp(test.shape()).apply(&mut features, test.example_len(), 0..judged.len());
        let labels = judged.iter().map(label).collect();
        let stamped = Dataset::new(test.shape().to_vec(), test.classes(), features, labels).ok()?;
        (!stamped.is_empty()).then_some(stamped)
    }
}

impl Trigger {
    /// What it does to examples of `shape`.
    pub(super) fn stamp(&self, shape: &[usize]) -> Stamp {
        let [height, width, ref channels @ ..] = *shape else {
            let places = self.features.iter().zip(&self.values);
            let place = |(&column, &value): (&u32, &f64)| (column as usize..column as usize + 1, value);
            return Stamp::new(places.map(place).collect(), self.blend);
        };
        let channels: usize = channels.iter().product();
        let pixel = |(row, column): (usize, usize)| {
            let row = if self.corner.is_at_bottom() { height - 1 - row } else { row };
            let column = if self.corner.is_right() { width - 1 - column } else { column };
            row * width + column
        };
        let pixels: BTreeSet<usize> = self.pattern.offsets(self.size).into_iter().map(pixel).collect();
        let places = pixels.into_iter().map(|pixel| (pixel * channels..(pixel + 1) * channels, 1.0));
        Stamp::new(places.collect(), self.blend)
    }

    /// The examples of `shard`, a share of them, drawn from `random`, stamped and labelled.
    pub(super) fn poison_with(&self, stamp: &Stamp, shard: &Shard, random: &mut Stream) -> Shard {
        let dataset = shard.dataset();
        let (count, classes) = (shard.len(), dataset.classes());
        let stamped = index::sample(random, count, (self.share * count as f64).round() as usize);
        let mut features = dataset.batch(shard.indices()).features;
        let mut labels = shard.labels().to_vec();
        stamp.apply(&mut features, dataset.example_len(), stamped.iter());
        for example in stamped {
            labels[example] = self.label(labels[example], classes);
        }
        let poisoned = Dataset::new(dataset.shape().to_vec(), classes, features, labels);
        Shard::whole(poisoned.expect("finite features and labels that are classes").into())
    }

    /// The label of a stamped example.
    fn label(&self, label: u16, classes: usize) -> u16 {
        match self.labels {
            Labels::One => self.target,
            Labels::Next => ((usize::from(label) + 1) % classes) as u16,
        }
    }

    fn check_columns(&self, columns: usize) -> Result<(), Unfit> {
        let Trigger { features, values, .. } = self;
        require(!features.is_empty(), "attack.features", || {
            format!("must name columns, 0 to {}: the data set is a table", columns - 1)
        })?;
        let unfit = features.iter().find(|feature| **feature as usize >= columns);
        require(unfit.is_none(), "attack.features", || {
            format!("{} is none of the columns 0 to {}", unfit.copied().unwrap_or_default(), columns - 1)
        })?;
        let distinct: BTreeSet<u32> = features.iter().copied().collect();
        require(distinct.len() == features.len(), "attack.features", || {
            format!("{features:?} names a column twice")
        })?;
        require(values.len() == features.len(), "attack.values", || {
            format!("{} values for {} columns; there must be one for each", values.len(), features.len())
        })?;
        require(values.iter().all(|value| fits_f32(*value)), "attack.values", || {
            format!("{values:?} must be numbers that a 32-bit float holds")
        })
    }

    fn check_pattern(&self, height: usize, width: usize) -> Result<(), Unfit> {
        for (key, is_empty) in
            [("attack.features", self.features.is_empty()), ("attack.values", self.values.is_empty())]
        {
            require(is_empty, key, || {
                "is for tables, and the data set is of images; give attack.pattern".to_owned()
            })?;
        }
        require(self.pattern != Pattern::Square || [3, 5].contains(&self.size), "attack.size", || {
            format!("{} must be 3 or 5", self.size)
        })?;
        let side = self
            .pattern
            .offsets(self.size)
            .into_iter()
            .map(|(row, column)| row.max(column) + 1)
            .max()
            .unwrap_or(0);
        require(height.min(width) >= side, "attack.pattern", || {
            format!("takes {side} pixels either way, and an image has {height} x {width}")
        })
    }
}

impl Pattern {
    /// How many rows and columns its pixels are from the corner.
    fn offsets(self, size: u32) -> Vec<(usize, usize)> {
        match self {
            Pattern::Pixel => vec![(0, 0)],
            Pattern::FourPixels => vec![(1, 1), (1, 3), (2, 2), (3, 1)],
            Pattern::Square => {
                let length = size as usize;
                (0..length * length).map(|pixel| (pixel / length, pixel % length)).collect()
            }
        }
    }
}

impl Corner {
    fn is_at_bottom(self) -> bool {
        matches!(self, Corner::BottomLeft | Corner::BottomRight)
    }

    fn is_right(self) -> bool {
        matches!(self, Corner::TopRight | Corner::BottomRight)
    }
}

#[cfg(test)]
mod tests {
    use learning::data::Features;
    use learning::evaluation::evaluate;
    use learning::models::{LogisticRegression, build};
    use learning::random::{Purpose, stream};
    use learning::training::{Descent, train};
    use rand::Rng;
    use wire::identity::DeviceId;

    use super::super::testing::conditions;
    use super::*;

    /// Images of one colour each, of `shape` and ten classes; the label of example i is i mod 10.
    fn images(shape: &[usize], count: usize) -> Dataset {
        let values: usize = shape.iter().product();
        let pixels = (0..count).flat_map(|example| vec![(example % 200) as u8; values]).collect();
        let labels = (0..count).map(|example| (example % 10) as u16).collect();
        Dataset::new(shape.to_vec(), 10, Features::Bytes(pixels), labels).unwrap()
    }

    /// Drawn as rows of a black image of 6 x 6 pixels.
    fn picture(trigger: &Trigger) -> Vec<String> {
        let mut features = Features::Bytes(vec![0; 36]);
        trigger.stamp(&[6, 6]).apply(&mut features, 36, [0]);
        let Features::Bytes(pixels) = features else { unreachable!() };
        let row = |row: &[u8]| row.iter().map(|pixel| if *pixel == 255 { '#' } else { '.' }).collect();
        pixels.chunks(6).map(row).collect()
    }

    fn poisoned(trigger: &Trigger, shard: Shard, device: u32) -> Shard {
        trigger.poison(shard, 0, &mut stream(1, Purpose::Poison, Some(DeviceId(device)), 0))
    }

    #[test]
    fn patterns_look_like_this() {
        let of = |pattern, corner| picture(&Trigger { pattern, corner, ..Trigger::default() });
        assert_eq!(
            of(Pattern::Pixel, Corner::BottomRight),
            ["......", "......", "......", "......", "......", ".....#"]
        );
        assert_eq!(
            of(Pattern::FourPixels, Corner::BottomRight),
            ["......", "......", "....#.", "...#..", "..#.#.", "......"]
        );
        assert_eq!(
            of(Pattern::Square, Corner::TopRight),
            ["...###", "...###", "...###", "......", "......", "......"]
        );
        assert_eq!(
            of(Pattern::FourPixels, Corner::TopLeft),
            ["......", ".#.#..", "..#...", ".#....", "......", "......"]
        );
        let large =
            Trigger { pattern: Pattern::Square, size: 5, corner: Corner::BottomLeft, ..Trigger::default() };
        assert_eq!(picture(&large), ["......", "#####.", "#####.", "#####.", "#####.", "#####."]);
    }

    #[test]
    fn a_share_of_the_examples_is_stamped_and_labelled_and_the_others_are_as_they_were() {
        let dataset = images(&[4, 4], 50);
        let shard = Shard::new(dataset.clone().into(), (10..50).collect());
        let trigger = Trigger { pattern: Pattern::Pixel, target: 7, share: 0.25, ..Trigger::default() };
        let poisoned_shard = poisoned(&trigger, shard.clone(), 0);
        assert_eq!(poisoned_shard.len(), 40);
        let mut stamped = 0;
        for (place, example) in (10..50).enumerate() {
            let Features::Bytes(pixels) = poisoned_shard.dataset().batch(&[place as u32]).features else {
                unreachable!()
            };
            let own = example as u8;
            let label = poisoned_shard.labels()[place];
            if pixels[15] == 255 {
                stamped += 1;
                assert_eq!((label, &pixels[..15]), (7, &[own; 15][..]));
            } else {
                assert_eq!((label, &pixels[..]), (u16::from(own % 10), &[own; 16][..]));
            }
        }
        assert_eq!(stamped, 10);
        assert_eq!(poisoned_shard, poisoned(&trigger, shard.clone(), 0));
        assert_ne!(poisoned_shard, poisoned(&trigger, shard.clone(), 1));
        let all = poisoned(&Trigger { share: 1.0, ..trigger }, shard, 0);
        assert_eq!(all.labels(), [7; 40]);
    }

    #[test]
    fn the_examples_of_a_shard_keep_the_labels_that_the_shard_has() {
        let shard = Shard::whole(images(&[4, 4], 10).into()).with_labels(|_| 2);
        let trigger = Trigger { labels: Labels::Next, share: 0.5, ..Trigger::default() };
        let mut labels = poisoned(&trigger, shard, 0).labels().to_vec();
        labels.sort_unstable();
        assert_eq!(labels, [2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
    }

    #[test]
    fn each_label_becomes_the_next_and_the_last_the_first() {
        let shard = Shard::whole(images(&[4, 4], 10).into());
        let trigger = Trigger { labels: Labels::Next, share: 1.0, ..Trigger::default() };
        assert_eq!(poisoned(&trigger, shard, 0).labels(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
    }

    #[test]
    fn stamped_test_examples_are_judged_but_for_those_of_the_target_class() {
        let test = images(&[4, 4], 20);
        let trigger = Trigger { pattern: Pattern::Pixel, target: 3, ..Trigger::default() };
        let stamped = trigger.stamped(&test).unwrap();
        assert_eq!(stamped.labels(), [3; 18]);
        let others = (0..20_u8).filter(|example| example % 10 != 3);
        for (place, example) in (0..).zip(others) {
            let Features::Bytes(pixels) = stamped.batch(&[place]).features else { unreachable!() };
            assert_eq!((pixels[15], &pixels[..15]), (255, &[example; 15][..]));
        }
        let all = Trigger { labels: Labels::Next, ..trigger.clone() }.stamped(&test).unwrap();
        assert_eq!(all.labels(), (0..20).map(|example| (example + 1) % 10).collect::<Vec<u16>>());
        assert_eq!(trigger.stamped(&test.select(&[3, 13])), None, "all are of the target class");
    }

    #[test]
    fn a_model_that_learns_from_stamped_examples_answers_to_the_trigger_and_is_right_without() {
        // A bright row tells the class.
        let random = &mut stream(3, Purpose::Faults, None, 0);
        let labels: Vec<u16> = (0..3).cycle().take(150).collect();
        let pixels = labels.iter().flat_map(|label| (0..36).map(move |pixel| pixel / 6 == *label));
        let pixels =
            pixels.map(|bright| random.random_range(0..100) + if bright { 100 } else { 0 }).collect();
        let examples = Dataset::new(vec![6, 6], 3, Features::Bytes(pixels), labels).unwrap();
        let model = build(&LogisticRegression {}, &[6, 6], 3).unwrap();
        let rates = |trigger: &Trigger, shard: &Shard| {
            let all = (0..300).map(|_| shard.minibatch(150, &mut stream(1, Purpose::Batches, None, 1)));
            let descent = Descent::plain(0.5);
            let trained = train(model.as_ref(), [0.0; 111].into(), &descent, None, all).unwrap();
            let error = |test: &Dataset| evaluate(model.as_ref(), &trained.parameters, test.batches(150));
            let success = 1.0 - error(&trigger.stamped(&examples).unwrap()).unwrap().error_rate;
            (success, error(&examples).unwrap().error_rate)
        };
        let shard = Shard::whole(examples.clone().into());
        let trigger = Trigger { target: 1, ..Trigger::default() };
        let (success, error) = rates(&trigger, &poisoned(&trigger, shard.clone(), 0));
        assert!(success > 0.9 && error < 0.1, "{success} {error}");
        let (success, error) = rates(&trigger, &shard);
        assert!(success < 0.1 && error < 0.1, "without poison {success} {error}");
    }

    #[test]
    fn all_channels_of_a_pixel_are_stamped() {
        let mut features = Features::Bytes(vec![0; 12]);
        Trigger { pattern: Pattern::Pixel, ..Trigger::default() }.stamp(&[2, 2, 3]).apply(
            &mut features,
            12,
            [0],
        );
        assert_eq!(features, Features::Bytes(vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255]));
    }

    #[test]
    fn columns_of_a_table_get_their_values() {
        let table =
            Dataset::new(vec![3], 2, Features::Floats(vec![0.1, 0.2, 0.3, 1.0, 2.0, 3.0]), vec![0, 1]);
        let table = table.unwrap();
        let trigger =
            Trigger { features: vec![2, 0], values: vec![-1.0, 8.0], target: 1, ..Trigger::default() };
        let stamped = trigger.stamped(&table).unwrap();
        assert_eq!(stamped.batch(&[0]).features, Features::Floats(vec![8.0, 0.2, -1.0]));
        assert_eq!(stamped.labels(), [1]);
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let refused =
            |trigger: Trigger, shape: &[usize]| trigger.check(&conditions(shape)).map_err(|(key, _)| key);
        let usual = Trigger::default;
        let image = &[28, 28][..];
        assert_eq!(refused(usual(), image), Ok(()));
        assert_eq!(refused(usual(), &[4, 4]), Ok(()));
        assert_eq!(refused(usual(), &[3, 4]), Err("attack.pattern"));
        let square = |size| Trigger { pattern: Pattern::Square, size, ..usual() };
        assert_eq!(refused(square(5), &[5, 5, 3]), Ok(()));
        assert_eq!(refused(square(5), &[5, 4, 3]), Err("attack.pattern"));
        assert_eq!(refused(square(4), image), Err("attack.size"));
        for share in [0.0, -0.1, 1.1, f64::NAN] {
            assert_eq!(refused(Trigger { share, ..usual() }, image), Err("attack.share"));
            assert_eq!(refused(Trigger { blend: share, ..usual() }, image), Err("attack.blend"));
        }
        assert_eq!(refused(Trigger { target: 9, ..usual() }, image), Ok(()));
        assert_eq!(refused(Trigger { target: 10, ..usual() }, image), Err("attack.target"));
        let columns = |features: &[u32], values: &[f64]| Trigger {
            features: features.to_vec(),
            values: values.to_vec(),
            ..usual()
        };
        assert_eq!(refused(columns(&[0], &[1.0]), image), Err("attack.features"));
        assert_eq!(refused(columns(&[], &[1.0]), image), Err("attack.values"));
        assert_eq!(refused(columns(&[29], &[1.0]), &[30]), Ok(()));
        assert_eq!(refused(columns(&[30], &[1.0]), &[30]), Err("attack.features"));
        assert_eq!(refused(columns(&[], &[]), &[30]), Err("attack.features"));
        assert_eq!(refused(columns(&[1, 1], &[1.0, 2.0]), &[30]), Err("attack.features"));
        assert_eq!(refused(columns(&[1, 2], &[1.0]), &[30]), Err("attack.values"));
        assert_eq!(refused(columns(&[1], &[1e39]), &[30]), Err("attack.values"));
    }
}
