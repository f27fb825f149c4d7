//! Classes by the names that stand in a file.

use std::collections::HashMap;
use std::iter::zip;

use crate::Wrong;

/// More are no classes.
const MOST: usize = 65_535;

/// The labels of examples, each a name that stands in a file, in the order in which they stand there.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    names: Vec<String>,
    numbers: HashMap<String, u16>,
    of: Vec<u16>,
}

impl Labels {
    /// Adds that of the next example.
    ///
    /// # Errors
    /// If there are more different ones than a data set has classes.
    pub fn push(&mut self, name: &str) -> Result<(), Wrong> {
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None if self.names.len() == MOST => {
                let more = format!(
                    "{name:?} is one more than the {MOST} that there can be; is it the right column?"
                );
                return Err(more.into());
            }
            None => {
                let number = self.names.len() as u16;
                self.names.push(name.to_owned());
                self.numbers.insert(name.to_owned(), number);
                number
            }
        };
        self.of.push(number);
        Ok(())
    }

    /// Adds that of the next example, which is a number there. A whole one is written without a point.
    ///
    /// # Errors
    /// As [`Labels::push`].
    pub fn push_number(&mut self, value: f64) -> Result<(), Wrong> {
        self.push(&value.to_string())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The different labels, as numbers where all of them are numbers, else by the alphabet.
    pub fn in_order(&self) -> Vec<String> {
        let mut names = self.names.clone();
        let Some(numbers) = self.numbers_of_names() else {
            names.sort_unstable();
            return names;
        };
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b]).then(self.names[*a].cmp(&self.names[*b])));
        order.into_iter().map(|place| self.names[place].clone()).collect()
    }

    /// The classes: the different labels [in order](Labels::in_order).
    ///
    /// # Errors
    /// If they are measurements.
    pub fn classes(&self) -> Result<Vec<String>, Wrong> {
        let numbers = self.numbers_of_names().unwrap_or_default();
        if let Some((name, _)) = zip(&self.names, &numbers).find(|(_, number)| number.fract() != 0.0) {
            let text = format!(
                "the label {name} is no class but a measurement, and models here tell classes apart: there \
                                is no regression; choose another column, or make classes of its ranges first"
            );
            return Err(text.into());
        }
        Ok(self.in_order())
    }

    /// The numbers that the names are, if all of them are.
    fn numbers_of_names(&self) -> Option<Vec<f64>> {
        self.names.iter().map(|name| name.trim().parse().ok()).collect()
    }

    /// Each label as its place among `classes`.
    ///
    /// # Errors
    /// If one is not among them.
    pub fn among(&self, classes: &[String]) -> Result<Vec<u16>, Wrong> {
        let places: HashMap<&str, u16> = zip(classes.iter().map(String::as_str), 0..).collect();
        let place = |name: &String| {
            places.get(name.as_str()).copied().ok_or_else(|| {
                let number = self.numbers[name];
                let first = self.of.iter().position(|label| *label == number).unwrap_or_default();
                let known: Vec<&str> = classes.iter().take(10).map(String::as_str).collect();
                let more = if classes.len() > known.len() { ", ..." } else { "" };
                format!(
                    "example {} has the label {name:?}, which is none of the {} classes {}{more}",
                    first + 1,
                    classes.len(),
                    known.join(", ")
                )
            })
        };
        let places = self.names.iter().map(place).collect::<Result<Vec<u16>, String>>()?;
        Ok(self.of.iter().map(|label| places[usize::from(*label)]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Labels {
        let mut labels = Labels::default();
        names.iter().for_each(|name| labels.push(name).unwrap());
        labels
    }

    #[test]
    fn classes_do_not_depend_on_the_order_of_rows() {
        assert_eq!(labels(&["b", "a", "b", "10"]).classes().unwrap(), ["10", "a", "b"]);
        assert_eq!(labels(&["10", "9", "10", "-1"]).classes().unwrap(), ["-1", "9", "10"]);
        let mut numbers = Labels::default();
        [3.0, 1.0, 3.0].into_iter().for_each(|number| numbers.push_number(number).unwrap());
        assert_eq!(numbers.classes().unwrap(), ["1", "3"]);
        assert_eq!(numbers.among(&["1".to_owned(), "3".to_owned()]).unwrap(), [1, 0, 1]);
    }

    #[test]
    fn measurements_are_no_classes() {
        let error = labels(&["1", "2.5"]).classes().unwrap_err().to_string();
        assert!(error.contains("the label 2.5 is no class") && error.contains("no regression"), "{error}");
    }

    #[test]
    fn a_label_that_is_no_class_is_named_with_its_example() {
        let error = labels(&["a", "c"]).among(&["a".to_owned(), "b".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "example 2 has the label \"c\", which is none of the 2 classes a, b");
    }

    #[test]
    fn more_labels_than_there_can_be_classes_are_refused() {
        let mut labels = Labels::default();
        (0..MOST).for_each(|number| labels.push(&number.to_string()).unwrap());
        assert!(labels.push("one").unwrap_err().to_string().contains("the right column?"));
        labels.push("7").unwrap();
    }
}
