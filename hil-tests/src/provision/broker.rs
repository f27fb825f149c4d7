//! What Mosquitto is given: its certificate, its configuration, and who may say and hear what.

use edge_client::attacks::{self, Needs};
use shared::scenario::Scenario;

use super::certificates::Certificates;
use super::folder::{Folder, Secrecy};
use crate::emulated_board::as_seen_within;
use crate::inventory::{Inventory, Kind};

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
    certificates.issue(folder, "broker", "broker/broker", &hosts(inventory))?;
    let configuration = CONFIGURATION.replace(LISTENER, &format!("listener {}", address.port));
    folder.write("broker/outpost.conf", configuration.as_bytes(), Secrecy::Open)?;
    folder.write("broker/acl", access(scenario).as_bytes(), Secrecy::Open)
}

/// The names under which devices find the broker, which its certificate must bear.
fn hosts(inventory: &Inventory) -> Vec<String> {
    let address = &inventory.broker.url;
    let mut hosts = vec![address.host.clone()];
    if inventory.devices.iter().any(|device| device.kind == Kind::QemuSystem) {
        hosts.push(as_seen_within(address.clone()).host);
        hosts.dedup();
    }
    hosts
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
    fn an_emulated_board_finds_the_broker_of_this_machine_under_another_name() {
        let hosts_of = |host: &str, kind: &str| {
            let text = format!(
                "name = \"one\"\n[broker]\nurl = \"mqtts://{host}\"\n\
                 [[device]]\nid = \"device-000\"\nkind = \"{kind}\"\nboard = \"pi-4b\"\n"
            );
            hosts(&Inventory::parse("one.toml", &text).unwrap())
        };
        assert_eq!(hosts_of("127.0.0.1", "qemu-system"), ["127.0.0.1", "10.0.2.2"]);
        assert_eq!(hosts_of("192.168.1.10", "qemu-system"), ["192.168.1.10"]);
        assert_eq!(hosts_of("127.0.0.1", "qemu-user"), ["127.0.0.1"]);
    }

    #[test]
    fn the_port_of_the_configuration_can_be_replaced() {
        assert_eq!(CONFIGURATION.matches(LISTENER).count(), 1);
    }
}
