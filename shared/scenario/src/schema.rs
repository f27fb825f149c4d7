//! The JSON Schema of scenario files.

use schemars::{Schema, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use super::named;
use super::reading::Keys;
use super::sections::{AggregationKeys, AttackKeys, FleetKeys, OptimizerKeys, StageKeys, USUAL_PARTITION};
use crate::FineTuning;
use crate::catalogue::Catalogue;
use crate::registry::{NONE, Registry};

impl Catalogue {
    /// The JSON Schema of scenario files that name what is in this catalogue.
    pub fn schema(&self) -> Schema {
        let mut inline = SchemaSettings::default();
        inline.inline_subschemas = true;
        let mut generator = inline.into_generator();
        let mut schema = generator.root_schema_for::<Keys>();
        let rule = choices(&generator.subschema_for::<AggregationKeys>(), &self.rules, "mean");
        let attack = choices(&generator.subschema_for::<AttackKeys>(), &self.attacks, NONE);
        let optimizer = choices(&generator.subschema_for::<OptimizerKeys>(), &self.optimizers, NONE);
        let stage = choices(&generator.subschema_for::<StageKeys>(), &self.stages, NONE);
        let fleet = choices(&generator.subschema_for::<FleetKeys>(), &self.partitions, USUAL_PARTITION);
        let model = named::schema(&self.models, &generator.subschema_for::<FineTuning>());
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert("fleet".to_owned(), fleet);
            properties.insert("dataset".to_owned(), named::schema(&self.datasets, &json_schema!({})));
            properties.insert("model".to_owned(), model);
            properties.insert("aggregation".to_owned(), rule);
            properties.insert("optimizer".to_owned(), optimizer);
            properties.insert("attack".to_owned(), attack);
            let stages = json!({ "type": "array", "items": stage.clone() });
            properties.insert("defense".to_owned(), json!({ "anyOf": [stage, stages] }));
        }
        schema
    }
}

/// A section that names one thing of `registry`, by default the one called `default`: for each of them its keys beside
/// those `common` to all.
pub(super) fn choices<T: ?Sized + 'static>(common: &Schema, registry: &Registry<T>, default: &str) -> Value {
    let object = |schema: &Schema| match schema.get("properties") {
        Some(Value::Object(properties)) => properties.clone(),
        _ => Map::new(),
    };
    let tag = registry.tag();
    let choice = |name: &str, about: String, own: Map<String, Value>| {
        let mut properties = object(common);
        properties.insert(tag.to_owned(), json!({ "const": name, "description": about }));
        properties.extend(own);
        let required = if name == default { vec![] } else { vec![tag] };
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    };
    let mut choices: Vec<Value> = registry
        .entries()
        .map(|entry| choice(entry.name(), entry.about(), object(&entry.schema())))
        .collect();
    if default == NONE {
        choices.insert(0, choice(NONE, "Nothing.".to_owned(), Map::new()));
    }
    json!({ "oneOf": choices })
}
