//! What a device sends and when: a state machine without socket, clock or randomness of its own.
//!
//! ```text
//!                  announcement                      all chunks                    trained
//!   (waiting) ───────────────────► Fetching ─────────────────────► Training ──────────────────┐
//!       ▲                          asks for what is missing                                   │
//!       │                                                     ┌───────────────────────────────┤
//!       │                                          colludes   ▼                               │ honest
//!       │                                         Colluding: before-attack model to the leader│
//!       │                                                     │ crafted, or out of time       │
//!       │   next announcement                                 ▼                               │
//!       └──────────────────────────────────────────────── Delivered ◄─────────────────────────┘
//!                                                         kept in the outbox until its receipt
//! ```
//!
//! Events go in through [`Agent::handle`], actions come out. The loop that drives an agent carries its publications out in
//! order, runs [`Job`]s on a [`Worker`](crate::worker::Worker) and feeds the [`Outcome`]s back, and sends an
//! [`Event::Tick`] at [`Agent::wake_at`].

mod accomplices;
mod announcements;
mod collusion;
mod exchange;
mod long_waits;
mod outbox;
mod presence;
mod round;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use accomplices::Collusion;
use collusion::PIECES_QUIET;
use outbox::Outbox;
use presence::Presence;
use round::{Held, Round};
use scenario::Scenario;
use scenario::attack_record::{AttackEvent, AttackStep};
use scenario::attacks::Needs;
use tracing::{debug, warn};
use wire::identity::{DeviceId, Digest, RunId};
use wire::{
    Assembler, Hardware, Kind, Limits, Message, Millis, Missing, Payload, Publication, Receipt, Telemetry,
    Topic, Topics,
};

use crate::worker::{Job, Outcome};

/// What happens to a device.
pub type Event<'a> = wire::Event<'a, Outcome>;

/// What a device wants done.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "actions are few, and carried out at once")]
pub enum Action {
    /// Subscribe to a topic filter.
    Subscribe(String),
    /// Publish.
    Publish(Publication),
    /// Compute, and report back with [`Event::Done`].
    Compute(Job),
    /// Tell whoever runs the experiment, and nobody else, of a part in the attack: before what follows is published.
    Report(AttackEvent),
    /// Nothing more will come: disconnect.
    Leave(Farewell),
}

/// Why a device leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The run is over.
    Finished,
    /// Another process of the same device has been up longer.
    DuplicateId,
    /// What its attack or its training keeps cannot be kept.
    Lost(String),
}

/// Who a device is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The device.
    pub device: DeviceId,
    /// Drawn anew by each process.
    pub boot: u64,
    /// Digest of its shard.
    pub shard: Digest,
    /// Number of examples in it.
    pub examples: u32,
    /// What it runs on.
    pub hardware: Box<Hardware>,
}

/// One device.
#[derive(Debug)]
pub struct Agent {
    me: Identity,
    topics: Topics,
    scenario: Digest,
    /// Number of parameters (d).
    dimension: usize,
    presence: Presence,
    outbox: Outbox,
    incoming: Assembler,
    /// Whether the attack, if there is one, is this device's.
    is_compromised: bool,
    /// Set on compromised devices whose attack needs others.
    collusion: Option<Collusion>,
    /// Whether an attacker with full knowledge reads this device's updates.
    is_tapped: bool,
    /// Who is drawn for a round, and which are attacked.
    plan: Scenario,
    run: Option<RunId>,
    /// Start of the aggregator that was last heard; an earlier one's words are stale.
    term: u64,
    /// The last global model that arrived whole.
    model: Option<(Digest, Arc<[f32]>)>,
    round: Option<Round>,
    /// An update of an earlier round that an attack holds back for longer than its round lasted.
    overdue: Option<Held>,
    /// The round and the model of the update that an attack sends again.
    replayed: Option<(u32, Arc<[f32]>)>,
    /// When it was last remarked that something is waited for in vain.
    remarked: Option<Millis>,
    /// The run about whose other scenario the log has been told.
    foreign: Option<RunId>,
}

