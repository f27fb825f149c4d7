//! What is measured of updates that are on a GPU.

use robust::{Distances, Gram, Local, Measure, RuleError};

use super::distances::distances;
use super::matrix::Matrix;

/// Updates that are the rows of a matrix on a GPU, and in the memory of this machine.
///
/// The GPU measures distances. Inner products are for the processors: so they are the same bits everywhere.
pub(super) struct OnGpu<'a, L> {
    pub(super) matrix: &'a Matrix<'a>,
    pub(super) local: L,
}

impl<L: Local> Measure for OnGpu<'_, L> {
    /// Whichever thread asks may use the GPU.
    fn distances(&self) -> Result<Distances, RuleError> {
        self.matrix.gpu().enter()?;
        Ok(distances(self.matrix)?)
    }

    fn gram(&self) -> Result<Gram, RuleError> {
        self.local.gram()
    }

    fn products_with(&self, other: &[f32]) -> Result<Vec<f64>, RuleError> {
        self.local.products_with(other)
    }

    fn sample(&self, columns: &[usize]) -> Result<Vec<Vec<f32>>, RuleError> {
        self.local.sample(columns)
    }

    fn offsets(&self) -> Result<Vec<Vec<f32>>, RuleError> {
        self.local.offsets()
    }

    fn origin(&self) -> Option<&[f32]> {
        Local::origin(&self.local)
    }

    fn dimension(&self) -> usize {
        Local::dimension(&self.local)
    }
}
