//! A rule, and what it keeps from round to round.

use std::sync::{Mutex, PoisonError};

use hil_tests::arrays::{Aggregated, Given};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use scenario::catalogue::Catalogue;
use scenario::remembered::Remembered;

use super::{Error, check, failed, slices, table};

/// A rule with the stages before it.
#[pyclass(module = "outpost._outpost", frozen)]
pub(super) struct Aggregator(Mutex<hil_tests::arrays::Aggregator>);

/// What came of a round: d values, whose rows have a part in them, and whose were removed.
type Outcome<'py> = (Bound<'py, PyArray1<f32>>, Vec<u32>, Vec<u32>);

/// The number of rounds, and vectors by name.
type State<'py> = (u32, Vec<(String, Bound<'py, PyArray1<f32>>)>);

#[pymethods]
impl Aggregator {
    /// The rule with this name and these settings, behind `stages`, each with its settings.
    #[new]
    fn new(
        rule: &str,
        settings: &str,
        stages: Vec<(String, String)>,
        byzantine: usize,
        seed: u64,
    ) -> PyResult<Self> {
        let catalogue = Catalogue::standard();
        let rule = hil_tests::arrays::Aggregator::new(&catalogue, rule, table(settings)?, byzantine, seed);
        let mut aggregator = rule.map_err(failed)?;
        for (name, settings) in stages {
            aggregator = aggregator.with_stage(&catalogue, &name, table(&settings)?).map_err(failed)?;
        }
        Ok(Aggregator(Mutex::new(aggregator)))
    }

    /// Aggregates a round.
    fn aggregate<'py>(
        &self,
        py: Python<'py>,
        rows: Vec<PyReadonlyArray1<'py, f32>>,
        devices: Vec<u32>,
        global: Option<PyReadonlyArray1<'py, f32>>,
        examples: Option<Vec<f64>>,
        root: Option<PyReadonlyArray1<'py, f32>>,
    ) -> PyResult<Outcome<'py>> {
        let rows = slices(&rows)?;
        let global = global.as_ref().map(|global| global.as_slice()).transpose()?;
        let root = root.as_ref().map(|root| root.as_slice()).transpose()?;
        let given = Given { rows: &rows, devices: &devices, global, examples: examples.as_deref(), root };
        let aggregated = py.detach(|| {
            check("updates", &rows)?;
            check("global_model", global.as_slice())?;
            check("root", root.as_slice())?;
            let mut aggregator = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            aggregator.aggregate(given).map_err(|error| format!("{error:#}"))
        });
        let Aggregated { values, used, removed } = aggregated.map_err(Error::new_err)?;
        Ok((PyArray1::from_vec(py, values), used, removed))
    }

    /// What it keeps for later rounds.
    fn state<'py>(&self, py: Python<'py>) -> State<'py> {
        let aggregator = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let vectors = aggregator.remembered().vectors();
        let vectors = vectors.map(|(name, values)| (name, PyArray1::from_slice(py, values)));
        (aggregator.rounds(), vectors.collect())
    }

    /// Goes on where another one has been.
    fn resume(&self, rounds: u32, vectors: Vec<(String, PyReadonlyArray1<'_, f32>)>) -> PyResult<()> {
        let mut remembered = Remembered::default();
        for (name, values) in vectors {
            if !remembered.take(&name, values.as_slice()?.to_vec()) {
                return Err(failed(format!("state: `{name}` is no name of something that is kept")));
            }
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).resume(rounds, remembered);
        Ok(())
    }
}
