//! What a trigger does to the features of an example.

use std::ops::Range;

use learning::data::Features;

/// Places in an example that get a value of their own, or are mixed with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stamp {
    /// The features of each place, the channels of a pixel or a column of a table, and their value.
    places: Vec<(Range<usize>, f64)>,
    /// The share of that value in what they become, above 0 and at most 1.
    blend: f64,
}

impl Stamp {
    /// The stamp on these places, in this order.
    pub(super) fn new(places: Vec<(Range<usize>, f64)>, blend: f64) -> Self {
        Stamp { places, blend }
    }

    /// Number of places.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// One of `parts` parts of neighbouring places, whose numbers differ by one at most.
    pub(super) fn part(&self, part: usize, parts: usize) -> Stamp {
        let boundary = |part: usize| part * self.places.len() / parts;
        Stamp { places: self.places[boundary(part)..boundary(part + 1)].to_vec(), blend: self.blend }
    }

    /// Stamps some `examples` of those that `features` are of, of `width` features each.
    pub(super) fn apply(
        &self,
        features: &mut Features,
        width: usize,
        examples: impl IntoIterator<Item = usize>,
    ) {
        let mixed = |feature: f64, value: f64| (1.0 - self.blend) * feature + self.blend * value;
        for example in examples {
            for (place, value) in &self.places {
                for feature in place.clone().map(|feature| example * width + feature) {
                    match features {
                        // The cast saturates.
                        Features::Bytes(bytes) => {
                            bytes[feature] = mixed(f64::from(bytes[feature]), 255.0 * value).round() as u8;
                        }
                        Features::Floats(floats) => {
                            floats[feature] = mixed(f64::from(floats[feature]), *value) as f32;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_get_their_value_or_are_mixed_with_it() {
        let places = vec![(0..1, 1.0), (2..3, 0.2)];
        let stamped = |blend, mut features: Features| {
            Stamp::new(places.clone(), blend).apply(&mut features, 3, [1]);
            features
        };
        let bytes = || Features::Bytes(vec![1, 2, 3, 100, 5, 151]);
        assert_eq!(stamped(1.0, bytes()), Features::Bytes(vec![1, 2, 3, 255, 5, 51]));
        // 0.75 * 100 + 0.25 * 255 = 138.75, 0.75 * 151 + 0.25 * 51 = 126.
        assert_eq!(stamped(0.25, bytes()), Features::Bytes(vec![1, 2, 3, 139, 5, 126]));
        let floats = Features::Floats(vec![0.0, 0.0, 0.0, -4.0, 5.0, 8.0]);
        assert_eq!(stamped(0.5, floats), Features::Floats(vec![0.0, 0.0, 0.0, -1.5, 5.0, 4.1]));
    }

    #[test]
    fn parts_make_up_the_whole_and_differ_by_one_place_at_most() {
        for (places, parts) in [(4, 4), (25, 4), (9, 2), (3, 1), (7, 7)] {
            let stamp = Stamp::new((0..places).map(|place| (place..place + 1, 1.0)).collect(), 1.0);
            let split: Vec<Stamp> = (0..parts).map(|part| stamp.part(part, parts)).collect();
            let sizes: Vec<usize> = split.iter().map(Stamp::len).collect();
            assert!(sizes.iter().all(|size| size.abs_diff(places / parts) <= 1), "{sizes:?}");
            let together = split.into_iter().flat_map(|part| part.places).collect();
            assert_eq!(Stamp::new(together, 1.0), stamp);
        }
    }
}
