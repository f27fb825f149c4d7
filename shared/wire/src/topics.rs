//! The MQTT topics: few and constant, because a broker may keep each one for ever.

use crate::identity::DeviceId;

/// Slashes in a topic at most: the limit of AWS, the tightest of the brokers met.
pub const MAX_SLASHES: usize = 7;

/// Slashes that the longest topic has after the prefix.
const OWN_SLASHES: usize = 3;

/// Longest prefix in bytes; AWS takes topics of at most 256.
const MAX_PREFIX_BYTES: usize = 128;

/// What a topic is for; who publishes what on it is told with the [messages](super::Message).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// `{prefix}/round`
    Round,
    /// `{prefix}/model`
    Model,
    /// `{prefix}/devices/device-007/status`
    Status(DeviceId),
    /// `{prefix}/devices/device-007/update`
    Update(DeviceId),
    /// `{prefix}/devices/device-007/ask`
    Ask(DeviceId),
    /// `{prefix}/devices/device-007/inbox`
    Inbox(DeviceId),
    /// `{prefix}/collusion/device-007`
    Collusion(DeviceId),
}

/// A prefix that cannot start a topic.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "topic prefix `{0}`: give 1 to {max} levels of `a-z`, `0-9` and `-` separated by `/`, together at most \
     {MAX_PREFIX_BYTES} bytes, as in `outpost` or `lab-3/outpost`",
    max = MAX_SLASHES - OWN_SLASHES + 1
)]
pub struct InvalidPrefix(String);

/// The topics of one fleet: everything below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    prefix: String,
}

impl Default for Topics {
    fn default() -> Self {
        Topics { prefix: "outpost".to_owned() }
    }
}

impl Topics {
    /// The topics below `prefix`.
    ///
    /// # Errors
    /// [`InvalidPrefix`] if it has an empty level, another character than `a-z`, `0-9` and `-`, or is too
    /// long.
    pub fn new(prefix: &str) -> Result<Self, InvalidPrefix> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let valid = prefix.len() <= MAX_PREFIX_BYTES
            && prefix.matches('/').count() + OWN_SLASHES <= MAX_SLASHES
            && prefix.split('/').all(|level| !level.is_empty() && level.chars().all(plain));
        if valid { Ok(Topics { prefix: prefix.to_owned() }) } else { Err(InvalidPrefix(prefix.to_owned())) }
    }

    /// The first levels of them all.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of a topic, to publish on or to subscribe to.
    pub fn name(&self, topic: Topic) -> String {
        let prefix = &self.prefix;
        match topic {
            Topic::Round => format!("{prefix}/round"),
            Topic::Model => format!("{prefix}/model"),
            Topic::Status(device) => format!("{prefix}/devices/{device}/status"),
            Topic::Update(device) => format!("{prefix}/devices/{device}/update"),
            Topic::Ask(device) => format!("{prefix}/devices/{device}/ask"),
            Topic::Inbox(device) => format!("{prefix}/devices/{device}/inbox"),
            Topic::Collusion(device) => format!("{prefix}/collusion/{device}"),
        }
    }

    /// The filter that matches [`Topic::Status`] of every device.
    pub fn every_status(&self) -> String {
        self.every("status")
    }

    /// The filter that matches [`Topic::Update`] of every device.
    pub fn every_update(&self) -> String {
        self.every("update")
    }

    /// The filter that matches [`Topic::Ask`] of every device.
    pub fn every_ask(&self) -> String {
        self.every("ask")
    }

    fn every(&self, channel: &str) -> String {
        format!("{}/devices/+/{channel}", self.prefix)
    }

    /// What the topic named `topic` is for; `None` if it is none of these.
    pub fn parse(&self, topic: &str) -> Option<Topic> {
        let rest = topic.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        match *rest.split('/').collect::<Vec<_>>() {
            ["round"] => Some(Topic::Round),
            ["model"] => Some(Topic::Model),
            ["devices", device, channel] => {
                let device = device.parse().ok()?;
                match channel {
                    "status" => Some(Topic::Status(device)),
                    "update" => Some(Topic::Update(device)),
                    "ask" => Some(Topic::Ask(device)),
                    "inbox" => Some(Topic::Inbox(device)),
                    _ => None,
                }
            }
            ["collusion", device] => device.parse().ok().map(Topic::Collusion),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(device: DeviceId) -> [Topic; 7] {
        use Topic::{Ask, Collusion, Inbox, Model, Round, Status, Update};
        [Round, Model, Status(device), Update(device), Ask(device), Inbox(device), Collusion(device)]
    }

    #[test]
    fn the_names_are_these() {
        assert_eq!(
            all(DeviceId(7)).map(|topic| Topics::default().name(topic)),
            [
                "outpost/round",
                "outpost/model",
                "outpost/devices/device-007/status",
                "outpost/devices/device-007/update",
                "outpost/devices/device-007/ask",
                "outpost/devices/device-007/inbox",
                "outpost/collusion/device-007",
            ]
        );
        assert_eq!(Topics::default().every_status(), "outpost/devices/+/status");
        assert_eq!(Topics::default().every_update(), "outpost/devices/+/update");
        assert_eq!(Topics::default().every_ask(), "outpost/devices/+/ask");
    }

    #[test]
    fn every_name_is_parsed_back() {
        for prefix in ["outpost", "lab-3/outpost", "a/b/c/d/e"] {
            let topics = Topics::new(prefix).unwrap();
            for topic in [0, 7, 1000, u32::MAX].map(DeviceId).map(all).into_iter().flatten() {
                let name = topics.name(topic);
                assert_eq!(topics.parse(&name), Some(topic), "{name}");
                assert!(name.matches('/').count() <= MAX_SLASHES, "{name}");
            }
        }
    }

    #[test]
    fn other_topics_are_not_ours() {
        for topic in [
            "",
            "outpost",
            "outpost/",
            "outpostround",
            "outpost/round/",
            "other/round",
            "/outpost/round",
            "outpost/devices/device-7/update",
            "outpost/devices/+/update",
            "outpost/devices/device-007",
            "outpost/devices/device-007/reboot",
            "outpost/devices/device-007/update/0",
            "outpost/collusion/#",
        ] {
            assert_eq!(Topics::default().parse(topic), None, "{topic}");
        }
    }

    #[test]
    fn a_prefix_that_could_widen_a_filter_is_refused() {
        let long = "a".repeat(MAX_PREFIX_BYTES + 1);
        for prefix in
            ["", "/", "a/", "/a", "a//b", "+", "a/#", "$SYS", "Outpost", "a b", "a/b/c/d/e/f", &long]
        {
            assert_eq!(Topics::new(prefix), Err(InvalidPrefix(prefix.to_owned())));
        }
        assert!(Topics::new("").unwrap_err().to_string().contains("1 to 5 levels"));
    }
}
