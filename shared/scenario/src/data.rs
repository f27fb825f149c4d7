//! `[data]`: how much of the data set is used; and what else decides which examples a device has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use input::toml_file::FileError;
use input::unfit::{Unfit, require};
use learning::data::{Dataset, Shard, Source, Split};
use learning::random::{Purpose, stream};
use rand::seq::index::sample;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scenario;
use crate::defense::DefenseError;
use input::chosen::Chosen;
use wire::identity::DeviceId;

/// `[data]`: how much of the data set is used. The test set is always used whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Data {
    /// Training examples, drawn from those of the data set by the seed; all of them by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_examples: Option<u32>,
}

impl Data {
    /// Checks that there are as many of `dataset`, one for each of `devices` and `root` for the aggregator.
    pub(super) fn check(&self, dataset: &Chosen<dyn Source>, devices: u32, root: usize) -> Result<(), Unfit> {
        let available = dataset.spec().max_examples;
        let used = self.train_examples.map_or(available, |examples| examples as usize);
        require(root == 0 || root + devices as usize <= used, "aggregation.root-examples", || {
            format!(
                "{root} of the {used} training examples leave fewer than one for each of {devices} devices; lower it"
            )
        })?;
        let Some(examples) = self.train_examples else {
            return require(devices as usize <= available, "fleet.devices", || {
                format!(
                    "{devices} is more than the {available} training examples that {dataset} has, so that devices \
                         would have none; lower it"
                )
            });
        };
        require(examples as usize <= available, "data.train-examples", || {
            format!("{examples} is more than the {available} that {dataset} has at most")
        })?;
        require(examples >= devices, "data.train-examples", || {
            format!("{examples} must be at least fleet.devices = {devices}, so that each device has one")
        })
    }
}

/// The keys that decide what is in the shards, beside the data set itself and the partition's own keys.
const DECIDE_SHARDS: [&str; 5] =
    ["dataset", "seed", "data.train-examples", "fleet.devices", "fleet.partition"];

/// What of an attack decides nothing about shards.
const OF_ROUNDS: &str = "round-fraction";

impl Scenario {
    /// The settings that decide what is in the devices' shards, by their dotted keys: those of the partition, and of an attack
    /// if it plants examples there.
    ///
    /// # Panics
    /// Never: a scenario holds nothing that TOML cannot express.
    pub fn shard_settings(&self) -> BTreeMap<String, String> {
        let table = toml::Table::try_from(self).expect("a scenario is plain TOML");
        let mut keys: Vec<String> = DECIDE_SHARDS.map(ToOwned::to_owned).into();
        let partition = self.fleet.partition.iter().flat_map(|partition| partition.settings().keys());
        keys.extend(partition.map(|key| format!("fleet.{key}")));
        if self.attack.kind.as_ref().is_some_and(|attack| attack.plants()) {
            keys.push("fleet.compromised".to_owned());
            let attack = table.get("attack").and_then(toml::Value::as_table).into_iter().flatten();
            keys.extend(attack.filter(|(key, _)| *key != OF_ROUNDS).map(|(key, _)| format!("attack.{key}")));
        }
        if self.aggregation.rule.root_examples() > 0 {
            keys.push("aggregation.root-examples".to_owned());
        }
        let value = |key: &str| match key.split_once('.') {
            Some((section, key)) => table.get(section)?.get(key),
            None => table.get(key),
        };
        keys.into_iter().filter_map(|key| Some((key.clone(), value(&key)?.to_string()))).collect()
    }

    /// That nothing is asked of training examples that somebody would have to hold together: they lie on the devices.
    pub(super) fn check_on_devices(&self) -> Result<(), Unfit> {
        let why = "the training examples lie on the devices";
        require(self.data.train_examples.is_none(), "data.train-examples", || {
            format!("{why}, and each uses all of its own; leave it out")
        })?;
        require(self.aggregation.rule.root_examples() == 0, "aggregation.rule", || {
            format!(
                "`{}` trains on some at the aggregator, and {why}; choose another rule",
                self.aggregation.rule
            )
        })?;
        let plants = self.attack.kind.as_ref().filter(|attack| attack.plants());
        require(plants.is_none(), "attack.kind", || {
            let name = plants.map_or("", |attack| attack.name());
            format!("`{name}` plants examples in shards before a run, and {why}; choose another attack")
        })
    }

    /// What of its `shard` a `device` with an honest client trains on, by the stages of the defense that look for poison there.
    ///
    /// # Errors
    /// As [`Stage::sanitise`](crate::defense::Stage::sanitise).
    pub fn sanitised(&self, device: DeviceId, shard: Shard) -> Result<Shard, DefenseError> {
        let random = &mut stream(self.seed, Purpose::Sanitising, Some(device), 0);
        self.defense.iter().try_fold(shard, |shard, stage| stage.sanitise(shard, random))
    }

