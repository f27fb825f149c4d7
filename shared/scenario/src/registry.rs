//! Entries of one kind by their names, each with its own settings.

use std::any::type_name;
use std::fmt;
use std::sync::Arc;

use input::chosen::Chosen;
use input::toml_file::plain;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// What names nothing.
pub(crate) const NONE: &str = "none";

/// Settings with defaults and documentation: the latter's first sentence is what a list says of the thing.
pub trait Settings: DeserializeOwned + Serialize + JsonSchema + 'static {}

impl<S: DeserializeOwned + Serialize + JsonSchema + 'static> Settings for S {}

/// Things of one sort, in the order in which they were added.
pub struct Registry<T: ?Sized> {
    /// What one of them is.
    what: &'static str,
    /// The key whose value names one.
    tag: &'static str,
    /// The keys that stand beside its settings, whichever it is; that is one of them.
    beside: &'static [&'static str],
    entries: Vec<Arc<Entry<T>>>,
}

/// What is known of a thing before its settings are.
pub struct Entry<T: ?Sized> {
    name: String,
    is_ours: bool,
    /// The path of its settings in the crate that has it.
    origin: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    #[expect(clippy::type_complexity, reason = "it stands nowhere else")]
    read: Box<dyn Fn(Table, &dyn Fn(&mut T)) -> Result<(Table, Arc<T>), Misfit> + Send + Sync>,
}

/// Settings that are not those of the thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Misfit {
    /// The key, or that of what names the thing.
    pub key: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl<T: ?Sized + 'static> Registry<T> {
    pub(crate) fn new(what: &'static str, tag: &'static str, beside: &'static [&'static str]) -> Self {
        Registry { what, tag, beside, entries: Vec::new() }
    }

    /// Marks what there is as coming with Outpost.
    pub(crate) fn ours(mut self) -> Self {
        self.entries.iter_mut().filter_map(Arc::get_mut).for_each(|entry| entry.is_ours = true);
        self
    }

    pub(crate) fn insert<S: Settings>(
        &mut self,
        name: &str,
        as_mut: fn(&mut S) -> &mut T,
        into: fn(S) -> Arc<T>,
    ) {
        let read = move |table: Table, resolve: &dyn Fn(&mut T)| {
            let mut settings =
                settings_in::<S>(table.clone()).map_err(|misfit| named(misfit, &table, settings_in::<S>))?;
            resolve(as_mut(&mut settings));
            let table = Table::try_from(&settings).expect("settings are plain TOML");
            Ok((table, into(settings)))
        };
        let schema = |generator: &mut SchemaGenerator| generator.root_schema_for::<S>();
        let origin = type_name::<S>();
        let entry = Entry { name: name.to_owned(), is_ours: false, origin, schema, read: Box::new(read) };
        // Whoever adds what is there already means to replace it.
        self.entries.retain(|entry| entry.name != name);
        self.entries.push(Arc::new(entry));
    }

    /// All of them.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter().map(|entry| &**entry)
    }

    /// The keys of what is called `name`; none, where nothing is to be, and `None` if nobody knows it.
    pub(crate) fn keys(&self, name: &str) -> Option<Vec<String>> {
        if name == NONE {
            return Some(Vec::new());
        }
        Some(self.entries().find(|entry| entry.name == name)?.keys())
    }

    /// The key whose value names one.
    pub fn tag(&self) -> &'static str {
        self.tag
    }

    /// The keys that stand beside its settings, whichever it is.
    pub(crate) fn beside(&self) -> &'static [&'static str] {
        self.beside
    }

    /// The thing called `name` as it is without a word about its settings.
    ///
    /// # Errors
    /// As [`Registry::choose`], also where one of its settings has no default.
    pub fn with_defaults(&self, name: &str) -> Result<Chosen<T>, Misfit> {
        self.choose(name, Table::new(), &|_| {})
    }

    /// The thing called `name` with the settings in `table`; `resolve` fills in what follows from the rest of the scenario.
    ///
    /// # Errors
    /// [`Misfit`] names what there is instead of a name or a key that is not known.
    pub fn choose(&self, name: &str, table: Table, resolve: &dyn Fn(&mut T)) -> Result<Chosen<T>, Misfit> {
        let Some(entry) = self.entries.iter().find(|entry| entry.name == name) else {
            let names = listed(self.entries().map(Entry::name));
            let message = format!("unknown {} `{name}`; known are {names}", self.what);
            return Err(Misfit { key: self.tag().to_owned(), message });
        };
        let keys = entry.keys();
        if let Some(key) = table.keys().find(|key| !keys.contains(key)) {
            let is_of_another = || self.entries().any(|entry| entry.keys().contains(key));
            let message = if self.beside.len() > 1 && !is_of_another() {
                let known = self.beside.iter().copied().chain(keys.iter().map(String::as_str));
                format!("unknown field `{key}`, expected one of {}", listed(known))
            } else if keys.is_empty() {
                format!("the {} `{name}` has no `{key}`, nor any other setting", self.what)
            } else {
                format!("the {} `{name}` has no `{key}`, but {}", self.what, listed(&keys))
            };
            return Err(Misfit { key: key.clone(), message });
        }
        let (settings, value) = (entry.read)(table, resolve)?;
        let extension = (!entry.is_ours).then_some((self.what, entry.origin));
        Ok(Chosen::new(self.tag(), name, settings, value, extension))
    }
}

/// The settings in `table`.
fn settings_in<S: Settings>(table: Table) -> Result<S, Misfit> {
    serde_path_to_error::deserialize(Value::Table(table))
        .map_err(|error| Misfit { key: error.path().to_string(), message: plain(error.inner().message()) })
}

/// The `misfit` of `table` with its key: where settings are part of others that are flattened, nobody says it. It is the one
/// without which the misfit is another, or none.
fn named<S>(misfit: Misfit, table: &Table, read: fn(Table) -> Result<S, Misfit>) -> Misfit {
    if misfit.key != "." {
        return misfit;
    }
    let is_to_blame = |key: &&String| {
        let mut others = table.clone();
        others.remove(*key);
        read(others).err().as_ref() != Some(&misfit)
    };
    let key = table.keys().find(is_to_blame).cloned();
    Misfit { key: key.unwrap_or(misfit.key), ..misfit }
}

pub(crate) fn listed(names: impl IntoIterator<Item: fmt::Display>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl<T: ?Sized> Entry<T> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it comes with Outpost.
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// The schema of its settings, which refers to no other.
    pub fn schema(&self) -> Schema {
        let mut settings = SchemaSettings::default();
        settings.inline_subschemas = true;
        (self.schema)(&mut settings.into_generator())
    }

    /// What it is, in a sentence.
    pub fn about(&self) -> String {
        let schema = self.schema();
        let about = schema.get("description").and_then(|text| text.as_str()).unwrap_or_default();
        about.split("\n\n").next().unwrap_or_default().replace('\n', " ")
    }

    /// The names of its settings.
    pub fn keys(&self) -> Vec<String> {
        let schema = self.schema();
        let properties = schema.get("properties").and_then(|properties| properties.as_object());
        properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
    }
}

impl<T: ?Sized> Clone for Registry<T> {
    fn clone(&self) -> Self {
        Registry { what: self.what, tag: self.tag, beside: self.beside, entries: self.entries.clone() }
    }
}

impl<T: ?Sized> fmt::Debug for Registry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.name)).finish()
    }
}
