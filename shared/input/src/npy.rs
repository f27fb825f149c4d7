//! Arrays of numbers in numpy's format (`.npy`).

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::Path;

use npyz::{NpyFile, NpyHeader, Order, WriterBuilder as _};

use crate::files;
use crate::toml_file::FileError;

/// How long the header of a file may be, in bytes, as numpy has it.
const LONGEST_HEADER: usize = 10_000;
/// How deep brackets may be in a header; those of plain numbers are two deep.
const DEEPEST: usize = 8;

/// An array of 32-bit floats, the last dimension innermost.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// How long it is in each dimension.
    pub shape: Vec<usize>,
    /// Its values, as many as the shape says.
    pub values: Vec<f32>,
}

/// The values of an array, the last dimension innermost.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Those of an array of unsigned bytes.
    Bytes(Vec<u8>),
    /// Those of any other, rounded to 32-bit floats.
    Floats(Vec<f32>),
}

/// Reads the array in the file `path`: of floats or whole numbers, which are rounded to 32-bit floats.
///
/// # Errors
/// [`FileError`]: the file cannot be read, is no such file, or has fewer or more values than its shape says, or one that
/// a 32-bit float does not hold.
pub fn read(path: &Path) -> Result<Array, FileError> {
    let file = path.display().to_string();
    let unreadable = |cause| FileError::Unreadable { file: file.clone(), cause };
    let open = File::open(path).map_err(unreadable)?;
    let size = open.metadata().map_err(unreadable)?.len();
    match numbers(BufReader::new(open), size) {
        Ok((shape, Numbers::Floats(values))) => Ok(Array { shape, values }),
        Ok((shape, Numbers::Bytes(bytes))) => {
            Ok(Array { shape, values: bytes.into_iter().map(f32::from).collect() })
        }
        Err((key, message)) => Err(FileError::invalid(&file, key, message)),
    }
}

/// What is wrong with an array: with what of it, and how.
pub type Wrong = (&'static str, String);

/// The shape and the values of the array in the `size` bytes that `reader` has.
///
/// # Errors
/// [`Wrong`] as in [`read`].
pub fn numbers(reader: impl Read, size: u64) -> Result<(Vec<usize>, Numbers), Wrong> {
    let no_array = |error: io::Error| {
        ("header", format!("{error}; expected what `numpy.save` writes, one array in a file"))
    };
    let mut rest = reader.take(size);
    let header = header(&mut rest).and_then(|bytes| NpyHeader::from_reader(&bytes[..])).map_err(no_array)?;
    let (kind, shape, order) = (header.dtype(), header.shape().to_vec(), header.order());
    let bytes_each = kind.num_bytes().filter(|size| *size > 0);
    let unusable =
        || ("dtype", format!("{} is no plain number; save `array.astype('float32')`", kind.descr()));
    let bytes_each = bytes_each.ok_or_else(unusable)?;
    let count = shape.iter().try_fold(bytes_each as u64, |bytes, length| bytes.checked_mul(*length));
    // Before anything is allocated for them.
    if count != Some(rest.limit()) {
        let announced = count.map_or_else(|| "more than can be".to_owned(), |count| count.to_string());
        let message =
            format!("{shape:?} takes {announced} bytes, and the file has {}; save it again", rest.limit());
        return Err(("shape", message));
    }
    let values = of_any_type(NpyFile::with_header(header, rest)).ok_or_else(unusable)?;
    let values = values.map_err(|error| ("values", error.to_string()))?.without_infinite();
    let values = values.map_err(|message| ("values", message))?;
    let shape: Vec<usize> = shape.into_iter().map(|length| length as usize).collect();
    match (order, &shape[..]) {
        (Order::Fortran, &[rows, columns]) => {
            Ok((shape, values.rearranged(|place| place % columns * rows + place / columns)))
        }
        (Order::Fortran, [_, _, ..]) => {
            Err(("fortran_order", "save `numpy.ascontiguousarray(array)`".to_owned()))
        }
        _ => Ok((shape, values)),
    }
}

/// The bytes of a header. They are parsed by recursion, and all at once: what is long or deep is none of an array of numbers.
fn header(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let wrong = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidData, text));
    let mut bytes = Vec::new();
    reader.take(8).read_to_end(&mut bytes)?;
    // Whatever else it is, the parser says.
    let [b'\x93', b'N', b'U', b'M', b'P', b'Y', version, _] = bytes[..] else { return Ok(bytes) };
    reader.take(if version == 1 { 2 } else { 4 }).read_to_end(&mut bytes)?;
    let length = bytes[8..].iter().rev().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    if length > LONGEST_HEADER {
        return wrong("a header of more than 10,000 bytes");
    }
    reader.take(length as u64).read_to_end(&mut bytes)?;
    let mut depth = 0_usize;
    for byte in &bytes {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return wrong("a header with brackets too deep");
        }
    }
    Ok(bytes)
}

