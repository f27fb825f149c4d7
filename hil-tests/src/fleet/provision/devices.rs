//! The files for devices and aggregator besides their keys.

use std::path::PathBuf;

use edge_client::config::Settings;
use learning::data::ShardList;
use link::{BrokerOptions, TlsFiles};
use record::{ATTACK_MEMORY, TRAINING_MEMORY};
use scenario::Scenario;

use super::folder::{Folder, Secrecy};
use crate::fleet::inventory::{Device, Inventory, Kind, Service};

/// What `StateDirectory` of the client's unit makes.
const STATE_DIRECTORY: &str = "/var/lib/outpost-client";
const ENVIRONMENT: &str = include_str!("../../../../firmware-configs/systemd/aggregator.env");

/// Writes a device's configuration, scenario and shard, if it has none of its own.
pub(super) fn write(
    folder: &mut Folder,
    device: &Device,
    inventory: &Inventory,
    scenario: &Scenario,
    shard: Option<&[u8]>,
) -> anyhow::Result<()> {
    let place = |name: &str| format!("devices/{}/{name}", device.id);
    folder.write(
        &place("client.toml"),
        configuration(device, inventory, scenario)?.as_bytes(),
        Secrecy::Open,
    )?;
    folder.write(&place("scenario.toml"), scenario.to_toml().as_bytes(), Secrecy::Open)?;
    shard.map_or(Ok(()), |shard| folder.write(&place("shard.safetensors"), shard, Secrecy::Secret))
}

fn configuration(device: &Device, inventory: &Inventory, scenario: &Scenario) -> anyhow::Result<String> {
    let broker = &inventory.broker.url;
    let current = |name: &str| Some(PathBuf::from(format!("{}/current/{name}", device.root)));
    let with_tls = |name: &str| current(name).filter(|_| broker.tls);
    let tls = TlsFiles { ca: with_tls("ca.pem"), cert: with_tls("device.pem"), key: with_tls("device.key") };
    // The state directory of the unit, or else beside the releases: it outlives both.
    let has_unit = device.kind == Kind::Ssh && device.service == Service::Systemd;
    let kept_in = if has_unit { STATE_DIRECTORY } else { &device.root };
    let attack = scenario.attack.kind.as_ref().filter(|_| scenario.attackers().contains(&device.id));
    Ok(toml::to_string(&Settings {
        device: Some(device.id),
        scenario: current("scenario.toml"),
        shard: match scenario.dataset.on_devices() {
            Some(_) => Some(device.own_shard().into()),
            None => current("shard.safetensors"),
        },
        broker: Some(broker.clone()),
        access: BrokerOptions { tls, ..BrokerOptions::default() },
        attack_memory: attack.map(|_| PathBuf::from(format!("{kept_in}/{ATTACK_MEMORY}"))),
        training_memory: scenario
            .training
            .keeps_momentum()
            .then(|| PathBuf::from(format!("{kept_in}/{TRAINING_MEMORY}.safetensors"))),
        allow_program: device.allow_program.clone(),
        ..Settings::default()
    })?)
}

/// Writes the aggregator's scenario, the list of shards, if they are known, and the environment.
pub(super) fn write_aggregator(
    folder: &mut Folder,
    inventory: &Inventory,
    scenario: &Scenario,
    shards: Option<&ShardList>,
) -> anyhow::Result<()> {
    folder.write("aggregator/scenario.toml", scenario.to_toml().as_bytes(), Secrecy::Open)?;
    if let Some(shards) = shards {
        let list = format!("aggregator/{}", ShardList::FILE);
        folder.write(&list, shards.to_toml().as_bytes(), Secrecy::Open)?;
    }
    let environment = environment(inventory, scenario);
    folder.write("aggregator/aggregator.env", environment.as_bytes(), Secrecy::Open)
}

/// The unit's environment file with the settings of this fleet.
fn environment(inventory: &Inventory, scenario: &Scenario) -> String {
    let url = &inventory.broker.url;
    let line = |line: &str| match line.split_once('=') {
        Some(("OUTPOST_BROKER", _)) => Some(format!("OUTPOST_BROKER={url}\n")),
        Some(("OUTPOST_OUT", _)) => {
            let digest = scenario.digest().to_string();
            Some(format!("OUTPOST_OUT=runs/{}-{}\n", scenario.name, &digest[..8]))
        }
        Some(("OUTPOST_CA" | "OUTPOST_CERT" | "OUTPOST_KEY", _)) if !url.tls => None,
        _ => Some(format!("{line}\n")),
    };
    ENVIRONMENT.lines().filter_map(line).collect()
}
