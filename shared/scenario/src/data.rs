//! `[data]`: how much of the data set is used; and what else decides which examples a device has.

use std::collections::BTreeMap;

use input::unfit::{Unfit, require};
use learning::data::Source;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scenario;
use input::chosen::Chosen;

/// `[data]`: how much of the data set is used. The test set is always used whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Data {
    /// Training examples, drawn from those of the data set by the seed; all of them by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_examples: Option<u32>,
}

impl Data {
    /// Checks that there are as many of `dataset`, and one for each of `devices`.
    pub(super) fn check(&self, dataset: &Chosen<dyn Source>, devices: u32) -> Result<(), Unfit> {
        let available = dataset.spec().max_examples;
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
        keys.extend(self.fleet.partition.settings().keys().map(|key| format!("fleet.{key}")));
        if self.attack.kind.as_ref().is_some_and(|attack| attack.plants()) {
            keys.push("fleet.compromised".to_owned());
            let attack = table.get("attack").and_then(toml::Value::as_table).into_iter().flatten();
            keys.extend(attack.filter(|(key, _)| *key != OF_ROUNDS).map(|(key, _)| format!("attack.{key}")));
        }
        let value = |key: &str| match key.split_once('.') {
            Some((section, key)) => table.get(section)?.get(key),
            None => table.get(key),
        };
        keys.into_iter().filter_map(|key| Some((key.clone(), value(&key)?.to_string()))).collect()
    }
}
