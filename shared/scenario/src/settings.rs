//! Settings on a command line, each of which overrides a key.

use input::toml_file::one_line;
use toml::{Table, Value};

/// Makes sure that no other of the settings has the key of this one: what counted would be the order in which they were
/// given, and one of the two who gave them would not have what they said.
pub(super) fn unique(setting: &str, earlier: &[String]) -> Result<(), String> {
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

/// A table of nothing but `settings`, `key=value` each.
///
/// # Errors
/// The setting that is none, or whose key another has.
pub fn table_of(settings: &[String]) -> Result<Table, String> {
    let mut table = Table::new();
    for (position, setting) in settings.iter().enumerate() {
        let read = unique(setting, &settings[..position]);
        let read = read.and_then(|()| with_setting(&table, setting, |_| Ok(())));
        table = read.map_err(|message| format!("`{}`: {message}", one_line(setting)))?;
    }
    Ok(table)
}

/// The dotted key of `key=value`.
pub fn key_of(setting: &str) -> &str {
    setting.split_once('=').map_or(setting, |(key, _)| key).trim()
}

/// `table` with the value of `key=value` in its place, where `fits` says whether a table with such a value can be: of a key
/// that takes text, `2024` is text.
pub(super) fn with_setting(
    table: &Table,
    setting: &str,
    fits: impl Fn(&Table) -> Result<(), String>,
) -> Result<Table, String> {
    let (_, text) = setting.split_once('=').ok_or("expected key=value, as in fleet.devices=20")?;
    let read = |value: Value| {
        let mut table = table.clone();
        insert(&mut table, key_of(setting), value)?;
        fits(&table)?;
        Ok(table)
    };
    let text = text.trim();
    let as_text = || read(Value::String(text.to_owned()));
    match parse_value(text)? {
        Some(Value::String(value)) => read(Value::String(value)),
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
