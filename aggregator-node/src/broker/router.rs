//! Who receives what, what is retained, and what may lie in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::{Publish, QoS, SubscribeFilter, SubscribeReasonCode};
use tokio::pin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{debug, warn};
use wire::{MAX_MESSAGE_BYTES, Topic};

use super::client::{Client, Guest, Message, OVERHEAD};
use super::topics::{MAX_NAME, is_filter, is_wild, matches};
use super::{MAX_KEPT_STATUS, MEMORY, OWNERS, PATIENCE, Settings};

/// How long all may wait for memory until the client with the longest queue is disconnected.
const SHORTAGE: Duration = Duration::from_secs(5);
/// Filters with wildcards of all clients together; each message is held against each.
const MAX_WILD: usize = 1024;

/// Filters of a client beside one for each device.
const FILTERS: usize = 64;

/// What all connections share.
pub(super) struct Router {
    settings: Settings,
    memory: Arc<Semaphore>,
    /// The part of the memory that is the aggregator's: what it publishes must not wait for what it has yet to take.
    owners: Arc<Semaphore>,
    last_cut: Mutex<Option<Instant>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    clients: HashMap<String, Session>,
    /// Receivers by filter without wildcards, each by the number of its connection.
    exact: HashMap<String, BTreeMap<u64, Receiver>>,
    wild: BTreeMap<(u64, String), Receiver>,
    retained: BTreeMap<Arc<str>, Arc<Message>>,
}

struct Session {
    client: Arc<Client>,
    filters: HashSet<String>,
}

#[derive(Clone)]
struct Receiver {
    client: Arc<Client>,
    qos: QoS,
}

impl Router {
    pub(super) fn new(settings: Settings) -> Self {
        Router {
            settings,
            memory: Arc::new(Semaphore::new(MEMORY - OWNERS)),
            owners: Arc::new(Semaphore::new(OWNERS)),
            last_cut: Mutex::new(None),
            state: Mutex::default(),
        }
    }

    /// Charges for `bytes` as soon as they are free.
    pub(super) async fn charge(&self, bytes: usize, owner: bool) -> OwnedSemaphorePermit {
        let account = if owner { &self.owners } else { &self.memory };
        let acquire = account.clone().acquire_many_owned((bytes + OVERHEAD) as u32);
        pin!(acquire);
        loop {
            match timeout(SHORTAGE, &mut acquire).await {
                Ok(charge) => return charge.expect("the account is never closed"),
                Err(_) => self.cut_the_longest_queue(),
            }
        }
    }

    /// Lets a client in, in place of an earlier one of the same name, whose last will is published before; `None` if the
    /// one of that name came later.
    pub(super) async fn enter(&self, id: &str, guest: Arc<Guest>) -> Option<Arc<Client>> {
        let number = guest.number;
        let id = if id.is_empty() { format!("anonymous-{number}") } else { id.to_owned() };
        let owner = id == self.settings.owner;
        let client = Arc::new(Client::new(id, owner, guest));
        loop {
            let predecessor = {
                let mut state = self.state();
                match state.clients.get(&client.id) {
                    Some(session) if session.client.number > number => return None,
                    Some(session) => session.client.clone(),
                    None => {
                        let session = Session { client: client.clone(), filters: HashSet::new() };
                        state.clients.insert(client.id.clone(), session);
                        return Some(client);
                    }
                }
            };
            predecessor.cut();
            // An error, for it is closed.
            if timeout(PATIENCE, predecessor.gone.acquire()).await.is_err() {
                self.state().forget(&predecessor);
            }
        }
    }

    /// A client is gone.
    pub(super) async fn leave(&self, client: &Client, last_will: Option<(Publish, OwnedSemaphorePermit)>) {
        client.cut();
        let filters: Vec<String> = self.state().filters(client).cloned().collect();
        self.unsubscribe(client, filters);
        if let Some((publish, charge)) = last_will {
            self.publish(publish, charge).await;
        }
        self.state().forget(client);
        client.gone.close();
    }

    /// Subscribes, and queues what is retained. Must be followed by [`Client::settle`].
    pub(super) fn subscribe(
        &self,
        client: &Arc<Client>,
        filters: Vec<SubscribeFilter>,
    ) -> Vec<SubscribeReasonCode> {
        let mut state = self.state();
        filters.into_iter().map(|filter| self.subscribe_to(&mut state, client, filter)).collect()
    }

    fn subscribe_to(
        &self,
        state: &mut State,
        client: &Arc<Client>,
        filter: SubscribeFilter,
    ) -> SubscribeReasonCode {
        let SubscribeFilter { path, qos } = filter;
        let qos = if qos == QoS::AtMostOnce { qos } else { QoS::AtLeastOnce };
        let most = self.settings.devices as usize + FILTERS;
        let wild = is_wild(&path);
        let full = wild && state.wild.len() >= MAX_WILD && !client.owner;
        let Some(session) = state.clients.get_mut(&client.id) else { return SubscribeReasonCode::Failure };
        if !is_filter(&path)
            || path.len() > MAX_NAME
            || full
            || (session.filters.len() >= most && !client.owner && !session.filters.contains(&path))
        {
            debug!("the broker denies {:?} the filter {path:?}", client.id);
            return SubscribeReasonCode::Failure;
        }
        session.filters.insert(path.clone());
        let receiver = Receiver { client: client.clone(), qos };
        if wild {
            for (topic, message) in &state.retained {
                if matches(&path, topic) {
                    client.deliver_retained(message.clone(), qos);
                }
            }
            state.wild.insert((client.number, path), receiver);
        } else {
            if let Some(message) = state.retained.get(path.as_str()) {
                client.deliver_retained(message.clone(), qos);
            }
            state.exact.entry(path).or_default().insert(client.number, receiver);
        }
        SubscribeReasonCode::Success(qos)
    }

