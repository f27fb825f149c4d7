//! Training and test part, missing values and standardisation.

use std::iter::zip;

use formats::{Column, Found, Wrong};
use input::npy::Numbers;
use rand::seq::SliceRandom as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Features, Groups, Split};
use crate::random::{Purpose, stream};

/// Which examples are for testing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a share of the examples such as 0.2, the name of a file in quotes, a table { column, value }, or \
                 a table { file, labels } or { features, label } of arrays"
)]
pub enum TestPart {
    /// This share of them, drawn by the seed of the scenario.
    Share(f64),
    /// Those of another file of the same form.
    File(String),
    /// The rows whose column has this value.
    Rows(TestRows),
    /// Those in other arrays.
    Arrays(TestArrays),
}

/// Rows of a table that are for testing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestRows {
    /// The column that says so.
    pub column: Column,
    /// What stands there.
    pub value: String,
}

/// Arrays of examples that are for testing: files of their own (`.npy`, IDX), or other arrays of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TestArrays {
    /// The file of the features; without, that of the training part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The file of their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// The array of the features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<String>,
    /// The array of their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Default for TestPart {
    fn default() -> Self {
        TestPart::Share(0.2)
    }
}

/// Mean and deviation of each column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) means: Vec<f64>,
    pub(super) deviations: Vec<f64>,
}

impl Scale {
    /// Those of the columns of `values` in these rows of `width` values. Missing ones are left out; a column that does not
    /// vary has the deviation 1, so that it becomes 0.
    ///
    /// # Errors
    /// If a column has no value at all; `names` are those of the columns.
    pub(super) fn of(
        values: &[f32],
        width: usize,
        columns: usize,
        rows: &[u32],
        names: &[String],
    ) -> Result<Self, Wrong> {
        let (mut counts, mut means, mut squares) =
            (vec![0_u64; columns], vec![0.0; columns], vec![0.0; columns]);
        let each = |row: &u32, take: &mut dyn FnMut(usize, f64)| {
            let row = &values[*row as usize * width..][..width];
            for (place, value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
                take(place % columns, f64::from(*value));
            }
        };
        for row in rows {
            each(row, &mut |column, value| {
                counts[column] += 1;
                means[column] += value;
            });
        }
        if let Some(column) = counts.iter().position(|count| *count == 0) {
            let unnamed = format!("{}", column + 1);
            let name = names.get(column).unwrap_or(&unnamed);
            return Err(format!(
                "column {name} has no value in the training part; leave it out with `ignore`"
            )
            .into());
        }
        zip(&mut means, &counts).for_each(|(sum, count)| *sum /= *count as f64);
        for row in rows {
            each(row, &mut |column, value| squares[column] += (value - means[column]).powi(2));
        }
        let deviation = |(sum, count): (&f64, &u64)| {
            let variance = sum / *count as f64;
            if variance > 0.0 { variance.sqrt() } else { 1.0 }
        };
        Ok(Scale { deviations: zip(&squares, &counts).map(deviation).collect(), means })
    }

    /// Puts means where values are missing and, if asked to, standardises all values.
    pub(super) fn apply(&self, values: &mut [f32], standardise: bool) {
        let columns = self.means.len();
        for (place, value) in values.iter_mut().enumerate() {
            let column = place % columns;
            if value.is_nan() {
                *value = self.means[column] as f32;
            }
            if standardise {
                *value = ((f64::from(*value) - self.means[column]) / self.deviations[column]) as f32;
            }
        }
    }
}

/// Both parts of what was `found`; `elsewhere` is the test part, if it was.
///
/// Missing values and standardisation go by the training part alone, because nothing of the test part may be known in training.
///
/// # Errors
/// If a part would be empty, or labels are none of the `classes`.
pub(super) fn split(
    found: Found,
    elsewhere: Option<Found>,
    part: &TestPart,
    classes: &[String],
    standardise: bool,
    seed: u64,
) -> Result<Split, Wrong> {
    let all: Vec<u32> = (0..u32::try_from(found.len())?).collect();
    let (train, test): (Vec<u32>, Vec<u32>) = match (part, &found.for_testing) {
        (_, Some(for_testing)) => all.iter().partition(|row| !for_testing[**row as usize]),
        (TestPart::Share(share), _) => {
            let mut order = all;
            order.shuffle(&mut stream(seed, Purpose::Split, None, 0));
            // One at the least on either side, where there are two.
            let tests = ((share * order.len() as f64).round() as usize).clamp(1, order.len().max(2) - 1);
            let mut train = order.split_off(tests.min(order.len()));
            order.sort_unstable();
            train.sort_unstable();
            (train, order)
        }
        _ => (all, Vec::new()),
    };
    let labels = found.labels.among(classes)?;
    let groups = found.groups.map(|groups| (groups.in_order(), groups));
    let groups = groups.map(|(names, groups)| Ok::<_, Wrong>((groups.among(&names)?, names))).transpose()?;
    let Found { shape, mut features, names, .. } = found;
    let mut other = elsewhere;
    if let Some(other) = &other
        && other.shape != shape
    {
        let shapes =
            format!("examples for testing have the shape {:?}, those for training {shape:?}", other.shape);
        return Err(shapes.into());
    }
    if train.is_empty() || (test.is_empty() && other.is_none()) {
        let (part, rest) = if train.is_empty() { ("training", "testing") } else { ("testing", "training") };
        return Err(format!("no example is left for {part}: all are for {rest}; look at `test`").into());
    }
    if let Numbers::Floats(values) = &mut features {
        let width: usize = shape.iter().product();
        let columns = shape.last().copied().unwrap_or(1);
        let scale = Scale::of(values, width, columns, &train, &names)?;
        scale.apply(values, standardise);
        if let Some(Found { features: Numbers::Floats(values), .. }) = &mut other {
            scale.apply(values, standardise);
        }
    }
    let width: usize = shape.iter().product();
    let features = Features::from(features);
    let dataset = |features: Features, labels: Vec<u16>| {
        Dataset::new(shape.clone(), classes.len(), features, labels).map_err(Wrong::from)
    };
    let of = |rows: &[u32]| {
        dataset(features.rows(width, rows), rows.iter().map(|row| labels[*row as usize]).collect())
    };
    let test = match other {
        Some(other) => {
            let labels = other.labels.among(classes)?;
            dataset(other.features.into(), labels)?
        }
        None => of(&test)?,
    };
    let mut train_part = of(&train)?;
    if let Some((of, names)) = groups {
        let of = train.iter().map(|row| of[*row as usize]).collect();
        train_part = train_part.with_groups(Groups::new(names, of).ok_or("a group without a name")?)?;
    }
    Ok(Split { train: train_part, test })
}
