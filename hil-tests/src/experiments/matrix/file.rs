//! The file that describes a matrix.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use input::toml_file::{self, FileError};
use scenario::catalogue::Catalogue;
use toml::{Table, Value};

use crate::experiments::sweep::{Cell, MOST_CELLS, repeated};

/// A matrix: a scenario, and which attacks and which defenses take the place of its own.
///
/// ```toml
/// name = "first-look"
/// dataset = "mnist"
/// model = "logistic-regression"
/// rounds = 100
/// seeds = [1, 2]                         # instead of `seed`
/// attacks = ["none", "sign-flip", { label = "optimised IPM", kind = "inner-product", optimise = true }]
/// defenses = ["mean", "nnm + krum", { label = "clip", rule = "mean", before = [{ kind = "clip", norm = 1.0 }] }]
///
/// [fleet]
/// devices = 20
/// compromised = 4
/// ```
///
/// An attack is a name or the keys of `[attack]`. A defense is a rule with the stages before it, or the rule's keys of
/// `[aggregation]` with stages in `before`. Each may have a `label`.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The attacks, row by row.
    pub attacks: Vec<Entry>,
    /// The defenses, column by column.
    pub defenses: Vec<Entry>,
    /// One run of each cell for every seed.
    pub seeds: Vec<u64>,
    file: String,
    text: String,
    scenario: Table,
}

/// A row or a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What results call it.
    pub label: String,
    /// `key=value` each.
    settings: Vec<String>,
}

impl Matrix {
    /// Reads the matrix in `path`.
    ///
    /// # Errors
    /// [`FileError`] names the file, the key, and what is wrong.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Matrix::parse(&path.display().to_string(), toml_file::read(path)?)
    }

    fn parse(file: &str, text: String) -> Result<Self, FileError> {
        let mut scenario: Table = toml_file::parse(file, &text)?;
        let wrong = |key: &str, what: &str| Err(FileError::invalid(file, key, what));
        let chosen = |section: &str, key: &str| scenario.get(section).is_some_and(|it| it.get(key).is_some());
        if chosen("attack", "kind") {
            return wrong("attack.kind", "a matrix has its attacks in `attacks`");
        }
        if chosen("aggregation", "rule") || scenario.contains_key("defense") {
            return wrong("aggregation.rule", "a matrix has rules and the stages before them in `defenses`");
        }
        let mut entries = |key: &str, of: fn(&Value) -> Result<Entry, String>| {
            let Some(Value::Array(values)) = scenario.remove(key) else {
                let what = format!(
                    "list them, as in {key} = [\"{}\"]",
                    if key == "attacks" { "none" } else { "mean" }
                );
                return Err(FileError::invalid(file, key, what));
            };
            let entries = values.iter().map(of).collect::<Result<Vec<_>, _>>();
            let entries = entries.map_err(|what| FileError::invalid(file, key, what))?;
            match repeated(entries.iter().map(|entry| &entry.label)) {
                _ if entries.is_empty() => Err(FileError::invalid(file, key, "give at least one")),
                Some(label) => {
                    let what = format!("`{label}` stands there twice; give one of the two another `label`");
                    Err(FileError::invalid(file, key, what))
                }
                None => Ok(entries),
            }
        };
        let (attacks, defenses) = (entries("attacks", attack)?, entries("defenses", defense)?);
        let seeds = match scenario.remove("seeds") {
            None => vec![1],
            Some(seeds) => seeds.try_into::<Vec<u64>>().map_err(|_| {
                FileError::invalid(file, "seeds", "expected whole numbers, as in seeds = [1, 2, 3]")
            })?,
        };
        if scenario.contains_key("seed") {
            return wrong("seed", "a matrix has `seeds`, as in seeds = [1, 2, 3]");
        }
        if seeds.is_empty() || repeated(seeds.iter()).is_some() {
            return wrong("seeds", "give at least one, and none twice");
        }
        let cells = attacks.len().saturating_mul(defenses.len()).saturating_mul(seeds.len());
        if cells > MOST_CELLS {
            return wrong(
                "attacks",
                &format!("with defenses and seeds they make more than {MOST_CELLS} cells"),
            );
        }
        Ok(Matrix { attacks, defenses, seeds, file: file.to_owned(), text, scenario })
    }

    /// Every cell, attack by attack, the seeds innermost, each with `settings` beside its own.
    ///
    /// # Errors
    /// What is wrong with the scenario of a cell, and of which.
    pub fn cells(&self, catalogue: &Catalogue, settings: &[String]) -> anyhow::Result<Vec<Cell>> {
        let mut cells = Vec::new();
        for attack in &self.attacks {
            for defense in &self.defenses {
                for seed in &self.seeds {
                    let labels = [
                        ("attack", attack.label.clone()),
                        ("defense", defense.label.clone()),
                        ("seed", seed.to_string()),
                    ];
                    let all =
                        [settings, &attack.settings, &defense.settings, &[format!("seed={seed}")]].concat();
                    let scenario = catalogue.read(&self.file, &self.text, self.scenario.clone(), &all);
                    let scenario = scenario
                        .with_context(|| format!("`{}` against `{}`", attack.label, defense.label))?;
                    cells.push(Cell {
                        labels: labels.map(|(axis, label)| (axis.to_owned(), label)).to_vec(),
                        scenario: Arc::new(scenario),
                    });
                }
            }
        }
        Ok(cells)
    }
}

