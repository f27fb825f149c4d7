//! One cell of a grid.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aggregator_node::record::Summary;
use anyhow::Context;
use shared::scenario::Scenario;

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

    /// Its summary, if it is finished.
    ///
    /// # Errors
    /// If there is a summary that cannot be read.
    pub fn summary(&self, out: &Path) -> anyhow::Result<Option<Summary>> {
        let path = self.folder(out).join("summary.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).map(Some).with_context(|| path.display().to_string())
    }

    /// Its labels in one line, for people.
    pub fn name(&self) -> String {
        let labels: Vec<&str> = self.labels.iter().map(|(_, label)| label.as_str()).collect();
        labels.join(", ")
    }
}
