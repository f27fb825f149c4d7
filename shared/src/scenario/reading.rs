//! Reading a scenario with overrides, and writing it resolved.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::{Table, Value};

use super::named::Named;
use super::sections::{AggregationKeys, AttackKeys, FleetKeys, StageKeys, one};
use super::settings::{key_of, unique, with_setting};
use super::{Aggregation, Attack, Data, Evaluation, Fleet, Scenario, ScenarioError, Timing};
use crate::catalogue::Catalogue;
use crate::data::Partition;
use crate::defense::Stage;
use crate::identity::Digest;
use crate::registry::{Chosen, Entry, Misfit, NONE, listed};
use crate::toml_file::{self, FileError, line_of, one_line, plain};
use crate::training;

impl Scenario {
    /// [`Catalogue::load`] by the standard catalogue.
    ///
    /// # Errors
    /// As there.
    pub fn load(path: &Path, settings: &[String]) -> Result<Self, ScenarioError> {
        Catalogue::standard().load(path, settings)
    }

    /// [`Catalogue::parse`] by the standard catalogue.
    ///
    /// # Errors
    /// As there.
    pub fn parse(file: &str, text: &str, settings: &[String]) -> Result<Self, ScenarioError> {
        Catalogue::standard().parse(file, text, settings)
    }

    /// The scenario as TOML, every key written out.
    ///
    /// # Panics
    /// Never: a scenario holds nothing that TOML cannot express.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a scenario is plain TOML")
    }

    /// Digest of [`Scenario::to_toml`], by which both ends make sure that they run the same scenario.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_toml().as_bytes())
    }
}

impl Catalogue {
    /// Reads and validates the scenario in `path`, each of `settings` (`key=value`, the key dotted) overriding one
    /// key. The result is resolved: defaults that depend on other keys are filled in.
    ///
    /// # Errors
    /// [`ScenarioError`] with the file and line, or the setting, and the key.
    pub fn load(&self, path: &Path, settings: &[String]) -> Result<Scenario, ScenarioError> {
        self.parse(&path.display().to_string(), &toml_file::read(path)?, settings)
    }

    /// As [`Catalogue::load`], from text; `file` is what errors call it.
    ///
    /// # Errors
    /// As [`Catalogue::load`].
    pub fn parse(&self, file: &str, text: &str, settings: &[String]) -> Result<Scenario, ScenarioError> {
        let mut table: Table = toml_file::parse(file, text)?;
        let source = Source { file, text, settings };
        self.resolve(&table).map_err(|misfit| source.locate(misfit))?;
        for key in ["dataset", "model"] {
            if let Some(named @ Value::String(_)) = table.get_mut(key) {
                // A setting may add to it.
                *named = Value::Table(Table::from_iter([("kind".to_owned(), named.clone())]));
            }
        }
        self.make_way(&mut table, settings);
        for (position, setting) in settings.iter().enumerate() {
            // One at a time, so that an error names the setting that caused it.
            let fits = |table: &Table| Keys::read(table).map(drop).map_err(|misfit| misfit.message);
            let read =
                unique(setting, &settings[..position]).and_then(|()| with_setting(&table, setting, fits));
            table = read.map_err(|message| ScenarioError::Setting { setting: one_line(setting), message })?;
        }
        let scenario = self.resolve(&table).map_err(|misfit| source.locate(misfit))?;
        scenario.check().map_err(|(key, message)| FileError::invalid(file, key, message))?;
        Ok(scenario)
    }

