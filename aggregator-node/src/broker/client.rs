//! What waits for one client.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rumqttc::{Packet, QoS};
use tokio::pin;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::warn;

use super::packets::encode;
use super::{LEAST_TAKEN, MEMORY, PATIENCE, QUEUE};

/// What an entry of a queue takes beside its payload.
pub(super) const OVERHEAD: usize = 256;

/// Answers that may wait for a client; it has no more than a hundred or so questions open.
const ANSWERS: usize = 1024;

/// A message on its way.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    /// What it is charged for; nothing if it is retained.
    pub(super) _charge: Option<OwnedSemaphorePermit>,
}

/// A message on its way to one client.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) message: Arc<Message>,
    pub(super) qos: QoS,
    pub(super) retained: bool,
    /// Its place in the queue; none if it was retained.
    pub(super) _place: Option<OwnedSemaphorePermit>,
}

/// What is written to a client next.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A packet of the protocol, and its place among the answers.
    Answer { bytes: Bytes, _place: OwnedSemaphorePermit },
    /// A message, with a packet id unless that is 0.
    Message { delivery: Delivery, packet_id: u16 },
}

/// A connection, from the first byte on.
#[derive(Debug, Default)]
pub(super) struct Guest {
    /// In order of arrival; none is used again.
    pub(super) number: u64,
    /// Whether it has subscribed or published.
    pub(super) spoke: AtomicBool,
    /// Notified when it must go.
    pub(super) leave: Notify,
}

/// A client that is connected.
#[derive(Debug)]
pub(super) struct Client {
    /// Tells connections of the same name apart.
    pub(super) number: u64,
    pub(super) id: String,
    /// Whether this is the aggregator's own connection.
    pub(super) owner: bool,
    pub(super) guest: Arc<Guest>,
    /// Closed when it is gone for good, its last will published.
    pub(super) gone: Semaphore,
    room: Arc<Semaphore>,
    /// Room beside that for the protocol's own topics: what else is published cannot keep a fleet from publishing.
    reserve: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    queue: Mutex<Queue>,
    ready: Notify,
    /// Bytes that it has taken.
    taken: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    answers: VecDeque<Outgoing>,
    /// Topics for which something waits, in the order in which they are served.
    turns: VecDeque<Arc<str>>,
    waiting: HashMap<Arc<str>, VecDeque<Delivery>>,
    /// A bit for each packet id that is not acknowledged yet.
    in_flight: u64,
    bytes: usize,
}

impl Client {
    pub(super) fn new(id: String, owner: bool, guest: Arc<Guest>) -> Self {
        Client {
            number: guest.number,
            id,
            owner,
            guest,
            gone: Semaphore::new(0),
            room: Arc::new(Semaphore::new(if owner { MEMORY / 2 } else { QUEUE })),
            reserve: Arc::new(Semaphore::new(QUEUE)),
            answers: Arc::new(Semaphore::new(ANSWERS)),
            queue: Mutex::default(),
            ready: Notify::new(),
            taken: AtomicU64::new(0),
        }
    }

    /// Queues a message as soon as there is room, in `PATIENCE` at a time; none if the client is gone. What is of the
    /// `protocol` has room of its own.
    pub(super) async fn deliver(&self, message: Arc<Message>, qos: QoS, protocol: bool) {
        let Some(place) = self.place(message.payload.len() + OVERHEAD, protocol).await else { return };
        self.push(Delivery { message, qos, retained: false, _place: Some(place) });
    }

    /// Queues what is retained, whether there is room or not: see [`Client::settle`].
    pub(super) fn deliver_retained(&self, message: Arc<Message>, qos: QoS) {
        self.push(Delivery { message, qos, retained: true, _place: None });
    }

