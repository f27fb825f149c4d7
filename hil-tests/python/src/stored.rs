//! Runs, as their directories hold them.

use std::path::PathBuf;

use numpy::PyArray1;
use pyo3::prelude::*;
use record::metrics::{Unit, columns};
use record::{State, StoredRun};
use scenario::catalogue::Catalogue;
use serde::Serialize;

use super::failed;

/// A run, read and held against its digests.
#[pyclass(module = "outpost._outpost", frozen)]
pub(super) struct Stored(StoredRun);

/// A column of a table: its name, whether its values are whole numbers, and the values.
type Column = (String, bool, Vec<Option<f64>>);

#[pymethods]
impl Stored {
    /// The run in the directory `path`.
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        Ok(Stored(StoredRun::open(&path, &Catalogue::standard()).map_err(failed)?))
    }

    /// How far it is.
    fn state(&self) -> PyResult<&'static str> {
        Ok(match self.0.state().map_err(failed)? {
            State::Finished => "finished",
            State::InProgress => "in progress",
            State::Interrupted => "interrupted",
        })
    }

    /// Its scenario, as JSON.
    fn scenario(&self) -> PyResult<String> {
        json(self.0.scenario())
    }

    /// Its manifest, as JSON.
    fn manifest(&self) -> PyResult<String> {
        json(self.0.manifest())
    }

    /// Its summary, as JSON; nothing if it is not finished.
    fn summary(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let summary = py.detach(|| self.0.finished()).map_err(failed)?;
        summary.map(|summary| json(&summary)).transpose()
    }

    /// The records of its rounds, as JSON, and the columns of `metrics.csv`.
    fn rounds(&self, py: Python<'_>) -> PyResult<(String, Vec<Column>)> {
        let records = py.detach(|| self.0.records()).map_err(failed)?;
        let is_whole = |unit| matches!(unit, Unit::Count | Unit::Bytes | Unit::Kibibytes);
        let columns = columns(&records).into_iter();
        Ok((json(&records)?, columns.map(|it| (it.name, is_whole(it.unit), it.values)).collect()))
    }

    /// The values of its model.
    fn model<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let model = py.detach(|| self.0.model()).map_err(failed)?;
        Ok(PyArray1::from_slice(py, model.parameters.values()))
    }
}

fn json(value: &impl Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(failed)
}
