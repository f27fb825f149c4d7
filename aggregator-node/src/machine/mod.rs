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
//! Collect leads back to Gather if the connection turns out to have ended as the round was opened. A failure leads from any
//! phase to Over.
//!
//! Events go in through [`Machine::handle`], actions come out. The loop that drives the machine carries them out in order
//! (the record of a round is on disk before the next round is called), runs [`Job`]s on a
//! [`Worker`](crate::worker::Worker), and sends an [`Event::Tick`] at [`Machine::wake_at`].
//!
//! | phase | file | leaves when |
//! |---|---|---|
//! | Gather | `gather.rs` | every device answered the roll call, or time is up and the rule can work |
//! | Collect | `collect.rs` | every selected device has a verdict, or the deadline; or it is called anew |
//! | Aggregate | `aggregate.rs` | the worker has the new global model, or reports that the round makes none |
//! | Evaluate | `evaluate.rs` | the worker has the test error, if this round is to be evaluated |
//! | Part | `part.rs` | every device has heard that the run is over and left, or time is up |
//! | Over | | never |
//!
//! A phase is a struct that owns its data; its fields are private to its file. What all phases share is passed to them
//! (`common.rs`) and knows none of them. A phase returns what is to be done and whether it is over, with what the next phase
//! needs: a closed round is passed on until it is recorded (`conclude.rs`). Only the functions of `Phase` in this file decide
//! which phase follows: each takes the old phase and returns the new one.
//!
//! Whatever a device sends is charged to its account (`budgets.rs`; the machine does not listen to one that floods,
//! `listening.rs`) and checked in `validate.rs`; refusals are entered in `ledger.rs`. Time is the run's own (`clock.rs`).
//!
//! # Memory
//! For a fleet of n devices that train d parameters, with u = 4 d + 256 the bytes of an update, the machine holds at most
//! 2 n u of unfinished transfers, n u of accepted updates, 2 u of the global model and its encoding, and for each device
//! some 16 KiB of verdicts, answers and refusals, whatever it is sent. What rule and stages keep is held in addition, twice.

mod aggregate;
mod announce;
mod budgets;
mod clock;
mod collect;
mod common;
mod conclude;
mod evaluate;
mod gather;
mod ledger;
mod listening;
mod part;
mod roster;
#[cfg(test)]
mod tests;
mod traffic;
mod validate;

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use aggregate::Aggregate;
use clock::Clock;
use collect::Collect;
use common::Common;
use conclude::Closed;
use evaluate::Evaluate;
use gather::Gather;
use learning::data::ShardEntry;
use part::Part;
use record::RoundRecord;
use scenario::Scenario;
use scenario::remembered::Remembered;
use validate::Heard;
use wire::identity::{DeviceId, RunId};
use wire::{Hardware, Millis, Publication, Refusal, Topics};

use crate::worker::{Job, Outcome};

/// What happens to the aggregator.
pub type Event<'a> = wire::Event<'a, Outcome>;

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
    /// What each device should train on, if there is a list; otherwise its first status counts.
    pub listed: Option<BTreeMap<DeviceId, ShardEntry>>,
}

/// The aggregator's side of a run.
pub struct Machine {
    clock: Clock,
    common: Common,
    phase: Phase,
}

impl Machine {
    /// The machine of a run that begins, or goes on, at `now`.
    pub fn new(scenario: Arc<Scenario>, topics: Topics, start: Start, now: Millis) -> Self {
        let common = Common::new(scenario, topics, start, now);
        Machine { clock: Clock::stopped(now), phase: Phase::Gather(Gather::begin(&common)), common }
    }

    /// The roll is complete without `devices`, which take part all the same should they come.
    pub fn expect_without(&mut self, devices: &[DeviceId]) {
        self.common.roster.expect_without(devices);
    }

    /// A connection that is dead without a word is known to be after `silence` at the latest; by default at once.
    pub fn assume_silence(&mut self, silence: Millis) {
        self.common.silence = silence;
    }

    /// Takes an event at `now` and says what to do, in order.
    pub fn handle(&mut self, now: Millis, event: Event<'_>) -> Vec<Action> {
        let (common, mut out) = (&mut self.common, Vec::new());
        match event {
            Event::Connected => self.clock.go_on(now),
            Event::Disconnected => self.clock.stop(now),
            _ => {}
        }
        common.now = self.clock.shows(now);
        common.listen_again(&mut out);
        let phase = mem::replace(&mut self.phase, Phase::Over);
        let phase = match event {
            Event::Connected => phase.connected(common, &mut out),
            Event::Message { topic, payload, retained } => {
                let heard = common.message(topic, payload, retained, &mut out);
                phase.hears(common, heard, &mut out)
            }
            Event::Done(outcome) => phase.done(common, outcome, &mut out),
            Event::Disconnected | Event::Tick => phase,
        };
        self.phase = phase.advance(common, &mut out);
        for action in &out {
            if let Action::Publish(publication) = action {
                common.traffic.down(publication.payload.len() as u64);
            }
        }
        out
    }

