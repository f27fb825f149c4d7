//! Tables of comma-separated values, and of values separated by other signs.

use std::io::{self, Read};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Terminator};

use crate::Wrong;
use crate::columns::{Cell, Column};
use crate::found::Found;
use crate::gzip;
use crate::rows::{Roles, Rows};

/// No table has more columns.
const MOST_COLUMNS: usize = 1 << 20;
/// No line of a table is longer, in bytes: one is held in memory, with more for each of its values.
const LONGEST_LINE: usize = 16 << 20;

/// How the text of a table is written.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// What separates values.
    pub(crate) delimiter: u8,
    /// Whether the first line has the names of the columns; if nobody says it, it has where one of its values is no number.
    pub(crate) header: Option<bool>,
}

/// The rows of the table `path`, which may be gzipped.
///
/// # Errors
/// What is wrong with it, with line and column.
pub(crate) fn read(path: &Path, style: &Style, roles: Roles<'_>) -> Result<Found, Wrong> {
    let mut text = gzip::open(path)?;
    let start = text.fill_buf()?;
    if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
        return Err("it is text in UTF-16; save it as UTF-8".into());
    }
    if start.starts_with(b"\xef\xbb\xbf") {
        text.consume(3);
    }
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(style.delimiter)
        // What ends lines on Windows is taken off with other white space: the reader would count such lines from 0.
        .terminator(Terminator::Any(b'\n'))
        .from_reader(Lines { text, length: 0 });
    let mut record = StringRecord::new();
    if !next(&mut reader, &mut record)? {
        return Err("it is empty".into());
    }
    if record.len() > MOST_COLUMNS {
        let text =
            format!("line 1: {} values are more than the {MOST_COLUMNS} that a line may have", record.len());
        return Err(text.into());
    }
    let has_header = style.header.unwrap_or_else(|| is_header(&record, &roles));
    let names: Vec<String> = if has_header {
        record.iter().map(|name| name.trim().to_owned()).collect()
    } else {
        (1..=record.len()).map(|number| format!("column {number}")).collect()
    };
    let by_name = [roles.label, roles.group].into_iter().flatten().find_map(|column| match column {
        Column::Name(name) => Some(name),
        Column::Number(_) => None,
    });
    if let (false, Some(name)) = (has_header, by_name) {
        let text =
            format!("there is no column {name:?}: the first line has no names; give its number, from 1");
        return Err(text.into());
    }
    if let Some(name) = repeated(&names) {
        return Err(format!("line 1: two columns are called {name:?}; give them different names").into());
    }
    let mut rows = Rows::new(names, roles, "line")?;
    let mut is_row = !has_header || next(&mut reader, &mut record)?;
    while is_row {
        let line = record.position().map_or(1, csv::Position::line);
        if record.len() != rows.columns() {
            let text = format!(
                "line {line}: {} values, where the first line has {}; values are separated by {:?}, and stand in double \
                 quotes where that is part of one",
                record.len(),
                rows.columns(),
                char::from(style.delimiter)
            );
            return Err(text.into());
        }
        rows.push(line, &record.iter().map(Cell::of).collect::<Vec<_>>())?;
        is_row = next(&mut reader, &mut record)?;
    }
    rows.found()
}

/// A text in which no line is too long.
struct Lines<R> {
    text: R,
    /// How long the line is that has begun.
    length: usize,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(buffer)?;
        self.length = match buffer[..read].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => read - end - 1,
            None => self.length + read,
        };
        if self.length > LONGEST_LINE {
            let text = format!("longer than {} MiB; is it a table of separated values?", LONGEST_LINE >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(read)
    }
}

/// Reads the next line that is not empty, if there is one.
fn next(reader: &mut csv::Reader<impl Read>, record: &mut StringRecord) -> Result<bool, Wrong> {
    let line = reader.position().line();
    let wrong = |error: csv::Error| match error.kind() {
        csv::ErrorKind::Utf8 { pos, .. } => {
            let line = pos.as_ref().map_or(1, csv::Position::line);
            format!("line {line} is not text in UTF-8; is it a table of separated values?")
        }
        _ => format!("line {line}: {error}"),
    };
    loop {
        let is_there = reader.read_record(record).map_err(wrong)?;
        if !is_there || record.len() > 1 || record.iter().any(|value| !value.trim().is_empty()) {
            return Ok(is_there);
        }
    }
}

