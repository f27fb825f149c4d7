//! Telling compressed files from plain ones, and reading both.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What is unpacked may be so many times as large as the file.
const MOST_TIMES: u64 = 100;
/// What is unpacked may be as large as this, in bytes, whatever the size of the file.
const ALWAYS: u64 = 256 << 20;

/// Whether `bytes` begin like a gzip file; no file of a data set does by itself.
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// The content of the file `path`, plain or gzipped, as it is read. What is gzipped may have [`most`] bytes.
///
/// # Errors
/// What the system says; reading is one when there is more.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let file = File::open(path)?;
    let most = most(file.metadata()?.len());
    let mut file = BufReader::new(file);
    let is_gzip = is_gzip(file.fill_buf()?);
    Ok(if is_gzip {
        Box::new(BufReader::new(Bounded { reader: MultiGzDecoder::new(file), left: most }))
    } else {
        Box::new(file)
    })
}

/// How many bytes may be in so many `packed` ones: no more than a hundred times as many, beyond what does no harm anyway. What
/// people measure is never compressed that well, and zeros can take a memory that nobody has.
pub fn most(packed: u64) -> u64 {
    packed.saturating_mul(MOST_TIMES).max(ALWAYS)
}

/// No more of `reader` than `left` bytes; more is an error.
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let text = "it is more than a hundred times as large when it is unpacked; if it is to be, unpack it with gunzip";
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        Ok(read)
    }
}

/// The content of a file, plain or gzipped; of what is gzipped no more than `most` bytes.
///
/// # Errors
/// If what is gzipped is damaged.
pub fn unpacked(bytes: &[u8], most: u64) -> io::Result<Cow<'_, [u8]>> {
    if !is_gzip(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut content = Vec::new();
    MultiGzDecoder::new(bytes).take(most).read_to_end(&mut content)?;
    Ok(Cow::Owned(content))
}

/// A gzipped file with `content`, as tests need it.
///
/// # Panics
/// Never: bytes in memory are read without an error.
#[doc(hidden)]
pub fn packed(content: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::bufread::GzEncoder::new(content, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_unpacked_than_a_hundred_times_the_file() {
        assert_eq!((most(1), most(10 << 20), most(u64::MAX)), (256 << 20, 1_000 << 20, u64::MAX));
        let zeros = packed(&[0; 1_000]);
        let unpack = |left| {
            let mut all = Vec::new();
            Bounded { reader: MultiGzDecoder::new(&zeros[..]), left }.read_to_end(&mut all).map(|_| all.len())
        };
        assert_eq!(unpack(1_000).unwrap(), 1_000);
        assert!(unpack(999).unwrap_err().to_string().contains("unpack it with gunzip"));
    }
}