    /// When the next [`Event::Tick`] is due; `None` while a job is computed, and while the broker is away: until it is
    /// back, the time of devices stands still (`clock.rs`).
    pub fn wake_at(&self) -> Option<Millis> {
        let due = match &self.phase {
            Phase::Gather(gather) => Some(gather.wake_at()),
            Phase::Collect(collect) => collect.wake_at(&self.common),
            Phase::Part(part) => Some(part.wake_at()),
            Phase::Aggregate(_) | Phase::Evaluate(_) | Phase::Over => None,
        };
        self.clock.when(due.into_iter().chain(self.common.budgets.wakes_at()).min()?)
    }

    /// The global model as it stands.
    #[cfg(test)]
    fn global(&self) -> &Arc<[f32]> {
        &self.common.global
    }
}

enum Phase {
    Gather(Gather),
    Collect(Box<Collect>),
    Aggregate(Aggregate),
    Evaluate(Evaluate),
    Part(Part),
    Over,
}

/// The transitions.
impl Phase {
    /// After every event.
    fn advance(self, common: &mut Common, out: &mut Vec<Action>) -> Phase {
        match self {
            Phase::Gather(mut gather) => match gather.advance(common, out) {
                None => Phase::Gather(gather),
                Some(Ok(present)) => Phase::Collect(Collect::open(common, present, out).into()),
                Some(Err(failure)) => Phase::over(Err(failure), out),
            },
            Phase::Collect(collect) if collect.is_over(common) => {
                let (closed, updates) = collect.close(common);
                if closed.is_enough(common) {
                    Phase::Aggregate(Aggregate::begin(common, closed, updates, out))
                } else {
                    Phase::after_aggregation(common, closed, out)
                }
            }
            Phase::Collect(mut collect) => {
                collect.advance(common, out);
                Phase::Collect(collect)
            }
            Phase::Part(part) if part.is_over(common) => Phase::over(Ok(()), out),
            phase => phase,
        }
    }

    /// The worker has done its job.
    fn done(self, common: &mut Common, outcome: Outcome, out: &mut Vec<Action>) -> Phase {
        match (self, outcome) {
            (Phase::Aggregate(aggregate), Outcome::Aggregated { round, result, unusable })
                if round == common.round =>
            {
                let closed = aggregate.aggregated(common, result, &unusable);
                Phase::after_aggregation(common, closed, out)
            }
            (Phase::Evaluate(evaluate), Outcome::Evaluated { round, result }) if round == common.round => {
                match evaluate.evaluated(round, result) {
                    Ok(closed) => Phase::after_round(common, closed, out),
                    Err(failure) => Phase::over(Err(failure), out),
                }
            }
            (_, Outcome::BackendFailed { round, what }) => {
                Phase::over(Err(Failure::Backend { round, what }), out)
            }
            (phase, Outcome::Aggregated { .. } | Outcome::Evaluated { .. }) => phase,
        }
    }

    /// The broker was reached, perhaps again: it may have forgotten where the run stands.
    fn connected(self, common: &mut Common, out: &mut Vec<Action>) -> Phase {
        common.listen(out);
        common.await_all_of_late();
        match self {
            Phase::Gather(mut gather) => {
                gather.call_now(common.now);
                Phase::Gather(gather)
            }
            Phase::Collect(collect) if collect.is_void(common) => {
                common.round -= 1;
                Phase::Gather(Gather::for_return(common))
            }
            Phase::Collect(mut collect) => {
                collect.goes_on(common, out);
                Phase::Collect(collect)
            }
            Phase::Part(part) => {
                Part::announce(common, out);
                Phase::Part(part)
            }
            phase => phase,
        }
    }

    /// Something arrived; only an open round takes updates.
    fn hears(mut self, common: &mut Common, heard: Option<Heard<'_>>, out: &mut Vec<Action>) -> Phase {
        match (&mut self, heard) {
            (Phase::Collect(collect), heard) => collect.hear(common, heard, out),
            (Phase::Gather(_), Some(Heard::Update(device, chunk)))
                if common.is_about_to_be_called(device, &chunk.id) => {}
            (_, Some(Heard::Update(device, chunk))) => {
                let late = (Refusal::Late, "an update after the deadline");
                common.may_send(device, chunk.id, Err(late), out);
            }
            (_, _) => {}
        }
        self
    }

    /// There is a new global model, or the last one stays.
    fn after_aggregation(common: &mut Common, closed: Closed, out: &mut Vec<Action>) -> Phase {
        if common.scenario.evaluates(common.round) {
            Phase::Evaluate(Evaluate::begin(common, closed, out))
        } else {
            Phase::after_round(common, closed, out)
        }
    }

    /// The round is to be recorded. The next is opened; or the roll called, if too few are here for the rule or some are
    /// awaited.
    fn after_round(common: &mut Common, closed: Closed, out: &mut Vec<Action>) -> Phase {
        closed.conclude(common, out);
        if common.round == common.scenario.rounds {
            return Phase::Part(Part::begin(common, out));
        }
        let present = common.present();
        let gather = if common.enough(&present).is_err() {
            Gather::begin(common)
        } else if common.roster.all_awaited_are_here() {
            return Phase::Collect(Collect::open(common, present, out).into());
        } else {
            Gather::for_return(common)
        };
        Phase::Gather(gather).advance(common, out)
    }

    fn over(result: Result<(), Failure>, out: &mut Vec<Action>) -> Phase {
        out.push(Action::Finish(result));
        Phase::Over
    }
}
