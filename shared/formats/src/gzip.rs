//! Telling compressed files from plain ones, and reading both.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Whether `bytes` begin like a gzip file; no file of a data set does by itself.
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// The content of the file `path`, plain or gzipped, as it is read.
///
/// # Errors
/// What the system says.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(File::open(path)?);
    let is_gzip = is_gzip(file.fill_buf()?);
    Ok(if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
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
