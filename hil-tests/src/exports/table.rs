//! A table in a Parquet file.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use serde_json::{Value, json};

/// Rows that are in memory before they are written: a group of rows of the file.
const GROUP: usize = 50_000;

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Float,
    Bool,
    Text,
    /// Milliseconds since 1970 (UTC).
    Time,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// What it is measured in; nothing where it is not.
    pub(super) unit: String,
    /// What it says, for people.
    pub(super) help: String,
}

/// What stands in a column; nothing where it is unknown.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Unknown,
    Integer(i64),
    Float(f64),
    Bool(bool),
    Text(String),
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Cell::Bool(value)
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Cell::Integer(value)
    }
}

impl From<u32> for Cell {
    fn from(value: u32) -> Self {
        Cell::Integer(i64::from(value))
    }
}

impl From<u64> for Cell {
    /// Counts and bytes, of which no run has as many as do not fit.
    fn from(value: u64) -> Self {
        Cell::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Cell {
    /// What is not finite was not measured, as in `metrics.csv`.
    fn from(value: f64) -> Self {
        if value.is_finite() { Cell::Float(value) } else { Cell::Unknown }
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Cell::Text(value.to_owned())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Cell::Text(value)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Unknown, Into::into)
    }
}

/// A table that is written row by row.
pub(super) struct TableWriter<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Column>,
    /// Row by row what is not written yet.
    cells: Vec<Cell>,
}

impl<W: Write + Send> TableWriter<W> {
    /// Of a table with `columns`, into `file`.
    pub(super) fn new(file: W, columns: Vec<Column>) -> Result<Self, ParquetError> {
        let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
        let described: serde_json::Map<String, Value> = columns
            .iter()
            .map(|column| (column.name.clone(), json!({ "unit": column.unit, "help": column.help })))
            .collect();
        // Parquet has no place for this beside a column. pandas makes the `attrs` of a frame of what stands here.
        let described = KeyValue::new("PANDAS_ATTRS".to_owned(), Value::Object(described).to_string());
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(vec![described]))
            .set_created_by(concat!("outpost ", env!("CARGO_PKG_VERSION")).to_owned());
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties.build()))?;
        Ok(TableWriter { writer, columns, cells: Vec::new() })
    }

    /// Adds a row with a cell for each column.
    pub(super) fn row(&mut self, row: impl IntoIterator<Item = Cell>) -> Result<(), ParquetError> {
        let before = self.cells.len();
        self.cells.extend(row);
        assert_eq!(self.cells.len() - before, self.columns.len(), "a row has a cell for each column");
        if self.cells.len() >= GROUP * self.columns.len() { self.flush() } else { Ok(()) }
    }

    /// Writes what is left.
    pub(super) fn close(mut self) -> Result<(), ParquetError> {
        self.flush()?;
        self.writer.close().map(drop)
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.cells.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for (at, column) in self.columns.iter().enumerate() {
            let cells = self.cells.iter().skip(at).step_by(self.columns.len());
            match column.kind {
                Kind::Integer | Kind::Time => write::<Int64Type, _>(&mut group, cells, |cell| match cell {
                    Cell::Integer(value) => Some(*value),
                    _ => None,
                }),
                Kind::Float => write::<DoubleType, _>(&mut group, cells, |cell| match cell {
                    Cell::Float(value) => Some(*value),
                    Cell::Integer(value) => Some(*value as f64),
                    _ => None,
                }),
                Kind::Bool => write::<BoolType, _>(&mut group, cells, |cell| match cell {
                    Cell::Bool(value) => Some(*value),
                    _ => None,
                }),
                Kind::Text => write::<ByteArrayType, _>(&mut group, cells, |cell| match cell {
                    Cell::Text(value) => Some(ByteArray::from(value.as_str())),
                    _ => None,
                }),
            }?;
        }
        group.close()?;
        self.cells.clear();
        Ok(())
    }
}

fn field(column: &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Integer => (Physical::INT64, None),
        Kind::Float => (Physical::DOUBLE, None),
        Kind::Bool => (Physical::BOOLEAN, None),
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
    };
    let builder = Type::primitive_type_builder(&column.name, physical).with_logical_type(logical);
    builder.with_repetition(Repetition::OPTIONAL).build().map(Arc::new)
}

/// Writes the next column of `group`.
fn write<'a, T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    cells: impl Iterator<Item = &'a Cell>,
    value: fn(&Cell) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let cells: Vec<Option<T::T>> = cells.map(value).collect();
    // 1 where there is a value.
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let values: Vec<T::T> = cells.into_iter().flatten().collect();
    let column = group.next_column()?;
    let mut column =
        column.ok_or_else(|| ParquetError::General("there are more columns than in the schema".into()))?;
    column.typed::<T>().write_batch(&values, Some(&levels), None)?;
    column.close()
}

/// A table in a file of this machine.
pub(super) type TableFile = TableWriter<File>;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    use super::*;

    fn column(name: &str, kind: Kind) -> Column {
        Column { name: name.into(), kind, unit: "seconds".into(), help: "It says.".into() }
    }

    #[test]
    fn what_is_written_reads_back_with_its_type_and_unknown_cells_are_null() {
        let kinds = [Kind::Integer, Kind::Float, Kind::Bool, Kind::Text, Kind::Time];
        let columns = kinds.map(|kind| column(&format!("{kind:?}"), kind)).to_vec();
        let mut bytes = Vec::new();
        let mut table = TableWriter::new(&mut bytes, columns).unwrap();
        let whole = [7i64.into(), 0.1.into(), true.into(), "ä, \"b\"".into(), 1_800_000_000_123i64.into()];
        table.row(whole.clone()).unwrap();
        table.row([(); 5].map(|()| Cell::Unknown)).unwrap();
        table
            .row([f64::NAN.into(), f64::INFINITY.into(), None::<bool>.into(), "".into(), 0i64.into()])
            .unwrap();
        table.close().unwrap();
        let file = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let rows: Vec<Vec<Field>> = file
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().get_column_iter().map(|(_, field)| field.clone()).collect())
            .collect();
        let text = |text: &str| Field::Str(text.to_owned());
        let time = Field::TimestampMillis(1_800_000_000_123);
        assert_eq!(rows[0], [Field::Long(7), Field::Double(0.1), Field::Bool(true), text("ä, \"b\""), time]);
        assert_eq!(rows[1], [(); 5].map(|()| Field::Null));
        assert_eq!(rows[2][..4], [Field::Null, Field::Null, Field::Null, text("")]);
        let metadata = file.metadata().file_metadata().key_value_metadata().unwrap();
        let described: Value = serde_json::from_str(metadata[0].value.as_ref().unwrap()).unwrap();
        assert_eq!(described["Float"], json!({ "unit": "seconds", "help": "It says." }));
    }

    #[test]
    fn a_long_table_is_written_in_groups_of_rows() {
        let mut bytes = Vec::new();
        let mut table = TableWriter::new(&mut bytes, vec![column("a", Kind::Integer)]).unwrap();
        for value in 0..=GROUP as u64 {
            table.row([value.into()]).unwrap();
            assert!(table.cells.len() < GROUP);
        }
        table.close().unwrap();
        let file = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        assert_eq!(file.num_row_groups(), 2);
        assert_eq!(file.metadata().file_metadata().num_rows() as usize, GROUP + 1);
    }
}
