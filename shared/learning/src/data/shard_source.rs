//! What a shard was made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::identity::Digest;

/// Everything that decides what is in the shards of a fleet: the examples that were dealt out, and the settings by which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardSource {
    /// Digest of the training data, in their order ([`Dataset::digest`](super::Dataset::digest)).
    pub data: Digest,
    /// The settings of the scenario, by their dotted keys and as a scenario file spells their values.
    pub settings: BTreeMap<String, String>,
}

impl ShardSource {
    /// In which settings `wanted` differ, as `key = value`; `None` if in none.
    pub fn differs_from(&self, wanted: &BTreeMap<String, String>) -> Option<String> {
        let spelled = |settings: &BTreeMap<String, String>, key: &String| match settings.get(key) {
            Some(value) => format!("{key} = {value}"),
            None => format!("no {key}"),
        };
        let keys =
            self.settings.iter().chain(wanted).filter(|(key, value)| {
                self.settings.get(*key) != Some(value) || wanted.get(*key) != Some(value)
            });
        let keys: std::collections::BTreeSet<_> = keys.map(|(key, _)| key).collect();
        let list = |settings| keys.iter().map(|key| spelled(settings, key)).collect::<Vec<_>>().join(", ");
        (!keys.is_empty())
            .then(|| format!("made with {}, but the scenario says {}", list(&self.settings), list(wanted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_setting_that_differs_is_named_with_both_values() {
        let made = settings(&[("fleet.non-iid", "0.5"), ("seed", "1"), ("data.train-examples", "200")]);
        let source = ShardSource { data: Digest([0; 32]), settings: made.clone() };
        assert_eq!(source.differs_from(&made), None);
        let wanted = settings(&[("fleet.non-iid", "0.9"), ("seed", "1")]);
        assert_eq!(
            source.differs_from(&wanted).unwrap(),
            "made with data.train-examples = 200, fleet.non-iid = 0.5, but the scenario says no data.train-examples, \
             fleet.non-iid = 0.9"
        );
    }
}
