//! A data set: a file with numbers and a class in each line.

use std::error::Error;

use learning::data::{DataError, Dataset, Features, Folder, Source, Spec, Split};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lines of numbers between commas, the last of which is the class, from 0.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Measurements {
    /// The file, in the folder `measurements` of the data sets.
    pub file: String,
    /// How many numbers a line has before its class.
    pub columns: usize,
    /// How many classes there are.
    pub classes: usize,
    /// How many lines, drawn with the seed, are for training; the others are for testing.
    pub train: usize,
}

impl Source for Measurements {
    fn spec(&self) -> Spec {
        Spec {
            shape: vec![self.columns],
            classes: self.classes,
            max_examples: self.train,
            folder: "measurements".to_owned(),
            files: vec![self.file.clone().into()],
        }
    }

    fn load(&self, folder: &Folder, seed: u64) -> Result<Split, DataError> {
        let all = folder.read(&self.file, |bytes| self.parse(bytes))?;
        Ok(Split::draw(&all, self.train, seed))
    }
}

impl Measurements {
    fn parse(&self, bytes: &[u8]) -> Result<Dataset, Box<dyn Error + Send + Sync>> {
        let (mut numbers, mut labels) = (Vec::new(), Vec::new());
        for (line, text) in (1..).zip(std::str::from_utf8(bytes)?.lines()) {
            let (before, label) = text.rsplit_once(',').ok_or_else(|| format!("line {line}: no comma"))?;
            for number in before.split(',') {
                numbers.push(number.trim().parse::<f32>().map_err(|error| format!("line {line}: {error}"))?);
            }
            labels.push(label.trim().parse::<u16>().map_err(|error| format!("line {line}: {error}"))?);
        }
        Ok(Dataset::new(vec![self.columns], self.classes, Features::Floats(numbers), labels)?)
    }
}
