//! Updates as they lie in memory, for whoever copies them.

use std::iter::zip;

/// How vectors are given: from where their values count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// From the model that the round started from.
    Updates,
    /// From zero.
    Models,
}

/// Rows of d values, to be copied a part at a time: what is to be taken from them or added to them is so on the way.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    rows: Vec<&'a [f32]>,
    shift: Shift<'a>,
}

/// What copies of rows differ from them by.
#[derive(Clone, Copy, Debug)]
enum Shift<'a> {
    None,
    Less(&'a [f32]),
    More(&'a [f32]),
}

impl<'a> Rows<'a> {
    /// Of `models`, trained from `origin`, in a form. Without an origin, that is zero.
    pub fn of_models(models: &[&'a [f32]], origin: Option<&'a [f32]>, form: Form) -> Self {
        let less = origin.filter(|_| form == Form::Updates);
        Rows { rows: models.to_vec(), shift: less.map_or(Shift::None, Shift::Less) }
    }

    /// Of updates, taken from `origin`, in a form.
    pub(crate) fn of_offsets(offsets: &'a [Vec<f32>], origin: Option<&'a [f32]>, form: Form) -> Self {
        let more = origin.filter(|_| form == Form::Models);
        let rows = offsets.iter().map(Vec::as_slice).collect();
        Rows { rows, shift: more.map_or(Shift::None, Shift::More) }
    }

    /// Without the row of this number, if there is one.
    pub(crate) fn without(&self, left_out: Option<usize>) -> Self {
        let mut rows = self.clone();
        left_out.map(|left_out| rows.rows.remove(left_out));
        rows
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Number of values of each.
    pub fn dimension(&self) -> usize {
        self.rows.first().map_or(0, |row| row.len())
    }

    /// Copies the values of `row` from column `from` on, as many as `to` has.
    pub fn copy(&self, row: usize, from: usize, to: &mut [f32]) {
        let columns = from..from + to.len();
        let row = &self.rows[row][columns.clone()];
        match self.shift {
            Shift::None => to.copy_from_slice(row),
            Shift::Less(origin) => {
                zip(to, zip(row, &origin[columns])).for_each(|(to, (value, origin))| *to = value - origin);
            }
            Shift::More(origin) => {
                zip(to, zip(row, &origin[columns])).for_each(|(to, (value, origin))| *to = value + origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(rows: &Rows<'_>) -> Vec<Vec<f32>> {
        let mut to = vec![vec![0.0; rows.dimension()]; rows.count()];
        for (row, to) in to.iter_mut().enumerate() {
            let (first, rest) = to.split_at_mut(1);
            rows.copy(row, 0, first);
            rows.copy(row, 1, rest);
        }
        to
    }

    #[test]
    fn rows_are_copied_as_models_and_as_updates_whichever_they_are() {
        let (models, origin): ([&[f32]; 2], [f32; 2]) = ([&[3.0, 4.0], &[5.0, 1.0]], [1.0, 2.0]);
        let of_models = |form| copied(&Rows::of_models(&models, Some(&origin), form));
        let offsets = [vec![2.0, 2.0], vec![4.0, -1.0]];
        let of_offsets = |form| copied(&Rows::of_offsets(&offsets, Some(&origin), form));
        assert_eq!(of_models(Form::Updates), offsets);
        assert_eq!(of_offsets(Form::Updates), offsets);
        assert_eq!(of_models(Form::Models), models);
        assert_eq!(of_offsets(Form::Models), models);
        assert_eq!(copied(&Rows::of_models(&models, None, Form::Updates)), models, "taken from zero");
    }

    #[test]
    fn a_row_that_is_left_out_is_not_there() {
        let rows = Rows::of_models(&[&[1.0], &[2.0], &[3.0]], None, Form::Models);
        assert_eq!(copied(&rows.without(Some(1))), [[1.0], [3.0]]);
        assert_eq!(copied(&rows.without(None)).len(), 3);
    }
}