/// Whether a line is one of names: one of its values beside label and group is neither a number nor missing.
fn is_header(first: &StringRecord, roles: &Roles<'_>) -> bool {
    let named = [roles.label, roles.group];
    if named.iter().flatten().any(|column| matches!(column, Column::Name(_))) {
        return true;
    }
    let columns = vec![String::new(); first.len()];
    let named = named.map(|column| column.and_then(|column| column.place(&columns).ok()));
    let is_name = |text: &str| {
        let cell = Cell::of(text);
        cell != Cell::Missing && cell.number(roles.decimal).is_none()
    };
    first.iter().enumerate().any(|(place, text)| !named.contains(&Some(place)) && is_name(text))
}

fn repeated(names: &[String]) -> Option<&String> {
    let mut known = std::collections::BTreeSet::new();
    names.iter().find(|name| !known.insert(*name))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use csv::{QuoteStyle, WriterBuilder};
    use input::npy::Numbers;
    use proptest::prelude::*;

    use super::*;
    use crate::columns::Missing;
    use crate::gzip::packed;

    /// What is read of a table, whose labels are in the column of this number.
    fn found(content: &[u8], style: &Style, label: i64, decimal: char) -> Result<Found, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        fs::write(&path, content).unwrap();
        let label = Column::Number(label);
        let missing = Missing::Error;
        let roles = Roles { label: Some(&label), group: None, ignore: &[], testing: None, missing, decimal };
        read(&path, style, roles).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_that_would_take_more_memory_than_the_file_are_refused() {
        let error = |content: &[u8]| {
            found(content, &Style { delimiter: b',', header: Some(true) }, 1, '.').unwrap_err()
        };
        let columns = error(&vec![b','; MOST_COLUMNS]);
        assert_eq!(columns, "line 1: 1048577 values are more than the 1048576 that a line may have");
        let line = error(&[b"a,b\n1,2\n".to_vec(), vec![b','; LONGEST_LINE + (1 << 20)]].concat());
        assert_eq!(line, "line 3: longer than 16 MiB; is it a table of separated values?");
    }

    proptest! {
        #[test]
        fn however_it_is_written_a_table_has_the_same_rows(
            rows in prop::collection::vec((any::<f32>().prop_filter("finite", |value| value.is_finite()), "[a-c\",;\t\n ]{0,4}x"), 1..20),
            delimiter in prop::sample::select(&b",;\t|"[..]),
            is_windows: bool,
            is_quoted: bool,
            is_gzipped: bool,
            has_header: bool,
        ) {
            let decimal = if delimiter == b';' { ',' } else { '.' };
            let mut writer = WriterBuilder::new()
                .delimiter(delimiter)
                .terminator(if is_windows { Terminator::CRLF } else { Terminator::Any(b'\n') })
                .quote_style(if is_quoted { QuoteStyle::Always } else { QuoteStyle::Necessary })
                .from_writer(Vec::new());
            if has_header {
                writer.write_record(["a", "b", "y"]).unwrap();
            }
            for (value, label) in &rows {
                let number = value.to_string().replace('.', &decimal.to_string());
                writer.write_record([&number, "0", label]).unwrap();
            }
            let plain = writer.into_inner().unwrap();
            let content = if is_gzipped { packed(&plain) } else { plain };
            let found = found(&content, &Style { delimiter, header: Some(has_header) }, -1, decimal).unwrap();
            let values = rows.iter().flat_map(|(value, _)| [*value, 0.0]).collect();
            prop_assert_eq!(found.features, Numbers::Floats(values));
            let classes = found.labels.in_order();
            let labels: Vec<&str> =
                found.labels.among(&classes).unwrap().iter().map(|label| &*classes[usize::from(*label)]).collect();
            prop_assert_eq!(labels, rows.iter().map(|(_, label)| label.trim()).collect::<Vec<_>>());
        }
    }
}
