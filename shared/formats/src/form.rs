//! Which form a file is of, and reading it.

use std::path::Path;

use crate::Wrong;
use crate::arrays::Arrays;
use crate::columns::{Column, Missing};
use crate::found::Found;
use crate::reading::Reading;
use crate::rows::Roles;
use crate::{arrays, idx, text};

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A table of separated values, by what they are separated.
    Text(u8),
    /// A table in Parquet.
    Parquet,
    /// An array of numpy; that of the labels is another one.
    Npy,
    /// An archive of such arrays.
    Npz,
    /// A file of tensors.
    SafeTensors,
    /// An array in IDX; that of the labels is another one.
    Idx,
    /// A folder of pictures.
    Pictures,
}

impl Form {
    /// That of the file `path`, by its name.
    ///
    /// # Errors
    /// If it is of none that is read.
    pub fn of(path: &Path) -> Result<Self, Wrong> {
        if path.is_dir() {
            return Ok(Form::Pictures);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        Ok(match () {
            () if ends(&[".csv", ".txt", ".data"]) => Form::Text(b','),
            () if ends(&[".tsv", ".tab"]) => Form::Text(b'\t'),
            () if ends(&[".parquet", ".pq"]) => Form::Parquet,
            () if ends(&[".npy"]) => Form::Npy,
            () if ends(&[".npz"]) => Form::Npz,
            () if ends(&[".safetensors"]) => Form::SafeTensors,
            () if ends(&["-ubyte", ".idx"]) => Form::Idx,
            () => {
                let text = "no file of a form that is read, by its name: .csv, .tsv, .txt, .parquet, .npy, .npz, .safetensors, \
                            -ubyte and .idx are, and folders of pictures";
                return Err(text.into());
            }
        })
    }

    /// Whether it has rows and columns with names.
    pub fn is_table(self) -> bool {
        matches!(self, Form::Text(_) | Form::Parquet)
    }

    /// Refuses what `reading` says that files of this form have no use for.
    fn check(self, reading: &Reading) -> Result<(), Wrong> {
        let Reading { features, labels, header, delimiter, decimal, channels_first, label, .. } = reading;
        let is_text = matches!(self, Form::Text(_));
        let has_names = matches!(self, Form::Npz | Form::SafeTensors);
        let has_two = matches!(self, Form::Npy | Form::Idx);
        let is_array = has_names || has_two;
        let unfit = [
            ("header", header.is_some() && !is_text, "text tables"),
            ("delimiter", delimiter.is_some() && !is_text, "text tables"),
            ("decimal", decimal.is_some() && !is_text, "text tables"),
            ("ignore", !reading.ignore.is_empty() && !self.is_table(), "tables"),
            ("missing", reading.missing != Missing::default() && !self.is_table(), "tables"),
            ("label", label.is_some() && !self.is_table() && !has_names, "tables, .npz and .safetensors"),
            ("features", features.is_some() && !has_names, ".npz and .safetensors"),
            ("labels", labels.is_some() && !has_two, ".npy and IDX, whose labels are in a file of their own"),
            ("channels-first", *channels_first && !is_array, "arrays"),
        ];
        match unfit.iter().find(|(_, is_unfit, _)| *is_unfit) {
            Some((key, _, what)) => Err(format!("`{key}` is for {what}, not for this file").into()),
            None => Ok(()),
        }
    }

    /// The examples in the file `path`, as `reading` says; `testing` is the column and its value that tell which are for testing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(
        self,
        path: &Path,
        reading: &Reading,
        testing: Option<(&Column, &str)>,
    ) -> Result<Found, Wrong> {
        self.check(reading)?;
        if testing.is_some() && !self.is_table() {
            return Err("`test` names a column, and only tables have columns".into());
        }
        let sign = |key: &str, sign: Option<char>| match sign.map(u8::try_from) {
            Some(Err(_)) => Err(Wrong::from(format!("`{key}` must be a sign of ASCII"))),
            Some(Ok(sign)) => Ok(Some(sign)),
            None => Ok(None),
        };
        let decimal = char::from(sign("decimal", reading.decimal)?.unwrap_or(b'.'));
        let Reading { missing, ignore, label, group, .. } = reading;
        let roles = Roles {
            label: label.as_ref(),
            group: group.as_ref(),
            ignore,
            testing,
            missing: *missing,
            decimal,
        };
        let found = match self {
            Form::Text(usual) => {
                let delimiter = sign("delimiter", reading.delimiter)?.unwrap_or(usual);
                if decimal == char::from(delimiter) {
                    return Err(format!(
                        "{decimal:?} cannot separate values and stand before fractions as well"
                    )
                    .into());
                }
                text::read(path, &text::Style { delimiter, header: reading.header }, roles)?
            }
            #[cfg(feature = "parquet")]
            Form::Parquet => crate::parquet::read(path, roles)?,
            #[cfg(feature = "pictures")]
            Form::Pictures => {
                let is_grouped = match &reading.group {
                    None => false,
                    Some(group) if group.name("group", "a folder")? == "folder" => true,
                    Some(other) => {
                        return Err(format!(
                            "`group` of pictures can be \"folder\" and nothing else, not {other}"
                        )
                        .into());
                    }
                };
                return crate::pictures::read(path, reading.shape.as_deref(), is_grouped);
            }
            #[cfg(not(all(feature = "parquet", feature = "pictures")))]
            Form::Parquet | Form::Pictures => {
                return Err("this program is built without reading Parquet and pictures, as one for boards is; bring a \
                            .csv or .npz file"
                    .into());
            }
            Form::Npy | Form::Idx => {
                let Some(labels) = &reading.labels else {
                    return Err("its labels are in a file of their own; say which with `labels`".into());
                };
                let groups = group.as_ref().map(|group| group.name("group", "a file")).transpose()?;
                let read = if self == Form::Npy { arrays::npy } else { idx::read };
                let beside = |name: &str| -> Result<arrays::Array, Wrong> {
                    let path = path.parent().unwrap_or(Path::new("")).join(name);
                    Ok(read(&path).map_err(|error| format!("{}: {error}", path.display()))?)
                };
                let (features, labels) = (read(path)?, beside(labels)?);
                of_arrays(Arrays { features, labels, groups: groups.map(beside).transpose()? }, reading)?
            }
            Form::Npz | Form::SafeTensors => {
                let features = reading.features.as_deref().unwrap_or("x");
                let labels = label.as_ref().map_or(Ok("y"), |label| label.name("label", "an array"))?;
                let groups = group.as_ref().map(|group| group.name("group", "an array")).transpose()?;
                let read = if self == Form::Npz { arrays::npz } else { arrays::tensors };
                of_arrays(read(path, Arrays { features, labels, groups })?, reading)?
            }
        };
        found.shaped(reading.shape.as_deref())
    }
}

fn of_arrays(mut arrays: Arrays<arrays::Array>, reading: &Reading) -> Result<Found, Wrong> {
    // Without values, the product of some sides may be more than can be counted.
    let shape = &arrays.features.0;
    if shape.contains(&0) {
        return Err(format!("the features have the shape {shape:?}: there is no value in them").into());
    }
    if reading.channels_first {
        arrays.features = arrays::with_channels_last(arrays.features)?;
    }
    arrays::examples(arrays)
}
