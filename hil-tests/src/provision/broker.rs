//! What Mosquitto is given: its certificate, its configuration, and who may say and hear what.

use edge_client::attacks::{self, Needs};
use shared::scenario::Scenario;

use super::certificates::Certificates;
use super::folder::{Folder, Secrecy};
use crate::inventory::Inventory;

const CONFIGURATION: &str = include_str!("../../../firmware-configs/mosquitto/outpost.conf");
const LISTENER: &str = "listener 8883";
const ACCESS: &str = include_str!("../../../firmware-configs/mosquitto/acl");
const COLLUDER: &str = include_str!("../../../firmware-configs/mosquitto/acl.colluder");
const FULL_KNOWLEDGE: &str = include_str!("../../../firmware-configs/mosquitto/acl.full-knowledge");

/// Writes the broker's folder.
pub(super) fn write(
    folder: &mut Folder,
    certificates: &mut Certificates,
    inventory: &Inventory,
    scenario: &Scenario,
) -> anyhow::Result<()> {
    let address = &inventory.broker.url;
    certificates.issue(folder, "broker", "broker/broker", std::slice::from_ref(&address.host))?;
    let configuration = CONFIGURATION.replace(LISTENER, &format!("listener {}", address.port));
    folder.write("broker/outpost.conf", configuration.as_bytes(), Secrecy::Open)?;
    folder.write("broker/acl", access(scenario).as_bytes(), Secrecy::Open)
}

/// What everyone may, and what the scenario's attack needs beyond that: `docs/protocol.md`, "Collusion".
fn access(scenario: &Scenario) -> String {
    let mut text = ACCESS.to_owned();
    let needs = attacks::build(scenario).map_or(Needs::Nothing, |attack| attack.needs());
    if needs == Needs::Nothing {
        return text;
    }
    for device in scenario.attackers() {
        text.push_str(&COLLUDER.replace("{device}", &device.to_string()));
        if needs == Needs::Everyone {
            text.push_str(FULL_KNOWLEDGE);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is granted beyond the rights of everyone.
    fn granted(settings: &[&str]) -> String {
        let text = "name = \"s\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n\
                    [fleet]\ndevices = 10\ncompromised = 2\n";
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let scenario = Scenario::parse("s.toml", text, &settings).unwrap();
        access(&scenario).strip_prefix(ACCESS).unwrap().to_owned()
    }

    #[test]
    fn colluders_hear_each_other_and_only_full_knowledge_reads_updates() {
        let partial = granted(&["attack.kind=krum", "attack.knowledge=partial", "fleet.compromised=3"]);
        assert_eq!(partial.matches("\nuser device-").count(), 3, "{partial}");
        assert_eq!(partial.matches("topic read outpost/collusion/device-").count(), 3, "{partial}");
        assert!(!partial.contains("/update"), "{partial}");
        let full = granted(&["attack.kind=trimmed-mean", "attack.knowledge=full"]);
        assert_eq!(full.matches("topic read outpost/devices/+/update").count(), 2, "{full}");
    }

    #[test]
    fn nobody_gets_a_right_that_the_attack_does_not_need() {
        assert_eq!(granted(&[]), "");
        assert_eq!(granted(&["attack.kind=label-flip"]), "");
    }

    #[test]
    fn the_port_of_the_configuration_can_be_replaced() {
        assert_eq!(CONFIGURATION.matches(LISTENER).count(), 1);
    }
}
