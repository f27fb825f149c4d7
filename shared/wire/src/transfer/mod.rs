//! Content in pieces: [`Outgoing`] cuts it, [`Assembler`] puts it together again.

mod assembler;
mod error;
mod outgoing;
mod split;

pub use assembler::{Assembler, Limits, MAX_ASKED, MAX_TRANSFERS_PER_SENDER, Progress};
pub use error::TransferError;
pub use outgoing::Outgoing;
pub use split::{CHUNK_BYTES, MIN_CHUNK_BYTES};

#[cfg(test)]
mod tests;
