//! Keys whose value is a name, or a table of a name and settings: `dataset = "mnist"`, `dataset = { kind = "mnist" }`.

use schemars::Schema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;
use toml::{Table, Value};

use super::schema::choices;
use crate::registry::{Entry, Misfit, Registry};
use input::chosen::Chosen;

/// What such a key names.
#[derive(Clone, Debug)]
pub(super) struct Named {
    name: String,
    /// Its settings, where it is a table.
    settings: Option<Table>,
}

impl Named {
    /// The same name with other settings.
    pub(super) fn with(self, settings: Table) -> Self {
        Named { settings: Some(settings), ..self }
    }

    /// The same without the settings called as one of `keys`, and these settings.
    pub(super) fn without(mut self, keys: &[&str]) -> (Self, Table) {
        let mut others = Table::new();
        // A table remains one, even if nothing is left in it: errors name its keys.
        if let Some(settings) = &mut self.settings {
            for key in keys {
                others.extend(settings.remove_entry(*key));
            }
        }
        (self, others)
    }

    /// What `key` names, of the things in `registry`; `resolve` is that of [`Registry::choose`].
    pub(super) fn choose<T: ?Sized + 'static>(
        self,
        key: &str,
        registry: &Registry<T>,
        resolve: &dyn Fn(&mut T),
    ) -> Result<Chosen<T>, Misfit> {
        let is_table = self.settings.is_some();
        let chosen = registry.choose(&self.name, self.settings.unwrap_or_default(), resolve);
        let place = |inner: &str| if is_table { format!("{key}.{inner}") } else { key.to_owned() };
        chosen.map_err(|misfit| Misfit { key: place(&misfit.key), message: misfit.message })
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) => Ok(Named { name, settings: None }),
            Value::Table(mut table) => match table.remove("kind") {
                Some(Value::String(name)) => Ok(Named { name, settings: Some(table) }),
                _ => Err(D::Error::custom("a table here has a `kind`, which is a name in quotes")),
            },
            _ => Err(D::Error::custom("expected a name in quotes, or a table with a `kind` and settings")),
        }
    }
}

/// As a name where there are no settings.
pub(super) fn in_short<T: ?Sized, S: Serializer>(
    chosen: &Chosen<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if chosen.settings().is_empty() {
        return serializer.serialize_str(chosen.name());
    }
    chosen.serialize(serializer)
}

/// The schema of such a key.
///
/// Of `common` are the keys that everything it may name has.
pub(super) fn schema<T: ?Sized + 'static>(registry: &Registry<T>, common: &Schema) -> serde_json::Value {
    let name = |entry: &Entry<T>| json!({ "const": entry.name(), "description": entry.about() });
    let names: Vec<_> = registry.entries().map(name).collect();
    json!({ "anyOf": [{ "oneOf": names }, choices(common, registry, "")] })
}
