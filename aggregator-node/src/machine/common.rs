//! What all phases share; it knows none of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use scenario::Scenario;
use scenario::defense::TooFewUpdates;
use scenario::remembered::Remembered;
use wire::identity::{DeviceId, Digest, RunId};
use wire::{Assembler, Limits, Millis, Refusal, Topics, TransferId, content_limit};

use super::Start;
use super::budgets::Budgets;
use super::ledger::Ledger;
use super::roster::Roster;
use super::traffic::Traffic;

/// A run, as every phase of it finds and leaves it.
pub(super) struct Common {
    pub(super) scenario: Arc<Scenario>,
    pub(super) digest: Digest,
    pub(super) topics: Topics,
    pub(super) run: RunId,
    pub(super) term: u64,
    /// The round that was called last.
    pub(super) round: u32,
    /// Rounds that an earlier process recorded. What became of the updates of the last of them, that one knew.
    pub(super) finished_before: u32,
    pub(super) global: Arc<[f32]>,
    /// What rule and stages have kept for later rounds.
    pub(super) remembered: Arc<Remembered>,
    /// When the event happened that is being handled, in the run's own time (`clock.rs`).
    pub(super) now: Millis,
    pub(super) roster: Roster,
    pub(super) budgets: Budgets,
    /// For how long nothing can arrive at most before it is known that the connection is dead.
    pub(super) silence: Millis,
    /// Whether the topics of devices are subscribed to one by one.
    pub(super) one_by_one: bool,
    pub(super) ledger: Ledger,
    /// Updates that have not arrived whole; kept for a round that is called anew.
    pub(super) incoming: Assembler,
    /// What became of the updates of this and the last few rounds.
    pub(super) verdicts: BTreeMap<TransferId, Option<Refusal>>,
    pub(super) traffic: Traffic,
}

/// Who of the next round's selection is here and may take part, in ascending order.
pub(super) struct Present {
    pub(super) devices: Vec<DeviceId>,
    /// How many others of it have shown themselves Byzantine: they flood, or were refused again and again.
    pub(super) known_byzantine: usize,
}

impl Common {
    pub(super) fn new(scenario: Arc<Scenario>, topics: Topics, start: Start, now: Millis) -> Self {
        let one = content_limit(start.global.len());
        let devices = scenario.fleet.devices as usize;
        let limits = Limits {
            max_transfer_bytes: one,
            // An update and the one it replaces.
            max_sender_bytes: 2 * one,
            max_total_bytes: (2 * one).saturating_mul(devices),
        };
        Common {
            digest: scenario.digest(),
            roster: Roster::new(&scenario, &start),
            budgets: Budgets::new(devices, start.global.len(), now),
            silence: Millis(0),
            one_by_one: false,
            ledger: Ledger::default(),
            incoming: Assembler::new(limits),
            verdicts: BTreeMap::new(),
            traffic: Traffic::new(devices),
            run: start.run,
            term: start.term,
            round: start.finished,
            finished_before: start.finished,
            global: start.global,
            remembered: start.remembered,
            now,
            topics,
            scenario,
        }
    }

    pub(super) fn present(&self) -> Present {
        let selection = self.scenario.selection(self.round + 1);
        let mut known_byzantine = self.roster.refused_of_late(&selection);
        let mut devices = self.roster.present(&selection);
        devices.retain(|&device| {
            let muted = self.budgets.is_muted(Some(device));
            known_byzantine += usize::from(muted);
            !muted
        });
        Present { devices, known_byzantine }
    }
    /// With how many fewer Byzantine devices the rule can take the updates of those who are `present`.
    pub(super) fn enough(&self, present: &Present) -> Result<u32, TooFewUpdates> {
        self.scenario.fewer_byzantine(present.devices.len(), present.known_byzantine)
    }

    /// The connection is there, perhaps again: the broker may have announced that all have left before it ended.
    pub(super) fn await_all_of_late(&mut self) {
        // Before the first round of this process nobody has taken part: the whole fleet is waited for.
        if self.round > self.finished_before {
            self.roster.wait_for_all_of_late();
        }
    }
}