fn attack(value: &Value) -> Result<Entry, String> {
    match value {
        Value::String(kind) => {
            Ok(Entry { label: kind.clone(), settings: vec![format!("attack.kind=\"{kind}\"")] })
        }
        Value::Table(table) => named(table, "kind", "attack"),
        other => Err(format!("{other} is no attack: give a name, or a table with `kind`")),
    }
}

fn defense(value: &Value) -> Result<Entry, String> {
    match value {
        Value::String(all) => {
            let mut names: Vec<&str> = all.split('+').map(str::trim).collect();
            let rule = names.pop().unwrap_or_default();
            let stages = names.into_iter().map(|name| stage(&Value::from(name))).collect::<Result<_, _>>()?;
            let settings = vec![format!("aggregation.rule=\"{rule}\""), before(stages)];
            Ok(Entry { label: all.clone(), settings })
        }
        Value::Table(table) => {
            let stages = match table.get("before") {
                None => Vec::new(),
                Some(Value::Array(stages)) => stages.iter().map(stage).collect::<Result<_, _>>()?,
                Some(other) => return Err(format!("before = {other} is no list of stages")),
            };
            let mut entry = named(table, "rule", "aggregation")?;
            entry.settings.push(before(stages));
            Ok(entry)
        }
        other => Err(format!("{other} is no defense: give a rule, `stage + rule`, or a table with `rule`")),
    }
}

/// The setting of these stages.
fn before(stages: Vec<Value>) -> String {
    format!("defense={}", Value::Array(stages))
}

/// A stage, as a scenario has it.
fn stage(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(kind) => {
            Ok(Value::Table(Table::from_iter([("kind".to_owned(), kind.as_str().into())])))
        }
        Value::Table(table) if table.contains_key("kind") => Ok(value.clone()),
        other => Err(format!("{other} is no stage: give a name, or a table with `kind`")),
    }
}