impl Agent {
    /// A device that has just been switched on at `now`; `dimension` is the model's number of parameters.
    pub fn new(me: Identity, topics: Topics, scenario: &Scenario, dimension: usize, now: Millis) -> Self {
        let digest = scenario.digest();
        let attackers = scenario.attackers();
        let needs = scenario.needs();
        let is_compromised = attackers.contains(&me.device);
        let colludes = is_compromised && needs > Needs::Nothing;
        let limits = transfer_limits(dimension, attackers.len() + 2);
        Agent {
            presence: Presence::new(&me, &topics, digest, now),
            is_tapped: needs == Needs::Everyone && !is_compromised,
            collusion: colludes
                .then(|| Collusion::new(&me, attackers, needs, dimension, scenario.fleet.devices)),
            is_compromised,
            plan: scenario.clone(),
            outbox: Outbox::default(),
            incoming: Assembler::new(limits),
            scenario: digest,
            me,
            topics,
            dimension,
            run: None,
            term: 0,
            model: None,
            round: None,
            overdue: None,
            replayed: None,
            remarked: None,
            foreign: None,
        }
    }

    /// The same device, whose data are not those of the scenario: it answers the roll call with `why`, and waits for the end.
    #[must_use]
    pub fn with_unfit_data(mut self, why: &str) -> Self {
        self.presence.unfit(why);
        self
    }

    /// What the broker is to publish if this device vanishes.
    pub fn last_will(&self) -> Publication {
        self.presence.offline()
    }

    /// Takes an event at `now` and says what to do, in order.
    pub fn handle(&mut self, now: Millis, event: Event<'_>) -> Vec<Action> {
        let mut out = Vec::new();
        self.presence.now(now);
        match event {
            Event::Connected => self.connected(now, &mut out),
            Event::Message { topic, payload, retained } => {
                self.message(now, topic, payload, retained, &mut out);
            }
            Event::Disconnected => self.presence.disconnected(now),
            Event::Done(outcome) => self.done(now, outcome, &mut out),
            Event::Tick => self.tick(now, &mut out),
        }
        out
    }

    /// The board was read at `now`.
    pub fn measured(&mut self, now: Millis, telemetry: Telemetry) {
        self.presence.now(now);
        self.presence.measured(telemetry);
    }

    /// At `now` the board's clock shows `unix`, in seconds since 1970; it may be set at any time.
    pub fn set_time(&mut self, now: Millis, unix: u64) {
        self.presence.now(now);
        self.presence.set_time(unix);
    }

    /// When the next [`Event::Tick`] is due; `None` while there is nothing to wait for.
    pub fn wake_at(&self) -> Option<Millis> {
        let round = self.round.as_ref().and_then(Round::wake_at);
        let exchange = self.collusion.as_ref().and_then(Collusion::wake_at);
        let pieces = self.collusion.as_ref().and_then(|_| self.incoming.next_stall(PIECES_QUIET));
        let overdue = self.overdue.as_ref().map(Held::due);
        let others = [self.outbox.wake_at(), self.presence.wake_at(), self.remark_at(), overdue];
        [round, exchange, pieces].into_iter().chain(others).flatten().min()
    }

    /// What this device would leave if it left now; `None` while it has a part in no run.
    pub fn unfinished(&self) -> Option<String> {
        let run = self.run?;
        let place = match &self.round {
            Some(round) if round.is_open() => {
                format!("in round {}, whose update is not delivered", round.call.round)
            }
            Some(round) => format!("after its part in round {}", round.call.round),
            None => "before its first round".to_owned(),
        };
        Some(format!("run {run}, which is not over, {place}"))
    }

    fn connected(&mut self, now: Millis, out: &mut Vec<Action>) {
        let me = self.me.device;
        for topic in [Topic::Status(me), Topic::Inbox(me), Topic::Model] {
            out.push(Action::Subscribe(self.topics.name(topic)));
        }
        if let Some(collusion) = &mut self.collusion {
            out.extend(collusion.subscriptions(&self.topics).into_iter().map(Action::Subscribe));
        }
        if self.is_tapped {
            out.push(Action::Subscribe(self.topics.name(Topic::Collusion(me))));
        }
        // Last, so that what answers an announcement finds its way here.
        out.push(Action::Subscribe(self.topics.name(Topic::Round)));
        self.presence.connected(now);
        out.push(Action::Publish(self.presence.online(now)));
        self.outbox.probe(now, out);
    }

