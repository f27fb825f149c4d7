//! Arrays that others have made: what `hil aggregate` and `hil craft` read and write.

use std::path::{Path, PathBuf};

use clap::Args;
use input::npy::{self, Array};
use input::toml_file::FileError;

use crate::arrays::check_finite;

/// The models of a round.
#[derive(Debug, Args)]
pub(super) struct Models {
    /// What devices send, m x d numbers: an array in numpy's format (numpy.save), a row for each device. Rows are updates, or
    /// models where --global is given
    matrix: PathBuf,
    /// The global model that the round started from, d numbers: rows and the result are models then
    #[arg(long, value_name = "FILE")]
    global: Option<PathBuf>,
}

/// What is in the files.
pub(super) struct Matrix {
    /// The global model, d values; none where rows are updates.
    pub(super) global: Option<Vec<f32>>,
    values: Vec<f32>,
    dimension: usize,
}

impl Models {
    /// Reads the files.
    ///
    /// # Errors
    /// [`FileError`] names the file, and what is wrong with its shape or its values.
    pub(super) fn read(&self) -> Result<Matrix, FileError> {
        let Array { shape, values } = finite(&self.matrix)?;
        let dimension = match shape[..] {
            [devices, dimension] if devices > 0 && dimension > 0 => dimension,
            _ => return Err(unfit(&self.matrix, &shape, "(devices, parameters)")),
        };
        let global = self.global.as_deref().map(|path| vector(path, dimension)).transpose()?;
        Ok(Matrix { global, values, dimension })
    }
}

impl Matrix {
    /// The number of devices, m.
    pub(super) fn devices(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// The number of parameters, d.
    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// A row for each device.
    pub(super) fn rows(&self) -> Vec<&[f32]> {
        self.values.chunks_exact(self.dimension).collect()
    }
}

/// The `length` numbers in the file `path`.
///
/// # Errors
/// As [`Models::read`].
pub(super) fn vector(path: &Path, length: usize) -> Result<Vec<f32>, FileError> {
    let Array { shape, values } = finite(path)?;
    if shape == [length] { Ok(values) } else { Err(unfit(path, &shape, &format!("({length},)"))) }
}

fn finite(path: &Path) -> Result<Array, FileError> {
    let array = npy::read(path)?;
    let width = array.shape.last().copied().unwrap_or(1).max(1);
    let rows: Vec<&[f32]> = array.values.chunks(width).collect();
    check_finite(&rows)
        .map_err(|refused| FileError::invalid(&path.display().to_string(), "values", refused.to_string()))?;
    Ok(array)
}

fn unfit(path: &Path, shape: &[usize], expected: &str) -> FileError {
    FileError::invalid(&path.display().to_string(), "shape", format!("{shape:?} is not {expected}"))
}
