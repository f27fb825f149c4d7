//! The rows of a table, one after the other.

use std::collections::BTreeSet;

use crate::Wrong;
use crate::columns::{Cell, Column, Missing};
use crate::found::Found;
use crate::labels::Labels;
use input::npy::Numbers;

/// What of a table is what.
#[derive(Clone, Debug)]
pub(crate) struct Roles<'a> {
    /// The column of the labels.
    pub(crate) label: Option<&'a Column>,
    /// The column of the groups.
    pub(crate) group: Option<&'a Column>,
    /// Columns that are left out.
    pub(crate) ignore: &'a [Column],
    /// The column and its value that tell which rows are for testing.
    pub(crate) testing: Option<(&'a Column, &'a str)>,
    /// What becomes of missing values.
    pub(crate) missing: Missing,
    /// What stands before the fraction of a number.
    pub(crate) decimal: char,
}

/// Rows as they come.
pub(crate) struct Rows<'a> {
    roles: Roles<'a>,
    /// What rows are counted in: lines, or rows.
    unit: &'static str,
    columns: Vec<String>,
    label: usize,
    group: Option<usize>,
    testing: Option<usize>,
    /// The columns that are features.
    features: Vec<usize>,
    values: Vec<f32>,
    labels: Labels,
    groups: Labels,
    for_testing: Vec<bool>,
    dropped: usize,
}

impl<'a> Rows<'a> {
    /// Those of a table with these `columns`.
    ///
    /// # Errors
    /// If a column that is named is not there, two have one name, or none is left for features.
    pub(crate) fn new(columns: Vec<String>, roles: Roles<'a>, unit: &'static str) -> Result<Self, Wrong> {
        let Some(label) = roles.label else {
            let shown: Vec<&str> = columns.iter().take(20).map(String::as_str).collect();
            let text =
                format!("which column has the labels? Say it with `label`; there are {}", shown.join(", "));
            return Err(text.into());
        };
        let label = label.place(&columns)?;
        let group = roles.group.map(|column| column.place(&columns)).transpose()?;
        if group == Some(label) {
            return Err(format!("the column {:?} has either labels or groups", columns[label]).into());
        }
        let testing = roles.testing.map(|(column, _)| column.place(&columns)).transpose()?;
        let ignored = roles.ignore.iter().map(|column| column.place(&columns));
        let ignored = ignored.collect::<Result<BTreeSet<_>, _>>()?;
        let of_features = |place: &usize| {
            ![Some(label), group, testing].contains(&Some(*place)) && !ignored.contains(place)
        };
        let features: Vec<usize> = (0..columns.len()).filter(of_features).collect();
        if features.is_empty() {
            return Err("there is no column beside that of the labels and those that are left out".into());
        }
        Ok(Rows {
            roles,
            unit,
            columns,
            label,
            group,
            testing,
            features,
            values: Vec::new(),
            labels: Labels::default(),
            groups: Labels::default(),
            for_testing: Vec::new(),
            dropped: 0,
        })
    }

    /// How many columns a row has.
    pub(crate) fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Takes the row at `place`, as many cells as there are columns.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn push(&mut self, place: u64, cells: &[Cell<'_>]) -> Result<(), Wrong> {
        let at = |column: usize| {
            format!("{} {place}, column {} ({})", self.unit, column + 1, self.columns[column])
        };
        let decimal = self.roles.decimal;
        let before = self.values.len();
        let named = [("label", Some(self.label)), ("group", self.group)];
        let missing = named.iter().find_map(|(what, column)| {
            column.filter(|column| cells[*column] == Cell::Missing).map(|column| (what, column))
        });
        let mut is_whole = missing.is_none();
        if let Some((what, column)) = missing.filter(|_| self.roles.missing != Missing::Drop) {
            return Err(format!(
                "{}: the {what} is missing; `missing = \"drop\"` leaves such rows out",
                at(column)
            )
            .into());
        }
        for &column in &self.features {
            let cell = cells[column];
            let value = match cell {
                Cell::Missing => match self.roles.missing {
                    Missing::Error => {
                        let text = format!(
                            "{}: the value is missing; `missing = \"drop\"` leaves such rows out, \
                                            `missing = \"mean\"` puts the mean of the column there",
                            at(column)
                        );
                        return Err(text.into());
                    }
                    Missing::Drop => {
                        is_whole = false;
                        break;
                    }
                    Missing::Mean => f32::NAN,
                },
                Cell::Text(_) | Cell::Number(_) => cell.number(decimal).ok_or_else(|| {
                    let remedy = format!(
                        "leave the column out with `ignore = [{:?}]`, or put numbers there",
                        self.columns[column]
                    );
                    match cell {
                        Cell::Text(text) => {
                            let comma = if text.contains(',') && decimal == '.' {
                                ", or say `decimal = \",\"`"
                            } else {
                                ""
                            };
                            format!("{}: {text:?} is no number of 32 bits; {remedy}{comma}", at(column))
                        }
                        _ => format!("{}: the value is no number of 32 bits; {remedy}", at(column)),
                    }
                })?,
            };
            self.values.push(value);
        }
        if !is_whole {
            self.values.truncate(before);
            self.dropped += 1;
            return Ok(());
        }
        let push = |names: &mut Labels, column: usize| {
            let pushed = match cells[column] {
                Cell::Number(number) => names.push_number(number),
                Cell::Text(text) => names.push(text),
                Cell::Missing => Ok(()),
            };
            pushed.map_err(|error| format!("{}: {error}", at(column)))
        };
        push(&mut self.labels, self.label)?;
        if let Some(column) = self.group {
            push(&mut self.groups, column)?;
        }
        if let (Some(column), Some((_, value))) = (self.testing, self.roles.testing) {
            self.for_testing.push(match cells[column] {
                Cell::Text(text) => text == value,
                Cell::Number(number) => number.to_string() == value,
                Cell::Missing => false,
            });
        }
        Ok(())
    }

    /// All of them.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn found(self) -> Result<Found, Wrong> {
        let (examples, width) = (self.labels.len(), self.features.len());
        if examples == 0 {
            let dropped = self.dropped;
            return Err(
                format!("no row is left ({dropped} left out, because something is missing in them)").into()
            );
        }
        let names = self.features.iter().map(|column| self.columns[*column].clone()).collect();
        let for_testing = self.testing.map(|_| self.for_testing);
        let found = Found::new(&[examples, width], Numbers::Floats(self.values), self.labels)?;
        let found = found.with_groups(self.group.map(|_| self.groups))?;
        Ok(Found { names, for_testing, dropped: self.dropped, ..found })
    }
}
