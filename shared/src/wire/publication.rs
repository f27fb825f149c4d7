//! What a state machine asks its rim to publish.

use super::Message;

/// One MQTT publication, always at QoS 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
}

impl Publication {
    /// A message for whoever listens now.
    ///
    /// # Panics
    /// Never: the messages of this module always encode.
    pub fn live(topic: String, message: &Message) -> Self {
        let payload = message.encode().expect("messages of the protocol encode");
        Publication { topic, payload, retain: false }
    }

    /// A message that the broker keeps.
    ///
    /// # Panics
    /// As [`Publication::live`].
    pub fn retained(topic: String, message: &Message) -> Self {
        Publication { retain: true, ..Publication::live(topic, message) }
    }
}