    /// Where one of the settings chooses another data set, model, partition, rule, stage or attack than the file, takes the
    /// settings of the former choice out of `table`, but for those that the new one has as well.
    fn make_way(&self, table: &mut Table, settings: &[String]) {
        let chosen = |key: &str| {
            let (_, value) = settings.iter().find(|setting| key_of(setting) == key)?.split_once('=')?;
            Some(value.trim().trim_matches('"').to_owned())
        };
        let keys = |section: &str| match section {
            "aggregation" => self.rules.keys(&chosen("aggregation.rule")?),
            "model" => self.models.keys(&chosen("model.kind")?),
            "attack" => self.attacks.keys(&chosen("attack.kind")?),
            "dataset" => self.datasets.keys(&chosen("dataset.kind")?),
            "fleet" => self.partitions.keys(&chosen("fleet.partition")?),
            _ => self.stages.keys(&chosen("defense.kind")?),
        };
        for (section, common) in
            ["dataset", "model", "defense"].map(|section| (section, KIND)).into_iter().chain(SECTIONS)
        {
            if let (Some(keys), Some(Value::Table(table))) = (keys(section), table.get_mut(section)) {
                table.retain(|key, _| common.contains(&key) || keys.iter().any(|own| own == key));
            }
        }
    }

    /// The scenario in `table`.
    fn resolve(&self, table: &Table) -> Result<Scenario, Misfit> {
        let keys = Keys::read(table)?;
        let byzantine = keys.aggregation.byzantine.unwrap_or(keys.fleet.compromised);
        let of = |section: &'static str| {
            move |misfit: Misfit| Misfit { key: format!("{section}.{}", misfit.key), ..misfit }
        };
        let own = |section: &str, common: &[&str]| own_keys(table.get(section), common);
        let rule = self.rules.choose(&keys.aggregation.rule, own("aggregation", AGGREGATION), &|rule| {
            rule.resolve(byzantine as usize);
        });
        let attack = (keys.attack.kind != NONE)
            .then(|| self.attacks.choose(&keys.attack.kind, own("attack", ATTACK), &|_| {}));
        if attack.is_none()
            && let Some(key) = own("attack", ATTACK).keys().next()
        {
            let message = format!("without an attack there is no `{key}`; give attack.kind, or leave it out");
            return Err(Misfit { key: format!("attack.{key}"), message });
        }
        Ok(Scenario {
            aggregation: Aggregation {
                rule: rule.map_err(of("aggregation"))?,
                byzantine,
                round_quorum: keys.aggregation.round_quorum,
            },
            defense: self.stages(table, byzantine)?,
            attack: Attack {
                kind: attack.transpose().map_err(of("attack"))?,
                round_fraction: keys.attack.round_fraction,
            },
            fleet: Fleet {
                devices: keys.fleet.devices,
                compromised: keys.fleet.compromised,
                partition: self.partition(&keys.fleet.partition, own("fleet", FLEET)).map_err(of("fleet"))?,
                selected: keys.fleet.selected.unwrap_or(keys.fleet.devices),
            },
            name: keys.name,
            seed: keys.seed,
            dataset: keys.dataset.choose("dataset", &self.datasets)?,
            model: keys.model.choose("model", &self.models)?,
            rounds: keys.rounds,
            data: keys.data,
            training: keys.training,
            evaluation: keys.evaluation,
            timing: keys.timing,
            catalogue: Arc::new(self.clone()),
        })
    }

    /// The partition called `name` with its `own` keys. A key that no partition has may be one of `[fleet]`, misspelled.
    fn partition(&self, name: &str, own: Table) -> Result<Chosen<dyn Partition>, Misfit> {
        let keys = |entry: &Entry<dyn Partition>| entry.keys();
        let known: Vec<String> = self.partitions.entries().flat_map(keys).collect();
        if let Some(key) = own.keys().find(|key| !known.contains(key)) {
            let keys = self.partitions.keys(name).unwrap_or_default();
            let keys = listed(FLEET.iter().map(ToString::to_string).chain(keys));
            let message = format!("unknown field `{key}`, expected one of {keys}");
            return Err(Misfit { key: key.clone(), message });
        }
        self.partitions.choose(name, own, &|_| {})
    }

    /// The stages of `[[defense]]`; a single `[defense]` is the only one.
    fn stages(&self, table: &Table, byzantine: u32) -> Result<Vec<Chosen<dyn Stage>>, Misfit> {
        let (tables, is_list) = match table.get("defense") {
            Some(Value::Array(tables)) => (&tables[..], true),
            Some(table) => (std::slice::from_ref(table), false),
            None => return Ok(Vec::new()),
        };
        let mut stages = Vec::new();
        for (number, table) in tables.iter().enumerate() {
            let of = |misfit: Misfit| {
                let path = if is_list { format!("defense.{number}") } else { "defense".to_owned() };
                Misfit { key: format!("{path}.{}", misfit.key), ..misfit }
            };
            let StageKeys { kind } = read(Value::Table(common_keys(table, KIND))).map_err(of)?;
            let own = own_keys(Some(table), KIND);
            if kind != NONE {
                let stage = self.stages.choose(&kind, own, &|stage| stage.resolve(byzantine as usize));
                stages.push(stage.map_err(of)?);
            } else if let Some(key) = own.keys().next() {
                let message =
                    format!("without a defense there is no `{key}`; give defense.kind, or leave it out");
                return Err(of(Misfit { key: key.clone(), message }));
            }
        }
        Ok(stages)
    }
}

