//! Reading a scenario with overrides, and writing it resolved.

use std::path::Path;

use toml::{Table, Value};

use super::{Scenario, ScenarioError};
use crate::identity::Digest;
use crate::toml_file::{self, one_line};

impl Scenario {
    /// Reads and validates the scenario in `path`, each of `settings` (`key=value`, the key dotted) overriding one
    /// key. The result is resolved: defaults that depend on other keys are filled in.
    ///
    /// # Errors
    /// [`ScenarioError`] with the file and line, or the setting, and the key.
    pub fn load(path: &Path, settings: &[String]) -> Result<Self, ScenarioError> {
        Scenario::parse(&path.display().to_string(), &toml_file::read(path)?, settings)
    }

    /// As [`Scenario::load`], from text; `file` is what errors call it.
    ///
    /// # Errors
    /// As [`Scenario::load`].
    pub fn parse(file: &str, text: &str, settings: &[String]) -> Result<Self, ScenarioError> {
        let mut table: Table = toml_file::parse(file, text)?;
        let mut scenario: Scenario = toml_file::parse(file, text)?;
        for setting in settings {
            // One at a time, so that an error names the setting that caused it.
            apply(&mut table, setting)
                .and_then(|()| Scenario::deserialize_table(&table))
                .map(|read| scenario = read)
                .map_err(|message| ScenarioError::Setting { setting: setting.clone(), message })?;
        }
        scenario.resolve();
        scenario.validate(file)?;
        Ok(scenario)
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

    fn deserialize_table(table: &Table) -> Result<Self, String> {
        table.clone().try_into().map_err(|e: toml::de::Error| one_line(e.message()))
    }

    fn resolve(&mut self) {
        self.fleet.selected.get_or_insert(self.fleet.devices);
        let byzantine = self.byzantine();
        self.aggregation.byzantine = Some(byzantine);
        self.aggregation.trim.get_or_insert(byzantine);
        self.defense.remove.get_or_insert(byzantine);
    }
}

/// Puts the value of `key=value` into `table`, making tables on the way.
fn apply(table: &mut Table, setting: &str) -> Result<(), String> {
    let (key, value) = setting.split_once('=').ok_or("expected key=value, as in fleet.devices=20")?;
    let (parents, name) = match key.trim().rsplit_once('.') {
        Some((parents, name)) => (parents.split('.').collect(), name),
        None => (Vec::new(), key.trim()),
    };
    let mut place = table;
    for parent in parents {
        let entry = place.entry(parent).or_insert_with(|| Value::Table(Table::new()));
        place = entry.as_table_mut().ok_or_else(|| format!("`{parent}` is not a table"))?;
    }
    place.insert(name.to_owned(), parse_value(value.trim()));
    Ok(())
}

/// A TOML value where it is one, else a string, so that `rule=median` needs no quotes.
fn parse_value(text: &str) -> Value {
    let parsed: Result<Table, _> = toml::from_str(&format!("value = {text}"));
    parsed.ok().and_then(|mut t| t.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}
