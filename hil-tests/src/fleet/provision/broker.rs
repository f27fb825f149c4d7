//! The files for Mosquitto: its certificate, its configuration and its access control.

use scenario::Scenario;
use scenario::attacks::Needs;
use wire::identity::DeviceId;

use super::certificates::Certificates;
use super::folder::{Folder, Secrecy};
use crate::fleet::inventory::{Inventory, Kind, as_seen_within};

const CONFIGURATION: &str = include_str!("../../../../firmware-configs/mosquitto/outpost.conf");
const LISTENER: &str = "listener 8883";
const ACCESS: &str = include_str!("../../../../firmware-configs/mosquitto/acl");
const LIMITS: &str = include_str!("../../../../firmware-configs/mosquitto/limits.conf");
const DEVICE: &str = include_str!("../../../../firmware-configs/mosquitto/acl.device");
const COLLUDER: &str = include_str!("../../../../firmware-configs/mosquitto/acl.colluder");
const FULL_KNOWLEDGE: &str = include_str!("../../../../firmware-configs/mosquitto/acl.full-knowledge");

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
    folder.write("broker/limits.conf", LIMITS.as_bytes(), Secrecy::Open)?;
    folder.write("broker/acl", access(inventory, scenario).as_bytes(), Secrecy::Open)
}

/// The names under which devices find the broker, which its certificate must bear.
fn hosts(inventory: &Inventory) -> Vec<String> {
    let address = &inventory.broker.url;
    // A certificate names a host without the dot that says that a name is complete.
    let mut hosts = vec![address.host.trim_end_matches('.').to_owned()];
    if inventory.devices.iter().any(|device| device.kind == Kind::QemuSystem) {
        hosts.push(as_seen_within(address.clone()).host);
        hosts.dedup();
    }
    hosts
}

/// What the fleet's own may, and what the scenario's attack needs beyond that: `docs/protocol.md`, "Collusion".
fn access(inventory: &Inventory, scenario: &Scenario) -> String {
    let mut text = ACCESS.to_owned();
    for device in &inventory.devices {
        text.push_str(&DEVICE.replace("{device}", &device.id.to_string()));
    }
    let needs = scenario.needs();
    if needs == Needs::Nothing {
        return text;
    }
    let listed = |attacker: &DeviceId| inventory.devices.iter().any(|device| device.id == *attacker);
    for device in scenario.attackers().into_iter().filter(listed) {
        text.push_str(&COLLUDER.replace("{device}", &device.to_string()));
        if needs == Needs::Everyone {
            text.push_str(FULL_KNOWLEDGE);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// What a fleet of so many devices is granted beyond the rights of aggregator and operator.
    fn granted(devices: usize, settings: &[&str]) -> String {
        let text = "name = \"s\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n\
                    [fleet]\ndevices = 10\ncompromised = 2\n";
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let scenario = Scenario::parse("s.toml", text, &settings).unwrap();
        let mut fleet = "name = \"f\"\n[broker]\nurl = \"mqtts://pi\"\n".to_owned();
        for device in scenario.devices().take(devices) {
            writeln!(fleet, "[[device]]\nid = \"{device}\"\nkind = \"native\"").unwrap();
        }
        let inventory = Inventory::parse("f.toml", &fleet).unwrap();
        access(&inventory, &scenario).strip_prefix(ACCESS).unwrap().to_owned()
    }

    #[test]
    fn colluders_hear_each_other_and_only_full_knowledge_reads_updates() {
        let partial = granted(10, &["attack.kind=krum", "attack.knowledge=partial", "fleet.compromised=3"]);
        assert_eq!(partial.matches("\nuser device-").count(), 10 + 3, "{partial}");
        assert_eq!(partial.matches("topic write outpost/collusion/+").count(), 3, "{partial}");
        assert!(!partial.contains("read outpost/devices/+/update"), "{partial}");
        let full = granted(10, &["attack.kind=trimmed-mean", "attack.knowledge=full"]);
        assert_eq!(full.matches("topic read outpost/devices/+/update").count(), 2, "{full}");
    }

    #[test]
    fn nobody_gets_a_right_that_the_attack_does_not_need() {
        for settings in [&[][..], &["attack.kind=label-flip"]] {
            let granted = granted(10, settings);
            assert_eq!(granted.matches("\nuser device-").count(), 10, "{granted}");
            assert!(!granted.contains('+') && !granted.contains("write outpost/collusion"), "{granted}");
        }
    }

    #[test]
    fn who_is_not_of_the_fleet_has_no_right() {
        assert!(ACCESS.lines().all(|line| !line.starts_with("pattern")), "a pattern holds for everybody");
        let granted = granted(1, &["attack.kind=trimmed-mean", "fleet.compromised=4"]);
        assert!(granted.contains("\nuser device-000\n") && !granted.contains("user device-001"), "{granted}");
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
        assert_eq!(hosts_of("bench.local.", "qemu-user"), ["bench.local"]);
    }

    #[test]
    fn the_port_of_the_configuration_can_be_replaced() {
        assert_eq!(CONFIGURATION.matches(LISTENER).count(), 1);
    }
}
