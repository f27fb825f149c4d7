//! What compromised devices did in a round.
//!
//! The bench that runs the devices reports it. It never goes over the wire: the aggregator of a real fleet would have to take
//! an attacker's word for it.

use serde::{Deserialize, Serialize};
use wire::identity::DeviceId;

use crate::Scenario;
use crate::attacks::Models;

/// Something that a compromised device did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackEvent {
    /// The device.
    pub device: DeviceId,
    /// The round.
    pub round: u32,
    /// What it did.
    pub what: AttackStep,
}

/// What a compromised device can do in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttackStep {
    /// It crafted models for all.
    Crafted {
        /// What from.
        from: Models,
        /// The attack found nothing that would do better than what they trained.
        gave_up: bool,
    },
    /// It sent what was crafted for it.
    SentCrafted,
    /// It sent what it honestly trained.
    SentTrained,
}

/// The attack on one round, where models are crafted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackRecord {
    /// The models that the scenario means them to be crafted from.
    pub meant: Models,
    /// Who crafted, and what from; more than one if the leader went or came back meanwhile.
    pub crafted: Vec<Crafted>,
    /// Compromised devices that sent what they honestly trained.
    pub fell_back: Vec<DeviceId>,
    /// Compromised devices that sent nothing.
    pub silent: Vec<DeviceId>,
}

/// Models were crafted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crafted {
    /// By this device, for all.
    pub leader: DeviceId,
    /// What from.
    pub from: Models,
    /// The attack found nothing that would do better than what they trained, and sent that out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gave_up: bool,
}

impl AttackRecord {
    /// The attack on `round` by all that compromised devices did in it; `None` if none is to be crafted then.
    pub fn of(scenario: &Scenario, round: u32, events: &[AttackEvent]) -> Option<Self> {
        let meant = scenario.crafted_from(round)?;
        let of_round = || events.iter().filter(|event| event.round == round);
        let crafted = of_round().filter_map(|event| match event.what {
            AttackStep::Crafted { from, gave_up } => Some(Crafted { leader: event.device, from, gave_up }),
            AttackStep::SentCrafted | AttackStep::SentTrained => None,
        });
        // What a device sent last counts: a round may have been called again.
        let sent = |device: DeviceId| {
            let mut own = of_round().filter(|event| event.device == device).map(|event| event.what);
            own.rfind(|what| !matches!(what, AttackStep::Crafted { .. }))
        };
        let selection = scenario.selection(round);
        let who = |what| {
            let attackers = scenario.attackers().into_iter().filter(|device| selection.contains(device));
            attackers.filter(|device| sent(*device) == what).collect()
        };
        Some(AttackRecord {
            meant,
            crafted: crafted.collect(),
            fell_back: who(Some(AttackStep::SentTrained)),
            silent: who(None),
        })
    }

    /// Whether every compromised device of the round sent what was crafted from all that the scenario means.
    pub fn is_as_meant(&self) -> bool {
        let whole = !self.crafted.is_empty() && self.crafted.iter().all(|crafted| crafted.from == self.meant);
        self.fell_back.is_empty() && self.silent.is_empty() && (whole || self.meant.colluders == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = "name = \"a\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 3\n\
                            [fleet]\ndevices = 6\ncompromised = 2\n[aggregation]\nrule = \"median\"\n";

    fn scenario(settings: &[&str]) -> Scenario {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        Scenario::parse("a.toml", SCENARIO, &settings).unwrap()
    }

    /// The record of round 2 of `scenario`, of what the compromised devices did, by rank.
    fn record(scenario: &Scenario, events: &[(usize, AttackStep)]) -> AttackRecord {
        let attackers: Vec<_> = scenario.attackers().into_iter().collect();
        let event =
            |&(rank, what): &(usize, AttackStep)| AttackEvent { device: attackers[rank], round: 2, what };
        AttackRecord::of(scenario, 2, &events.iter().map(event).collect::<Vec<_>>()).unwrap()
    }

    fn crafted(colluders: u32, benign: u32) -> AttackStep {
        AttackStep::Crafted { from: Models { colluders, benign }, gave_up: false }
    }

    #[test]
    fn an_attack_is_as_meant_if_all_send_what_was_crafted_from_everything() {
        use AttackStep::{SentCrafted, SentTrained};
        let scenario = scenario(&["attack.kind=trimmed-mean"]);
        let attackers: Vec<_> = scenario.attackers().into_iter().collect();
        let whole = record(&scenario, &[(0, crafted(2, 0)), (0, SentCrafted), (1, SentCrafted)]);
        assert!(whole.is_as_meant(), "{whole:?}");
        let late = record(&scenario, &[(0, crafted(1, 0)), (0, SentCrafted), (1, SentTrained)]);
        assert_eq!((late.is_as_meant(), &late.fell_back[..]), (false, &attackers[1..]));
        let less = record(&scenario, &[(0, crafted(1, 0)), (0, SentCrafted), (1, SentCrafted)]);
        assert!(!less.is_as_meant() && less.crafted[0].from != less.meant);
        let nobody = record(&scenario, &[]);
        assert_eq!((nobody.is_as_meant(), &nobody.silent[..]), (false, &attackers[..]));
        let again = [(1, SentTrained), (0, crafted(2, 0)), (0, SentCrafted), (1, SentCrafted)];
        assert!(record(&scenario, &again).is_as_meant(), "what it sent last counts");
    }

    #[test]
    fn what_is_meant_follows_from_the_scenario() {
        let meant = |settings: &[&str]| scenario(settings).crafted_from(2);
        let models = |colluders, benign| Some(Models { colluders, benign });
        assert_eq!(meant(&["attack.kind=trimmed-mean"]), models(2, 0));
        assert_eq!(meant(&["attack.kind=trimmed-mean", "attack.knowledge=full"]), models(2, 4));
        assert_eq!(meant(&["attack.kind=gaussian"]), models(2, 4));
        for kind in ["none", "label-flip", "back-gradient"] {
            assert_eq!(meant(&[&format!("attack.kind={kind}"), "fleet.non-iid=0.5"]), None, "{kind}");
        }
        assert_eq!(meant(&["attack.kind=gaussian", "attack.round-fraction=0.0"]), None);
        let some = scenario(&["attack.kind=gaussian", "fleet.selected=3"]);
        let selection = some.selection(2);
        let colluders = some.attackers().intersection(&selection).count() as u32;
        assert_eq!(some.crafted_from(2), models(colluders, 3 - colluders));
    }
}
