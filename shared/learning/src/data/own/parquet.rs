//! Tables in Parquet files.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;

use super::Wrong;
use super::columns::Cell;
use super::found::Found;
use super::rows::{Roles, Rows};

/// The rows of the table `path`.
///
/// # Errors
/// What is wrong with it, with row and column.
pub(super) fn read(path: &Path, roles: Roles<'_>) -> Result<Found, Wrong> {
    let file = SerializedFileReader::new(File::open(path)?)?;
    let fields = file.metadata().file_metadata().schema().get_fields().to_vec();
    if let Some(nested) = fields.iter().find(|field| !field.is_primitive()) {
        let text =
            format!("column {:?} is nested; write each of its values to a column of its own", nested.name());
        return Err(text.into());
    }
    let names = fields.iter().map(|field| field.name().to_owned()).collect();
    let mut rows = Rows::new(names, roles, "row")?;
    for (row, number) in file.get_row_iter(None)?.zip(1..) {
        let row = row?;
        let cells = row.get_column_iter().map(|(name, field)| cell(name, field));
        rows.push(
            number,
            &cells.collect::<Result<Vec<_>, _>>().map_err(|error| format!("row {number}, {error}"))?,
        )?;
    }
    rows.found()
}

fn cell<'a>(name: &str, field: &'a Field) -> Result<Cell<'a>, String> {
    Ok(match field {
        Field::Null => Cell::Missing,
        Field::Bool(value) => Cell::Number(f64::from(u8::from(*value))),
        Field::Byte(value) => Cell::Number(f64::from(*value)),
        Field::Short(value) => Cell::Number(f64::from(*value)),
        Field::Int(value) => Cell::Number(f64::from(*value)),
        Field::Long(value) => Cell::Number(*value as f64),
        Field::UByte(value) => Cell::Number(f64::from(*value)),
        Field::UShort(value) => Cell::Number(f64::from(*value)),
        Field::UInt(value) => Cell::Number(f64::from(*value)),
        Field::ULong(value) => Cell::Number(*value as f64),
        Field::Float16(value) => Cell::Number(f64::from(value.to_f32())),
        Field::Float(value) if value.is_nan() => Cell::Missing,
        Field::Float(value) => Cell::Number(f64::from(*value)),
        Field::Double(value) if value.is_nan() => Cell::Missing,
        Field::Double(value) => Cell::Number(*value),
        Field::Str(text) => Cell::of(text),
        other => return Err(format!("column {name:?}: {other} is neither a number nor a text")),
    })
}
