//! The rounds of a run: a state machine without socket, clock or randomness of its own.
//!
//! ```text
//!            all devices, or enough when time is up         all selected answered, or the deadline
//!   Gather ────────────────────────────────────► Collect ────────────────────────────────────► Aggregate
//!     ▲                                          ▲     ▲                                          │
//!     │ too few online for the rule, or awaited  │     │ next round              the global model │
//!     └──────────────────────────────────────────┤     │                                          ▼
//!                                                └─────┴──────────────── record ◄───────────── Evaluate
//!                                                                          │ last round   (when it is due)
//!                                                                          ▼
//!                                                                        Part ── all have left ──► Over
//! ```
//!
//! From Collect it goes back to Gather where the connection turns out to have ended as the round was opened.
//!
//! Events go in through [`Machine::handle`], actions come out. Whoever drives it carries them out in order (the
//! record of a round is on disk before the next round is called), runs [`Job`]s on a
//! [`Worker`](crate::worker::Worker), and sends [`Event::Tick`] when [`Machine::wake_at`] has come.
//!
//! | phase | file | leaves when |
//! |---|---|---|
//! | Gather | `gather.rs` | every device answered the roll call, or time is up and the rule can work |
//! | Collect | `collect.rs`, opened by `announce.rs` | every selected device has a verdict, or the deadline; or it is called anew (`gather.rs`) |
//! | Aggregate | `aggregate.rs` | the worker has the new global model, or there is none to be had |
//! | Evaluate | `evaluate.rs` | the worker has the test error, if this round is to be evaluated |
//! | Part | `conclude.rs` | every device has heard that the run is over and left, or time is up |
//! | Over | `conclude.rs` | never |
//!
//! Whatever a device sends is charged to its account (`budgets.rs`; one that floods is not listened to, `listening.rs`),
//! checked in `validate.rs`, and what is refused is entered in the `ledger.rs`. Time is the run's own (`clock.rs`).
//!
//! # Memory
//! Of a fleet of n devices that train d parameters, with u = 4 d + 256 the bytes of an update, the machine holds at most
//! 2 n u of unfinished transfers, n u of accepted updates, 2 u of the global model and its encoding, and for each device
//! some 16 KiB of verdicts, answers and refusals that it remembers, whatever anybody sends.

mod aggregate;
mod announce;
mod budgets;
mod clock;
mod collect;
mod conclude;
mod evaluate;
mod gather;
mod ledger;
mod listening;
mod roster;
#[cfg(test)]
mod tests;
mod traffic;
mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;

use budgets::Budgets;
use clock::Clock;
use collect::Collect;
use evaluate::Closed;
use gather::Gather;
use learning::data::ShardEntry;
use ledger::Ledger;
use record::RoundRecord;
use roster::Roster;
use scenario::Scenario;
use scenario::remembered::Remembered;
use traffic::Traffic;
use wire::identity::{DeviceId, Digest, RunId};
use wire::{
    Assembler, Hardware, Limits, Millis, Payload, Publication, Refusal, Topics, TransferId, content_limit,
};

use crate::worker::{Job, Outcome};

/// What happens to the aggregator.
#[derive(Debug)]
pub enum Event<'a> {
    /// The broker was reached; nothing is subscribed yet.
    Connected,
    /// The broker was lost.
    Disconnected,
    /// A message arrived.
    Message {
        /// Topic.
        topic: &'a str,
        /// Payload.
        payload: &'a Payload,
        /// Whether it was lying at the broker.
        retained: bool,
    },
    /// A job is done.
    Done(Outcome),
    /// The time of [`Machine::wake_at`] has come.
    Tick,
}

