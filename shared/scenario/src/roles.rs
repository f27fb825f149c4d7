//! Which devices do what: drawn from the seed, so that every bench and both ends agree without a message.

use std::collections::{BTreeMap, BTreeSet};

use learning::random::{Purpose, stream};
use rand::Rng;
use rand::seq::index::sample;
use wire::identity::DeviceId;

use super::Scenario;
use crate::attacks::{Attacked, Crafting, Models, Needs};
use input::chosen::Chosen;

impl Scenario {
    /// All devices.
    pub fn devices(&self) -> impl Iterator<Item = DeviceId> + use<> {
        (0..self.fleet.devices).map(DeviceId)
    }

    /// The compromised devices if there is an attack, else none: a seeded draw over the whole fleet, since the first
    /// devices would all be of the first label groups.
    pub fn attackers(&self) -> BTreeSet<DeviceId> {
        if self.attack.kind.is_none() {
            return BTreeSet::new();
        }
        let mut random = stream(self.seed, Purpose::Compromise, None, 0);
        draw(&mut random, self.fleet.devices, self.fleet.compromised)
    }

    /// The devices that are to take part in `round`.
    pub fn selection(&self, round: u32) -> BTreeSet<DeviceId> {
        let selected = self.selected();
        if selected == self.fleet.devices {
            return self.devices().collect();
        }
        let mut random = stream(self.seed, Purpose::Selection, None, round);
        draw(&mut random, self.fleet.devices, selected)
    }

    /// What compromised devices are to craft from in `round`; `None` if they craft nothing then.
    pub fn crafted_from(&self, round: u32) -> Option<Models> {
        let needs = self.needs();
        if needs == Needs::Nothing || !self.attack_rounds().contains(round) {
            return None;
        }
        let colluders = self.attackers().intersection(&self.selection(round)).count() as u32;
        let benign = if needs == Needs::Everyone { self.selected() - colluders } else { 0 };
        Some(Models { colluders, benign })
    }

    /// The attack on `round`, of whose models those of `devices` are known, in ascending order, some of them `attackers`.
    /// `None` if there is none that crafts, or they are not enough for it.
    pub fn crafting(
        &self,
        round: u32,
        devices: Vec<DeviceId>,
        attackers: &BTreeSet<DeviceId>,
    ) -> Option<Crafting<'_>> {
        let attacked = Attacked {
            seed: self.seed,
            rule: &*self.aggregation.rule,
            byzantine: self.byzantine() as usize,
            selected: self.selected() as usize,
        };
        Crafting::of(&**self.attack.kind.as_ref()?, attacked, round, devices, attackers)
    }

    /// How many devices take part in a round.
    pub fn selected(&self) -> u32 {
        self.fleet.selected
    }

    /// How many compromised devices the aggregator assumes.
    pub fn byzantine(&self) -> u32 {
        self.aggregation.byzantine
    }

    /// What compromised devices must know before they can craft; nothing where there is no attack.
    pub fn needs(&self) -> Needs {
        self.attack.kind.as_ref().map_or(Needs::Nothing, |attack| attack.needs())
    }

    /// What does not come with Outpost of all that is chosen here, and where it comes from.
    pub fn extensions(&self) -> BTreeMap<String, String> {
        let rule = self.aggregation.rule.extension();
        let optimizer = self.optimizer.as_ref().and_then(Chosen::extension);
        let stages = self.defense.iter().filter_map(Chosen::extension);
        let attack = self.attack.kind.as_ref().and_then(Chosen::extension);
        let partition = self.fleet.partition.as_ref().and_then(Chosen::extension);
        let data = [self.dataset.extension(), partition, self.model.extension()];
        data.into_iter().flatten().chain(rule).chain(optimizer).chain(stages).chain(attack).collect()
    }

    /// Whether the global model is evaluated after `round`: every so many rounds, and after the last.
    pub fn evaluates(&self, round: u32) -> bool {
        round.is_multiple_of(self.evaluation.every) || round == self.rounds
    }

    /// The rounds in which the compromised devices attack.
    pub fn attack_rounds(&self) -> AttackRounds {
        AttackRounds { seed: self.seed, fraction: self.attack.round_fraction }
    }
}

/// The rounds in which the compromised devices attack: each on its own draw, so that all devices agree on a round
/// without a word and without regard to earlier ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttackRounds {
    seed: u64,
    fraction: f64,
}

impl AttackRounds {
    /// Whether `round` is one of them.
    pub fn contains(&self, round: u32) -> bool {
        stream(self.seed, Purpose::AttackRounds, None, round).random::<f64>() < self.fraction
    }
}

fn draw(random: &mut learning::random::Stream, devices: u32, count: u32) -> BTreeSet<DeviceId> {
    sample(random, devices as usize, count as usize).iter().map(|index| DeviceId(index as u32)).collect()
}
