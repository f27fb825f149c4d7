//! The values that examples are made of.

use std::borrow::Cow;

use input::npy::Numbers;

/// The feature, 0 to 1, that a pixel stands for.
#[inline(always)]
pub const fn pixel(byte: u8) -> f32 {
    byte as f32 / 255.0
}

/// Features of some examples, one example after the other, each flattened in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Features {
    /// Pixels: a model sees [`pixel`] of each. Kept as bytes, a quarter of the memory of floats.
    Bytes(Vec<u8>),
    /// Values as they are.
    Floats(Vec<f32>),
}

impl From<Numbers> for Features {
    fn from(numbers: Numbers) -> Self {
        match numbers {
            Numbers::Bytes(values) => Features::Bytes(values),
            Numbers::Floats(values) => Features::Floats(values),
        }
    }
}

impl Features {
    /// Number of values of all examples together.
    pub fn len(&self) -> usize {
        match self {
            Features::Bytes(values) => values.len(),
            Features::Floats(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values that a model sees.
    pub fn to_floats(&self) -> Cow<'_, [f32]> {
        match self {
            Features::Bytes(bytes) => bytes.iter().map(|&byte| pixel(byte)).collect(),
            Features::Floats(floats) => Cow::Borrowed(floats),
        }
    }

    /// The values as they are written: pixels, or floats in little-endian order.
    pub(super) fn to_le_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Features::Bytes(values) => Cow::Borrowed(values),
            Features::Floats(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    /// The rows of `width` values at `indices`, in that order.
    ///
    /// # Panics
    /// If there is no such row.
    pub(super) fn rows(&self, width: usize, indices: &[u32]) -> Features {
        fn gather<T: Copy>(values: &[T], width: usize, indices: &[u32]) -> Vec<T> {
            let mut gathered = Vec::with_capacity(width * indices.len());
            for &index in indices {
                gathered.extend_from_slice(&values[index as usize * width..][..width]);
            }
            gathered
        }
        match self {
            Features::Bytes(values) => Features::Bytes(gather(values, width, indices)),
            Features::Floats(values) => Features::Floats(gather(values, width, indices)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_seen_as_fractions_of_255() {
        let features = Features::Bytes(vec![0, 51, 255]);
        assert_eq!(features.to_floats(), vec![0.0, 0.2, 1.0]);
    }

    #[test]
    fn rows_come_in_the_order_asked_for() {
        let features = Features::Floats(vec![0.0, 0.1, 1.0, 1.1, 2.0, 2.1]);
        assert_eq!(features.rows(2, &[2, 0, 2]), Features::Floats(vec![2.0, 2.1, 0.0, 0.1, 2.0, 2.1]));
    }
}
