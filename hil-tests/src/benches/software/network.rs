//! An MQTT broker's semantics in memory: subscriptions, retained messages, delivery in order.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use learning::random::Stream;
use wire::{Millis, Payload, Publication};

use super::faults::Faults;
use super::nodes::{Delivery, Effect};

/// How long a delivery takes without faults.
const LATENCY: Millis = Millis(1);

/// Broker and links. Participants are numbered.
pub(super) struct Network {
    faults: Faults,
    random: Stream,
    /// Subscribers of a topic by its name, and of filters with a `+`.
    exact: HashMap<String, BTreeSet<usize>>,
    wildcards: Vec<(String, usize)>,
    /// What each participant has subscribed to by name.
    subscribed: HashMap<usize, Vec<String>>,
    retained: BTreeMap<String, Arc<Payload>>,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    sequence: u64,
    /// When the last delivery that keeps its order reaches each participant.
    last: HashMap<usize, Millis>,
}

/// A delivery under way, ordered by arrival and then by departure.
struct UnderWay {
    arrives: Millis,
    sequence: u64,
    recipient: usize,
    delivery: Delivery,
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.arrives, self.sequence).cmp(&(other.arrives, other.sequence))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for UnderWay {}

impl Network {
    pub(super) fn new(faults: &Faults) -> Self {
        Network {
            random: faults.stream(),
            faults: faults.clone(),
            exact: HashMap::new(),
            wildcards: Vec::new(),
            subscribed: HashMap::new(),
            retained: BTreeMap::new(),
            under_way: BinaryHeap::new(),
            sequence: 0,
            last: HashMap::new(),
        }
    }

    /// Carries out what participant `from` asks of the broker.
    pub(super) fn carry_out(&mut self, now: Millis, from: usize, effect: Effect) {
        match effect {
            Effect::Subscribe(filter) => self.subscribe(now, from, filter),
            Effect::Unsubscribe(filter) => {
                self.exact.entry(filter.clone()).or_default().remove(&from);
                self.wildcards.retain(|(wild, who)| (wild, *who) != (&filter, from));
            }
            Effect::Publish(publication) => self.publish(now, publication),
            Effect::Leave => {
                for filter in self.subscribed.remove(&from).unwrap_or_default() {
                    self.exact.entry(filter).or_default().remove(&from);
                }
                self.wildcards.retain(|&(_, who)| who != from);
            }
            Effect::Record { .. } | Effect::Report(_) | Effect::Finish(_) => {}
        }
    }

    /// When the next delivery arrives.
    pub(super) fn due(&self) -> Option<Millis> {
        self.under_way.peek().map(|Reverse(delivery)| delivery.arrives)
    }

    /// What arrives until `now`, in order, and for whom.
    pub(super) fn deliver(&mut self, now: Millis) -> Vec<(usize, Delivery)> {
        let mut arrived = Vec::new();
        while self.due().is_some_and(|due| due <= now) {
            let Some(Reverse(UnderWay { recipient, delivery, .. })) = self.under_way.pop() else { break };
            arrived.push((recipient, delivery));
        }
        arrived
    }

    fn subscribe(&mut self, now: Millis, who: usize, filter: String) {
        let wild = filter.contains('+');
        let lying: Vec<_> = if wild {
            self.retained.iter().filter(|(topic, _)| matches(&filter, topic)).collect()
        } else {
            self.retained.get_key_value(&filter).into_iter().collect()
        };
        let lying: Vec<_> =
            lying.into_iter().map(|(topic, payload)| (Arc::from(topic.as_str()), payload.clone())).collect();
        for (topic, payload) in lying {
            self.send(now, who, &Delivery { topic, payload, retained: true });
        }
        if wild {
            if !self.wildcards.contains(&(filter.clone(), who)) {
                self.wildcards.push((filter, who));
            }
        } else if self.exact.entry(filter.clone()).or_default().insert(who) {
            self.subscribed.entry(who).or_default().push(filter);
        }
    }