/// What the aggregator wants done.
#[derive(Debug)]
pub enum Action {
    /// Subscribe to a topic filter.
    Subscribe(String),
    /// Take a subscription back.
    Unsubscribe(String),
    /// Publish.
    Publish(Publication),
    /// Take an accepted update to where it will be aggregated, if that is elsewhere; nothing is reported back.
    Take {
        /// The round.
        round: u32,
        /// The update, length d.
        update: Arc<[f32]>,
    },
    /// Compute, and report back with [`Event::Done`].
    Compute(Job),
    /// Keep what a device says that it is, from the next round on; it may have said the same before.
    Describe {
        /// The device.
        device: DeviceId,
        /// Version of its client.
        version: String,
        /// What it runs on.
        hardware: Box<Hardware>,
    },
    /// Write a finished round down.
    Record {
        /// What happened; `seconds` is left for the driver, who has the clock.
        record: RoundRecord,
        /// The global model after the round.
        global: Arc<[f32]>,
        /// What rule and stages keep for later rounds.
        remembered: Arc<Remembered>,
    },
    /// Nothing more will come.
    Finish(Result<(), Failure>),
}

/// Why a run cannot go on. What is recorded stays; the run can be resumed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Too few devices for the rule.
    #[error(
        "only {online} of {devices} devices are online after {seconds} s, and {reason}; start more of them, or \
         raise timing.gather-seconds"
    )]
    TooFew {
        /// Devices online.
        online: usize,
        /// Devices of the fleet.
        devices: u32,
        /// How long was waited.
        seconds: u32,
        /// What the rule says to that.
        reason: String,
    },
    /// What rules are computed on failed, as a GPU may.
    #[error("round {round}: {what}; run it again to go on from the round before")]
    Backend {
        /// The round.
        round: u32,
        /// How.
        what: String,
    },
    /// The global model could not be evaluated.
    #[error("round {round}: the global model cannot be evaluated: {what}")]
    Evaluation {
        /// The round.
        round: u32,
        /// Why.
        what: String,
    },
}

/// Where a run starts from.
#[derive(Clone, Debug)]
pub struct Start {
    /// The run.
    pub run: RunId,
    /// Grows with every start of the aggregator within a run, so that devices recognise stale words.
    pub term: u64,
    /// Rounds that are already recorded.
    pub finished: u32,
    /// The global model after them, length d.
    pub global: Arc<[f32]>,
    /// What rule and stages have kept of them.
    pub remembered: Arc<Remembered>,
    /// What those trained on whose updates these rounds hold.
    pub trained_on: BTreeMap<DeviceId, ShardEntry>,
    /// What each device should train on, if somebody knows; otherwise its first word counts.
    pub listed: Option<BTreeMap<DeviceId, ShardEntry>>,
}

/// The aggregator's side of a run.
pub struct Machine {
    scenario: Arc<Scenario>,
    digest: Digest,
    topics: Topics,
    run: RunId,
    term: u64,
    /// The round that was called last; recorded once the phase is `Gather` or `Over`.
    round: u32,
    /// Rounds that an earlier process recorded. What became of the updates of the last of them, that one knew.
    finished_before: u32,
    global: Arc<[f32]>,
    remembered: Arc<Remembered>,
    clock: Clock,
    roster: Roster,
    budgets: Budgets,
    /// For how long nothing can arrive at most before it is known that the connection is dead.
    silence: Millis,
    /// Whether the topics of devices are subscribed to one by one.
    one_by_one: bool,
    ledger: Ledger,
    incoming: Assembler,
    /// What became of the updates of this and the last few rounds.
    verdicts: BTreeMap<TransferId, Option<Refusal>>,
    traffic: Traffic,
    phase: Phase,
}

enum Phase {
    Gather(Gather),
    Collect(Box<Collect>),
    Aggregate(Closed),
    Evaluate(Closed),
    /// Until when is waited for devices to leave.
    Part(Millis),
    Over,
}