    /// Waits until no more than half of the queue is taken by what was retained.
    pub(super) async fn settle(&self) {
        while self.backlog() > QUEUE / 2 && !self.room.is_closed() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Queues an answer before all messages, and beside their room: what a client has published is acknowledged
    /// although it does not keep up with what it receives.
    pub(super) async fn answer(&self, packet: &Packet) {
        let Ok(place) = self.answers.clone().acquire_owned().await else { return };
        self.queue().answers.push_back(Outgoing::Answer { bytes: encode(packet), _place: place });
        self.ready.notify_one();
    }

    /// What is to be written next.
    pub(super) async fn next(&self) -> Outgoing {
        loop {
            if let Some(outgoing) = self.queue().pop() {
                return outgoing;
            }
            self.ready.notified().await;
        }
    }

    /// Something was written.
    pub(super) fn took(&self, outgoing: &Outgoing) {
        let bytes = match outgoing {
            Outgoing::Answer { bytes, .. } => bytes.len(),
            Outgoing::Message { delivery, .. } => delivery.message.payload.len() + OVERHEAD,
        };
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The client has a message.
    pub(super) fn acknowledged(&self, packet_id: u16) {
        if let Some(bit) = packet_id.checked_sub(1).and_then(|number| 1_u64.checked_shl(number.into())) {
            self.queue().in_flight &= !bit;
            self.ready.notify_one();
        }
    }

    /// Bytes that wait.
    pub(super) fn backlog(&self) -> usize {
        self.queue().bytes
    }

    /// Ends the connection; whoever waits for room goes on.
    pub(super) fn cut(&self) {
        self.room.close();
        self.guest.leave.notify_one();
    }

    /// A place in the queue. Whoever keeps others waiting must take something.
    async fn place(&self, bytes: usize, protocol: bool) -> Option<OwnedSemaphorePermit> {
        if protocol && let Ok(place) = self.reserve.clone().try_acquire_many_owned(bytes as u32) {
            return Some(place);
        }
        let acquire = self.room.clone().acquire_many_owned(bytes as u32);
        pin!(acquire);
        loop {
            let before = self.taken.load(Ordering::Relaxed);
            if let Ok(place) = timeout(PATIENCE, &mut acquire).await {
                return place.ok();
            }
            let taken = self.taken.load(Ordering::Relaxed) - before;
            if taken < LEAST_TAKEN && !self.owner && !self.room.is_closed() {
                warn!(
                    "the broker disconnects {:?}: {} MiB wait for it, and it took {} KiB in {} s",
                    self.id,
                    self.backlog() >> 20,
                    taken >> 10,
                    PATIENCE.as_secs()
                );
                self.cut();
            }
        }
    }

    fn push(&self, delivery: Delivery) {
        self.queue().push(delivery);
        self.ready.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, delivery: Delivery) {
        self.bytes += delivery.message.payload.len() + OVERHEAD;
        let topic = delivery.message.topic.clone();
        let waiting = self.waiting.entry(topic.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_back(topic);
        }
        waiting.push_back(delivery);
    }

    /// Answers first, then one message of each topic in turn, as long as not all packet ids are in use.
    fn pop(&mut self) -> Option<Outgoing> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let free = (!self.in_flight).trailing_zeros();
        if free == u64::BITS {
            return None;
        }
        let topic = self.turns.pop_front()?;
        let waiting = self.waiting.get_mut(&topic)?;
        let delivery = waiting.pop_front()?;
        if waiting.is_empty() {
            self.waiting.remove(&topic);
        } else {
            self.turns.push_back(topic);
        }
        self.bytes -= delivery.message.payload.len() + OVERHEAD;
        let mut packet_id = 0;
        if delivery.qos == QoS::AtLeastOnce {
            self.in_flight |= 1 << free;
            packet_id = free as u16 + 1;
        }
        Some(Outgoing::Message { delivery, packet_id })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(topic: &str, text: &'static str) -> Arc<Message> {
        Arc::new(Message { topic: topic.into(), payload: Bytes::from_static(text.as_bytes()), _charge: None })
    }

    fn client() -> Client {
        Client::new("test".to_owned(), false, Arc::default())
    }

    fn next(client: &Client) -> Option<(&'static str, u16)> {
        match client.queue().pop()? {
            Outgoing::Message { delivery, packet_id } => {
                Some((String::from_utf8(delivery.message.payload.to_vec()).unwrap().leak(), packet_id))
            }
            Outgoing::Answer { .. } => Some(("answer", 0)),
        }
    }

    #[tokio::test]
    async fn topics_are_served_in_turn_and_each_in_order() {
        let client = client();
        for (topic, text) in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")] {
            client.deliver(message(topic, text), QoS::AtMostOnce, false).await;
        }
        client.answer(&Packet::PingResp).await;
        let served: Vec<_> = std::iter::from_fn(|| next(&client)).map(|(text, _)| text).collect();
        assert_eq!(served, ["answer", "a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!(client.backlog(), 0);
    }

    #[tokio::test]
    async fn no_more_than_64_messages_are_on_their_way_unacknowledged() {
        let client = client();
        for _ in 0..100 {
            client.deliver(message("a", "x"), QoS::AtLeastOnce, true).await;
        }
        let ids: Vec<u16> = std::iter::from_fn(|| next(&client)).map(|(_, id)| id).collect();
        assert_eq!(ids, (1..=64).collect::<Vec<_>>());
        client.acknowledged(17);
        // Of what was never sent.
        [0, 65, u16::MAX].into_iter().for_each(|id| client.acknowledged(id));
        assert_eq!((next(&client), next(&client)), (Some(("x", 17)), None));
    }

    #[tokio::test]
    async fn what_is_not_of_the_protocol_leaves_it_its_room() {
        let client = client();
        let payload = Bytes::from(vec![0; 1 << 20]);
        let junk = || Arc::new(Message { topic: "junk".into(), payload: payload.clone(), _charge: None });
        let soon = Duration::from_millis(20);
        while timeout(soon, client.deliver(junk(), QoS::AtLeastOnce, false)).await.is_ok() {}
        for _ in 0..100 {
            timeout(soon, client.deliver(message("a", "x"), QoS::AtLeastOnce, true)).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_others_waiting_and_takes_nothing_is_cut_but_never_the_owner() {
        let waits = |owner| async move {
            let client = Client::new("slow".to_owned(), owner, Arc::default());
            let payload = Bytes::from(vec![0; 1 << 20]);
            let large = Arc::new(Message { topic: "a".into(), payload, _charge: None });
            for _ in 0..MEMORY >> 20 {
                if timeout(PATIENCE * 5, client.deliver(large.clone(), QoS::AtLeastOnce, false))
                    .await
                    .is_err()
                {
                    return (client.backlog(), client.room.is_closed());
                }
            }
            (client.backlog(), client.room.is_closed())
        };
        let (backlog, cut) = waits(false).await;
        assert!(cut && backlog <= QUEUE, "{backlog}");
        let (backlog, cut) = waits(true).await;
        assert!(!cut && backlog <= MEMORY / 2, "{backlog}");
    }
}
