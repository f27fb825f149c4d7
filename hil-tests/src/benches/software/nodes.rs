//! A participant: its state machine, its worker, and what has arrived for it.

use std::sync::Arc;

use aggregator_node::machine::{self, Failure, Machine};
use edge_client::agent::{self, Agent};
use edge_client::memory::MemoryError;
use record::RoundRecord;
use scenario::attack_record::AttackEvent;
use scenario::remembered::Remembered;
use wire::identity::RunId;
use wire::{Event, Millis, Payload, Publication};

/// A message that has arrived.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) topic: Arc<str>,
    /// Shared by all that it was sent to.
    pub(super) payload: Arc<Payload>,
    pub(super) retained: bool,
}

/// What a participant asks of the rest of the world.
pub(super) enum Effect {
    Subscribe(String),
    Unsubscribe(String),
    Publish(Publication),
    Record {
        record: RoundRecord,
        global: Arc<[f32]>,
        remembered: Arc<Remembered>,
    },
    Finish(Result<(), Failure>),
    /// For the record of its round.
    Report(AttackEvent),
    Leave,
}

/// What has happened to a participant since it last acted.
#[derive(Default)]
pub(super) struct Inbox {
    connected: bool,
    deliveries: Vec<Delivery>,
}

/// A participant's place.
pub(super) trait Node {
    /// What comes of what is computed here.
    type Outcome;

    fn inbox(&mut self) -> &mut Inbox;

    /// When it next acts by itself.
    fn due(&self) -> Option<Millis>;

    /// Takes an event, computes what is to be computed, and says what it wants.
    fn take(&mut self, now: Millis, event: Event<'_, Self::Outcome>, effects: &mut Vec<Effect>);

    /// Takes what has arrived, and says what it wants.
    fn act(&mut self, now: Millis) -> Vec<Effect> {
        let ticks = self.due().is_some_and(|due| due <= now);
        let mut effects = Vec::new();
        let Inbox { connected, deliveries } = std::mem::take(self.inbox());
        if connected {
            self.take(now, Event::Connected, &mut effects);
        }
        for Delivery { topic, payload, retained } in deliveries {
            let event = Event::Message { topic: &topic, payload: &payload, retained };
            self.take(now, event, &mut effects);
        }
        if ticks {
            self.take(now, Event::Tick, &mut effects);
        }
        effects
    }

    /// The broker is there from the start.
    fn connect(&mut self) {
        self.inbox().connected = true;
    }

    fn receive(&mut self, delivery: Delivery) {
        self.inbox().deliveries.push(delivery);
    }
}

/// A device's place.
pub(super) struct DeviceNode {
    agent: Agent,
    worker: edge_client::worker::Worker,
    inbox: Inbox,
    left: bool,
}

impl DeviceNode {
    pub(super) fn new(agent: Agent, worker: edge_client::worker::Worker) -> Self {
        DeviceNode { agent, worker, inbox: Inbox::default(), left: false }
    }

    /// The momentum that the device begins `round` with.
    pub(super) fn momentum(&self, run: RunId, round: u32) -> Result<Option<Arc<[f32]>>, MemoryError> {
        self.worker.momentum(run, round)
    }
}

impl Node for DeviceNode {
    type Outcome = edge_client::worker::Outcome;

    fn inbox(&mut self) -> &mut Inbox {
        &mut self.inbox
    }

    fn due(&self) -> Option<Millis> {
        if self.left { None } else { self.agent.wake_at() }
    }

    fn take(&mut self, now: Millis, event: agent::Event<'_>, effects: &mut Vec<Effect>) {
        if self.left {
            return;
        }
        for action in self.agent.handle(now, event) {
            match action {
                agent::Action::Subscribe(filter) => effects.push(Effect::Subscribe(filter)),
                agent::Action::Publish(publication) => effects.push(Effect::Publish(publication)),
                agent::Action::Compute(job) => {
                    let outcome = self.worker.perform(job);
                    self.take(now, Event::Done(outcome), effects);
                }
                agent::Action::Report(event) => effects.push(Effect::Report(event)),
                agent::Action::Leave(_) => {
                    self.left = true;
                    effects.push(Effect::Leave);
                }
            }
        }
    }
}

/// The aggregator's place.
pub(super) struct AggregatorNode {
    machine: Machine,
    worker: aggregator_node::worker::Worker,
    inbox: Inbox,
}

impl AggregatorNode {
    pub(super) fn new(machine: Machine, worker: aggregator_node::worker::Worker) -> Self {
        AggregatorNode { machine, worker, inbox: Inbox::default() }
    }
}

impl Node for AggregatorNode {
    type Outcome = aggregator_node::worker::Outcome;

    fn inbox(&mut self) -> &mut Inbox {
        &mut self.inbox
    }

    fn due(&self) -> Option<Millis> {
        // It waits for nothing before it is connected: the time of devices stands still.
        if self.inbox.connected { Some(Millis(0)) } else { self.machine.wake_at() }
    }

    fn take(&mut self, now: Millis, event: machine::Event<'_>, effects: &mut Vec<Effect>) {
        for action in self.machine.handle(now, event) {
            match action {
                machine::Action::Subscribe(filter) => effects.push(Effect::Subscribe(filter)),
                machine::Action::Unsubscribe(filter) => effects.push(Effect::Unsubscribe(filter)),
                machine::Action::Publish(publication) => effects.push(Effect::Publish(publication)),
                machine::Action::Record { record, global, remembered } => {
                    effects.push(Effect::Record { record, global, remembered });
                }
                // There are no boards.
                machine::Action::Describe { .. } => {}
                machine::Action::Finish(result) => effects.push(Effect::Finish(result)),
                machine::Action::Take { round, update } => self.worker.take(round, &update),
                machine::Action::Compute(job) => {
                    let outcome = self.worker.perform(job);
                    self.take(now, Event::Done(outcome), effects);
                }
            }
        }
    }
}
