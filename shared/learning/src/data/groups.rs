//! Groups of examples, as of the people or the sensors that they come from.

use std::sync::Arc;

/// In which group each example of a data set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    names: Arc<[String]>,
    of: Vec<u16>,
}

impl Groups {
    /// Groups called `names`; `of` has the place of its group among them for each example. `None` if there is no such place.
    pub fn new(names: Vec<String>, of: Vec<u16>) -> Option<Self> {
        let is_known = |group: &u16| usize::from(*group) < names.len();
        of.iter().all(is_known).then(|| Groups { names: names.into(), of })
    }

    /// What they are called.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The place among the names of each example's group.
    pub fn of(&self) -> &[u16] {
        &self.of
    }

    /// Those of the examples at `indices`, in that order; panics if there is no such example.
    pub(super) fn select(&self, indices: &[u32]) -> Self {
        Groups {
            names: self.names.clone(),
            of: indices.iter().map(|index| self.of[*index as usize]).collect(),
        }
    }

    /// The examples of each group that has some, in the order of the names.
    pub(super) fn members(&self) -> Vec<Vec<u32>> {
        let mut members = vec![Vec::new(); self.names.len()];
        (0..).zip(&self.of).for_each(|(example, group)| members[usize::from(*group)].push(example));
        members.retain(|examples| !examples.is_empty());
        members
    }
}
