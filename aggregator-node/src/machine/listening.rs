//! Which devices the aggregator listens to.
//!
//! Three filters match what all devices send. A broker has one queue for each of its clients, and drops what does not fit
//! (Mosquitto: 1,000 messages): while one device floods, the messages of others are lost before they arrive. MQTT has no
//! filter for "all but one", so the topics of all others are subscribed to one by one instead, and the broker throws the
//! flood away by itself, until the device is [heard again](super::budgets).

use wire::Topic;
use wire::identity::DeviceId;

use super::Action;
use super::common::Common;

impl Common {
    /// Subscribes on a new connection.
    pub(super) fn listen(&mut self, out: &mut Vec<Action>) {
        self.one_by_one = false;
        out.extend(self.filters_of_all().map(Action::Subscribe));
        if self.budgets.wakes_at().is_some() {
            self.listen_one_by_one(out);
        }
    }

    /// `sender` floods; `None` for all that are not of the fleet.
    pub(super) fn stop_listening_to(&mut self, sender: Option<DeviceId>, out: &mut Vec<Action>) {
        if !self.one_by_one {
            self.listen_one_by_one(out);
        } else if let Some(device) = sender {
            out.extend(self.topics_of(device).map(Action::Unsubscribe));
        }
    }

    /// Subscribes to those who are heard again. Strangers are when the connection is made anew: they have nothing to say.
    pub(super) fn listen_again(&mut self, out: &mut Vec<Action>) {
        for device in self.budgets.hear_again(self.now).into_iter().flatten() {
            out.extend(self.topics_of(device).map(Action::Subscribe));
        }
    }

    /// First the new subscriptions, then an end to the old ones: nothing is missed in between.
    fn listen_one_by_one(&mut self, out: &mut Vec<Action>) {
        self.one_by_one = true;
        let heard = self.roster.fleet().filter(|device| !self.budgets.is_muted(Some(*device)));
        out.extend(heard.flat_map(|device| self.topics_of(device)).map(Action::Subscribe));
        out.extend(self.filters_of_all().map(Action::Unsubscribe));
    }

    fn filters_of_all(&self) -> [String; 3] {
        [self.topics.every_status(), self.topics.every_update(), self.topics.every_ask()]
    }

    fn topics_of(&self, device: DeviceId) -> [String; 3] {
        [Topic::Status(device), Topic::Update(device), Topic::Ask(device)]
            .map(|topic| self.topics.name(topic))
    }
}
