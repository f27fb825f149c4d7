//! What a file of one's own would become.

use std::fmt;
use std::path::Path;

use formats::{Form, Found, Labels, Missing, Wrong};
use input::npy::Numbers;

use super::own_file::{OwnFile, own};
use crate::data::DataError;

/// How many classes or columns are shown one by one.
const SHOWN: usize = 20;

/// What a file would become, and what is odd about it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Description {
    /// The shape of an example.
    pub shape: Vec<usize>,
    /// How many examples there are.
    pub examples: usize,
    /// The classes in their order, and how many examples each has.
    pub classes: Vec<(String, usize)>,
    /// The groups in their order, if there are any, and how many examples each has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<(String, usize)>,
    /// What is in the columns of a table, or in all features together.
    pub columns: Vec<Range>,
    /// What is odd.
    pub odd: Vec<String>,
}

/// What is in a column.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Range {
    /// What it is called.
    pub name: String,
    /// The smallest value.
    pub least: f32,
    /// The largest.
    pub greatest: f32,
    /// The mean of all.
    pub mean: f64,
    /// How many are missing.
    pub missing: usize,
}

impl Description {
    /// That of the file of `settings` at `path`; missing values of tables are counted.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(settings: &OwnFile, path: &Path) -> Result<Self, DataError> {
        let mut settings = settings.clone();
        let mut describe = || -> Result<Self, Wrong> {
            if Form::of(path)?.is_table() && settings.reading.missing == Missing::Error {
                settings.reading.missing = Missing::Mean;
            }
            Description::of_found(&settings.found(path)?)
        };
        describe().map_err(|cause| own(path.to_owned(), cause))
    }

    fn of_found(found: &Found) -> Result<Self, Wrong> {
        let classes = counts(&found.labels, found.labels.classes()?)?;
        let groups = found.groups.as_ref().map(|groups| counts(groups, groups.in_order())).transpose()?;
        let columns = ranges(found);
        let mut description = Description {
            shape: found.shape.clone(),
            examples: found.len(),
            classes,
            groups: groups.unwrap_or_default(),
            columns,
            odd: Vec::new(),
        };
        description.odd = description.what_is_odd(found);
        Ok(description)
    }

    fn what_is_odd(&self, found: &Found) -> Vec<String> {
        let mut odd = Vec::new();
        let mut say = |is_odd: bool, what: &dyn Fn() -> String| {
            if is_odd {
                odd.push(what());
            }
        };
        say(found.dropped > 0, &|| {
            format!("{} rows are left out, because something is missing in them", found.dropped)
        });
        let missing: usize = self.columns.iter().map(|column| column.missing).sum();
        say(missing > 0, &|| {
            format!("{missing} values are missing: a run takes `missing = \"drop\"` or `missing = \"mean\"`")
        });
        let constant: Vec<&str> = self
            .columns
            .iter()
            .filter(|column| column.least == column.greatest)
            .map(|column| &*column.name)
            .collect();
        say(!constant.is_empty(), &|| format!("the same value everywhere: {}", constant.join(", ")));
        let (few, most) = (self.classes.iter().map(|(_, count)| *count), self.examples);
        let (least, greatest) = (few.clone().min().unwrap_or_default(), few.max().unwrap_or_default());
        say(self.classes.len() < 2, &|| "a single class is nothing to tell apart".to_owned());
        say(self.classes.len() > 1 && least < 2, &|| {
            "a class has a single example, which is for training or for testing, but not for both".to_owned()
        });
        say(self.classes.len() > 1 && greatest * 10 > most * 9, &|| {
            format!(
                "one class has {greatest} of {most} examples: whoever always says it has an error of {:.2}",
                1.0 - greatest as f64 / most as f64
            )
        });
        say(self.classes.len() > 100 && self.classes.len() * 2 > most, &|| {
            "there are nearly as many classes as examples; is it the right column?".to_owned()
        });
        say(matches!(self.shape[..], [1 | 3, height, width] if height > 4 && width > 4), &|| {
            "the first side is that of channels; is it `channels-first = true`?".to_owned()
        });
        odd
    }
}

/// How many of the `labels` there are of each name.
fn counts(labels: &Labels, names: Vec<String>) -> Result<Vec<(String, usize)>, Wrong> {
    let places = labels.among(&names)?;
    let mut counts: Vec<(String, usize)> = names.into_iter().map(|name| (name, 0)).collect();
    places.into_iter().for_each(|place| counts[usize::from(place)].1 += 1);
    Ok(counts)
}

/// What is in the columns of a table, or in all features of anything else.
fn ranges(found: &Found) -> Vec<Range> {
    let names = if found.names.is_empty() { vec!["all values".to_owned()] } else { found.names.clone() };
    let columns = names.len();
    let empty =
        |name| Range { name, least: f32::INFINITY, greatest: f32::NEG_INFINITY, mean: 0.0, missing: 0 };
    let mut ranges: Vec<Range> = names.into_iter().map(empty).collect();
    let mut counts = vec![0_usize; columns];
    let mut take = |place: usize, value: f32| {
        let range = &mut ranges[place % columns];
        if value.is_nan() {
            range.missing += 1;
            return;
        }
        range.least = range.least.min(value);
        range.greatest = range.greatest.max(value);
        range.mean += f64::from(value);
        counts[place % columns] += 1;
    };
    match &found.features {
        Numbers::Bytes(values) => {
            values.iter().enumerate().for_each(|(at, value)| take(at, f32::from(*value)));
        }
        Numbers::Floats(values) => values.iter().enumerate().for_each(|(at, value)| take(at, *value)),
    }
    for (range, count) in ranges.iter_mut().zip(counts) {
        range.mean /= count.max(1) as f64;
    }
    ranges
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Description { shape, examples, classes, groups, columns, odd } = self;
        writeln!(f, "{examples} examples of shape {shape:?} in {} classes", classes.len())?;
        for (title, counts) in [("classes", classes), ("groups", groups)] {
            if counts.is_empty() {
                continue;
            }
            writeln!(f, "\n{title}")?;
            for (name, count) in counts.iter().take(SHOWN) {
                writeln!(f, "  {count:>8}  {name}")?;
            }
            if counts.len() > SHOWN {
                writeln!(f, "            and {} more", counts.len() - SHOWN)?;
            }
        }
        writeln!(f, "\nfeatures{:>14}{:>14}{:>14}  missing", "least", "greatest", "mean")?;
        for Range { name, least, greatest, mean, missing } in columns.iter().take(SHOWN) {
            writeln!(f, "  {least:>20.4}{greatest:>14.4}{mean:>14.4}{missing:>9}  {name}")?;
        }
        if columns.len() > SHOWN {
            writeln!(f, "  and {} more", columns.len() - SHOWN)?;
        }
        if !odd.is_empty() {
            writeln!(f, "\nodd")?;
            odd.iter().try_for_each(|what| writeln!(f, "  {what}"))?;
        }
        Ok(())
    }
}