impl Numbers {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Numbers::Bytes(values) => values.len(),
            Numbers::Floats(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same, if none of them has become infinite in 32 bits.
    ///
    /// # Errors
    /// Which one has.
    pub fn without_infinite(self) -> Result<Self, String> {
        match &self {
            Numbers::Floats(values) => match values.iter().position(|value| value.is_infinite()) {
                Some(place) => Err(format!("the {}. value is beyond what a 32-bit float holds", place + 1)),
                None => Ok(self),
            },
            Numbers::Bytes(_) => Ok(self),
        }
    }

    /// As many, of which each is the one at the place that `from` says.
    #[must_use]
    pub fn rearranged(&self, from: impl Fn(usize) -> usize) -> Self {
        match self {
            Numbers::Bytes(values) => Numbers::Bytes((0..values.len()).map(|at| values[from(at)]).collect()),
            Numbers::Floats(values) => {
                Numbers::Floats((0..values.len()).map(|at| values[from(at)]).collect())
            }
        }
    }
}

/// The values of a file in the order in which they stand there; `None` if they are no numbers.
#[allow(clippy::cast_lossless, reason = "of some kinds it is not")]
fn of_any_type<R: Read>(npy: NpyFile<R>) -> Option<io::Result<Numbers>> {
    let mut npy = match npy.try_data::<u8>() {
        Ok(values) => return Some(values.collect::<io::Result<_>>().map(Numbers::Bytes)),
        Err(npy) => npy,
    };
    macro_rules! try_each {
        ($($number:ty),+) => {
            $(npy = match npy.try_data::<$number>() {
                Ok(values) => {
                    let values = values.map(|value| Ok(value? as f32));
                    return Some(values.collect::<io::Result<_>>().map(Numbers::Floats));
                }
                Err(npy) => npy,
            };)+
        };
    }
    try_each!(f32, f64, i8, u16, i16, u32, i32, u64, i64);
    drop(npy);
    None
}

/// Replaces the file `path` by `array`, as 32-bit floats.
///
/// # Errors
/// What the operating system says.
pub fn write(path: &Path, array: &Array) -> io::Result<()> {
    let shape: Vec<u64> = array.shape.iter().map(|length| *length as u64).collect();
    files::replace(path, 0o666, |file| {
        let mut file = BufWriter::new(file);
        let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
        let mut writer = options.writer(&mut file).begin_nd()?;
        writer.extend(array.values.iter().copied())?;
        writer.finish()?;
        file.flush()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as numpy writes it.
    fn file(header: &str, values: &[u8]) -> Vec<u8> {
        let text = format!("{header:117}\n");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), values].concat()
    }

    fn parse(bytes: &[u8]) -> Result<(Vec<usize>, Numbers), Wrong> {
        numbers(bytes, bytes.len() as u64)
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        for shape in [vec![2, 3], vec![6], vec![1, 3, 2], vec![0, 4]] {
            let count = shape.iter().product();
            let array = Array { shape, values: (0..count).map(|value| value as f32).collect() };
            write(&path, &array).unwrap();
            assert_eq!(read(&path).unwrap(), array);
        }
    }

    #[test]
    fn numbers_of_each_kind_and_order_are_read() {
        let c = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let array = parse(&file(c, &floats(&values))).unwrap();
        assert_eq!(array, (vec![2, 3], Numbers::Floats(values.to_vec())));
        let fortran = c.replace("False", "True");
        assert_eq!(parse(&file(&fortran, &floats(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]))).unwrap(), array);
        let bytes = c.replace("<f4", "|u1");
        let of_bytes = (vec![2, 3], Numbers::Bytes(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(parse(&file(&bytes, &[1, 2, 3, 4, 5, 6])).unwrap(), of_bytes);
        assert_eq!(parse(&file(&bytes.replace("False", "True"), &[1, 4, 2, 5, 3, 6])).unwrap(), of_bytes);
        let doubles: Vec<u8> = values.iter().flat_map(|value| f64::from(*value).to_be_bytes()).collect();
        assert_eq!(parse(&file(&c.replace("<f4", ">f8"), &doubles)).unwrap(), array);
    }

    #[test]
    fn what_is_no_array_of_numbers_says_why() {
        let header = |descr: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")
        };
        let wrong = |bytes: &[u8]| parse(bytes).unwrap_err().0;
        assert_eq!(wrong(b"a,b\n1,2\n"), "header");
        assert_eq!(wrong(&[]), "header");
        assert_eq!(wrong(&file("{'descr': ", &[])), "header");
        let announced = [b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..], b"{'descr': "].concat();
        assert_eq!(wrong(&announced), "header");
        assert!(parse(&announced).unwrap_err().1.starts_with("a header of more than 10,000 bytes"));
        assert!(parse(&file(&"(".repeat(9_000), &[])).unwrap_err().1.contains("too deep"));
        assert_eq!(wrong(&file(&header("'|O'", "(1,)"), &[0; 8])), "dtype");
        assert_eq!(wrong(&file(&header("[('a', '<f4'), ('b', '<i4')]", "(1,)"), &[0; 8])), "dtype");
        assert_eq!(wrong(&file(&header("'<f4'", "(2, 2)"), &[0; 12])), "shape");
        assert_eq!(wrong(&file(&header("'<f4'", "(2, 2)"), &[0; 20])), "shape");
        assert_eq!(wrong(&file(&header("'<f4'", "(4294967296, 4294967296)"), &[0; 4])), "shape");
        assert_eq!(wrong(&file(&header("'<f8'", "(1,)"), &1e39_f64.to_le_bytes())), "values");
    }
}
