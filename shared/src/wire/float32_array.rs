//! A vector of `f32` as the wire carries it.

use serde::{Deserialize, Serialize};

/// A vector of `f32`: in CBOR a byte string of little-endian values under tag 85 (RFC 8746).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Float32Array(pub Vec<f32>);
