//! Arrays of numpy (`.npy`, `.npz`) and tensors (`.safetensors`).

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use input::npy::{self, Numbers};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use zip::ZipArchive;

use crate::Wrong;
use crate::found::Found;
use crate::gzip;
use crate::labels::Labels;

/// An array of some shape.
pub(crate) type Array = (Vec<usize>, Numbers);

/// What examples are made of: arrays, or their names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arrays<T> {
    pub(crate) features: T,
    pub(crate) labels: T,
    pub(crate) groups: Option<T>,
}

impl<T> Arrays<T> {
    /// What `read` makes of each.
    fn map<U>(self, mut read: impl FnMut(T) -> Result<U, Wrong>) -> Result<Arrays<U>, Wrong> {
        let Arrays { features, labels, groups } = self;
        let (features, labels) = (read(features)?, read(labels)?);
        Ok(Arrays { features, labels, groups: groups.map(read).transpose()? })
    }
}

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
pub(crate) fn npz(path: &Path, names: Arrays<&str>) -> Result<Arrays<Array>, Wrong> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
    let of_entry = |name: Result<std::borrow::Cow<'_, str>, _>| Ok(name?.trim_end_matches(".npy").to_owned());
    let known = archive.file_names().map(of_entry).collect::<Result<Vec<String>, zip::result::ZipError>>()?;
    let read = |name: &str| -> Result<Array, Wrong> {
        if !known.iter().any(|known| known == name) {
            return Err(none_called(name, known.clone()));
        }
        let entry = archive.by_name(&format!("{name}.npy"))?;
        let size = entry.size();
        if size > gzip::most(entry.compressed_size()) {
            let text = format!(
                "array {name:?} declares {size} bytes, more than a hundred times what it takes there; if it has them, save it \
                 uncompressed, with `numpy.savez`"
            );
            return Err(text.into());
        }
        npy::numbers(entry.take(size), size)
            .map_err(|error| format!("array {name:?}: {}", wrong(error)).into())
    };
    names.map(read)
}

/// The tensors called `names` in the file `path`.
///
/// # Errors
/// What is wrong with it, or which tensors there are instead.
pub(crate) fn tensors(path: &Path, names: Arrays<&str>) -> Result<Arrays<Array>, Wrong> {
    let bytes = fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let read = |name: &str| -> Result<Array, Wrong> {
        let known = || file.names().into_iter().map(ToOwned::to_owned).collect();
        let tensor = file.tensor(name).map_err(|_| none_called(name, known()))?;
        Ok((tensor.shape().to_vec(), numbers(name, &tensor)?))
    };
    names.map(read)
}

/// Examples of the features, the first side of which counts them, and one of the labels and of the groups for each.
///
/// # Errors
/// If they are of different lengths, or labels are no numbers of classes.
pub(crate) fn examples(arrays: Arrays<Array>) -> Result<Found, Wrong> {
    let labels = one_for_each("labels", arrays.labels, "; of one-hot rows save `labels.argmax(1)`")?;
    let groups = arrays.groups.map(|groups| one_for_each("groups", groups, "")).transpose()?;
    let (shape, features) = arrays.features;
    if let Numbers::Floats(floats) = &features {
        let width: usize = shape.iter().skip(1).product();
        if let Some(place) = floats.iter().position(|value| value.is_nan()) {
            return Err(format!("example {} has a value that is no number", place / width.max(1) + 1).into());
        }
    }
    Found::new(&shape, features, labels)?.with_groups(groups)
}

/// One number for each example; `what` they are.
fn one_for_each(what: &str, (sides, numbers): Array, remedy: &str) -> Result<Labels, Wrong> {
    if !matches!(sides[..], [_] | [_, 1]) {
        let text = format!(
            "the {what} have the shape {sides:?}, where there must be one number for each example{remedy}"
        );
        return Err(text.into());
    }
    let mut labels = Labels::default();
    let pushed = match numbers {
        Numbers::Bytes(bytes) => bytes.into_iter().try_for_each(|label| labels.push_number(f64::from(label))),
        Numbers::Floats(floats) => {
            floats.into_iter().try_for_each(|label| labels.push_number(f64::from(label)))
        }
    };
    pushed.map_err(|error| format!("{what}: {error}"))?;
    Ok(labels)
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use proptest::prelude::*;
    use safetensors::tensor::TensorView;
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    proptest! {
        #[test]
        fn arrays_are_the_same_in_every_form(
            shape in prop::collection::vec(1_usize..5, 1..4),
            values in prop::collection::vec(any::<f32>().prop_filter("finite", |value| value.is_finite()), 64),
            is_packed: bool,
        ) {
            let values = values[..shape.iter().product()].to_vec();
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            npy::write(&path("a.npy"), &npy::Array { shape: shape.clone(), values: values.clone() }).unwrap();
            let expected = (shape.clone(), Numbers::Floats(values.clone()));
            prop_assert_eq!(npy(&path("a.npy")).unwrap(), expected.clone());

            let method = if is_packed { CompressionMethod::Deflated } else { CompressionMethod::Stored };
            let mut archive = ZipWriter::new(File::create(path("a.npz")).unwrap());
            archive.start_file("a.npy", SimpleFileOptions::default().compression_method(method)).unwrap();
            archive.write_all(&fs::read(path("a.npy")).unwrap()).unwrap();
            archive.finish().unwrap();
            let names = Arrays { features: "a", labels: "a", groups: None };
            let expected = Arrays { features: expected.clone(), labels: expected, groups: None };
            prop_assert_eq!(npz(&path("a.npz"), names.clone()).unwrap(), expected.clone());

            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let tensor = TensorView::new(Dtype::F32, shape, &bytes).unwrap();
            fs::write(path("a.safetensors"), safetensors::serialize([("a", tensor)], None).unwrap()).unwrap();
            prop_assert_eq!(tensors(&path("a.safetensors"), names).unwrap(), expected);
        }
    }

    #[test]
    fn an_array_that_is_mostly_announced_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut archive = ZipWriter::new(File::create(&path).unwrap());
        archive
            .start_file("a.npy", SimpleFileOptions::default().compression_method(CompressionMethod::Deflated))
            .unwrap();
        let zeros = vec![0; 1 << 20];
        (0..300).for_each(|_| archive.write_all(&zeros).unwrap());
        archive.finish().unwrap();
        let error = npz(&path, Arrays { features: "a", labels: "a", groups: None }).unwrap_err().to_string();
        assert!(error.contains("declares 314572800 bytes, more than a hundred times"), "{error}");
    }
}
