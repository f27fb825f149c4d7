//! Messages, topics, codec and chunked transfer: everything of the wire but the socket.
//!
//! The schema is `outpost.cddl` beside this file; `docs/protocol.md` tells the sequence of a round.

mod float32_array;
mod messages;

pub use float32_array::Float32Array;
pub use messages::*;
