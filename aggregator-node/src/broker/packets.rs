//! Packets in and out of a socket.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use rumqttc::Packet;
use rumqttc::mqttbytes::{self, check};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::client::Outgoing;
use super::router::Router;

/// What is asked of the socket at a time.
const READ: usize = 64 << 10;
/// How long a packet may take from its first byte to its last.
const PACKET: Duration = Duration::from_secs(60);

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Over {
    #[error("said nothing for {0:?}")]
    Silent(Duration),
    #[error("a packet took longer than {PACKET:?}")]
    Slow,
    #[error("hung up")]
    HungUp,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("sent what is not MQTT 3.1.1: {0}")]
    Malformed(#[from] mqttbytes::Error),
    #[error("{0}")]
    Refused(&'static str),
}

/// The packets that a client sends.
pub(super) struct Incoming {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    /// Whether they are the aggregator's.
    pub(super) owner: bool,
}

impl Incoming {
    pub(super) fn new(socket: OwnedReadHalf) -> Self {
        Incoming { socket, buffer: BytesMut::new(), owner: false }
    }

    /// The next packet, of at most `limit` bytes, and what it is charged for; one must begin within `idle`.
    pub(super) async fn next(
        &mut self,
        router: &Router,
        limit: usize,
        idle: Duration,
    ) -> Result<(Packet, OwnedSemaphorePermit), Over> {
        let mut charged = None;
        let mut deadline = None;
        loop {
            let missing = match check(self.buffer.iter(), limit) {
                Ok(header) => {
                    let charge = match charged {
                        Some(charge) => charge,
                        None => router.charge(header.frame_length(), self.owner).await,
                    };
                    let packet = Packet::read(&mut self.buffer, limit)?;
                    if header.frame_length() > READ {
                        // What follows is not to keep the memory of what came before.
                        self.buffer = BytesMut::from(&self.buffer[..]);
                    }
                    return Ok((packet, charge));
                }
                Err(mqttbytes::Error::InsufficientBytes(missing)) => missing,
                Err(error) => return Err(error.into()),
            };
            let frame = self.buffer.len() + missing;
            if frame > READ && charged.is_none() {
                charged = Some(router.charge(frame, self.owner).await);
                deadline = None;
            }
            // Memory grows with what arrives, not with what is announced.
            self.buffer.reserve(missing.clamp(512, READ));
            let begun = !self.buffer.is_empty();
            let until = match deadline {
                Some(deadline) => deadline,
                None if begun => *deadline.insert(Instant::now() + PACKET),
                None => Instant::now() + idle,
            };
            match timeout_at(until, self.socket.read_buf(&mut self.buffer)).await {
                Ok(Ok(0)) => return Err(Over::HungUp),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error.into()),
                Err(_) if begun => return Err(Over::Slow),
                Err(_) => return Err(Over::Silent(idle)),
            }
        }
    }
}

/// Writes one packet.
pub(super) async fn write(socket: &mut OwnedWriteHalf, outgoing: &Outgoing) -> io::Result<()> {
    match outgoing {
        Outgoing::Answer { bytes, .. } => socket.write_all(bytes).await,
        Outgoing::Message { delivery, packet_id } => {
            let message = &delivery.message;
            let mut header = BytesMut::with_capacity(message.topic.len() + 9);
            let at_least_once = *packet_id != 0;
            header.put_u8(0x30 | u8::from(at_least_once) << 1 | u8::from(delivery.retained));
            put_length(
                &mut header,
                2 + message.topic.len() + 2 * usize::from(at_least_once) + message.payload.len(),
            );
            header.put_u16(message.topic.len() as u16);
            header.put_slice(message.topic.as_bytes());
            if at_least_once {
                header.put_u16(*packet_id);
            }
            socket.write_all_buf(&mut header.freeze().chain(message.payload.clone())).await
        }
    }
}

/// A packet's remaining length (section 2.2.3).
fn put_length(header: &mut BytesMut, mut length: usize) {
    while length > 0x7f {
        header.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    header.put_u8(length as u8);
}

/// The bytes of an answer.
pub(super) fn encode(answer: &Packet) -> Bytes {
    let mut bytes = BytesMut::new();
    // Answers are small and complete.
    let written = answer.write(&mut bytes, usize::MAX);
    debug_assert!(written.is_ok(), "{answer:?}");
    bytes.freeze()
}
