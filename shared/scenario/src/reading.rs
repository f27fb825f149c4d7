//! Reading a scenario with overrides, and writing it resolved.

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use input::toml_file::{self, FileError, line_of, one_line, plain};
use learning::models::Architecture;
use learning::{data, training};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::{Table, Value};
use wire::identity::Digest;

use super::named::Named;
use super::sections::{
    AggregationKeys, AttackKeys, FleetKeys, OptimizerKeys, StageKeys, USUAL_PARTITION, one,
};
use super::settings::{key_of, unique, with_setting};
use super::{Aggregation, Attack, Data, Evaluation, FineTuning, Fleet, Scenario, ScenarioError, Timing};
use crate::catalogue::{Catalogue, FoundInFiles};
use crate::defense::Stage;
use crate::registry::{Misfit, NONE, Registry};
use crate::remembered::MAX_STAGES;
use input::chosen::Chosen;

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
        self.read(file, text, toml_file::parse(file, text)?, settings)
    }

    /// As [`Catalogue::parse`], of a file whose `text` holds more than the scenario, which is in `table`.
    ///
    /// # Errors
    /// As [`Catalogue::load`].
    pub fn read(
        &self,
        file: &str,
        text: &str,
        mut table: Table,
        settings: &[String],
    ) -> Result<Scenario, ScenarioError> {
        let source = Source { file, text, settings };
        self.resolve(&table, None).map_err(|misfit| source.locate(misfit))?;
        for key in ["dataset", "model"] {
            if let Some(named @ Value::String(_)) = table.get_mut(key) {
                // A setting may add to it.
                *named = Value::Table(Table::from_iter([("kind".to_owned(), named.clone())]));
            }
        }
        make_way(&self.datasets, "dataset", &mut table, settings);
        make_way(&self.models, "model", &mut table, settings);
        make_way(&self.partitions, "fleet", &mut table, settings);
        make_way(&self.rules, "aggregation", &mut table, settings);
        make_way(&self.optimizers, "optimizer", &mut table, settings);
        make_way(&self.stages, "defense", &mut table, settings);
        make_way(&self.attacks, "attack", &mut table, settings);
        for (chosen, other) in [("local-epochs", "local-steps"), ("local-steps", "local-epochs")] {
            let key = format!("training.{chosen}");
            if let Some(Value::Table(training)) = table.get_mut("training")
                && settings.iter().any(|setting| key_of(setting) == key)
            {
                training.remove(other);
            }
        }
        for (position, setting) in settings.iter().enumerate() {
            // One at a time, so that an error names the setting that caused it.
            let fits = |table: &Table| Keys::read(table, self).map(drop).map_err(|misfit| misfit.message);
            let read =
                unique(setting, &settings[..position]).and_then(|()| with_setting(&table, setting, fits));
            table = read.map_err(|message| ScenarioError::Setting { setting: one_line(setting), message })?;
        }
        let found = self.found.as_ref();
        let scenario = self.resolve(&table, found).map_err(|misfit| source.locate(misfit))?;
        scenario.check().map_err(|(key, message)| FileError::invalid(file, key, message))?;
        Ok(scenario)
    }

    /// The scenario in `table`, with what is `found` of its data set in files.
    fn resolve(&self, table: &Table, found: Option<&FoundInFiles>) -> Result<Scenario, Misfit> {
        let keys = Keys::read(table, self)?;
        let byzantine = keys.aggregation.byzantine.unwrap_or(keys.fleet.compromised);
        let of = |section: &'static str| {
            move |misfit: Misfit| Misfit { key: format!("{section}.{}", misfit.key), ..misfit }
        };
        let own = |section: &str, common: &[&str]| own_keys(table.get(section), common);
        let (model, fine_tuning) = self.model(keys.model)?;
        let rule =
            self.rules.choose(&keys.aggregation.rule, own("aggregation", self.rules.beside()), &|rule| {
                rule.resolve(byzantine as usize);
            });
        let dataset = self.dataset(keys.dataset, found)?;
        let of_partition = own("fleet", self.partitions.beside());
        let partition = if dataset.on_devices().is_some() {
            not_dealt(keys.fleet.partition.as_deref(), &of_partition)?;
            None
        } else {
            let name = keys.fleet.partition.as_deref().unwrap_or(USUAL_PARTITION);
            Some(self.partitions.choose(name, of_partition, &|_| {}).map_err(of("fleet"))?)
        };
        let attack = choose_if_any(&self.attacks, "attack", &keys.attack.kind, table)?;
        let optimizer = choose_if_any(&self.optimizers, "optimizer", &keys.optimizer.kind, table)?;
        Ok(Scenario {
            aggregation: Aggregation {
                rule: rule.map_err(of("aggregation"))?,
                byzantine,
                round_quorum: keys.aggregation.round_quorum,
            },
            defense: self.stages(table, byzantine)?,
            optimizer,
            attack: Attack { kind: attack, round_fraction: keys.attack.round_fraction },
            fleet: Fleet {
                devices: keys.fleet.devices,
                compromised: keys.fleet.compromised,
                partition,
                selected: keys.fleet.selected.unwrap_or(keys.fleet.devices),
            },
            name: keys.name,
            seed: keys.seed,
            dataset,
            model,
            fine_tuning,
            rounds: keys.rounds,
            data: keys.data,
            training: keys.training.resolved(),
            evaluation: keys.evaluation,
            timing: keys.timing,
            catalogue: Arc::new(self.clone()),
        })
    }

    /// The data set that a scenario names, with what is `found` of it in files.
    fn dataset(
        &self,
        named: Named,
        found: Option<&FoundInFiles>,
    ) -> Result<Chosen<dyn data::Source>, Misfit> {
        let Some(FoundInFiles { folder, known }) = found else {
            return named.choose("dataset", &self.datasets, &|_| {});
        };
        let said = format!("{named:?}");
        let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(settings) = lock().get(&said).cloned() {
            return named.with(settings).choose("dataset", &self.datasets, &|_| {});
        }
        let failed = Cell::new(None);
        let describe =
            |dataset: &mut (dyn data::Source + 'static)| failed.set(dataset.describe(folder).err());
        let chosen = named.choose("dataset", &self.datasets, &describe)?;
        if let Some(error) = failed.into_inner() {
            return Err(Misfit { key: "dataset".to_owned(), message: error.to_string() });
        }
        lock().insert(said, chosen.settings().clone());
        Ok(chosen)
    }

    /// The model, and those of its keys that every model has.
    fn model(&self, named: Named) -> Result<(Chosen<dyn Architecture>, FineTuning), Misfit> {
        let (named, common) = named.without(self.models.beside());
        let of = |misfit: Misfit| Misfit { key: format!("model.{}", misfit.key), ..misfit };
        let fine_tuning: FineTuning = read(Value::Table(common)).map_err(of)?;
        let model = named.choose("model", &self.models, &|_| {})?;
        Ok((fine_tuning.of(model), fine_tuning))
    }

    /// The stages of `[[defense]]`; a single `[defense]` is the only one.
    fn stages(&self, table: &Table, byzantine: u32) -> Result<Vec<Chosen<dyn Stage>>, Misfit> {
        let (tables, is_list) = match table.get("defense") {
            Some(Value::Array(tables)) => (&tables[..], true),
            Some(table) => (std::slice::from_ref(table), false),
            None => return Ok(Vec::new()),
        };
        if tables.len() > MAX_STAGES {
            let message = format!("{} stages, where at most {MAX_STAGES} can be", tables.len());
            return Err(Misfit { key: "defense".to_owned(), message });
        }
        let mut stages = Vec::new();
        for (number, table) in tables.iter().enumerate() {
            let of = |misfit: Misfit| {
                let path = if is_list { format!("defense.{number}") } else { "defense".to_owned() };
                Misfit { key: format!("{path}.{}", misfit.key), ..misfit }
            };
            let StageKeys { kind } =
                read(Value::Table(common_keys(table, self.stages.beside()))).map_err(of)?;
            let own = own_keys(Some(table), self.stages.beside());
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

/// The keys that do not depend on what others choose.
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
    optimizer: OptimizerKeys,
    #[serde(default)]
    attack: AttackKeys,
    #[serde(default)]
    evaluation: Evaluation,
    #[serde(default)]
    timing: Timing,
}

impl Keys {
    fn read(table: &Table, catalogue: &Catalogue) -> Result<Self, Misfit> {
        let mut table = table.clone();
        table.remove("defense");
        let sections = [
            ("aggregation", catalogue.rules.beside()),
            ("optimizer", catalogue.optimizers.beside()),
            ("attack", catalogue.attacks.beside()),
            ("fleet", catalogue.partitions.beside()),
        ];
        for (section, common) in sections {
            if let Some(table) = table.get_mut(section).filter(|value| value.is_table()) {
                *table = Value::Table(common_keys(table, common));
            }
        }
        read(Value::Table(table))
    }
}

/// Where one of the settings chooses another thing of the `registry` than the section of `table` has, takes the settings of the
/// former choice out, but for those that the new one has as well.
fn make_way<T: ?Sized + 'static>(
    registry: &Registry<T>,
    section: &str,
    table: &mut Table,
    settings: &[String],
) {
    let tag = format!("{section}.{}", registry.tag());
    let chosen = settings.iter().find(|setting| key_of(setting) == tag);
    let Some((_, name)) = chosen.and_then(|setting| setting.split_once('=')) else { return };
    let Some(keys) = registry.keys(name.trim().trim_matches(['"', '\''])) else { return };
    if let Some(Value::Table(table)) = table.get_mut(section) {
        table.retain(|key, _| registry.beside().contains(&key) || keys.iter().any(|own| own == key));
    }
}

/// What `section` of the table names as its `kind`, if anything.
fn choose_if_any<T: ?Sized + 'static>(
    registry: &Registry<T>,
    section: &str,
    kind: &str,
    table: &Table,
) -> Result<Option<Chosen<T>>, Misfit> {
    let of = |key: &str| format!("{section}.{key}");
    let own = own_keys(table.get(section), registry.beside());
    if kind != NONE {
        let chosen = registry.choose(kind, own, &|_| {});
        return chosen.map(Some).map_err(|misfit| Misfit { key: of(&misfit.key), ..misfit });
    }
    let Some(key) = own.keys().next() else { return Ok(None) };
    let message = format!("without an {section} there is no `{key}`; give {section}.kind, or leave it out");
    Err(Misfit { key: of(key), message })
}

/// Refuses a partition, and the settings of one, of data that nobody deals out.
fn not_dealt(partition: Option<&str>, settings: &Table) -> Result<(), Misfit> {
    let key = partition.map(|_| "partition").or(settings.keys().next().map(String::as_str));
    let Some(key) = key else { return Ok(()) };
    let message = "each device has its own data, so nothing is dealt out to them; leave it out".to_owned();
    Err(Misfit { key: format!("fleet.{key}"), message })
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
