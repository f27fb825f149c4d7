//! A vector of `f32` as the wire carries it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::Bytes;

use super::codec::Tagged;

/// The tag of RFC 8746, section 2.1, for little-endian IEEE 754 binary32.
const LITTLE_ENDIAN_F32: u64 = 85;

/// A vector of `f32`: in CBOR a byte string of little-endian values under tag 85 (RFC 8746).
///
/// CBOR's own floats would not do: the codec shrinks them to 16 bits where that loses nothing, so that
/// the size would depend on the values, and gives every NaN the same bits. Here every bit survives.
///
/// Decoding refuses any other tag, none at all, a length that is no multiple of 4, and a byte string of
/// indefinite length.
#[derive(Clone, Debug, PartialEq)]
pub struct Float32Array(pub Arc<[f32]>);

impl Serialize for Float32Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Cow<'_, [u8]> = if cfg!(target_endian = "little") {
            Cow::Borrowed(bytemuck::cast_slice(&self.0))
        } else {
            self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        Tagged::new(Some(LITTLE_ENDIAN_F32), Bytes::new(&bytes)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Float32Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Tagged { tag, value } = Tagged::<&'de Bytes>::deserialize(deserializer)?;
        if tag != Some(LITTLE_ENDIAN_F32) {
            let found = tag.map_or("none".to_owned(), |tag| tag.to_string());
            return Err(D::Error::custom(format_args!("f32 values need tag 85, found {found}")));
        }
        let (values, rest) = value.as_chunks();
        if !rest.is_empty() {
            let length = value.len();
            return Err(D::Error::custom(format_args!("{length} bytes are no whole number of f32 values")));
        }
        Ok(Float32Array(values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;

    fn read(bytes: &[u8]) -> Result<Float32Array, String> {
        decode(bytes, 1024).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_the_byte_string_of_rfc_8746() {
        let bytes = encode(&Float32Array([1.0, -2.5].into())).unwrap();
        assert_eq!(bytes, [0xd8, 85, 0x48, 0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]);
        assert_eq!(read(&bytes), Ok(Float32Array([1.0, -2.5].into())));
    }

    #[test]
    fn every_bit_pattern_survives() {
        let bits = [0x7fc0_0000, 0x7f80_0001, 0xffc1_2345, 0xff80_0000, 0x8000_0000, 1];
        let values = Float32Array(bits.map(f32::from_bits).into());
        let back = read(&encode(&values).unwrap()).unwrap();
        assert_eq!(back.0.iter().copied().map(f32::to_bits).collect::<Vec<_>>(), bits);
    }

    #[test]
    fn an_empty_vector_survives() {
        let empty = Float32Array([].into());
        assert_eq!(read(&encode(&empty).unwrap()), Ok(empty));
    }

    #[test]
    fn a_missing_or_other_tag_is_refused() {
        assert!(read(&[0x44, 0, 0, 0, 0]).unwrap_err().contains("found none"));
        assert!(read(&[0xd8, 81, 0x44, 0, 0, 0, 0]).unwrap_err().contains("found 81"));
        assert!(read(&[0xd8, 85, 0xd8, 85, 0x44, 0, 0, 0, 0]).is_err(), "tagged twice");
    }

    #[test]
    fn a_tag_says_nothing_about_the_value_after_it() {
        let pair: Result<(Float32Array, Float32Array), _> =
            decode(&[0x82, 0xd8, 85, 0x44, 0, 0, 0, 0, 0x44, 0, 0, 0, 0], 1024);
        assert!(pair.unwrap_err().to_string().contains("found none"));
    }

    #[test]
    fn what_holds_no_whole_f32_values_is_refused() {
        assert!(read(&[0xd8, 85, 0x43, 0, 0, 0]).unwrap_err().contains("3 bytes"));
        assert!(read(&[0xd8, 85, 0x84, 0, 0, 0, 0]).is_err(), "an array of integers");
        assert!(read(&[0xd8, 85, 0x5f, 0x44, 0, 0, 0, 0, 0xff]).is_err(), "indefinite length");
    }
}