/// The keys that do not hang on what is chosen by others.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(title = "Scenario", description = "Everything about a run.")]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Keys {
    name: String,
    #[serde(default = "one")]
    seed: u64,
    #[schemars(with = "String")]
    dataset: Named,
    #[schemars(with = "String")]
    model: Named,
    rounds: u32,
    #[serde(default)]
    data: Data,
    #[serde(default)]
    training: training::Settings,
    #[serde(default)]
    fleet: FleetKeys,
    #[serde(default)]
    aggregation: AggregationKeys,
    #[serde(default)]
    attack: AttackKeys,
    #[serde(default)]
    evaluation: Evaluation,
    #[serde(default)]
    timing: Timing,
}

/// The keys of a section that hang on nothing.
const AGGREGATION: &[&str] = &["rule", "byzantine", "round-quorum"];
const ATTACK: &[&str] = &["kind", "round-fraction"];
const FLEET: &[&str] = &["devices", "compromised", "partition", "selected"];
/// Of a data set, a model and a stage.
const KIND: &[&str] = &["kind"];
/// The sections with keys of what is chosen there.
const SECTIONS: [(&str, &[&str]); 3] = [("aggregation", AGGREGATION), ("attack", ATTACK), ("fleet", FLEET)];

impl Keys {
    fn read(table: &Table) -> Result<Self, Misfit> {
        let mut table = table.clone();
        table.remove("defense");
        for (section, common) in SECTIONS {
            if let Some(table) = table.get_mut(section).filter(|value| value.is_table()) {
                *table = Value::Table(common_keys(table, common));
            }
        }
        read(Value::Table(table))
    }
}

fn common_keys(section: &Value, common: &[&str]) -> Table {
    let mut table = section.as_table().cloned().unwrap_or_default();
    table.retain(|key, _| common.contains(&key));
    table
}

fn own_keys(section: Option<&Value>, common: &[&str]) -> Table {
    let mut table = section.and_then(Value::as_table).cloned().unwrap_or_default();
    table.retain(|key, _| !common.contains(&key));
    table
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| Misfit { key: error.path().to_string(), message: plain(error.inner().message()) })
}

/// Where a scenario comes from.
struct Source<'a> {
    file: &'a str,
    text: &'a str,
    settings: &'a [String],
}

impl Source<'_> {
    /// The setting, or else the line of the file, that a misfit comes from.
    fn locate(&self, Misfit { key, message }: Misfit) -> ScenarioError {
        let sets = |setting: &&String| {
            key.strip_prefix(key_of(setting)).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if let Some(setting) = self.settings.iter().find(sets) {
            return ScenarioError::Setting { setting: one_line(setting), message };
        }
        let file = self.file.to_owned();
        match line_of(self.text, &key) {
            Some(line) => FileError::Text { file, line, message },
            None => FileError::Invalid { file, key, message },
        }
        .into()
    }
}
