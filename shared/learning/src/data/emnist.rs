//! EMNIST, in files like those of MNIST, whose pictures lie on their sides.

use std::error::Error;

use formats::read_idx;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, Features, FileName, Folder, Mirror, Published, Source, Spec, Split};

const SIDE: usize = 28;

/// Handwritten letters and digits, 28x28 grey (Cohen et al. 2017).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Emnist {
    /// Which of its parts.
    pub part: EmnistPart,
}

/// A part of EMNIST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EmnistPart {
    /// Digits and letters, as many of each of 47 classes: letters that look alike in both cases are one.
    #[default]
    Balanced,
    /// All of them in 62 classes.
    ByClass,
    /// All of them in 47 classes.
    ByMerge,
    /// Letters, whatever their case: 26 classes.
    Letters,
    /// Digits: 10 classes.
    Digits,
    /// Digits, as many as in MNIST.
    Mnist,
}

impl EmnistPart {
    /// Its name in the names of files, its classes, the size of its training part, and its first label.
    fn facts(self) -> (&'static str, usize, usize, u8) {
        match self {
            EmnistPart::Balanced => ("balanced", 47, 112_800, 0),
            EmnistPart::ByClass => ("byclass", 62, 697_932, 0),
            EmnistPart::ByMerge => ("bymerge", 47, 697_932, 0),
            EmnistPart::Letters => ("letters", 26, 124_800, 1),
            EmnistPart::Digits => ("digits", 10, 240_000, 0),
            EmnistPart::Mnist => ("mnist", 10, 60_000, 0),
        }
    }
}

impl Source for Emnist {
    fn spec(&self) -> Spec {
        let (_, classes, max_examples, _) = self.part.facts();
        let files = ["train", "test"].into_iter().flat_map(|part| self.files(part));
        Spec {
            shape: vec![SIDE, SIDE],
            classes,
            max_examples,
            folder: "emnist".to_owned(),
            files: files.map(FileName::from).collect(),
        }
    }

    fn comes_split(&self) -> bool {
        true
    }

    fn load(&self, folder: &Folder, _: u64) -> Result<Split, DataError> {
        Ok(Split { train: self.load_part(folder, "train")?, test: self.load_part(folder, "test")? })
    }

    fn load_test(&self, folder: &Folder, _: u64) -> Result<Dataset, DataError> {
        self.load_part(folder, "test")
    }

    fn published(&self) -> Option<Published> {
        Some(Published {
            licence: "CC0",
            origin: "https://www.nist.gov/itl/products-and-services/emnist-dataset",
            size: "550 MiB",
            mirror: Mirror::ByHand(
                "get https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip, unpack it, and run `hil data fetch emnist --from gzip`; \
                 the other parts belong in the same folder",
            ),
            content: Vec::new(),
            download: Vec::new(),
        })
    }
}

impl Emnist {
    fn files(&self, part: &str) -> [String; 2] {
        let (name, ..) = self.part.facts();
        ["images-idx3-ubyte", "labels-idx1-ubyte"].map(|kind| format!("emnist-{name}-{part}-{kind}"))
    }

    fn load_part(&self, folder: &Folder, part: &str) -> Result<Dataset, DataError> {
        let (_, classes, most, first) = self.part.facts();
        let [images, labels] = self.files(part);
        let mut pixels = folder.read(&images, |bytes| read_idx(bytes, &[SIDE, SIDE], most))?;
        pixels.chunks_exact_mut(SIDE * SIDE).for_each(stand_up);
        folder.read(&labels, |bytes| -> Result<_, Box<dyn Error + Send + Sync>> {
            let labels = read_idx(bytes, &[], most)?;
            if let Some(example) = labels.iter().position(|label| *label < first) {
                return Err(
                    format!("example {example} (from 0) has the label 0; labels begin with 1 here").into()
                );
            }
            let labels = labels.into_iter().map(|label| u16::from(label - first)).collect();
            Ok(Dataset::new(vec![SIDE, SIDE], classes, Features::Bytes(pixels), labels)?)
        })
    }
}

/// Makes rows of a picture's columns.
fn stand_up(picture: &mut [u8]) {
    for row in 0..SIDE {
        for column in 0..row {
            picture.swap(row * SIDE + column, column * SIDE + row);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use input::chosen::Chosen;

    use super::*;
    use crate::data::load;
    use formats::gzip::packed;

    fn letters(labels: [u8; 2]) -> Result<Split, String> {
        let datasets = tempfile::tempdir().unwrap();
        let folder = datasets.path().join("emnist");
        fs::create_dir(&folder).unwrap();
        let images: Vec<u8> = (0..2 * SIDE * SIDE).map(|place| (place % SIDE) as u8).collect();
        let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28][..], &images].concat();
        let labels = [&[0, 0, 8, 1, 0, 0, 0, 2][..], &labels].concat();
        for part in ["train", "test"] {
            let path = |kind: &str| folder.join(format!("emnist-letters-{part}-{kind}.gz"));
            fs::write(path("images-idx3-ubyte"), packed(&images)).unwrap();
            fs::write(path("labels-idx1-ubyte"), packed(&labels)).unwrap();
        }
        let source = Emnist { part: EmnistPart::Letters };
        let source: Chosen<dyn Source> =
            Chosen::new("kind", "emnist", toml::Table::new(), Arc::new(source), None);
        load(&source, datasets.path(), 1).map_err(|error| error.to_string())
    }

    #[test]
    fn letters_stand_upright_and_are_counted_from_0() {
        let split = letters([1, 26]).unwrap();
        assert_eq!((split.train.classes(), split.train.labels()), (26, &[0, 25][..]));
        let Features::Bytes(pixels) = split.test.batch(&[1]).features else { panic!("pixels are bytes") };
        assert!(pixels.chunks(SIDE).zip(0..).all(|(row, number)| row == [number; SIDE]));
        assert!(letters([0, 1]).unwrap_err().contains("has the label 0; labels begin with 1 here"));
        assert!(letters([1, 27]).unwrap_err().contains("has the label 26; labels must be below 26"));
    }
}
