//! The wire without its socket: messages, topics, codec and chunked transfer; and the names of devices, runs and content that
//! messages carry ([`identity`]).
//!
//! The schema is `outpost.cddl` beside this file; `docs/protocol.md` has the sequence of a round.
//!
//! A receiver goes `Topics::parse` -> [`Payload::message`] -> check of sender, run and round -> [`Assembler::accept`] ->
//! [`decode`] of the content.

mod blob;
mod codec;
mod event;
mod float32_array;
mod hardware;
pub mod identity;
mod messages;
mod millis;
mod payload;
mod publication;
mod short_text;
mod telemetry;
mod topics;
mod transfer;

pub use blob::Blob;
pub use codec::{CodecError, MAX_MESSAGE_BYTES, decode, encode};
pub use event::Event;
pub use float32_array::Float32Array;
pub use hardware::Hardware;
pub use messages::*;
pub use millis::Millis;
pub use payload::Payload;
pub use publication::Publication;
pub use short_text::short_text;
pub use telemetry::{Telemetry, Throttling};
pub use topics::{InvalidPrefix, MAX_SLASHES, Topic, Topics};
pub use transfer::{
    Assembler, CHUNK_BYTES, Limits, MAX_ASKED, MAX_TRANSFERS_PER_SENDER, MIN_CHUNK_BYTES, Outgoing, Progress,
    TransferError,
};
