//! Names of the rules in scenario files, on command lines and in reports.

use std::fmt;
use std::str::FromStr;

use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::{Deserialize, Serialize};

/// Which rule; written `mean`, `krum`, `bulyan`, `trimmed-mean` or `median`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleName {
    /// [`Mean`](super::Mean).
    Mean,
    /// [`Krum`](super::Krum).
    Krum,
    /// [`Bulyan`](super::Bulyan).
    Bulyan,
    /// [`TrimmedMean`](super::TrimmedMean).
    TrimmedMean,
    /// [`Median`](super::Median).
    Median,
}

/// A text that names no rule; its message lists those there are.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("not an aggregation rule: {0}")]
pub struct UnknownRule(ValueError);

// Both directions go through serde, so that the variants are the only list of names.
impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for RuleName {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let deserializer: StrDeserializer<'_, ValueError> = text.into_deserializer();
        RuleName::deserialize(deserializer).map_err(UnknownRule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RuleParameters, build};

    #[test]
    fn each_name_is_parsed_displayed_and_built_as_itself() {
        for text in ["mean", "krum", "bulyan", "trimmed-mean", "median"] {
            let name: RuleName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            assert_eq!(build(name, &RuleParameters::default()).name(), text);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let message = "Trimmed-Mean".parse::<RuleName>().unwrap_err().to_string();
        assert!(message.contains("`Trimmed-Mean`") && message.contains("`trimmed-mean`"), "{message}");
    }
}
