//! The data sets that can be named in a scenario.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A known data set. In text (scenario, shard file, command line) its kebab-case name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetName {
    /// Handwritten digits, 28x28 grey.
    Mnist,
    /// Pictures of clothing, 28x28 grey.
    FashionMnist,
    /// Tiles of human colorectal tissue, 64x64 grey.
    ChMnist,
    /// Breast Cancer Wisconsin (Diagnostic), 30 features.
    BreastCancer,
}

/// What is known of a data set before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Shape of one example.
    pub shape: &'static [usize],
    /// Number of classes.
    pub classes: usize,
    /// Its folder below the data sets directory.
    pub folder: &'static str,
    /// The most examples that either part of the split may have.
    pub max_examples: usize,
    /// Its files in the folder, by their first names ([`find_file`](super::find_file)).
    pub files: &'static [&'static str],
}

impl DatasetName {
    /// Every known data set.
    pub const ALL: [DatasetName; 4] =
        [DatasetName::Mnist, DatasetName::FashionMnist, DatasetName::ChMnist, DatasetName::BreastCancer];

    /// The name as it stands in text.
    pub fn as_str(self) -> &'static str {
        match self {
            DatasetName::Mnist => "mnist",
            DatasetName::FashionMnist => "fashion-mnist",
            DatasetName::ChMnist => "ch-mnist",
            DatasetName::BreastCancer => "breast-cancer",
        }
    }

    /// Whether training and test examples come apart; of the others the seed decides which are which.
    pub fn comes_split(self) -> bool {
        matches!(self, DatasetName::Mnist | DatasetName::FashionMnist)
    }

    /// Shape, classes, folder and size (paper section 4.1).
    pub fn spec(self) -> Spec {
        let digits = Spec {
            shape: &[28, 28],
            classes: 10,
            folder: "mnist",
            max_examples: 60_000,
            files: &[
                "train-images-idx3-ubyte",
                "train-labels-idx1-ubyte",
                "t10k-images-idx3-ubyte",
                "t10k-labels-idx1-ubyte",
            ],
        };
        match self {
            DatasetName::Mnist => digits,
            DatasetName::FashionMnist => Spec { folder: "fashion-mnist", ..digits },
            DatasetName::ChMnist => Spec {
                shape: &[64, 64],
                classes: 8,
                folder: "ch-mnist",
                max_examples: 4000,
                files: &["hmnist_64_64_L.csv"],
            },
            DatasetName::BreastCancer => Spec {
                shape: &[30],
                classes: 2,
                folder: "breast-cancer-wisconsin",
                max_examples: 455,
                files: &["wdbc.csv"],
            },
        }
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no known data set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown data set `{0}`; known are {known}", known = DatasetName::ALL.map(DatasetName::as_str).join(", "))]
pub struct UnknownDataset(String);

impl FromStr for DatasetName {
    type Err = UnknownDataset;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = DatasetName::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| UnknownDataset(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    #[test]
    fn serde_display_and_from_str_agree_on_every_name() {
        for name in DatasetName::ALL {
            let text: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
            assert_eq!(DatasetName::deserialize(text), Ok(name));
            assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "MNIST".parse::<DatasetName>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown data set `MNIST`; known are mnist, fashion-mnist, ch-mnist, breast-cancer"
        );
    }
}