    fn message(
        &mut self,
        now: Millis,
        topic: &str,
        payload: &Payload,
        retained: bool,
        out: &mut Vec<Action>,
    ) {
        let message = match payload.message() {
            Ok(message) => message,
            // An empty payload is how a retained message is deleted.
            Err(_) if payload.is_empty() => return,
            Err(error) => return debug!("{topic}: ignored: {error}"),
        };
        let me = self.me.device;
        match (self.topics.parse(topic), message) {
            (Some(Topic::Round), Message::Announcement(announcement)) => {
                self.announcement(now, announcement, retained, out);
            }
            (Some(Topic::Inbox(device)), Message::Announcement(announcement)) if device == me => {
                self.announcement(now, announcement, false, out);
            }
            (Some(Topic::Model), Message::Chunk(chunk)) => self.model_chunk(now, chunk.clone(), out),
            (Some(Topic::Inbox(device)), message) if device == me => match message {
                Message::Chunk(chunk) => self.model_chunk(now, chunk.clone(), out),
                Message::Missing(missing) => self.asked(now, missing, out),
                Message::Receipt(receipt) => self.receipt(receipt),
                _ => debug!("{topic}: not for an inbox"),
            },
            (Some(Topic::Status(device)), Message::Status(status)) if device == status.device => {
                if device == me {
                    self.presence.heard(now, status, retained, out);
                } else {
                    self.accomplice_status(now, status, out);
                }
            }
            (Some(Topic::Update(device)), Message::Chunk(chunk)) => self.tapped(now, device, chunk, out),
            (Some(Topic::Collusion(device)), message) if device == me => match message {
                Message::Missing(missing) if self.is_tapped => self.outbox.answer_tap(now, missing, out),
                Message::Chunk(chunk) => self.collusion_chunk(now, chunk.clone(), out),
                Message::Missing(missing) => self.asked(now, missing, out),
                Message::Receipt(receipt) => self.receipt(receipt),
                _ => debug!("{topic}: not for colluders"),
            },
            _ => debug!("{topic}: a message that does not belong there"),
        }
    }

    fn done(&mut self, now: Millis, outcome: Outcome, out: &mut Vec<Action>) {
        match outcome {
            Outcome::Trained(trained) => {
                self.presence.trained(trained.telemetry);
                self.trained(now, trained, out);
            }
            Outcome::Crafted { round, models, from, gave_up } => {
                self.tell(round, AttackStep::Crafted { from, gave_up }, out);
                self.crafted(now, round, models, out);
            }
            Outcome::Failed { round, what } => self.failed(now, round, &what, out),
            Outcome::Lost(what) => out.push(Action::Leave(Farewell::Lost(what))),
        }
    }

    fn tell(&self, round: u32, what: AttackStep, out: &mut Vec<Action>) {
        out.push(Action::Report(AttackEvent { device: self.me.device, round, what }));
    }

    fn tick(&mut self, now: Millis, out: &mut Vec<Action>) {
        self.outbox.remind(now, out);
        self.ask_for_model(now, out);
        self.ask_accomplices(now, out);
        self.stop_colluding(now, out);
        self.send_held(now, out);
        self.craft_if_ready(now, out);
        self.remark_on_long_wait(now);
        self.presence.tell_news(now, out);
    }

    fn asked(&mut self, now: Millis, missing: &Missing, out: &mut Vec<Action>) {
        self.outbox.answer(now, missing, out);
    }

    fn receipt(&mut self, receipt: &Receipt) {
        let Receipt { id, refused } = receipt;
        let mine = self.outbox.settle(id) && id.kind == Kind::Update;
        match refused {
            Some(reason) => self.trouble(&format!("{id}: refused: {reason}")),
            None if mine => self.presence.delivered(id.round),
            None => {}
        }
    }

    /// Something went wrong that this device survives: for the log, and for whoever looks at its status.
    fn trouble(&mut self, what: &str) {
        warn!("{what}");
        self.presence.went_wrong(what);
    }
}

/// Room for `transfers` transfers of a model of d parameters at a time.
fn transfer_limits(dimension: usize, transfers: usize) -> Limits {
    let one = wire::content_limit(dimension);
    Limits { max_transfer_bytes: one, max_sender_bytes: transfers * one, max_total_bytes: transfers * one }
}
