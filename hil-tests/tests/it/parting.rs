//! What is known of devices that have left.

use hil_tests::fleet::status::{Access, Statuses};
use wire::identity::DeviceId;

use crate::certificates::Validity;
use crate::lab::{Lab, all_succeed};
use crate::process::{PATIENCE, Process, summary};
use crate::secured::{Grants, Secured, equip};

#[test]
fn devices_that_have_left_are_known_by_their_last_words_and_not_by_their_last_wills() {
    let lab = Lab::new(&[]);
    let grants = Grants { colluders: Vec::new(), full_knowledge: false };
    let Some(broker) = Secured::start(&grants, Validity::Always) else { return };
    let start = |name: &str, command| {
        Process::start(equip(command, &broker.address(), &broker.authority.issue(name)))
    };
    let aggregator = start("aggregator", lab.aggregator_without_broker("run"));
    let devices: Vec<_> = (0..lab.scenario.fleet.devices).map(DeviceId).collect();
    let client = |device: &DeviceId| start(&device.to_string(), lab.client_without_broker(device.0));
    let clients: Vec<_> = devices.iter().map(client).collect();
    aggregator.outcome().succeeded();
    all_succeed(clients);

    let access =
        Access { broker: broker.address().parse().unwrap(), tls: broker.authority.issue("operator") };
    let statuses = Statuses::watch(&access, &devices).unwrap();
    statuses.settle(&devices, PATIENCE);
    let latest = statuses.latest();
    assert_eq!(latest.len(), devices.len());
    let rounds = summary(&lab.path("run")).rounds;
    for (device, said) in latest {
        let status = &said.status;
        assert!(!status.online, "{device} is online");
        assert_eq!(
            status.delivered,
            Some(rounds),
            "{device} left with a last will instead of its last words"
        );
        assert!(
            status.run.is_some() && status.time.is_some() && status.hardware.client.is_some(),
            "{status:?}"
        );
        assert!(status.telemetry.rss_kib.is_some(), "{device}: {:?}", status.telemetry);
    }
}