    pub(super) fn unsubscribe(&self, client: &Client, filters: Vec<String>) {
        let mut state = self.state();
        for filter in filters {
            if let Some(session) = state.clients.get_mut(&client.id).filter(|session| session.is_of(client)) {
                session.filters.remove(&filter);
            }
            state.remove(client, filter);
        }
    }

    /// Retains a message, if that is asked for, and returns when all receivers have it in their queues.
    pub(super) async fn publish(&self, publish: Publish, charge: OwnedSemaphorePermit) {
        let topic: Arc<str> = publish.topic.into();
        // Not a part of what else was read with it.
        let payload = Bytes::copy_from_slice(&publish.payload);
        let receivers = {
            let mut state = self.state();
            if publish.retain {
                self.retain(&mut state, &topic, &payload);
            }
            state.receivers(&topic)
        };
        let protocol = self.is_of_the_protocol(&topic);
        let message = Arc::new(Message { topic, payload, _charge: Some(charge) });
        for Receiver { client, qos } in receivers {
            client.deliver(message.clone(), qos, protocol).await;
        }
    }

    /// Whether that is one of the fleet's topics.
    fn is_of_the_protocol(&self, topic: &str) -> bool {
        use Topic::{Ask, Collusion, Inbox, Model, Round, Status, Update};
        match self.settings.topics.parse(topic) {
            Some(Round | Model) => true,
            Some(Status(device) | Update(device) | Ask(device) | Inbox(device) | Collusion(device)) => {
                device.0 < self.settings.devices
            }
            None => false,
        }
    }

    /// Retains what the protocol retains; anything else is for those who listen now.
    fn retain(&self, state: &mut State, topic: &Arc<str>, payload: &Bytes) {
        let most = match self.settings.topics.parse(topic) {
            Some(Topic::Round) => MAX_MESSAGE_BYTES,
            Some(Topic::Status(device)) if device.0 < self.settings.devices => MAX_KEPT_STATUS,
            _ => 0,
        };
        if payload.is_empty() {
            state.retained.remove(topic);
        } else if payload.len() <= most {
            let message = Message { topic: topic.clone(), payload: payload.clone(), _charge: None };
            state.retained.insert(topic.clone(), Arc::new(message));
        } else {
            debug!("the broker does not retain {} bytes of {topic:?}", payload.len());
        }
    }

    /// Where memory is short, who takes nothing must go, one at a time.
    fn cut_the_longest_queue(&self) {
        let mut last_cut = self.last_cut.lock().unwrap_or_else(PoisonError::into_inner);
        if last_cut.is_some_and(|last| last.elapsed() < SHORTAGE) {
            return;
        }
        let state = self.state();
        let clients = state.clients.values().map(|session| &session.client).filter(|client| !client.owner);
        let longest = clients.map(|client| (client.backlog(), client)).max_by_key(|(backlog, _)| *backlog);
        if let Some((backlog @ 1.., client)) = longest {
            *last_cut = Some(Instant::now());
            warn!(
                "the broker's memory is full; it disconnects {:?}, for which {} KiB wait",
                client.id,
                backlog >> 10
            );
            client.cut();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages that are retained, and bytes that are charged.
    #[cfg(test)]
    pub(super) fn load(&self) -> (usize, usize) {
        let free = self.memory.available_permits() + self.owners.available_permits();
        (self.state().retained.len(), MEMORY - free)
    }
}

impl Session {
    fn is_of(&self, client: &Client) -> bool {
        self.client.number == client.number
    }
}

impl State {
    /// What a client has subscribed to.
    fn filters(&self, client: &Client) -> impl Iterator<Item = &String> {
        let session = self.clients.get(&client.id).filter(|session| session.is_of(client));
        session.into_iter().flat_map(|session| &session.filters)
    }

    /// Ends a session.
    fn forget(&mut self, client: &Client) {
        let filters: Vec<String> = self.filters(client).cloned().collect();
        filters.into_iter().for_each(|filter| self.remove(client, filter));
        if self.clients.get(&client.id).is_some_and(|session| session.is_of(client)) {
            self.clients.remove(&client.id);
        }
    }

    /// Ends a subscription.
    fn remove(&mut self, client: &Client, filter: String) {
        if let Some(receivers) = self.exact.get_mut(&filter) {
            receivers.remove(&client.number);
            if receivers.is_empty() {
                self.exact.remove(&filter);
            }
        }
        self.wild.remove(&(client.number, filter));
    }

    /// Who receives what is published on `topic`, each once.
    fn receivers(&self, topic: &str) -> Vec<Receiver> {
        let mut receivers = self.exact.get(topic).cloned().unwrap_or_default();
        for ((number, filter), receiver) in &self.wild {
            if matches(filter, topic) {
                let known = receivers.entry(*number).or_insert_with(|| receiver.clone());
                if receiver.qos == QoS::AtLeastOnce {
                    known.qos = QoS::AtLeastOnce;
                }
            }
        }
        receivers.into_values().collect()
    }
}
