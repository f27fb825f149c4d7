//! The tables of keys in `docs/scenario.md` are those of the settings themselves.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use learning::models::Layer;
use scenario::catalogue::Catalogue;
use scenario::registry::Registry;
use schemars::generate::SchemaSettings;
use serde_json::Value;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenario.md");

/// With this in the environment, the tables are written anew.
const UPDATE: &str = "OUTPOST_UPDATE_DOCUMENTS";

#[test]
fn the_tables_of_keys_are_those_of_the_settings() {
    let catalogue = Catalogue::standard();
    let mut text = fs::read_to_string(DOCUMENT).unwrap();
    let written = text.clone();
    for (name, table) in [
        ("datasets", table(&catalogue.datasets, "dataset")),
        ("models", table(&catalogue.models, "model")),
        ("layers", table_of_layers()),
        ("partitions", table(&catalogue.partitions, "fleet.partition")),
        ("rules", table(&catalogue.rules, "aggregation.rule")),
        ("optimizers", table(&catalogue.optimizers, "optimizer.kind")),
        ("stages", table(&catalogue.stages, "defense.kind")),
        ("attacks", table(&catalogue.attacks, "attack.kind")),
    ] {
        let begin = format!("<!-- keys: {name} -->\n");
        let start = text.find(&begin).unwrap_or_else(|| panic!("no table of {name}")) + begin.len();
        let end = start + text[start..].find("<!-- end -->").expect("the end of the table");
        text.replace_range(start..end, &table);
    }
    if std::env::var_os(UPDATE).is_some() {
        fs::write(Path::new(DOCUMENT), &text).unwrap();
    }
    assert!(
        text == written,
        "docs/scenario.md has other tables than the settings; {UPDATE}=1 writes them anew"
    );
}

/// The kinds of layers with their keys, as a table.
fn table_of_layers() -> String {
    let mut settings = SchemaSettings::default();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<Layer>();
    let mut table = "| `kind` of a layer | key | default | meaning |\n|---|---|---|---|\n".to_owned();
    let kinds = schema.get("oneOf").and_then(Value::as_array).expect("one of the kinds of layers");
    assert_eq!(kinds.len(), Layer::KINDS.len());
    for (kind, name) in kinds.iter().zip(Layer::KINDS) {
        writeln!(table, "| `{name}` | | | {} |", meaning(kind)).unwrap();
        let keys = kind.get("properties").and_then(Value::as_object).into_iter().flatten();
        rows(&mut table, keys.filter(|(key, _)| *key != "kind"));
    }
    table
}

/// The things of `registry` with their keys, as a table.
fn table<T: ?Sized + 'static>(registry: &Registry<T>, tag: &str) -> String {
    let mut table = format!("| `{tag}` | key | default | meaning |\n|---|---|---|---|\n");
    for entry in registry.entries() {
        let schema = entry.schema();
        let about = entry.about();
        writeln!(table, "| `{}` | | | {} |", entry.name(), about.trim_end_matches('.')).unwrap();
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        rows(&mut table, properties);
    }
    table
}

/// Writes a row for each of these keys.
fn rows<'a>(table: &mut String, properties: impl Iterator<Item = (&'a String, &'a Value)>) {
    for (key, property) in properties {
        let default = match property.get("default") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(value) => value.to_string(),
        };
        writeln!(table, "| | `{key}` | {default} | {} |", meaning(property)).unwrap();
    }
}

/// What a key means, and what each of its values does if they have names.
fn meaning(property: &Value) -> String {
    let sentence = |value: &Value| {
        let text = value.get("description").and_then(Value::as_str).unwrap_or_default();
        text.split("\n\n").next().unwrap_or_default().replace('\n', " ").trim_end_matches('.').to_owned()
    };
    let mut meaning = sentence(property);
    for choice in property.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = choice.get("const").and_then(Value::as_str) {
            write!(meaning, "; `{name}`: {}", sentence(choice)).unwrap();
        }
    }
    meaning
}
