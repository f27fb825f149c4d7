//! Bytes that several owners share.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::codec::{CodecError, check_length, decode};
use super::messages::{ModelContent, content_limit};
use crate::identity::Digest;

/// Bytes that are neither copied nor digested nor read again when they are passed on: content, or a piece of it.
///
/// What it says is its digest has been computed from these very bytes, by whoever asked first.
#[derive(Clone)]
pub struct Blob(Arc<Held>);

struct Held {
    bytes: Bytes,
    blake3: OnceLock<Digest>,
    model: OnceLock<Result<ModelContent, CodecError>>,
}

impl Blob {
    /// BLAKE3 of the bytes.
    pub fn blake3(&self) -> Digest {
        *self.0.blake3.get_or_init(|| Digest::blake3(&self.0.bytes))
    }

    /// The bytes as the content of a model of `dimension` parameters: read once, and one vector for all that hold them.
    ///
    /// # Errors
    /// As [`decode`](super::decode).
    pub fn model(&self, dimension: usize) -> Result<&ModelContent, CodecError> {
        let max = content_limit(dimension);
        // Before what is remembered: others may have had another limit.
        check_length(self, max)?;
        self.0.model.get_or_init(|| decode(self, max)).as_ref().map_err(Clone::clone)
    }

    /// A part of the bytes.
    ///
    /// # Panics
    /// If `range` does not lie within them.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Blob {
        if range == (0..self.len()) { self.clone() } else { self.0.bytes.slice(range).into() }
    }
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        Blob(Arc::new(Held { bytes, blake3: OnceLock::new(), model: OnceLock::new() }))
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes == other.0.bytes
    }
}

impl Eq for Blob {}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes.fmt(f)
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::float32_array::Float32Array;
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_bytes_whoever_asks() {
        let blob = Blob::from(b"content".to_vec());
        let clone = blob.clone();
        assert_eq!((blob.blake3(), clone.blake3()), (Digest::blake3(b"content"), Digest::blake3(b"content")));
    }

    #[test]
    fn the_model_is_read_once_but_never_beyond_the_limit() {
        let parameters = Float32Array([1.0; 99].into());
        let blob = ModelContent { parameters }.encode();
        let (one, other) = (blob.model(99).unwrap(), blob.clone());
        assert!(Arc::ptr_eq(&one.parameters.0, &other.model(99).unwrap().parameters.0));
        assert!(matches!(blob.model(9), Err(CodecError::TooLong { .. })));
        assert!(blob.slice(1..9).model(99).is_err());
    }

    #[test]
    fn a_part_lies_in_the_same_memory_and_has_a_digest_of_its_own() {
        let blob = Blob::from(b"content".to_vec());
        assert_eq!(blob.blake3(), Digest::blake3(b"content"));
        let part = blob.slice(1..4);
        assert_eq!((&part[..], part.blake3()), (&b"ont"[..], Digest::blake3(b"ont")));
        assert_eq!(part.as_ptr(), blob[1..].as_ptr());
    }
}
