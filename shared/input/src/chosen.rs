//! What a scenario has chosen by a name.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use toml::{Table, Value};

/// A thing that a scenario has chosen, with its settings.
pub struct Chosen<T: ?Sized> {
    tag: &'static str,
    name: String,
    settings: Table,
    value: Arc<T>,
    /// What it is and whose, if it does not come with Outpost.
    extension: Option<(&'static str, &'static str)>,
}

impl<T: ?Sized> Chosen<T> {
    /// What is called `name` under the key `tag`; `settings` are those of `value`. An `extension` is what it is, with the path
    /// of the type in the crate that it comes from.
    pub fn new(
        tag: &'static str,
        name: &str,
        settings: Table,
        value: Arc<T>,
        extension: Option<(&'static str, &'static str)>,
    ) -> Self {
        Chosen { tag, name: name.to_owned(), settings, value, extension }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its settings, resolved.
    pub fn settings(&self) -> &Table {
        &self.settings
    }

    /// What it is, with its name, and where it comes from, if that is not Outpost.
    pub fn extension(&self) -> Option<(String, String)> {
        self.extension.map(|(what, origin)| (format!("{what} {}", self.name), origin.to_owned()))
    }

    /// The same with other settings, and another thing made of it.
    #[must_use]
    pub fn map(self, settings: impl FnOnce(Table) -> Table, value: impl FnOnce(Arc<T>) -> Arc<T>) -> Self {
        Chosen { settings: settings(self.settings), value: value(self.value), ..self }
    }

    /// Its name and settings as a scenario file spells them, without settings its name alone.
    ///
    /// # Panics
    /// Never: settings are plain TOML.
    pub fn spelled(&self) -> String {
        if self.settings.is_empty() {
            return self.name.clone();
        }
        Value::try_from(self).expect("settings are plain TOML").to_string()
    }
}

impl<T: ?Sized> Deref for Chosen<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> Clone for Chosen<T> {
    fn clone(&self) -> Self {
        let Chosen { tag, name, settings, value, extension } = self;
        let (name, settings, value) = (name.clone(), settings.clone(), value.clone());
        Chosen { tag, name, settings, value, extension: *extension }
    }
}

impl<T: ?Sized> PartialEq for Chosen<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.tag, &self.name, &self.settings) == (other.tag, &other.name, &other.settings)
    }
}

impl<T: ?Sized> fmt::Debug for Chosen<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.settings)
    }
}

impl<T: ?Sized> fmt::Display for Chosen<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// As a table: what names it, and its settings.
impl<T: ?Sized> Serialize for Chosen<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.settings.len()))?;
        map.serialize_entry(self.tag, &self.name)?;
        self.settings.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}
