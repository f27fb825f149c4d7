//! The IDX format: big-endian numbers of one type, with a header of dimensions.

use std::io::{self, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;
use input::npy::Numbers;

use crate::Wrong;
use crate::gzip::{self, is_gzip};

/// The third byte of the magic number says that the values are unsigned bytes.
const UNSIGNED_BYTES: u32 = 0x08 << 8;
/// How many values are read at a time.
const AT_A_TIME: usize = 1 << 16;

/// Why bytes are not the IDX file that was expected.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// Another kind of file, or IDX with other values or another number of dimensions.
    #[error("starts with {actual:#010x}, not with {expected:#010x} as an IDX file of this kind does")]
    Magic {
        /// First four bytes of the expected file.
        expected: u32,
        /// First four bytes of this one.
        actual: u32,
    },
    /// Examples of another shape.
    #[error("a side of its examples is {actual}, where their shape must be {expected:?}")]
    Shape {
        /// The expected shape.
        expected: Vec<usize>,
        /// The side that differs.
        actual: u32,
    },
    /// More examples than the data set has.
    #[error("declares {actual} examples; this data set has at most {max}")]
    TooMany {
        /// The most that are read.
        max: usize,
        /// What the header declares.
        actual: u32,
    },
    /// Fewer bytes than the header declares.
    #[error("ends before the last declared example")]
    Truncated,
    /// More bytes than the header declares.
    #[error("goes on after the last declared example")]
    Trailing,
    /// Damaged compression.
    #[error("cannot be decompressed: {0}")]
    Gzip(#[source] io::Error),
}

impl From<io::Error> for IdxError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => IdxError::Truncated,
            _ => IdxError::Gzip(error),
        }
    }
}

/// Reads an IDX file of unsigned bytes, plain or gzipped: examples of `shape` (`[28, 28]` for images, `[]`
/// for labels), one after the other. The result has a multiple of the product of `shape` as its length.
///
/// No more is decompressed or allocated than `max_examples` examples take, whatever the file declares.
///
/// # Errors
/// If `bytes` are anything but exactly one such file of at most `max_examples` examples.
pub fn read_idx(bytes: &[u8], shape: &[usize], max_examples: usize) -> Result<Vec<u8>, IdxError> {
    if !is_gzip(bytes) {
        return read_bytes(bytes, shape, max_examples);
    }
    let mut decoder = GzDecoder::new(bytes);
    let values = read_bytes(&mut decoder, shape, max_examples)?;
    if decoder.into_inner().is_empty() { Ok(values) } else { Err(IdxError::Trailing) }
}

fn read_bytes(mut reader: impl Read, shape: &[usize], max_examples: usize) -> Result<Vec<u8>, IdxError> {
    let expected = UNSIGNED_BYTES + 1 + shape.len() as u32;
    let actual = word(&mut reader)?;
    if actual != expected {
        return Err(IdxError::Magic { expected, actual });
    }
    let declared = word(&mut reader)?;
    let examples = declared as usize;
    if examples > max_examples {
        return Err(IdxError::TooMany { max: max_examples, actual: declared });
    }
    for &side in shape {
        let actual = word(&mut reader)?;
        if actual as usize != side {
            return Err(IdxError::Shape { expected: shape.to_vec(), actual });
        }
    }
    values(reader, examples * shape.iter().product::<usize>(), |[byte]: [u8; 1]| byte)
}

/// The shape and the values of the array in the file `path`, of any type of number and any shape; it may be gzipped.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(path: &Path) -> Result<(Vec<usize>, Numbers), Wrong> {
    read_any(gzip::open(path)?)
}

fn read_any(mut reader: impl Read) -> Result<(Vec<usize>, Numbers), Wrong> {
    let magic = word(&mut reader).map_err(|_| "it is too short for an IDX file")?.to_be_bytes();
    let [0, 0, kind, sides] = magic else {
        return Err(
            format!("starts with {magic:02x?}, where an IDX file has two zeros, a type and a count").into()
        );
    };
    let shape = (0..sides).map(|_| Ok(word(&mut reader)? as usize)).collect::<Result<Vec<_>, IdxError>>()?;
    let count = shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
    let count = count.filter(|count| *count <= isize::MAX as usize / 8);
    let count = count.ok_or_else(|| format!("declares the shape {shape:?}, which is more than can be"))?;
    let numbers = match kind {
        0x08 => Numbers::Bytes(values(reader, count, |[byte]: [u8; 1]| byte)?),
        0x09 => Numbers::Floats(values(reader, count, |bytes| f32::from(i8::from_be_bytes(bytes)))?),
        0x0b => Numbers::Floats(values(reader, count, |bytes| f32::from(i16::from_be_bytes(bytes)))?),
        0x0c => Numbers::Floats(values(reader, count, |bytes| i32::from_be_bytes(bytes) as f32)?),
        0x0d => Numbers::Floats(values(reader, count, f32::from_be_bytes)?),
        0x0e => Numbers::Floats(values(reader, count, |bytes| f64::from_be_bytes(bytes) as f32)?),
        _ => return Err(format!("declares values of type {kind:#04x}, which IDX does not have").into()),
    };
    Ok((shape, numbers))
}

