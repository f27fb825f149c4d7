//! The file that describes a grid.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use input::toml_file::{self, FileError};
use record::metrics::{RunMetric, Table};
use scenario::catalogue::Catalogue;
use scenario::{ScenarioError, key_of};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Cell;

/// A grid: a scenario, and what is varied of it.
///
/// ```toml
/// scenario = "mnist-trimmed-mean.toml"   # relative to this file
/// seeds = [1, 2, 3]
///
/// [[axes]]                               # one key, several values
/// key = "aggregation.trim"
/// values = [20, 25, 30]
///
/// [[axes]]                               # several keys at once
/// name = "attack"
/// [[axes.cases]]
/// label = "none"
/// set = ["attack.kind=none"]
/// [[axes.cases]]
/// label = "full"
/// set = ["attack.kind=trimmed-mean", "attack.knowledge=full"]
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Grid {
    /// The scenario file, relative to this one.
    scenario: PathBuf,
    /// One run of each cell for every seed.
    #[serde(default = "one_seed")]
    seeds: Vec<u64>,
    /// What is varied.
    #[serde(default)]
    axes: Vec<Axis>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Axis {
    /// What the results call it; the key by default.
    name: Option<String>,
    /// The key of the scenario that `values` are of.
    key: Option<String>,
    /// The values of one key.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Value>")]
    values: Vec<toml::Value>,
    /// Positions that set several keys at once.
    #[serde(default)]
    cases: Vec<Case>,
}

/// All are laid out before the first is run.
pub(in crate::experiments) const MOST_CELLS: usize = 100_000;

/// Labels and settings of a point of the grid.
type Point = (Vec<(String, String)>, Vec<String>);

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Case {
    /// What the results call it.
    label: String,
    /// `key=value` each.
    set: Vec<String>,
}

fn one_seed() -> Vec<u64> {
    vec![1]
}

/// What is wrong with a grid.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// One of its scenarios makes no sense.
    #[error("cell `{cell}`: {cause}")]
    Cell {
        /// The cell's labels.
        cell: String,
        /// What is wrong with its scenario.
        cause: ScenarioError,
    },
}

impl Grid {
    /// Reads the grid in `path`; a relative scenario path is taken from the grid's folder.
    ///
    /// # Errors
    /// [`GridError::File`] names the file, and what is wrong.
    pub fn load(path: &Path) -> Result<Self, GridError> {
        let mut grid: Grid = toml_file::load(path)?;
        let wrong = |key, what: &str| Err(FileError::invalid(&path.display().to_string(), key, what).into());
        let mut columns = vec!["seed".to_owned()];
        columns.extend(RunMetric::columns(Table::Sweep).map(|metric| metric.name.to_owned()));
        let mut cells = 1usize;
        for axis in &grid.axes {
            let named = axis.key.is_some() && !axis.values.is_empty() && axis.cases.is_empty();
            let listed = axis.key.is_none() && axis.values.is_empty() && !axis.cases.is_empty();
            if !(named || listed && axis.name.is_some()) {
                return wrong("axes", "each needs `key` and `values`, or `name` and `cases`");
            }
            let (name, positions) = axis.positions();
            if positions.iter().flat_map(|(_, settings)| settings).any(|setting| key_of(setting) == "seed") {
                return wrong("axes", "`seed` is no axis; give the seeds as `seeds = [1, 2, 3]`");
            }
            if name.is_empty() || columns.contains(&name) {
                let what =
                    format!("results.csv has a column `{name}` already; give each axis a `name` of its own");
                return wrong("axes", &what);
            }
            let is_unfit = |text: &&String| text.is_empty() || text.chars().any(char::is_control);
            if let Some(bad) = positions.iter().map(|(label, _)| label).chain([&name]).find(is_unfit) {
                return wrong("axes", &format!("{bad:?} is no name; give one of printable characters"));
            }
            cells = cells.saturating_mul(positions.len());
            if let Some(label) = repeated(positions.iter().map(|(label, _)| label)) {
                return wrong(
                    "axes",
                    &format!("{name}: `{label}` stands there twice; one of the two is enough"),
                );
            }
            columns.push(name);
        }
        if grid.seeds.is_empty() {
            return wrong("seeds", "give at least one");
        }
        if cells.saturating_mul(grid.seeds.len()) > MOST_CELLS {
            return wrong(
                "axes",
                &format!("with the seeds they make more than {MOST_CELLS} cells; split the grid"),
            );
        }
        if let Some(seed) = repeated(grid.seeds.iter()) {
            return wrong("seeds", &format!("{seed} stands there twice; one of the two is enough"));
        }
        grid.scenario = path.parent().unwrap_or(Path::new("")).join(&grid.scenario);
        Ok(grid)
    }