/// What a `table` with the name of something under `tag` sets in a section of the scenario.
fn named(table: &Table, tag: &str, section: &str) -> Result<Entry, String> {
    let text = |key: &str| table.get(key).and_then(Value::as_str);
    let name =
        text(tag).ok_or_else(|| format!("{} has no `{tag}`, which is a name", Value::from(table.clone())))?;
    let keys = table.iter().filter(|(key, _)| !["label", "before"].contains(&key.as_str()));
    let settings = keys.map(|(key, value)| format!("{section}.{key}={value}")).collect();
    Ok(Entry { label: text("label").unwrap_or(name).to_owned(), settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = "name = \"m\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 3\n";
    const FLEET: &str = "[fleet]\ndevices = 30\ncompromised = 3\n";

    fn cells(lists: &str, settings: &[String]) -> anyhow::Result<Vec<Cell>> {
        let matrix = Matrix::parse("m.toml", format!("{SCENARIO}{lists}{FLEET}"))?;
        matrix.cells(&Catalogue::standard(), settings)
    }

    #[test]
    fn every_attack_meets_every_defense() {
        let lists = "seeds = [1, 2]\n\
            attacks = [\"none\", { label = \"IPM\", kind = \"inner-product\", epsilon = 0.5 }]\n\
            defenses = [\"mean\", \"clip + nnm + krum\", { rule = \"trimmed-mean\", trim = 4 },\n\
              { label = \"c\", rule = \"median\", before = [\"nnm\", { kind = \"clip\", norm = 2.0 }] }]\n";
        let cells = cells(lists, &["rounds=2".to_owned()]).unwrap();
        assert_eq!(cells.len(), 16);
        let last = &cells[15];
        assert_eq!(last.name(), "IPM, c, 2");
        let toml = last.scenario.to_toml();
        for part in ["rounds = 2", "seed = 2", "rule = \"median\"", "epsilon = 0.5", "norm = 2.0"] {
            assert!(toml.contains(part), "{part}: {toml}");
        }
        let stages =
            |cell: &Cell| cell.scenario.defense.iter().map(|it| it.name().to_owned()).collect::<Vec<_>>();
        assert_eq!(stages(last), ["nnm", "clip"]);
        assert_eq!(stages(&cells[2]), ["clip", "nnm"]);
        assert_eq!(stages(&cells[4]), [""; 0]);
        assert!(cells[4].scenario.attack.kind.is_none());
    }

    #[test]
    fn mistakes_are_named() {
        let rest = |attacks: &str, defenses: &str| format!("attacks = {attacks}\ndefenses = {defenses}\n");
        for (lists, named) in [
            (String::new(), "attacks: list them"),
            ("attacks = [\"none\"]\n".to_owned(), "defenses: list them"),
            (rest("[]", "[\"mean\"]"), "attacks: give at least one"),
            (rest("[1]", "[\"mean\"]"), "1 is no attack"),
            (rest("[{ of = \"own\" }]", "[\"mean\"]"), "has no `kind`"),
            (rest("[\"none\", \"none\"]", "[\"mean\"]"), "`none` stands there twice"),
            (rest("[\"none\"]", "[{ rule = \"mean\", before = \"nnm\" }]"), "is no list of stages"),
            (rest("[\"none\"]", "[\"nnm + krun\"]"), "unknown aggregation rule `krun`"),
            (rest("[\"none\"]", "[\"nmm + krum\"]"), "unknown defense `nmm`"),
            (rest("[\"sign-flop\"]", "[\"mean\"]"), "unknown attack `sign-flop`"),
            (rest("[\"none\"]", "[{ rule = \"krum\", trim = 3 }]"), "has no `trim`"),
            (rest("[\"none\"]", "[\"mean\"]") + "seed = 3\n", "a matrix has `seeds`"),
            (rest("[\"none\"]", "[\"mean\"]") + "seeds = [1, 1]\n", "none twice"),
            (rest("[\"none\"]", "[\"mean\"]") + "round = 3\n", "m.toml:7: unknown field `round`"),
            (rest("[\"none\"]", "[\"mean\"]") + "attack.kind = \"copy\"\n", "has its attacks in `attacks`"),
            (rest("[\"none\"]", "[\"mean\"]") + "aggregation.rule = \"krum\"\n", "in `defenses`"),
        ] {
            let error = format!("{:#}", cells(&lists, &[]).expect_err(&lists));
            assert!(error.contains(named) && !error.contains('\n'), "{lists}{error}");
        }
    }

    #[test]
    fn a_defense_that_the_fleet_is_too_small_for_is_named_with_its_numbers() {
        let lists = "attacks = [\"none\"]\ndefenses = [\"mean\", \"bulyan\"]\n";
        let error = format!("{:#}", cells(lists, &["fleet.compromised=10".to_owned()]).unwrap_err());
        assert!(error.contains("`none` against `bulyan`") && error.contains("30"), "{error}");
    }
}