fn word(reader: &mut impl Read) -> Result<u32, IdxError> {
    let mut word = [0; 4];
    reader.read_exact(&mut word)?;
    Ok(u32::from_be_bytes(word))
}

/// Exactly `count` values to the end. No more is allocated than there is, whatever is declared.
fn values<const SIZE: usize, T>(
    mut reader: impl Read,
    count: usize,
    value: impl Fn([u8; SIZE]) -> T,
) -> Result<Vec<T>, IdxError> {
    let mut values = Vec::new();
    let mut part = vec![0; SIZE * count.clamp(1, AT_A_TIME)];
    while values.len() < count {
        let some = part.len().min((count - values.len()) * SIZE);
        reader.read_exact(&mut part[..some])?;
        let (words, _) = part[..some].as_chunks();
        values.extend(words.iter().map(|word| value(*word)));
    }
    // A byte beyond the end tells a file that goes on, and makes gzip check its checksum.
    match reader.read(&mut part[..1])? {
        0 => Ok(values),
        _ => Err(IdxError::Trailing),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gzip::packed;

    fn images(count: u8, values: &[u8]) -> Vec<u8> {
        [&[0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 1], values].concat()
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, IdxError> {
        read_idx(bytes, &[2, 1], 3)
    }

    #[test]
    fn plain_and_gzipped_files_read_the_same() {
        let file = images(2, &[1, 2, 3, 4]);
        assert_eq!(read(&file).unwrap(), [1, 2, 3, 4]);
        assert_eq!(read(&packed(&file)).unwrap(), [1, 2, 3, 4]);
        assert_eq!(read_idx(&[0, 0, 8, 1, 0, 0, 0, 2, 7, 9], &[], 2).unwrap(), [7, 9]);
    }

    #[test]
    fn a_file_that_is_too_short_or_too_long_is_refused() {
        for (values, truncated) in [(&[1, 2, 3][..], true), (&[1, 2, 3, 4, 5][..], false)] {
            for file in [images(2, values), packed(&images(2, values))] {
                let error = read(&file).unwrap_err();
                assert_eq!(matches!(error, IdxError::Truncated), truncated, "{error}");
                assert_eq!(matches!(error, IdxError::Trailing), !truncated, "{error}");
            }
        }
        let two_members = [packed(&images(1, &[1, 2])), packed(&[0])].concat();
        assert!(matches!(read(&two_members), Err(IdxError::Trailing)));
        assert!(matches!(read(&[0, 0, 8]), Err(IdxError::Truncated)));
    }

    #[test]
    fn other_kinds_shapes_and_counts_are_named() {
        let labels = [0, 0, 8, 1, 0, 0, 0, 0];
        assert!(matches!(read(&labels), Err(IdxError::Magic { expected: 0x803, actual: 0x801 })));
        assert!(matches!(read_idx(&images(0, &[]), &[2, 2], 3), Err(IdxError::Shape { actual: 1, .. })));
        let huge = [0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(matches!(read(&huge), Err(IdxError::TooMany { actual: u32::MAX, max: 3 })));
    }

    #[test]
    fn a_damaged_checksum_is_found() {
        let mut file = packed(&images(1, &[1, 2]));
        let checksum = file.len() - 8;
        file[checksum] ^= 1;
        assert!(matches!(read(&file), Err(IdxError::Gzip(_))));
    }

    #[test]
    fn no_more_of_a_bomb_is_decompressed_than_declared() {
        struct Counting(u64);
        impl Read for Counting {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += buffer.len() as u64;
                buffer.fill(0);
                Ok(buffer.len())
            }
        }
        let mut zeros = Counting(0);
        let header = images(3, &[]);
        assert!(matches!(read_bytes(header.chain(&mut zeros), &[2, 1], 3), Err(IdxError::Trailing)));
        assert!(zeros.0 <= 64, "{} bytes were taken", zeros.0);
    }

    fn of_any_type(bytes: &[u8]) -> Result<(Vec<usize>, Numbers), String> {
        read_any(bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn every_type_of_number_is_read() {
        let file = |kind: u8, values: &[u8]| [&[0, 0, kind, 1, 0, 0, 0, 1][..], values].concat();
        assert_eq!(of_any_type(&file(0x08, &[200])), Ok((vec![1], Numbers::Bytes(vec![200]))));
        for (kind, value) in [
            (0x09, &(-3_i8).to_be_bytes()[..]),
            (0x0b, &(-3_i16).to_be_bytes()),
            (0x0c, &(-3_i32).to_be_bytes()),
            (0x0d, &(-3_f32).to_be_bytes()),
            (0x0e, &(-3_f64).to_be_bytes()),
        ] {
            assert_eq!(of_any_type(&file(kind, value)), Ok((vec![1], Numbers::Floats(vec![-3.0]))), "{kind}");
        }
        assert_eq!(
            of_any_type(&file(0x0a, &[1])).unwrap_err(),
            "declares values of type 0x0a, which IDX does not have"
        );
    }

    #[test]
    fn files_that_are_too_short_too_long_or_lie_are_refused() {
        let pictures = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1][..], &[7, 9]].concat();
        assert_eq!(of_any_type(&pictures), Ok((vec![1, 2, 1], Numbers::Bytes(vec![7, 9]))));
        for end in 0..pictures.len() {
            assert!(of_any_type(&pictures[..end]).is_err(), "{end}");
        }
        assert!(of_any_type(&[&pictures[..], &[1]].concat()).unwrap_err().starts_with("goes on after"));
        let huge = [&[0, 0, 8, 3][..], &[0xff; 12]].concat();
        assert!(of_any_type(&huge).unwrap_err().contains("more than can be"));
        let endless = [&[0, 0, 8, 2, 0, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff][..], &[1; 100]].concat();
        assert!(of_any_type(&endless).unwrap_err().starts_with("ends before"));
        assert!(of_any_type(b"P6 28 28").unwrap_err().starts_with("starts with"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gz");
        std::fs::write(&path, packed(&pictures)).unwrap();
        assert_eq!(super::read(&path).unwrap(), (vec![1, 2, 1], Numbers::Bytes(vec![7, 9])));
    }

    proptest! {
        #[test]
        fn arrays_of_every_type_and_shape_come_back_as_they_were_written(
            shape in prop::collection::vec(1_usize..5, 1..4), numbers in prop::collection::vec(any::<i8>(), 64), kind in 0..6_usize,
        ) {
            let numbers = &numbers[..shape.iter().product()];
            let (kind, write): (u8, fn(i8) -> Vec<u8>) = [
                (0x08, (|number| vec![number as u8]) as fn(i8) -> Vec<u8>),
                (0x09, |number| number.to_be_bytes().into()),
                (0x0b, |number| i16::from(number).to_be_bytes().into()),
                (0x0c, |number| i32::from(number).to_be_bytes().into()),
                (0x0d, |number| f32::from(number).to_be_bytes().into()),
                (0x0e, |number| f64::from(number).to_be_bytes().into()),
            ][kind];
            let sides = shape.iter().flat_map(|side| (*side as u32).to_be_bytes());
            let header: Vec<u8> = [0, 0, kind, shape.len() as u8].into_iter().chain(sides).collect();
            let file = [header, numbers.iter().flat_map(|number| write(*number)).collect()].concat();
            let expected = match kind {
                0x08 => Numbers::Bytes(numbers.iter().map(|number| *number as u8).collect()),
                _ => Numbers::Floats(numbers.iter().map(|number| f32::from(*number)).collect()),
            };
            prop_assert_eq!(of_any_type(&file), Ok((shape, expected)));
        }

        #[test]
        fn mutated_files_are_read_or_refused(
            position in 0usize..64, byte: u8, cut in 0usize..64, compressed: bool,
        ) {
            let mut file = images(2, &[1, 2, 3, 4]);
            if compressed { file = packed(&file) }
            if let Some(slot) = file.get_mut(position) { *slot = byte }
            file.truncate(cut);
            if let Ok(values) = read(&file) {
                prop_assert!(values.len() % 2 == 0 && values.len() <= 6);
            }
        }
    }
}