    /// Every cell, each axis in turn from the last to the first, the seeds innermost.
    ///
    /// # Errors
    /// [`GridError::Cell`] names the cell whose scenario is wrong.
    pub fn cells(&self, catalogue: &Catalogue) -> Result<Vec<Cell>, GridError> {
        let mut points = vec![Point::default()];
        for axis in &self.axes {
            let (name, positions) = axis.positions();
            points = points
                .iter()
                .flat_map(|(labels, settings)| {
                    positions.iter().map(|(label, more)| {
                        let mut point = (labels.clone(), settings.clone());
                        point.0.push((name.clone(), label.clone()));
                        point.1.extend(more.iter().cloned());
                        point
                    })
                })
                .collect();
        }
        let seeded =
            points.into_iter().flat_map(|point| self.seeds.iter().map(move |seed| (point.clone(), seed)));
        seeded
            .map(|((mut labels, mut settings), seed)| {
                labels.push(("seed".to_owned(), seed.to_string()));
                settings.push(format!("seed={seed}"));
                let scenario =
                    catalogue.load(&self.scenario, &settings).map_err(|cause| GridError::Cell {
                        cell: labels.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(", "),
                        cause,
                    })?;
                Ok(Cell { labels, scenario: Arc::new(scenario) })
            })
            .collect()
    }
}

/// An item that comes a second time.
pub(in crate::experiments) fn repeated<T: Ord + Copy>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    items.find(|item| !seen.insert(*item))
}

