//! Tables in Parquet files.

use std::fs::File;
use std::path::Path;

use parquet::basic::{ConvertedType as Meaning, LogicalType, Type as Kind};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;

use crate::Wrong;
use crate::columns::Cell;
use crate::found::Found;
use crate::pages;
use crate::rows::{Roles, Rows};

/// The rows of the table `path`.
///
/// # Errors
/// What is wrong with it, with row and column.
pub(crate) fn read(path: &Path, roles: Roles<'_>) -> Result<Found, Wrong> {
    let open = File::open(path)?;
    let file = SerializedFileReader::new(open.try_clone()?)?;
    pages::check(&open, file.metadata())?;
    let fields = file.metadata().file_metadata().schema().get_fields().to_vec();
    if let Some(nested) = fields.iter().find(|field| !field.is_primitive()) {
        let text =
            format!("column {:?} is nested; write each of its values to a column of its own", nested.name());
        return Err(text.into());
    }
    if let Some(field) = fields.iter().find(|field| !is_number_or_text(field)) {
        let (kind, meaning) = (field.get_physical_type(), field.get_basic_info().converted_type());
        let text = format!(
            "column {:?} has values of type {kind} ({meaning}), which are neither numbers nor texts; write one of these there",
            field.name()
        );
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

/// Whether the values of a column are among those that [`cell`] knows: decoding some others, or showing them, is a panic.
fn is_number_or_text(field: &Type) -> bool {
    let info = field.get_basic_info();
    match (field.get_physical_type(), info.converted_type()) {
        (Kind::BOOLEAN | Kind::FLOAT | Kind::DOUBLE, _)
        | (Kind::INT64, Meaning::NONE | Meaning::INT_64 | Meaning::UINT_64)
        | (Kind::BYTE_ARRAY, Meaning::UTF8 | Meaning::ENUM | Meaning::JSON) => true,
        (Kind::INT32, meaning) => matches!(
            meaning,
            Meaning::NONE
                | Meaning::INT_8
                | Meaning::INT_16
                | Meaning::INT_32
                | Meaning::UINT_8
                | Meaning::UINT_16
                | Meaning::UINT_32
        ),
        (Kind::FIXED_LEN_BYTE_ARRAY, Meaning::NONE) => info.logical_type_ref() == Some(&LogicalType::Float16),
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use input::npy::Numbers;
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::columns::{Column, Missing};

    #[test]
    fn columns_of_neither_numbers_nor_texts_are_named_with_their_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let schema = "message t { required int64 at (TIMESTAMP_MILLIS); required binary y (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = Arc::new(WriterProperties::builder().build());
        let writer = SerializedFileWriter::new(File::create(&path).unwrap(), schema, properties).unwrap();
        writer.close().unwrap();
        let label = Column::Name("y".to_owned());
        let missing = Missing::Error;
        let roles =
            Roles { label: Some(&label), group: None, ignore: &[], testing: None, missing, decimal: '.' };
        let error = read(&path, roles).unwrap_err().to_string();
        assert_eq!(
            error,
            "column \"at\" has values of type INT64 (TIMESTAMP_MILLIS), which are neither numbers nor texts; write one of these there"
        );
    }

    #[test]
    fn tables_in_parquet_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let schema = "message t { optional double a; required binary y (UTF8); }";
        let properties = Arc::new(WriterProperties::builder().build());
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut writer = SerializedFileWriter::new(File::create(&path).unwrap(), schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&[1.0, 2.0, 3.0], Some(&[1, 1, 0, 1]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let labels = ["v", "u", "u", "v"].map(ByteArray::from);
        column.typed::<ByteArrayType>().write_batch(&labels, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        let label = Column::Name("y".to_owned());
        let roles = |missing| Roles {
            label: Some(&label),
            group: None,
            ignore: &[],
            testing: None,
            missing,
            decimal: '.',
        };
        let error = read(&path, roles(Missing::Error)).unwrap_err().to_string();
        assert!(error.contains("row 3, column 1 (a): the value is missing"), "{error}");
        let found = read(&path, roles(Missing::Drop)).unwrap();
        assert_eq!((found.features, found.dropped), (Numbers::Floats(vec![1.0, 2.0, 3.0]), 1));
        assert_eq!(found.labels.classes().unwrap(), ["u", "v"]);
    }
}
