//! Tables of comma-separated values, and of values separated by other signs.

use std::io::Read;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Terminator};

use crate::Wrong;
use crate::columns::{Cell, Column};
use crate::found::Found;
use crate::gzip;
use crate::rows::{Roles, Rows};

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
        .from_reader(text);
    let mut record = StringRecord::new();
    if !next(&mut reader, &mut record)? {
        return Err("it is empty".into());
    }
    let has_header = style.header.unwrap_or_else(|| is_header(&record, &roles));
    let names: Vec<String> = if has_header {
        record.iter().map(|name| name.trim().to_owned()).collect()
    } else {
        (1..=record.len()).map(|number| format!("column {number}")).collect()
    };
    if let (false, Some(Column::Name(name))) = (has_header, roles.label) {
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

/// Reads the next line that is not empty, if there is one.
fn next(reader: &mut csv::Reader<impl Read>, record: &mut StringRecord) -> Result<bool, Wrong> {
    let wrong = |error: csv::Error| match error.kind() {
        csv::ErrorKind::Utf8 { pos, .. } => {
            let line = pos.as_ref().map_or(1, csv::Position::line);
            format!("line {line} is not text in UTF-8; is it a table of separated values?").into()
        }
        _ => Wrong::from(error),
    };
    loop {
        let is_there = reader.read_record(record).map_err(wrong)?;
        if !is_there || record.len() > 1 || record.iter().any(|value| !value.trim().is_empty()) {
            return Ok(is_there);
        }
    }
}

/// Whether a line is one of names: one of its values beside the label is neither a number nor missing.
fn is_header(first: &StringRecord, roles: &Roles<'_>) -> bool {
    let label = match roles.label {
        Some(Column::Name(_)) => return true,
        Some(column) => column.place(&vec![String::new(); first.len()]).ok(),
        None => None,
    };
    let is_name = |text: &str| {
        let cell = Cell::of(text);
        cell != Cell::Missing && cell.number(roles.decimal).is_none()
    };
    first.iter().enumerate().any(|(place, text)| Some(place) != label && is_name(text))
}

fn repeated(names: &[String]) -> Option<&String> {
    let mut known = std::collections::BTreeSet::new();
    names.iter().find(|name| !known.insert(*name))
}
