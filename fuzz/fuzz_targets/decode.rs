//! Arbitrary bytes as a message and as contents: refused, or equal to what they encode to.

#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::{Float32Array, MAX_MESSAGE_BYTES, Message, ModelContent, UpdateContent, decode, encode};

/// The bytes that a value read from `bytes` encodes to; they must read as a value of the same bytes.
///
/// Bytes are compared, for a value that holds a NaN does not equal itself.
fn check<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    let Ok(value) = decode::<T>(bytes, MAX_MESSAGE_BYTES) else { return };
    let once = encode(&value).expect("what was decoded can be encoded");
    let again: T = decode(&once, MAX_MESSAGE_BYTES).expect("what was encoded can be decoded");
    assert_eq!(once, encode(&again).expect("as before"), "{value:?}");
}

/// As [`check`], for what arrives.
fn check_message(bytes: Bytes) {
    let Ok(message) = Message::decode(&bytes) else { return };
    let once = message.encode().expect("what was decoded can be encoded");
    let again = Message::decode(&once).expect("what was encoded can be decoded");
    assert_eq!(once, again.encode().expect("as before"), "{message:?}");
}

fuzz_target!(|bytes: &[u8]| {
    check_message(Bytes::copy_from_slice(bytes));
    check::<ModelContent>(bytes);
    check::<UpdateContent>(bytes);
    check::<Float32Array>(bytes);
});
