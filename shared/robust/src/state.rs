//! What a rule, a stage or an attack keeps from round to round.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What a rule, a stage before it or an attack keeps of the rounds so far: vectors by name, none at first.
///
/// Each round receives it and returns it, and it is stored with the round: a run that is killed and
/// resumed ends in the same bytes. So nothing else may be kept, and nothing that depends on anything but the rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State(BTreeMap<String, Arc<[f32]>>);

impl State {
    /// The vector called `name`, if it has been set.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.shared(name).map(|values| &values[..])
    }

    /// The same, to be held.
    pub fn shared(&self, name: &str) -> Option<&Arc<[f32]>> {
        self.0.get(name)
    }

    /// Sets the vector called `name`.
    pub fn set(&mut self, name: impl Into<String>, values: impl Into<Arc<[f32]>>) {
        self.0.insert(name.into(), values.into());
    }

    /// Whether nothing has been set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All vectors, in the order of their names.
    pub fn vectors(&self) -> impl Iterator<Item = (&str, &[f32])> {
        self.0.iter().map(|(name, values)| (name.as_str(), &values[..]))
    }
}
