//! Reading a scenario with overrides, and writing it resolved.

use std::path::Path;

use toml::{Table, Value};

use super::{Scenario, ScenarioError};
use crate::identity::Digest;
use crate::toml_file::{self, one_line, plain};

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
        for (position, setting) in settings.iter().enumerate() {
            // One at a time, so that an error names the setting that caused it.
            let read = unique(setting, &settings[..position])
                .and_then(|()| with_setting(&table, setting))
                .map_err(|message| ScenarioError::Setting { setting: one_line(setting), message })?;
            (table, scenario) = read;
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

    fn resolve(&mut self) {
        self.fleet.selected.get_or_insert(self.fleet.devices);
        let byzantine = self.byzantine();
        self.aggregation.byzantine = Some(byzantine);
        self.aggregation.trim.get_or_insert(byzantine);
        self.defense.remove.get_or_insert(byzantine);
    }
}

/// Makes sure that no other of the settings has the key of this one: what counted would be the order in which they were
/// given, and one of the two who gave them would not have what they said.
fn unique(setting: &str, earlier: &[String]) -> Result<(), String> {
    let key = key_of(setting);
    let inside = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
    let same = |other: &&String| {
        let other = key_of(other);
        key == other || inside(key, other) || inside(other, key)
    };
    match earlier.iter().find(same) {
        Some(other) => Err(format!("`{}` sets {key} already; leave one of the two out", one_line(other))),
        None => Ok(()),
    }
}

/// The dotted key of `key=value`.
pub fn key_of(setting: &str) -> &str {
    setting.split_once('=').map_or(setting, |(key, _)| key).trim()
}

/// `table` with the value of `key=value` in its place, and the scenario that it then is.
fn with_setting(table: &Table, setting: &str) -> Result<(Table, Scenario), String> {
    let (_, text) = setting.split_once('=').ok_or("expected key=value, as in fleet.devices=20")?;
    let read = |value: Value| {
        let mut table = table.clone();
        insert(&mut table, key_of(setting), value)?;
        let scenario = table.clone().try_into().map_err(|e: toml::de::Error| plain(e.message()))?;
        Ok((table, scenario))
    };
    let text = text.trim();
    let as_text = || read(Value::String(text.to_owned()));
    match parse_value(text)? {
        Some(Value::String(value)) => read(Value::String(value)),
        // Of a key that wants text, `2024` is one.
        Some(value) => read(value).or_else(|error: String| as_text().map_err(|_| error)),
        None => as_text(),
    }
}

/// Puts `value` where the dotted `key` says, making tables on the way.
fn insert(table: &mut Table, key: &str, value: Value) -> Result<(), String> {
    let (parents, name) = match key.rsplit_once('.') {
        Some((parents, name)) => (parents.split('.').collect(), name),
        None => (Vec::new(), key),
    };
    let mut place = table;
    for parent in parents {
        let entry = place.entry(parent).or_insert_with(|| Value::Table(Table::new()));
        place = entry.as_table_mut().ok_or_else(|| format!("`{parent}` is not a table"))?;
    }
    place.insert(name.to_owned(), value);
    Ok(())
}

/// The TOML value that `text` is; `None` if it is none, so that `rule=median` needs no quotes.
fn parse_value(text: &str) -> Result<Option<Value>, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i64>().is_err()
    {
        return Err(format!("{text} is out of range: numbers go up to {}", i64::MAX));
    }
    let parsed: Result<Table, _> = toml::from_str(&format!("value = {text}"));
    Ok(parsed.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value")))
}
