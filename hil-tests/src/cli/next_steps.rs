//! What to do with a provisioned folder: commands that work as they are printed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use scenario::Scenario;
use wire::identity::DeviceId;

use crate::fleet::deploy::quoted;
use crate::fleet::inventory::{Inventory, Kind};
use crate::fleet::provision::Provisioned;

/// How this program and the aggregator are started here.
pub(super) struct Programs {
    hil: String,
    aggregator: String,
}

impl Programs {
    /// As the user has started this one.
    pub(super) fn as_started() -> Self {
        if std::env::var_os("CARGO").is_some() {
            let aggregator = "cargo run --release -p aggregator-node --";
            return Programs { hil: "cargo hil".to_owned(), aggregator: aggregator.to_owned() };
        }
        let hil = PathBuf::from(std::env::args_os().next().unwrap_or_else(|| "hil".into()));
        Programs { aggregator: word(&hil.with_file_name("aggregator-node")), hil: word(&hil) }
    }
}

/// What was provisioned, and from what.
pub(super) struct Done<'a> {
    pub(super) inventory: &'a Inventory,
    /// The inventory's file.
    pub(super) fleet: &'a Path,
    pub(super) provisioned: &'a Provisioned,
    pub(super) scenario: &'a Scenario,
    /// The folder of data sets.
    pub(super) datasets: &'a Path,
    /// Whether there are files for SD cards.
    pub(super) cards: bool,
}

/// The commands that bring the fleet to its first run.
pub(super) fn next_steps(done: &Done<'_>, programs: &Programs) -> Vec<String> {
    let Done { inventory, provisioned, .. } = done;
    let (manifest, broker) = (&provisioned.manifest, &inventory.broker);
    let (fleet, out) = (word(done.fleet), word(&provisioned.folder));
    let file = |name: &str| word(&provisioned.folder.join(name));
    let Programs { hil, aggregator } = programs;
    let mut steps = Vec::new();
    if broker.url.tls {
        let files = ["ca.pem", "broker.pem", "broker.key", "acl"]
            .map(|name| file(&format!("broker/{name}")))
            .join(" ");
        steps.extend([
            format!(
                "sudo install -D -m 644 {} /etc/mosquitto/conf.d/outpost.conf",
                file("broker/outpost.conf")
            ),
            format!(
                "sudo install -D -m 644 {} /etc/systemd/system/mosquitto.service.d/outpost.conf",
                file("broker/limits.conf")
            ),
            "sudo install -d /etc/mosquitto/outpost".to_owned(),
            format!("sudo install -o mosquitto -m 600 {files} /etc/mosquitto/outpost/"),
            "sudo systemctl daemon-reload".to_owned(),
            "sudo systemctl restart mosquitto".to_owned(),
        ]);
    }
    if let (true, Some(device)) = (done.cards, inventory.devices.first()) {
        let card = file(&format!("devices/{}/cloud-init", device.id));
        steps.push(format!("cp {card}/* /media/$USER/bootfs/    # and so on for each device's SD card"));
    }
    let of_boards = inventory.devices.iter().filter(|device| device.kind != Kind::Native);
    let boards: BTreeSet<&str> = of_boards.filter_map(|device| device.board.as_deref()).collect();
    steps.extend(boards.into_iter().map(|board| format!("{hil} build --board {}", word(Path::new(board)))));
    let scenario = file("aggregator/scenario.toml");
    // Another scenario of this name does not go on with a run of this one.
    let run = format!("--out runs/{}-{}", manifest.scenario, &manifest.scenario_sha256[..8]);
    let datasets = match done.datasets {
        usual if usual == Path::new("datasets") => String::new(),
        datasets => format!(" --datasets {}", word(datasets)),
    };
    let here = |id: &DeviceId| inventory.devices.iter().any(|device| device.id == *id);
    let missing = done.scenario.devices().filter(|id| !here(id)).map(|id| id.to_string()).collect::<Vec<_>>();
    let without =
        if missing.is_empty() { String::new() } else { format!(" --without {}", missing.join(",")) };
    // Clients that are not deployed are started by the bench, as is a broker that is not there otherwise.
    if broker.listen.is_some() || inventory.devices.iter().any(|device| device.kind != Kind::Ssh) {
        if inventory.devices.iter().any(|device| device.kind == Kind::QemuSystem) {
            steps.push(format!("{hil} board-kernel"));
        }
        steps.push(format!(
            "{hil} run {scenario} --on boards --fleet {fleet} --provisioned {out} {run}{datasets}{without}"
        ));
        return steps;
    }
    let tls = [("ca", "ca.pem"), ("cert", "aggregator.pem"), ("key", "aggregator.key")]
        .map(|(option, name)| format!(" --{option} {}", file(&format!("aggregator/{name}"))))
        .concat();
    let tls = if broker.url.tls { tls.as_str() } else { "" };
    steps.push(format!("{hil} deploy {fleet} {out}"));
    if let (Some(expected), Some(device)) = (done.scenario.dataset.on_devices(), inventory.devices.first()) {
        let client = format!("{}/current/edge-client", device.root);
        let import = expected.import_command(&client, &device.own_shard());
        steps.push(format!(
            "ssh {}@{} '{import}'    # and so on on each device; then deploy again",
            device.user,
            device.address.as_deref().unwrap_or_default()
        ));
    }
    let shards = match done.scenario.dataset.on_devices() {
        Some(_) => String::new(),
        None => format!(" --shards {}", file("aggregator/shards.toml")),
    };
    steps.extend([
        format!("{hil} fleet status {fleet} {out}"),
        format!("{aggregator} {scenario}{shards} {run} --broker {}{tls}{datasets}{without}", broker.url),
    ]);
    steps
}

/// A path as a shell reads it, in quotes only where they are needed.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { quoted(&text) }
}
