//! The IDX format, of any type of number and any shape.

use std::io::Read;
use std::path::Path;

use input::npy::Numbers;

use crate::Wrong;
use crate::gzip;

/// The shape and the values of the array in the file `path`, which may be gzipped.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(path: &Path) -> Result<(Vec<usize>, Numbers), Wrong> {
    read_from(gzip::open(path)?)
}

fn read_from(mut reader: impl Read) -> Result<(Vec<usize>, Numbers), Wrong> {
    let mut magic = [0; 4];
    reader.read_exact(&mut magic).map_err(|_| "it is too short for an IDX file")?;
    let [0, 0, kind, sides] = magic else {
        return Err(
            format!("starts with {magic:02x?}, where an IDX file has two zeros, a type and a count").into()
        );
    };
    let mut shape = Vec::new();
    for _ in 0..sides {
        let mut side = [0; 4];
        reader.read_exact(&mut side).map_err(|_| "ends within its header")?;
        shape.push(u32::from_be_bytes(side) as usize);
    }
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

/// Exactly `count` values to the end. No more is allocated than there is, whatever is declared.
fn values<const SIZE: usize, T>(
    mut reader: impl Read,
    count: usize,
    value: impl Fn([u8; SIZE]) -> T,
) -> Result<Vec<T>, Wrong> {
    let mut values = Vec::new();
    let mut part = vec![0; SIZE << 16];
    while values.len() < count {
        let some = part.len().min((count - values.len()) * SIZE);
        reader.read_exact(&mut part[..some]).map_err(|_| {
            format!(
                "ends after {} values at the latest, where {count} are declared",
                values.len() + (1 << 16)
            )
        })?;
        let (words, _) = part[..some].as_chunks();
        values.extend(words.iter().map(|word| value(*word)));
    }
    if reader.read(&mut part[..1])? > 0 {
        return Err(format!("goes on after the {count} values that are declared").into());
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gzip::packed;

    fn read(bytes: &[u8]) -> Result<(Vec<usize>, Numbers), String> {
        read_from(bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn every_type_of_number_is_read() {
        let file = |kind: u8, values: &[u8]| [&[0, 0, kind, 1, 0, 0, 0, 1][..], values].concat();
        assert_eq!(read(&file(0x08, &[200])), Ok((vec![1], Numbers::Bytes(vec![200]))));
        for (kind, value) in [
            (0x09, &(-3_i8).to_be_bytes()[..]),
            (0x0b, &(-3_i16).to_be_bytes()),
            (0x0c, &(-3_i32).to_be_bytes()),
            (0x0d, &(-3_f32).to_be_bytes()),
            (0x0e, &(-3_f64).to_be_bytes()),
        ] {
            assert_eq!(read(&file(kind, value)), Ok((vec![1], Numbers::Floats(vec![-3.0]))), "{kind}");
        }
        assert_eq!(
            read(&file(0x0a, &[1])).unwrap_err(),
            "declares values of type 0x0a, which IDX does not have"
        );
    }

    #[test]
    fn files_that_are_too_short_too_long_or_lie_are_refused() {
        let pictures = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1][..], &[7, 9]].concat();
        assert_eq!(read(&pictures), Ok((vec![1, 2, 1], Numbers::Bytes(vec![7, 9]))));
        for end in 0..pictures.len() {
            assert!(read(&pictures[..end]).is_err(), "{end}");
        }
        assert!(read(&[&pictures[..], &[1]].concat()).unwrap_err().starts_with("goes on after the 2 values"));
        let huge = [&[0, 0, 8, 3][..], &[0xff; 12]].concat();
        assert!(read(&huge).unwrap_err().contains("more than can be"));
        let endless = [&[0, 0, 8, 2, 0, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff][..], &[1; 100]].concat();
        assert!(read(&endless).unwrap_err().starts_with("ends after"));
        assert!(read(b"P6 28 28").unwrap_err().starts_with("starts with"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gz");
        std::fs::write(&path, packed(&pictures)).unwrap();
        assert_eq!(super::read(&path).unwrap(), (vec![1, 2, 1], Numbers::Bytes(vec![7, 9])));
    }
}