impl Axis {
    /// Name, and label and settings of each position.
    fn positions(&self) -> (String, Vec<(String, Vec<String>)>) {
        let key = self.key.clone().unwrap_or_default();
        let name = self.name.clone().unwrap_or_else(|| key.clone());
        let value = |value: &toml::Value| {
            let label = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            (label, vec![format!("{key}={value}")])
        };
        let case = |case: &Case| (case.label.clone(), case.set.clone());
        (name, self.values.iter().map(value).chain(self.cases.iter().map(case)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = "name = \"g\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 3\n[fleet]\ndevices = 30\ncompromised = 3\n";

    fn grid(text: &str) -> Result<Vec<Cell>, GridError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s.toml"), SCENARIO).unwrap();
        let path = folder.path().join("grid.toml");
        std::fs::write(&path, format!("scenario = \"s.toml\"\n{text}")).unwrap();
        Grid::load(&path)?.cells(&Catalogue::standard())
    }

    #[test]
    fn cells_are_the_product_of_the_axes_and_the_seeds() {
        let text = "seeds = [1, 2]\n[[axes]]\nkey = \"aggregation.rule\"\nvalues = [\"krum\", \"median\"]\n\
                    [[axes]]\nname = \"attack\"\n[[axes.cases]]\nlabel = \"none\"\nset = []\n\
                    [[axes.cases]]\nlabel = \"full\"\nset = [\"attack.kind=trimmed-mean\", \"attack.knowledge=full\"]\n";
        let cells = grid(text).unwrap();
        assert_eq!(cells.len(), 8);
        assert_eq!(cells[0].name(), "krum, none, 1");
        assert_eq!(cells[7].name(), "median, full, 2");
        let folders: std::collections::BTreeSet<_> =
            cells.iter().map(|cell| cell.folder(Path::new(""))).collect();
        assert_eq!(folders.len(), 8, "every cell has its own folder");
    }

    #[test]
    fn mistakes_are_named() {
        let error = grid(
            "[[axes]]\nkey = \"aggregation.trim\"\nvalues = [3, 15]\n[[axes]]\nkey = \"aggregation.rule\"\nvalues = [\"trimmed-mean\"]\n",
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("`15, trimmed-mean, 1`") && error.contains("aggregation.rule"), "{error}");
        for wrong in ["[[axes]]\nkey = \"a\"\n", "[[axes]]\nvalues = [1]\n", "axis = 1\n", "seeds = []\n"] {
            assert!(grid(wrong).unwrap_err().to_string().contains("grid.toml"), "{wrong}");
        }
    }

    #[test]
    fn what_two_places_set_is_refused_and_named() {
        let axis = |key: &str, values: &str| format!("[[axes]]\nkey = \"{key}\"\nvalues = {values}\n");
        let cases = "[[axes]]\nname = \"attack\"\n[[axes.cases]]\nlabel = \"a\"\n";
        for (wrong, named) in [
            (axis("seed", "[1, 2]"), "give the seeds as `seeds"),
            (axis("seed", "[1, 2]") + "name = \"s\"\n", "give the seeds as `seeds"),
            (format!("{cases}set = [\"seed = 4\"]\n"), "give the seeds as `seeds"),
            (axis("rounds", "[1, 2]") + &axis("rounds", "[3]"), "a column `rounds` already"),
            (
                axis("rounds", "[1, 2]") + &axis("rounds", "[3]") + "name = \"r\"\n",
                "`rounds=1` sets rounds already",
            ),
            (axis("rounds", "[1, 2, 1]"), "rounds: `1` stands there twice"),
            (axis("rounds", "[1, 2]") + "name = \"seed\"\n", "a column `seed` already"),
            (axis("rounds", "[1, 2]") + "name = \"seconds\"\n", "a column `seconds` already"),
            (cases.replace("\"a\"", "\"\"") + "set = []\n", "\"\" is no name"),
            (cases.replace("\"a\"", "\"\\u001b[2J\"") + "set = []\n", "is no name; give one of printable"),
            (
                format!("seeds = {:?}\n", (0..400).collect::<Vec<u64>>())
                    + &axis("rounds", &format!("{:?}", (1..300).collect::<Vec<u64>>())),
                "more than 100000 cells",
            ),
            ("seeds = [-1]\n".to_owned(), "grid.toml:2: "),
            ("seeds = [9223372036854775808]\n".to_owned(), "9223372036854775808 is out of range"),
            ("seeds = [1.5]\n".to_owned(), "grid.toml:2: "),
            ("seeds = [1]\nseeds = [2]\n".to_owned(), "grid.toml:3: "),
            (axis("", "[1]"), "give each axis a `name`"),
            ("seeds = [1, 2, 1]\n".to_owned(), "seeds: 1 stands there twice"),
            (format!("{cases}set = []\n[[axes.cases]]\nlabel = \"a\"\nset = []\n"), "`a` stands there twice"),
            (format!("{cases}set = [\"rounds=1\", \"rounds=2\"]\n"), "`rounds=1` sets rounds already"),
            (
                format!("{cases}set = [\"fleet.devices=40\"]\n") + &axis("fleet", "[{ devices = 30 }]"),
                "`fleet.devices=40` sets fleet already",
            ),
        ] {
            let error = grid(&wrong).expect_err(&wrong).to_string();
            assert!(error.contains(named) && !error.contains('\n'), "{wrong}{error}");
        }
    }
}