    fn publish(&mut self, now: Millis, publication: Publication) {
        let Publication { topic, payload, retain } = publication;
        let payload = Arc::new(payload);
        if retain {
            self.retained.insert(topic.clone(), payload.clone());
        }
        let exact = self.exact.get(&topic);
        let mut recipients: Vec<usize> = exact.into_iter().flatten().copied().collect();
        let wild = self.wildcards.iter().filter(|(filter, _)| matches(filter, &topic)).map(|&(_, who)| who);
        recipients.extend(wild);
        let delivery = Delivery { topic: topic.into(), payload, retained: false };
        for who in recipients {
            self.send(now, who, &delivery);
        }
    }

    fn send(&mut self, now: Millis, recipient: usize, delivery: &Delivery) {
        for (delay, may_overtake) in self.faults.fate(&mut self.random) {
            let mut arrives = now + LATENCY + delay;
            if !may_overtake {
                let last = self.last.entry(recipient).or_default();
                arrives = arrives.max(*last);
                *last = arrives;
            }
            self.sequence += 1;
            let (sequence, delivery) = (self.sequence, delivery.clone());
            self.under_way.push(Reverse(UnderWay { arrives, sequence, recipient, delivery }));
        }
    }
}

/// Whether an MQTT filter with single-level wildcards matches a topic.
fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (None, None) => return true,
            (Some(level), Some(name)) if level == "+" || level == name => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn publication(topic: &str, text: &str, retain: bool) -> Effect {
        let payload = Bytes::copy_from_slice(text.as_bytes()).into();
        Effect::Publish(Publication { topic: topic.to_owned(), payload, retain })
    }

    fn received(network: &mut Network, until: u64) -> Vec<(usize, String)> {
        let text = |d: Delivery| String::from_utf8(d.payload.to_vec()).unwrap();
        network.deliver(Millis(until)).into_iter().map(|(who, delivery)| (who, text(delivery))).collect()
    }

    #[test]
    fn wildcards_match_one_level() {
        assert!(matches("a/+/c", "a/b/c"));
        assert!(!matches("a/+/c", "a/b/d/c"));
        assert!(!matches("a/+", "a"));
        assert!(!matches("a", "a/b"));
    }

    #[test]
    fn subscribers_get_what_is_published_and_what_lies_retained() {
        let mut network = Network::new(&Faults::default());
        network.carry_out(Millis(0), 1, publication("t/a", "retained", true));
        network.carry_out(Millis(0), 2, Effect::Subscribe("t/+".to_owned()));
        network.carry_out(Millis(0), 3, Effect::Subscribe("t/a".to_owned()));
        network.carry_out(Millis(1), 1, publication("t/a", "live", false));
        let expected = [(2, "retained"), (3, "retained"), (3, "live"), (2, "live")];
        assert_eq!(received(&mut network, 10), expected.map(|(who, text)| (who, text.to_owned())));
        network.carry_out(Millis(11), 2, Effect::Leave);
        network.carry_out(Millis(11), 1, publication("t/a", "late", false));
        assert_eq!(received(&mut network, 20), [(3, "late".to_owned())]);
    }

    #[test]
    fn delayed_messages_keep_their_order_unless_reordered() {
        let order = |reorder| {
            let faults = Faults { delay_ms: 50, reorder, ..Faults::default() };
            let mut network = Network::new(&faults);
            network.carry_out(Millis(0), 1, Effect::Subscribe("t".to_owned()));
            for i in 0..20 {
                network.carry_out(Millis(i), 0, publication("t", &format!("{i:02}"), false));
            }
            received(&mut network, 1_000).into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert!(order(0.0).is_sorted());
        let shuffled = order(0.9);
        assert_eq!(shuffled.len(), 20);
        assert!(!shuffled.is_sorted());
    }

    #[test]
    fn losses_and_duplicates_come_in_the_given_share() {
        let faults = Faults { loss: 0.2, duplicate: 0.5, ..Faults::default() };
        let mut random = faults.stream();
        let arrived: usize = (0..10_000).map(|_| faults.fate(&mut random).len()).sum();
        assert!((11_500..12_500).contains(&arrived), "{arrived}");
    }
}
