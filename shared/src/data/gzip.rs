//! What tells compressed files from plain ones.

const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Whether `bytes` begin like a gzip file; no file of a data set does by itself.
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}
