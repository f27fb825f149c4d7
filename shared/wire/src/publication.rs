//! What a state machine asks its loop to publish.

use super::{Message, Payload};

/// One MQTT publication, always at QoS 1.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Payload,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
}

impl Publication {
    /// A message for whoever listens now.
    pub fn live(topic: String, message: &Message) -> Self {
        Publication { topic, payload: message.into(), retain: false }
    }

    /// A message that the broker keeps.
    pub fn retained(topic: String, message: &Message) -> Self {
        Publication { retain: true, ..Publication::live(topic, message) }
    }
}