    /// The examples of its own that the attack reads from a file below `datasets`, if it does: those that it plants, and those
    /// that it is judged by.
    ///
    /// # Errors
    /// As [`ExampleFile::load`](crate::attacks::ExampleFile::load).
    pub fn attack_examples(&self, datasets: &Path) -> Result<Option<Split>, FileError> {
        let file = self.attack.kind.as_ref().and_then(|attack| attack.example_file());
        file.map(|file| file.load(datasets, &self.dataset.spec(), self.seed)).transpose()
    }

    /// The training examples of the data set that the run uses: those that devices have, in their order, and those that the
    /// aggregator keeps to itself, if its rule [wants some](robust::Rule::root_examples).
    ///
    /// # Errors
    /// [`TooFewExamples`] if there are fewer than the scenario asks for.
    pub fn training_examples(&self, train: Dataset) -> Result<TrainingExamples, TooFewExamples> {
        let root = self.aggregation.rule.root_examples();
        let asked = self.data.train_examples.map_or(root, |count| count as usize);
        let available = train.len();
        if asked > available {
            return Err(TooFewExamples { asked, available, dataset: self.dataset.spelled() });
        }
        let draw = |purpose, count| -> Vec<u32> {
            let random = &mut stream(self.seed, purpose, None, 0);
            let mut drawn: Vec<u32> = sample(random, available, count).iter().map(|i| i as u32).collect();
            drawn.sort_unstable();
            drawn
        };
        let used = match self.data.train_examples {
            Some(_) => draw(Purpose::TrainingSubset, asked),
            None if root == 0 => return Ok(TrainingExamples { devices: train, root: None }),
            None => (0..available as u32).collect(),
        };
        if root == 0 {
            return Ok(TrainingExamples { devices: train.select(&used), root: None });
        }
        let random = &mut stream(self.seed, Purpose::Root, None, 0);
        let kept: BTreeSet<usize> = sample(random, used.len(), root.min(used.len())).iter().collect();
        let (root, devices): (Vec<_>, Vec<_>) =
            used.iter().enumerate().partition(|(place, _)| kept.contains(place));
        let of = |examples: Vec<(usize, &u32)>| -> Vec<u32> {
            examples.into_iter().map(|(_, index)| *index).collect()
        };
        let (root, devices) = (train.select(&of(root)), train.select(&of(devices)));
        Ok(TrainingExamples { devices, root: Some(root) })
    }
}

/// The training examples that a run uses.
#[derive(Debug)]
pub struct TrainingExamples {
    /// Those that are dealt out.
    pub devices: Dataset,
    /// Those of the aggregator.
    pub root: Option<Dataset>,
}

/// Fewer training examples than the scenario asks for.
#[derive(Debug, thiserror::Error)]
#[error("data.train-examples: {asked} is more than the {available} training examples of {dataset}; lower it")]
pub struct TooFewExamples {
    /// How many it asks for.
    pub asked: usize,
    /// How many there are.
    pub available: usize,
    /// The data set.
    pub dataset: String,
}

#[cfg(test)]
mod tests {
    use learning::data::Features;

    use super::*;

    #[test]
    fn what_the_aggregator_keeps_to_itself_no_device_has() {
        let text = "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n";
        let scenario = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
            Scenario::parse("t.toml", text, &settings).unwrap()
        };
        let all = || Dataset::new(vec![1], 2, Features::Bytes((0..200).collect()), vec![0; 200]).unwrap();
        let features = |data: &Dataset| -> Vec<u32> {
            let indices: Vec<u32> = (0..data.len() as u32).collect();
            data.batch(&indices).features.to_floats().iter().map(|value| value.to_bits()).collect()
        };
        let fleet = ["fleet.devices=50", "aggregation.rule=fltrust", "aggregation.root-examples=30"];
        for settings in [&fleet[..], &[&fleet[..], &["data.train-examples=120"]].concat()] {
            let TrainingExamples { devices, root } = scenario(settings).training_examples(all()).unwrap();
            let root = root.unwrap();
            assert_eq!((root.len(), devices.len()), (30, if settings.len() > 3 { 90 } else { 170 }));
            let (root, devices): (BTreeSet<_>, BTreeSet<_>) =
                (features(&root).into_iter().collect(), features(&devices).into_iter().collect());
            assert!(root.is_disjoint(&devices));
        }
        let plain = scenario(&["fleet.devices=50"]).training_examples(all()).unwrap();
        assert_eq!((features(&plain.devices), plain.root.is_none()), (features(&all()), true));
        assert_ne!(
            scenario(&fleet).shard_settings(),
            scenario(&["fleet.devices=50"]).shard_settings(),
            "shards differ by it"
        );
    }

    #[test]
    fn root_examples_that_leave_devices_without_are_refused() {
        let text = "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n";
        let settings =
            ["data.train-examples=150", "aggregation.rule=fltrust", "aggregation.root-examples=51"];
        let refused =
            Scenario::parse("t.toml", text, &settings.map(ToOwned::to_owned)).unwrap_err().to_string();
        assert!(refused.contains("aggregation.root-examples: 51 of the 150"), "{refused}");
    }
}
