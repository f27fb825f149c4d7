//! The payload of a publication, at both ends.

use std::ops::Deref;
use std::sync::OnceLock;

use bytes::Bytes;

use super::blob::Blob;
use super::codec::CodecError;
use super::messages::Message;

/// An MQTT payload and the message in it, which is decoded when first asked for.
///
/// A network in memory hands one payload to all its recipients: it is decoded once for them all, and a chunk in it is
/// the blob that its bytes were copied from, whose digest may be known. What arrives on a socket is neither.
#[derive(Clone, Debug)]
pub struct Payload {
    bytes: Bytes,
    /// What the bytes of the chunk in it were copied from, if that was here.
    data: Option<Blob>,
    message: OnceLock<Result<Message, CodecError>>,
}

impl Payload {
    /// The message, as [`Message::decode`] reads it.
    ///
    /// # Errors
    /// As [`Message::decode`].
    pub fn message(&self) -> Result<&Message, &CodecError> {
        let decode = || Message::decode_where(&self.bytes, |data| self.data.clone().unwrap_or(data));
        self.message.get_or_init(decode).as_ref()
    }

    /// The bytes alone.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Payload { bytes, data: None, message: OnceLock::new() }
    }
}

impl From<&Message> for Payload {
    /// Encodes a message; those of this module always encode.
    fn from(message: &Message) -> Self {
        let bytes = message.encode().expect("messages of the protocol encode");
        let data = if let Message::Chunk(chunk) = message { Some(chunk.data.clone()) } else { None };
        Payload { data, ..bytes.into() }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::Kind;
    use super::super::transfer::Outgoing;
    use super::*;
    use crate::identity::RunId;

    #[test]
    fn a_message_is_read_back_from_its_bytes_wherever_they_went() {
        let transfer = Outgoing::new(RunId(1), 2, Kind::Model, None, vec![7; 5]);
        let message = Message::Chunk(transfer.chunk(0).unwrap());
        let sent = Payload::from(&message);
        assert_eq!(sent.message(), Ok(&message));
        let arrived = Payload::from(sent.into_bytes());
        assert_eq!(arrived.message(), Ok(&message));
    }

    #[test]
    fn what_is_no_message_is_refused_whenever_it_is_asked_for() {
        let payload = Payload::from(Bytes::from_static(b"\xff"));
        assert!(payload.message().is_err() && payload.clone().message().is_err());
    }
}
