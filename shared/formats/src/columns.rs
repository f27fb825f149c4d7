//! The columns of a table by name or number, and what they hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Wrong;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected the name of a column in quotes, or its number")]
pub enum Column {
    /// By its number, from 1; -1 is the last one.
    Number(i64),
    /// By its name.
    Name(String),
}

impl Column {
    /// Its name, where there are no numbers; `what` is what `key` names.
    ///
    /// # Errors
    /// If it is a number.
    pub(crate) fn name(&self, key: &str, what: &str) -> Result<&str, Wrong> {
        match self {
            Column::Name(name) => Ok(name),
            Column::Number(_) => Err(format!("`{key}` must be the name of {what}, in quotes").into()),
        }
    }

    /// Its place among columns of these `names`, from 0.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn place(&self, names: &[String]) -> Result<usize, Wrong> {
        let place = match self {
            Column::Name(name) => names.iter().position(|other| other == name),
            Column::Number(number @ 1..) => usize::try_from(number - 1).ok(),
            Column::Number(number) => {
                number.checked_neg().and_then(|back| names.len().checked_sub(usize::try_from(back).ok()?))
            }
        };
        place.filter(|place| *place < names.len()).ok_or_else(|| {
            let shown: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
            let more = if names.len() > shown.len() { ", ..." } else { "" };
            let (count, columns) = (names.len(), shown.join(", "));
            format!("there is no column {self}; the {count} columns are {columns}{more}").into()
        })
    }
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Column::Number(number) => number.fmt(f),
            Column::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// What becomes of missing values of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// They are an error that names the place.
    #[default]
    Error,
    /// Their rows are left out.
    Drop,
    /// They become the mean of their column in the training part.
    Mean,
}

/// What stands in a place of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Text(&'a str),
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "in text, numbers are texts"))]
    Number(f64),
    Missing,
}

/// What stands for a missing value.
const MISSING: [&str; 10] = ["", "?", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "-"];

impl<'a> Cell<'a> {
    /// What a text stands for.
    pub(crate) fn of(text: &'a str) -> Self {
        let text = text.trim();
        if MISSING.contains(&text) { Cell::Missing } else { Cell::Text(text) }
    }

    /// The number that it is, if it is one that a 32-bit float holds; `decimal` is what stands before its fraction.
    pub(crate) fn number(self, decimal: char) -> Option<f32> {
        let number = match self {
            Cell::Number(number) => number,
            Cell::Text(text) if decimal == '.' => text.parse().ok()?,
            // A point would separate thousands there, which is nothing to guess at.
            Cell::Text(text) if text.contains('.') => return None,
            Cell::Text(text) => text.replace(decimal, ".").parse().ok()?,
            Cell::Missing => return None,
        };
        Some(number as f32).filter(|number| number.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_by_number_from_either_end() {
        let names = ["a", "b", "c"].map(ToOwned::to_owned);
        let place = |column: Column| column.place(&names).map_err(|error| error.to_string());
        assert_eq!(place(Column::Name("b".to_owned())), Ok(1));
        assert_eq!((place(Column::Number(3)), place(Column::Number(-3))), (Ok(2), Ok(0)));
        for number in [0, 4, -4, i64::MIN, i64::MAX] {
            let error = place(Column::Number(number)).unwrap_err();
            assert_eq!(error, format!("there is no column {number}; the 3 columns are a, b, c"));
        }
        assert!(place(Column::Name("d".to_owned())).unwrap_err().starts_with("there is no column \"d\""));
    }

    #[test]
    fn numbers_are_read_with_the_decimal_sign_that_is_said() {
        assert_eq!(Cell::of(" -1.5e3 ").number('.'), Some(-1500.0));
        assert_eq!(Cell::of("1,5").number(','), Some(1.5));
        for (text, decimal) in [("1,5", '.'), ("1.5", ','), ("1e39", '.'), ("inf", '.'), ("red", '.')] {
            assert_eq!(Cell::of(text).number(decimal), None, "{text}");
        }
        assert_eq!(Cell::of(" NaN"), Cell::Missing);
    }
}
