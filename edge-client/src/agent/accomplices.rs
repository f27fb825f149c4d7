//! What a compromised device knows of its accomplices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use learning::parameters::first_not_finite;
use scenario::attacks::Needs;
use tracing::debug;
use wire::identity::{DeviceId, Digest, RunId};
use wire::{Assembler, Kind, Millis, Missing, RoundCall, Status, Topic, Topics, TransferId};

use super::exchange::{Exchange, Progress};
use super::{Identity, transfer_limits};

/// How long no update may come in before those that have not come are asked for.
pub(super) const ASKING_PAUSE: Millis = Millis(2_000);
/// Of so many devices at most at a time: those that still train cannot answer, and there may be thousands of them.
const MAX_ASKED_AT_A_TIME: usize = 64;

/// The accomplices of a compromised device, and what it holds of theirs.
#[derive(Debug)]
pub(super) struct Collusion {
    me: DeviceId,
    pub(super) attackers: BTreeSet<DeviceId>,
    /// The process of each accomplice that is online, by its boot id where that has been heard; this one is.
    online: BTreeMap<DeviceId, Option<u64>>,
    pub(super) gone: BTreeSet<DeviceId>,
    pub(super) needs: Needs,
    dimension: usize,
    /// Reassembles the updates of benign devices that a leader listens in on.
    pub(super) tap: Assembler,
    /// Whether it listens in. Followers do not: that would cost every one of them everybody's updates.
    listens: bool,
    /// By round: an accomplice may be faster than the announcement.
    pub(super) exchanges: BTreeMap<u32, Exchange>,
    pub(super) round: u32,
    /// When the leader crafts from what it has.
    pub(super) craft_at: Option<Millis>,
    /// When the leader asks for updates that have not come.
    pub(super) ask_at: Option<Millis>,
}

impl Collusion {
    pub(super) fn new(
        me: &Identity,
        attackers: BTreeSet<DeviceId>,
        needs: Needs,
        dimension: usize,
        devices: u32,
    ) -> Self {
        let tapped = if needs == Needs::Everyone { devices as usize } else { 1 };
        Collusion {
            me: me.device,
            attackers,
            online: BTreeMap::from([(me.device, Some(me.boot))]),
            gone: BTreeSet::new(),
            needs,
            dimension,
            tap: Assembler::new(transfer_limits(dimension, 2 * tapped)),
            listens: false,
            exchanges: BTreeMap::new(),
            round: 0,
            craft_at: None,
            ask_at: None,
        }
    }

    /// Its own topic, the accomplices' presence, and (leading under full knowledge) everybody's updates.
    pub(super) fn subscriptions(&mut self, topics: &Topics) -> Vec<String> {
        let others = self.attackers.iter().filter(|device| **device != self.me);
        let mut filters: Vec<_> = others.map(|device| topics.name(Topic::Status(*device))).collect();
        filters.push(topics.name(Topic::Collusion(self.me)));
        // Nobody else can lead while the first of them is here.
        self.listens |= self.needs == Needs::Everyone && self.attackers.first() == Some(&self.me);
        filters.extend(self.listens.then(|| topics.every_update()));
        filters
    }

    /// The filter to subscribe to if this device leads, must hear everybody, and does not yet.
    pub(super) fn listen(&mut self, topics: &Topics) -> Option<String> {
        let due = self.needs == Needs::Everyone && self.leader() == self.me && !self.listens;
        self.listens |= due;
        due.then(|| topics.every_update())
    }

    pub(super) fn open(&mut self, now: Millis, call: &RoundCall) {
        self.round = call.round;
        self.craft_at = None;
        self.ask_at = (self.needs == Needs::Everyone).then_some(now + ASKING_PAUSE);
        self.exchanges.retain(|round, _| *round >= call.round);
        self.tap.forget_rounds_before(call.round);
        // Whoever is selected has been online for the aggregator: a status that was lost on its way here.
        let here = call.selected.iter().filter(|device| self.attackers.contains(device));
        for device in here.filter(|device| !self.gone.contains(device)) {
            self.online.entry(*device).or_default();
        }
    }

    pub(super) fn forget_rounds(&mut self) {
        self.round = 0;
        (self.craft_at, self.ask_at) = (None, None);
        self.exchanges.clear();
        self.tap.forget_rounds_before(u32::MAX);
    }

    pub(super) fn wake_at(&self) -> Option<Millis> {
        let ask_at = self.ask_at.filter(|_| self.leader() == self.me);
        self.craft_at.into_iter().chain(ask_at).min()
    }

    /// Updates of the round that `call` opened of which the leader lacks all or a part; none when it has them all or has
    /// crafted without.
    pub(super) fn lacking(&self, run: RunId, call: &RoundCall) -> Vec<Missing> {
        let unknown = Exchange::default();
        let exchange = self.exchanges.get(&call.round).unwrap_or(&unknown);
        if exchange.progress == Progress::Crafted {
            return Vec::new();
        }
        let lacks =
            |device: &&DeviceId| !self.attackers.contains(device) && !exchange.benign.contains_key(device);
        // Its digest, too, is what has not come: nobody has one of zeros.
        let all_of = |device: &DeviceId| {
            let blake3 = Digest([0; 32]);
            let id = TransferId { run, round: call.round, kind: Kind::Update, device: Some(*device), blake3 };
            Missing { id, chunks: Vec::new() }
        };
        let missing = |device| self.tap.missing_of(device, call.round).unwrap_or_else(|| all_of(device));
        call.selected.iter().filter(lacks).take(MAX_ASKED_AT_A_TIME).map(missing).collect()
    }

    pub(super) fn leader(&self) -> DeviceId {
        self.online.keys().next().copied().unwrap_or(self.me)
    }

    /// Takes the status of an accomplice. True if it has been started again: it knows nothing any more.
    pub(super) fn enter(&mut self, status: &Status) -> bool {
        let device = status.device;
        let boot = self.online.get(&device).copied().flatten();
        let other = boot.is_some_and(|boot| boot != status.boot);
        if status.online {
            self.online.insert(device, Some(status.boot));
            self.gone.remove(&device);
        } else if !other {
            self.online.remove(&device);
            self.gone.insert(device);
        }
        status.online && other
    }

    /// Whether `round` is this one or the next: nobody can be further ahead.
    pub(super) fn is_near(&self, round: u32) -> bool {
        round.checked_sub(self.round).is_some_and(|ahead| ahead <= 1)
    }

    /// The exchange of `round`, if that is near.
    pub(super) fn exchange(&mut self, round: u32) -> Option<&mut Exchange> {
        self.is_near(round).then(|| self.exchanges.entry(round).or_default())
    }

    /// Keeps the model of `device` for crafting, if it can be of use.
    pub(super) fn keep(&mut self, id: &TransferId, device: DeviceId, values: Arc<[f32]>) {
        if values.len() != self.dimension || first_not_finite(&values).is_some() {
            return debug!("{device}: unusable models are left out");
        }
        let benign = id.kind == Kind::Update;
        if let Some(exchange) = self.exchange(id.round) {
            let models = if benign { &mut exchange.benign } else { &mut exchange.before_attack };
            models.entry(device).or_insert(values);
        }
    }
}
