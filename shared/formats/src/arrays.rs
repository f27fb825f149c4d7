//! Arrays of numpy (`.npy`, `.npz`) and tensors (`.safetensors`).

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use input::npy::{self, Numbers};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use zip::ZipArchive;

use crate::Wrong;
use crate::found::Found;
use crate::labels::Labels;

/// An array of some shape.
pub(crate) type Array = (Vec<usize>, Numbers);

/// Deflate makes a byte of at most so many.
const MOST_FOR_A_BYTE: u64 = 1_040;

/// The array in the file `path`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn npy(path: &Path) -> Result<Array, Wrong> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    npy::numbers(BufReader::new(file), size).map_err(wrong)
}

/// The arrays called `names` in the archive `path`.
///
/// # Errors
/// What is wrong with it, or which arrays there are instead.
pub(crate) fn npz(path: &Path, names: [&str; 2]) -> Result<[Array; 2], Wrong> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
    let of_entry = |name: Result<std::borrow::Cow<'_, str>, _>| Ok(name?.trim_end_matches(".npy").to_owned());
    let known = archive.file_names().map(of_entry).collect::<Result<Vec<String>, zip::result::ZipError>>()?;
    let mut read = |name: &str| -> Result<Array, Wrong> {
        if !known.iter().any(|known| known == name) {
            return Err(none_called(name, known.clone()));
        }
        let entry = archive.by_name(&format!("{name}.npy"))?;
        let size = entry.size();
        if size > entry.compressed_size().saturating_mul(MOST_FOR_A_BYTE) + MOST_FOR_A_BYTE {
            return Err(format!("array {name:?} declares {size} bytes, more than there can be in it").into());
        }
        npy::numbers(entry.take(size), size)
            .map_err(|error| format!("array {name:?}: {}", wrong(error)).into())
    };
    let [first, second] = names;
    Ok([read(first)?, read(second)?])
}

/// The tensors called `names` in the file `path`.
///
/// # Errors
/// What is wrong with it, or which tensors there are instead.
pub(crate) fn tensors(path: &Path, names: [&str; 2]) -> Result<[Array; 2], Wrong> {
    let bytes = fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let read = |name: &str| -> Result<Array, Wrong> {
        let known = || file.names().into_iter().map(ToOwned::to_owned).collect();
        let tensor = file.tensor(name).map_err(|_| none_called(name, known()))?;
        Ok((tensor.shape().to_vec(), numbers(name, &tensor)?))
    };
    let [first, second] = names;
    Ok([read(first)?, read(second)?])
}

/// Examples of `features`, the first side of which counts them, and one of `labels` for each.
///
/// # Errors
/// If they are of different lengths, or labels are no numbers of classes.
pub(crate) fn examples((shape, features): Array, (sides, numbers): Array) -> Result<Found, Wrong> {
    if !matches!(sides[..], [_] | [_, 1]) {
        let text = format!(
            "the labels have the shape {sides:?}, where there must be one number for each example; of \
                            one-hot rows save `labels.argmax(1)`"
        );
        return Err(text.into());
    }
    let mut labels = Labels::default();
    match numbers {
        Numbers::Bytes(bytes) => {
            bytes.into_iter().try_for_each(|label| labels.push_number(f64::from(label)))?;
        }
        Numbers::Floats(floats) => {
            floats.into_iter().try_for_each(|label| labels.push_number(f64::from(label)))?;
        }
    }
    if let Numbers::Floats(floats) = &features {
        let width: usize = shape.iter().skip(1).product();
        if let Some(place) = floats.iter().position(|value| value.is_nan()) {
            return Err(format!("example {} has a value that is no number", place / width.max(1) + 1).into());
        }
    }
    Found::new(&shape, features, labels)
}

/// Pictures `[channels, height, width]` with their channels last.
pub(crate) fn with_channels_last((shape, values): Array) -> Result<Array, Wrong> {
    let [examples, channels, height, width] = shape[..] else {
        let text = format!(
            "`channels-first` is for pictures [examples, channels, height, width], not for the shape {shape:?}"
        );
        return Err(text.into());
    };
    let pixels = height * width;
    let picture = channels * pixels;
    let from = |at: usize| at - at % picture + at % channels * pixels + at % picture / channels;
    let values = values.rearranged(from);
    Ok((vec![examples, height, width, channels], values))
}

fn wrong((what, message): npy::Wrong) -> Wrong {
    format!("{what}: {message}").into()
}

fn none_called(name: &str, mut known: Vec<String>) -> Wrong {
    known.sort_unstable();
    format!(
        "there is no array {name:?} in it, but {}; say which with `features` and `label`",
        known.join(", ")
    )
    .into()
}

fn numbers(name: &str, tensor: &TensorView<'_>) -> Result<Numbers, Wrong> {
    fn floats<const SIZE: usize>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> f32) -> Result<Numbers, Wrong> {
        let (words, _) = bytes.as_chunks();
        let values = Numbers::Floats(words.iter().map(|word| value(*word)).collect());
        Ok(values.without_infinite()?)
    }
    let bytes = tensor.data();
    let read = match tensor.dtype() {
        Dtype::U8 => Ok(Numbers::Bytes(bytes.to_vec())),
        Dtype::F32 => floats(bytes, f32::from_le_bytes),
        Dtype::F64 => floats(bytes, |word| f64::from_le_bytes(word) as f32),
        Dtype::I8 => floats(bytes, |word| f32::from(i8::from_le_bytes(word))),
        Dtype::I16 => floats(bytes, |word| f32::from(i16::from_le_bytes(word))),
        Dtype::U16 => floats(bytes, |word| f32::from(u16::from_le_bytes(word))),
        Dtype::I32 => floats(bytes, |word| i32::from_le_bytes(word) as f32),
        Dtype::I64 => floats(bytes, |word| i64::from_le_bytes(word) as f32),
        other => {
            Err(format!("values of type {other:?} are not read; save 32-bit floats or whole numbers").into())
        }
    };
    read.map_err(|error: Wrong| format!("array {name:?}: {error}").into())
}
