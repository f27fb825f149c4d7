//! Arrays that others have made: what `hil aggregate` and `hil craft` read and write.

use std::path::{Path, PathBuf};

use clap::Args;
use input::npy::{self, Array};
use input::toml_file::FileError;

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
    /// The global model, d values; zeros where rows are updates.
    pub(super) global: Vec<f32>,
    values: Vec<f32>,
    devices: usize,
}

impl Models {
    /// Reads the files.
    ///
    /// # Errors
    /// [`FileError`] names the file, and what is wrong with its shape or its values.
    pub(super) fn read(&self) -> Result<Matrix, FileError> {
        let Array { shape, values } = finite(&self.matrix)?;
        let (devices, dimension) = match shape[..] {
            [devices, dimension] if devices > 0 && dimension > 0 => (devices, dimension),
            _ => return Err(unfit(&self.matrix, &shape, "(devices, parameters)")),
        };
        let global = self.global.as_deref().map(|path| vector(path, dimension)).transpose()?;
        Ok(Matrix { global: global.unwrap_or_else(|| vec![0.0; dimension]), values, devices })
    }
}

impl Matrix {
    /// The number of devices, m.
    pub(super) fn devices(&self) -> usize {
        self.devices
    }

    /// The number of parameters, d.
    pub(super) fn dimension(&self) -> usize {
        self.global.len()
    }

    /// The values of all rows.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// A row for each device.
    pub(super) fn rows(&self) -> Vec<&[f32]> {
        self.values.chunks_exact(self.dimension()).collect()
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
    match array.values.iter().position(|value| !value.is_finite()) {
        None => Ok(array),
        Some(place) => {
            let width = array.shape.last().copied().unwrap_or(1).max(1);
            let message = format!("row {}, column {} is no finite number", place / width, place % width);
            Err(FileError::invalid(&path.display().to_string(), "values", message))
        }
    }
}

fn unfit(path: &Path, shape: &[usize], expected: &str) -> FileError {
    FileError::invalid(&path.display().to_string(), "shape", format!("{shape:?} is not {expected}"))
}
