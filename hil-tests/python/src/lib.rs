//! The compiled part of the package `outpost` for Python, `outpost._outpost`: what the files in `python/outpost` beside this
//! crate are made of. Those check and convert what a user gives; here arrays are one-dimensional, contiguous and 32-bit, and
//! settings are JSON.
//!
//! Nothing is copied of the arrays that a rule reads, and Python's other threads go on while it computes.

#![allow(clippy::needless_pass_by_value, reason = "a function owns what Python gives it")]

mod aggregator;
mod stored;

use std::ffi::OsString;
use std::fmt::Display;

use hil_tests::arrays::{Attackers, check_finite};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use scenario::catalogue::Catalogue;
use scenario::registry::Registry;
use toml::{Table, Value};

pyo3::create_exception!(
    outpost,
    Error,
    PyException,
    "What Outpost refuses or fails at, in its own words: one line."
);

/// The module.
#[pymodule]
mod _outpost {
    #[pymodule_export]
    use super::aggregator::Aggregator;
    #[pymodule_export]
    use super::stored::Stored;
    #[pymodule_export]
    use super::{Error, craft, inline_toml, main, names, to_toml};
}

/// What compromised devices send in place of the first `compromised` rows, row by row; nothing, if nothing can be crafted.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "they are the attack's in Python")]
fn craft<'py>(
    py: Python<'py>,
    attack: &str,
    settings: &str,
    rows: Vec<PyReadonlyArray1<'py, f32>>,
    global: Option<PyReadonlyArray1<'py, f32>>,
    compromised: usize,
    rule: &str,
    byzantine: Option<usize>,
    seed: u64,
) -> PyResult<Option<Bound<'py, PyArray1<f32>>>> {
    let rows = slices(&rows)?;
    let global = global.as_ref().map(|global| global.as_slice()).transpose()?;
    let attackers = Attackers { attack, settings: table(settings)?, compromised, rule, byzantine, seed };
    let crafted = py.detach(|| {
        check("updates", &rows)?;
        check("global_model", global.as_slice())?;
        attackers.craft(&Catalogue::standard(), &rows, global).map_err(|error| format!("{error:#}"))
    });
    Ok(crafted.map_err(Error::new_err)?.map(|values| PyArray1::from_vec(py, values)))
}

/// The names of the things of one kind that a scenario may name, each with a line about it.
#[pyfunction]
fn names(kind: &str) -> PyResult<Vec<(String, String)>> {
    fn all<T: ?Sized + 'static>(registry: &Registry<T>) -> Vec<(String, String)> {
        registry.entries().map(|entry| (entry.name().to_owned(), entry.about())).collect()
    }
    let catalogue = Catalogue::standard();
    Ok(match kind {
        "models" => all(&catalogue.models),
        "rules" => all(&catalogue.rules),
        "optimizers" => all(&catalogue.optimizers),
        "stages" => all(&catalogue.stages),
        "attacks" => all(&catalogue.attacks),
        "datasets" => all(&catalogue.datasets),
        "partitions" => all(&catalogue.partitions),
        _ => {
            let kinds = "models, rules, optimizers, stages, attacks, datasets, partitions";
            return Err(Error::new_err(format!("unknown kind `{kind}`; known are {kinds}")));
        }
    })
}

/// The TOML of the object that is `json`.
#[pyfunction]
fn to_toml(json: &str) -> PyResult<String> {
    toml::to_string(&table(json)?).map_err(|error| Error::new_err(error.to_string()))
}

/// The value that is `json`, as TOML has it on one line.
#[pyfunction]
fn inline_toml(json: &str) -> PyResult<String> {
    let value: Value = serde_json::from_str(json).map_err(failed)?;
    Ok(value.to_string())
}

/// The program `hil` with the arguments `words`; its exit code. It listens for signals from then on: for a process that does
/// nothing else.
#[pyfunction]
fn main(py: Python<'_>, words: Vec<OsString>) -> u8 {
    py.detach(|| hil_tests::main_within(words, &Catalogue::standard()))
}

/// The settings in the object that is `json`.
fn table(json: &str) -> PyResult<Table> {
    serde_json::from_str(json).map_err(|error| Error::new_err(format!("settings: {error}")))
}

/// The values of each row.
fn slices<'a>(rows: &'a [PyReadonlyArray1<'_, f32>]) -> PyResult<Vec<&'a [f32]>> {
    Ok(rows.iter().map(|row| row.as_slice()).collect::<Result<_, _>>()?)
}

/// Refuses values that are not finite; `name` is what the user calls them.
fn check(name: &str, rows: &[&[f32]]) -> Result<(), String> {
    check_finite(rows).map_err(|refused| format!("{name}: {refused}"))
}

/// An error in the words in which `hil` says it.
fn failed(error: impl Display) -> PyErr {
    Error::new_err(error.to_string())
}