impl Machine {
    /// The machine of a run that begins, or goes on, at `now`.
    pub fn new(scenario: Arc<Scenario>, topics: Topics, start: Start, now: Millis) -> Self {
        let one = content_limit(start.global.len());
        let devices = scenario.fleet.devices as usize;
        let limits = Limits {
            max_transfer_bytes: one,
            // An update and the one it replaces.
            max_sender_bytes: 2 * one,
            max_total_bytes: (2 * one).saturating_mul(devices),
        };
        Machine {
            digest: scenario.digest(),
            roster: Roster::new(&scenario, &start),
            clock: Clock::stopped(now),
            budgets: Budgets::new(devices, start.global.len(), now),
            silence: Millis(0),
            one_by_one: false,
            ledger: Ledger::default(),
            incoming: Assembler::new(limits),
            verdicts: BTreeMap::new(),
            traffic: Traffic::new(devices),
            phase: Phase::Gather(Gather::begin(now, &scenario)),
            run: start.run,
            term: start.term,
            round: start.finished,
            finished_before: start.finished,
            global: start.global,
            remembered: start.remembered,
            topics,
            scenario,
        }
    }

    /// The roll is complete without `devices`, which take part all the same should they come.
    pub fn expect_without(&mut self, devices: &[DeviceId]) {
        self.roster.expect_without(devices);
    }

    /// A connection that is dead without a word is known to be after `silence` at the latest; by default at once.
    pub fn assume_silence(&mut self, silence: Millis) {
        self.silence = silence;
    }

    /// Takes an event at `now` and says what to do, in order.
    pub fn handle(&mut self, now: Millis, event: Event<'_>) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Connected => self.clock.go_on(now),
            Event::Disconnected => self.clock.stop(now),
            _ => {}
        }
        let now = self.clock.shows(now);
        for sender in self.budgets.hear_again(now) {
            self.listen_again_to(sender, &mut out);
        }
        match event {
            Event::Connected => self.connected(now, &mut out),
            Event::Message { topic, payload, retained } => {
                self.traffic.up(payload.len() as u64);
                if let Phase::Collect(collect) = &mut self.phase {
                    collect.hears();
                }
                self.message(now, topic, payload, retained, &mut out);
            }
            Event::Done(Outcome::Aggregated { round, result, unusable }) => {
                self.aggregated(now, round, result, &unusable, &mut out);
            }
            Event::Done(Outcome::BackendFailed { round, what }) => {
                self.finish(Err(Failure::Backend { round, what }), &mut out);
            }
            Event::Done(Outcome::Evaluated { round, result }) => self.evaluated(now, round, result, &mut out),
            Event::Disconnected | Event::Tick => {}
        }
        self.advance(now, &mut out);
        for action in &out {
            if let Action::Publish(publication) = action {
                self.traffic.down(publication.payload.len() as u64);
            }
        }
        out
    }

    /// When the next [`Event::Tick`] is due; `None` while a job is computed, and while the broker is away: until it is
    /// back, the time of devices stands still (`clock.rs`).
    pub fn wake_at(&self) -> Option<Millis> {
        let due = match &self.phase {
            Phase::Gather(gather) => Some(gather.wake_at()),
            Phase::Collect(collect) => self.collect_wakes_at(collect),
            Phase::Part(until) => Some(*until),
            Phase::Aggregate(_) | Phase::Evaluate(_) | Phase::Over => None,
        };
        self.clock.when(due.into_iter().chain(self.budgets.wakes_at()).min()?)
    }

    /// The global model as it stands.
    pub fn global(&self) -> &Arc<[f32]> {
        &self.global
    }

    fn connected(&mut self, now: Millis, out: &mut Vec<Action>) {
        self.listen(out);
        self.await_all_who_took_part(now);
        self.speak_up(now, out);
    }

    fn advance(&mut self, now: Millis, out: &mut Vec<Action>) {
        match &self.phase {
            Phase::Gather(_) => self.gather(now, out),
            Phase::Collect(_) => self.collect(now, out),
            Phase::Part(until) => self.part(now, *until, out),
            Phase::Aggregate(_) | Phase::Evaluate(_) | Phase::Over => {}
        }
    }
}
