//! The JSON Schema of matrix files: that of scenarios, with lists in place of one attack and one defense.

use scenario::catalogue::Catalogue;
use schemars::Schema;
use serde_json::{Map, Value, json};

/// The JSON Schema of matrix files that name what is in `catalogue`.
pub fn schema(catalogue: &Catalogue) -> Schema {
    let mut schema = catalogue.schema();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.remove("seed");
        let stages = tables(&properties.remove("defense").unwrap_or_default()["anyOf"][0], "kind");
        let attacks = tables(&properties["attack"], "kind");
        let rules = tables(&properties["aggregation"], "rule");
        // What the chosen one has is in the lists; what all have in common stays where it is.
        properties.insert("attack".to_owned(), beside(&properties["attack"], "kind"));
        properties.insert("aggregation".to_owned(), beside(&properties["aggregation"], "rule"));
        let stage = json!({ "anyOf": [{ "enum": names(&stages, "kind") }, { "oneOf": stages }] });
        let before = json!({ "type": "array", "items": stage, "description": "The stages before the rule, in order." });
        let label = json!({ "type": "string", "description": "What results call it; its name by default." });
        let labelled = |mut tables: Vec<Value>, more: &[(&str, &Value)]| -> Vec<Value> {
            for properties in tables.iter_mut().filter_map(|table| table["properties"].as_object_mut()) {
                properties.insert("label".to_owned(), label.clone());
                properties.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).clone())));
            }
            tables
        };
        let attack_names = json!({ "enum": names(&attacks, "kind") });
        let rule_names =
            json!({ "type": "string", "description": "A rule, behind the stages before it: `nnm + krum`." });
        properties.extend(Map::from_iter([
            ("attacks".to_owned(), list("The attacks, row by row.", &attack_names, &labelled(attacks, &[]))),
            (
                "defenses".to_owned(),
                list(
                    "The defenses, column by column.",
                    &rule_names,
                    &labelled(rules, &[("before", &before)]),
                ),
            ),
            (
                "seeds".to_owned(),
                json!({
                    "type": "array",
                    "items": { "type": "integer", "minimum": 0 },
                    "minItems": 1,
                    "uniqueItems": true,
                    "default": [1],
                    "description": "One run of each cell for every seed.",
                }),
            ),
        ]));
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.extend(["attacks".into(), "defenses".into()]);
    }
    schema.insert("title".to_owned(), "Matrix".into());
    schema
}

/// A list of names or of tables.
fn list(description: &str, name: &Value, tables: &[Value]) -> Value {
    json!({
        "type": "array",
        "items": { "anyOf": [name, { "oneOf": tables }] },
        "minItems": 1,
        "description": description,
    })
}

/// The tables of a `section` that names one thing under `tag`, each of which must have the name.
fn tables(section: &Value, tag: &str) -> Vec<Value> {
    let mut tables = section["oneOf"].as_array().cloned().unwrap_or_default();
    tables.iter_mut().for_each(|table| table["required"] = json!([tag]));
    tables
}

/// The names that they have under `tag`.
fn names(tables: &[Value], tag: &str) -> Vec<Value> {
    tables.iter().map(|table| table["properties"][tag]["const"].clone()).collect()
}

/// A `section` that names nothing under `tag`, which only one of its tables may be: that of what is there by default.
fn beside(section: &Value, tag: &str) -> Value {
    let mut tables = section["oneOf"].as_array().into_iter().flatten();
    let mut usual = tables.find(|table| table["required"] == json!([])).cloned().unwrap_or_default();
    if let Some(properties) = usual["properties"].as_object_mut() {
        properties.remove(tag);
    }
    usual
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_has_lists_in_place_of_an_attack_and_a_defense() {
        let schema = schema(&Catalogue::standard()).to_value();
        let properties = schema["properties"].as_object().unwrap();
        for key in ["seed", "defense"] {
            assert!(!properties.contains_key(key), "{key}");
        }
        for key in ["name", "dataset", "model", "rounds", "attacks", "defenses"] {
            assert!(schema["required"].as_array().unwrap().contains(&key.into()), "{key}");
        }
        let items = |list: &str| schema["properties"][list]["items"]["anyOf"].clone();
        let named = |tables: &Value, tag: &str, name: &str| -> Value {
            let tables = tables["oneOf"].as_array().unwrap().iter();
            let mut named = tables.filter(|table| table["properties"][tag]["const"] == name);
            named.next().unwrap_or_else(|| panic!("no {name}")).clone()
        };
        let attacks = items("attacks");
        for name in ["none", "sign-flip", "inner-product"] {
            assert!(attacks[0]["enum"].as_array().unwrap().contains(&name.into()), "{name}");
        }
        let attack = named(&attacks[1], "kind", "inner-product");
        assert!(attack["properties"]["label"].is_object() && attack["properties"]["optimise"].is_object());
        assert_eq!(attack["required"], json!(["kind"]));
        let rule = named(&items("defenses")[1], "rule", "trimmed-mean");
        assert!(rule["properties"]["trim"].is_object() && rule["properties"]["label"].is_object());
        let stage = &rule["properties"]["before"]["items"]["anyOf"];
        assert!(stage[0]["enum"].as_array().unwrap().contains(&"nnm".into()));
        assert!(named(&stage[1], "kind", "clip")["properties"]["norm"].is_object());
        // What all attacks and rules have stays a key of the scenario.
        let section = |name: &str| schema["properties"][name]["properties"].as_object().unwrap();
        assert!(section("attack").contains_key("round-fraction") && !section("attack").contains_key("kind"));
        assert!(
            section("aggregation").contains_key("byzantine") && !section("aggregation").contains_key("rule")
        );
    }
}
