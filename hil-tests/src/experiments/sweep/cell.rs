//! One cell of a grid.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::{RecordError, StoredRun, Summary};
use scenario::Scenario;

/// Hexadecimal digits of the scenario's digest that name a cell's folder.
const DIGITS: usize = 16;

/// One scenario of a grid, and where in the grid it stands.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Axis and position on it, in the order of the axes.
    pub labels: Vec<(String, String)>,
    /// The scenario.
    pub scenario: Arc<Scenario>,
}

impl Cell {
    /// The cell's run directory below `out`.
    pub fn folder(&self, out: &Path) -> PathBuf {
        let digest = self.scenario.digest().to_string();
        out.join("cells").join(&digest[..DIGITS])
    }

    /// Its run and what came of it, if it is finished.
    ///
    /// # Errors
    /// If its directory lacks something, is damaged, or holds the run of another scenario, or its run came to nothing.
    pub fn finished(&self, out: &Path) -> Result<Option<(StoredRun, Summary)>, RecordError> {
        let folder = self.folder(out);
        if !StoredRun::exists(&folder) {
            return Ok(None);
        }
        let run = StoredRun::open(&folder, &self.scenario.catalogue)?;
        if run.scenario().digest() != self.scenario.digest() {
            let holds = "a run of another scenario".to_owned();
            return Err(RecordError::Occupied { path: folder, holds });
        }
        Ok(run.finished()?.map(|summary| (run, summary)))
    }

    /// Its labels in one line, for people.
    pub fn name(&self) -> String {
        let labels: Vec<&str> = self.labels.iter().map(|(_, label)| label.as_str()).collect();
        labels.join(", ")
    }
}
