//! CBOR: the one module that names the codec.
//!
//! `serde_cbor` 0.11 is archived (RUSTSEC-2021-0127), and by default more lenient than a peer that cannot
//! be trusted deserves. So it is met here alone: the length is capped before it reads a byte, it reads from
//! a slice, and its integer-keyed and pre-0.10 formats are off. What it cannot be kept from reading, fields
//! by position and unit variants by number, gives the same values and is never written.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
pub(super) use serde_cbor::tags::Tagged;
use serde_cbor::{Deserializer, Serializer};

use super::blob::Blob;
use super::messages::{Message, Refusal};
use super::short_text::short_text;

/// Longest MQTT payload that is looked at, in bytes: 16 times a [`CHUNK_BYTES`](super::CHUNK_BYTES).
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Why bytes are no message, or a value cannot become bytes.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodecError {
    /// Refused unread.
    #[error("{size} bytes where at most {max} are accepted; send large content as chunks")]
    TooLong {
        /// Length of the input in bytes.
        size: usize,
        /// Longest accepted.
        max: usize,
    },
    /// Not CBOR, or not what `outpost.cddl` says.
    #[error("not what outpost.cddl describes: {0}; check that the peer runs the same version")]
    Malformed(String),
    /// A value that CBOR cannot hold.
    #[error("cannot be encoded: {0}")]
    Unencodable(String),
}

impl CodecError {
    /// What its sender is told.
    pub fn refusal(&self) -> Refusal {
        match self {
            CodecError::TooLong { .. } => Refusal::Oversized,
            CodecError::Malformed(_) | CodecError::Unencodable(_) => Refusal::Malformed,
        }
    }
}

/// Encodes a value with names for fields and variants.
///
/// # Errors
/// [`CodecError::Unencodable`]; never for the types of this module.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_with_room(value, 0)
}

/// As [`encode`], for a value whose bytes are expected to be at most `room`: memory is taken once.
pub(super) fn encode_with_room<T: Serialize>(value: &T, room: usize) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(room);
    match value.serialize(&mut Serializer::new(&mut bytes)) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(CodecError::Unencodable(reason(&error))),
    }
}

/// Decodes one value that fills `bytes` to the end.
///
/// # Errors
/// [`CodecError::TooLong`] above `max_bytes`, [`CodecError::Malformed`] for anything but a single value of
/// the type.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], max_bytes: usize) -> Result<T, CodecError> {
    check_length(bytes, max_bytes)?;
    let mut deserializer = Deserializer::from_slice(bytes).disable_packed_format().disable_legacy_enums();
    T::deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| CodecError::Malformed(reason(&error)))
}

/// Refuses more than `max` bytes.
pub(super) fn check_length(bytes: &[u8], max: usize) -> Result<(), CodecError> {
    let size = bytes.len();
    if size > max { Err(CodecError::TooLong { size, max }) } else { Ok(()) }
}

impl Message {
    /// The message as an MQTT payload.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn encode(&self) -> Result<Bytes, CodecError> {
        encode(self).map(Bytes::from)
    }

    /// Reads an MQTT payload of at most [`MAX_MESSAGE_BYTES`]. The bytes of a chunk stay where they are.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode(payload: &Bytes) -> Result<Self, CodecError> {
        Message::decode_where(payload, |data| data)
    }

    /// As [`Message::decode`], with the bytes of a chunk as `change` gives them.
    pub(super) fn decode_where(
        payload: &Bytes,
        change: impl FnOnce(Blob) -> Blob,
    ) -> Result<Self, CodecError> {
        let message: Message<&serde_bytes::Bytes> = decode(payload, MAX_MESSAGE_BYTES)?;
        Ok(message.map_data(|data| change(payload.slice_ref(data).into())))
    }
}

/// The codec's message, which may quote what a peer sent.
fn reason(error: &serde_cbor::Error) -> String {
    short_text(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::messages::{RollCall, RunStage};
    use super::super::short_text::MAX_CHARACTERS;
    use super::*;

    fn refused<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> CodecError {
        decode::<T>(bytes, 1024).err().expect("refused")
    }

    #[test]
    fn the_length_is_checked_before_a_byte_is_read() {
        let nonsense = [0xff; 11];
        assert_eq!(decode::<u32>(&nonsense, 10), Err(CodecError::TooLong { size: 11, max: 10 }));
        assert!(matches!(decode::<u32>(&nonsense, 11), Err(CodecError::Malformed(_))));
        assert_eq!(CodecError::TooLong { size: 11, max: 10 }.refusal(), Refusal::Oversized);
    }

    #[test]
    fn bytes_after_the_value_are_refused() {
        let mut bytes = encode(&RollCall { call: 7 }).unwrap();
        assert_eq!(decode(&bytes, 1024), Ok(RollCall { call: 7 }));
        bytes.push(0);
        assert_eq!(refused::<RollCall>(&bytes).refusal(), Refusal::Malformed);
    }

    #[test]
    fn integer_keys_are_refused() {
        refused::<RollCall>(&[0xa1, 0x00, 0x07]);
        refused::<RunStage>(&[0xa1, 0x00, 0xa1, 0x64, b'c', b'a', b'l', b'l', 0x07]);
    }

    #[test]
    fn the_lenience_that_is_left_gives_the_same_values() {
        assert_eq!(decode(b"\x81\x07", 1024), Ok(RollCall { call: 7 }));
        assert_eq!(decode(b"\x02", 1024), Ok(RunStage::Finished));
    }

    #[test]
    fn the_enum_format_of_old_codecs_is_refused() {
        refused::<RunStage>(b"\x82\x69gathering\xa1\x64call\x07");
    }

    #[test]
    fn unknown_missing_and_repeated_fields_are_refused() {
        refused::<RollCall>(b"\xa2\x64call\x07\x65extra\x00");
        refused::<RollCall>(b"\xa0");
        refused::<RollCall>(b"\xa2\x64call\x07\x64call\x07");
    }

    #[test]
    fn hostile_text_is_neither_repeated_at_length_nor_raw() {
        let mut bytes = b"\xa1\x79\x03\x00".to_vec();
        bytes.extend(b"\x1b".repeat(0x300));
        let text = decode::<RollCall>(&bytes, 1024).unwrap_err().to_string();
        assert!(text.chars().count() < 2 * MAX_CHARACTERS, "{text}");
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn a_length_that_is_not_there_costs_no_memory() {
        // An array, a byte string and a map, each of 2^40 and of 2^64 - 1 items.
        for head in [0x9b, 0x5b, 0xbb] {
            for length in [1_u64 << 40, u64::MAX] {
                let mut bytes = vec![head];
                bytes.extend(length.to_be_bytes());
                refused::<Vec<u64>>(&bytes);
                refused::<serde_bytes::ByteBuf>(&bytes);
                refused::<Message<&serde_bytes::Bytes>>(&bytes);
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        refused::<Vec<u32>>(&[0x81; 1024]);
        refused::<Message<&serde_bytes::Bytes>>(&[0xc1; 1024]);
    }
}
