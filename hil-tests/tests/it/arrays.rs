//! `hil aggregate` and `hil craft` give what the conformance vectors say.

use std::fs;
use std::path::{Path, PathBuf};

use input::npy::{self, Array};
use serde_json::Value;

use crate::process::{Outcome, hil, run};

/// A folder of arrays.
struct Arrays(tempfile::TempDir);

impl Arrays {
    fn new() -> Self {
        Arrays(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, shape: &[usize], values: Vec<f32>) -> PathBuf {
        npy::write(&self.path(name), &Array { shape: shape.to_vec(), values }).unwrap();
        self.path(name)
    }

    fn rows(&self, name: &str, rows: &[Vec<f32>]) -> PathBuf {
        self.write(name, &[rows.len(), rows[0].len()], rows.concat())
    }
}

/// A case of one round in `docs/conformance`, by what it is about.
fn case(file: &str, about: &str) -> (Value, Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance").join(file);
    let vectors: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["about"].as_str().unwrap().contains(about)).unwrap();
    (case.clone(), case["rounds"][0].clone())
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn matrix(value: &Value) -> Vec<Vec<f32>> {
    value.as_array().unwrap().iter().map(numbers).collect()
}

#[track_caller]
fn assert_near(array: &Array, shape: &[usize], expected: &[f32]) {
    assert_eq!(array.shape, shape);
    let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5;
    assert!(array.values.iter().zip(expected).all(is_near), "{array:?}, not {expected:?}");
}

#[test]
fn a_rule_aggregates_an_array() {
    let arrays = Arrays::new();
    for rule in ["krum", "trimmed-mean", "geometric-median", "caf"] {
        let (case, round) = case(&format!("rules/{rule}.json"), "random: 12 devices, 40 coordinates");
        let models = arrays.rows("models.npy", &matrix(&round["models"]));
        let global = numbers(&round["global"]);
        let global = arrays.write("global.npy", &[global.len()], global);
        let out = arrays.path("aggregate.npy");
        let byzantine = case["byzantine"].to_string();
        let mut command =
            hil!["aggregate", rule, models, "--global", global, "--byzantine", byzantine, "--out", &out];
        for (key, value) in case["settings"].as_object().unwrap() {
            command.args(["--set", &format!("{key}={value}")]);
        }
        let said = run(command).succeeded().stdout;
        assert!(said.starts_with(&format!("{rule}: ")) && said.contains("of 12 rows have a part"), "{said}");
        assert_near(&npy::read(&out).unwrap(), &[40], &numbers(&round["expected"]));
    }
}

#[test]
fn an_attack_crafts_rows_of_an_array() {
    let arrays = Arrays::new();
    for (attack, about) in
        [("little-is-enough", "full knowledge; random"), ("min-max", "direction = unit; random")]
    {
        let (case, round) = case(&format!("attacks/{attack}.json"), about);
        let (colluders, benign) = (matrix(&round["colluders"]), matrix(&round["benign"]));
        let models = arrays.rows("models.npy", &[colluders.as_slice(), &benign].concat());
        let global = numbers(&round["global"]);
        let global = arrays.write("global.npy", &[global.len()], global);
        let out = arrays.path("crafted.npy");
        let compromised = colluders.len().to_string();
        let mut command =
            hil!["craft", attack, models, "--global", global, "--compromised", compromised, "--out", &out];
        for (key, value) in case["settings"].as_object().unwrap() {
            command.args(["--set", &format!("{key}={value}")]);
        }
        run(command).succeeded();
        let expected = matrix(&round["expected"]);
        assert_near(&npy::read(&out).unwrap(), &[colluders.len(), expected[0].len()], &expected.concat());
    }
}

#[test]
fn arrays_rules_and_attacks_that_do_not_fit_are_named() {
    let arrays = Arrays::new();
    let updates = arrays.rows("updates.npy", &[vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]]);
    let out = arrays.path("out.npy");
    let aggregate = |rule: &str, more: &[&str]| -> Outcome {
        let mut command = hil!["aggregate", rule, &updates, "--out", &out];
        command.args(more);
        run(command)
    };
    aggregate("krun", &[]).complains(2, &["unknown aggregation rule `krun`"]);
    aggregate("krum", &["--byzantine", "1"]).complains(2, &["byzantine", "3"]);
    aggregate("mean", &["--set", "trim=1"]).complains(2, &["`mean` has no `trim`"]);
    aggregate("fltrust", &[]).complains(1, &["fltrust"]);
    let short = arrays.write("short.npy", &[3], vec![1.0; 3]);
    aggregate("mean", &["--global", short.to_str().unwrap()]).complains(2, &["short.npy", "[3] is not (2,)"]);

    let craft = |attack: &str, more: &[&str]| -> Outcome {
        let mut command = hil!["craft", attack, &updates, "--out", &out];
        command.args(more);
        run(command)
    };
    craft("sign-flip", &["--compromised", "4"]).complains(2, &["give 1 to 3"]);
    craft("label-flip", &["--compromised", "1"]).complains(2, &["label-flip crafts nothing"]);
    craft("min-max", &["--compromised", "1"]).complains(2, &["fleet.compromised", "1 is less than the 2"]);

    fs::write(&updates, "1,2\n3,4\n").unwrap();
    aggregate("mean", &[]).complains(2, &["updates.npy", "numpy.save"]);
    arrays.rows("updates.npy", &[vec![1.0, f32::NAN]]);
    aggregate("mean", &[]).complains(2, &["updates.npy", "row 0, column 1"]);
    assert!(!out.exists(), "nothing is written");
}
