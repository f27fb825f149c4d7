//! The features of an example that are not zero.

use crate::data::{Features, pixel};
use simd::padded;

/// Features looked at together.
const GROUP: usize = 8;

/// [`pixel`] of every byte: one division for each pixel that is not zero takes longer than all else here.
static PIXELS: [f32; 256] = {
    let mut pixels = [0.0; 256];
    let mut byte = 0;
    while byte < pixels.len() {
        pixels[byte] = pixel(byte as u8);
        byte += 1;
    }
    pixels
};

/// Features that are not zero: of a picture of a digit, a fifth. What is multiplied by a feature need not be by the
/// others.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// Where each is in the example, ascending, and its value; those from `count` on are rubbish.
    entries: Vec<(u32, f32)>,
    count: usize,
}

impl Present {
    /// Takes the features of an example in place of the last one's; `width` values each.
    ///
    /// # Panics
    /// If there is no such example.
    #[inline(always)]
    pub(super) fn take(&mut self, features: &Features, example: usize, width: usize) {
        let range = example * width..(example + 1) * width;
        self.entries.resize(width + GROUP, (0, 0.0));
        self.count = 0;
        match features {
            Features::Bytes(bytes) => {
                self.take_groups(&bytes[range], |pixels| pixels.map(|byte| PIXELS[usize::from(byte)]));
            }
            Features::Floats(floats) => self.take_groups(&floats[range], |values| values),
        }
    }

    #[inline(always)]
    fn take_groups<T>(&mut self, stored: &[T], values: impl Fn([T; GROUP]) -> [f32; GROUP])
    where
        T: Copy + Default + PartialEq,
    {
        let (groups, rest) = stored.as_chunks::<GROUP>();
        for (group, stored) in groups.iter().enumerate() {
            // Most of a picture is background.
            if *stored != [T::default(); GROUP] {
                self.add(group * GROUP, values(*stored));
            }
        }
        self.add(groups.len() * GROUP, values(padded(rest)));
    }

    /// Adds values without a branch: each is written down, and the next in its place if it is zero.
    #[inline(always)]
    fn add(&mut self, first: usize, values: [f32; GROUP]) {
        // There is room: it was made for all features and another group.
        let Some(room) = self.entries[self.count..].first_chunk_mut::<GROUP>() else { return };
        let mut count = 0;
        for (i, value) in values.into_iter().enumerate() {
            // The remainder is `count` itself, and spares the check of a bound.
            room[count % GROUP] = ((first + i) as u32, value);
            count += usize::from(value != 0.0);
        }
        self.count += count;
    }

    /// Where each is in the example, and its value.
    #[inline(always)]
    pub(super) fn entries(&self) -> &[(u32, f32)] {
        &self.entries[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_zero_is_found_with_its_place() {
        let mut bytes = vec![0; 2 * 19];
        for (place, byte) in [(19, 255), (19 + 3, 51), (19 + 15, 1), (19 + 16, 2), (19 + 18, 51)] {
            bytes[place] = byte;
        }
        let expected = [(0, 1.0), (3, 0.2), (15, 1.0 / 255.0), (16, 2.0 / 255.0), (18, 0.2)];
        let mut present = Present::default();
        let pixels = Features::Bytes(bytes);
        let floats = Features::Floats(pixels.to_floats().into_owned());
        for features in [pixels, floats] {
            present.take(&features, 1, 19);
            assert_eq!(present.entries(), expected);
            present.take(&features, 0, 19);
            assert_eq!(present.entries(), []);
        }
    }

    #[test]
    fn values_that_are_not_finite_are_there() {
        let mut present = Present::default();
        present.take(&Features::Floats(vec![-1.0, f32::NAN, -0.0]), 0, 3);
        assert_eq!(present.entries().iter().map(|&(place, _)| place).collect::<Vec<_>>(), [0, 1]);
    }
}
