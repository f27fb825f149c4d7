//! A scenario, a folder for its runs, and the programs that take part in them.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hil_tests::data::FleetData;
use hil_tests::system::held_port::HeldPort;
use record::RoundRecord;
use rustix::process::Signal;
use scenario::Scenario;
use wire::identity::DeviceId;

use crate::process::{
    Outcome, Process, datasets, hil, program, recorded_rounds, run, stored, summary, wait_for_rounds,
};

/// Small and quick: a round takes some 50 ms over MQTT and less than 1 ms in software.
const SCENARIO: &str = r#"
name = "end-to-end"
dataset = "breast-cancer"
model = "logistic-regression"
rounds = 20
[fleet]
devices = 5
compromised = 2
[aggregation]
rule = "trimmed-mean"
[evaluation]
every = 5
"#;

/// Settings of the paper's attack on the trimmed mean.
pub(crate) const ATTACK: [&str; 1] = ["attack.kind=trimmed-mean"];

pub(crate) struct Lab {
    folder: tempfile::TempDir,
    pub(crate) scenario: Scenario,
    shards: OnceCell<Vec<Vec<u8>>>,
    port: HeldPort,
}

impl Lab {
    /// The small scenario with `settings` on top.
    pub(crate) fn new(settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let scenario = Scenario::parse("end-to-end.toml", SCENARIO, &settings).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("scenario.toml"), scenario.to_toml()).unwrap();
        Lab { folder, scenario, shards: OnceCell::new(), port: HeldPort::local().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn scenario_path(&self) -> PathBuf {
        self.path("scenario.toml")
    }

    /// `hil run` on `bench`, into the folder `out` of this lab.
    pub(crate) fn hil(&self, bench: &str, out: &str, more: &[&str]) -> Command {
        let mut command = hil!["run", self.scenario_path(), "--on", bench, "--out", self.path(out)];
        command.arg("--datasets").arg(datasets()).args(more);
        command
    }

    /// `hil provision` for its scenario and `inventory`, into `folder`.
    pub(crate) fn provision(&self, inventory: &Path, folder: &Path, more: &[&str]) -> Command {
        let mut command = hil!["provision", inventory, self.scenario_path(), "--out", folder];
        command.arg("--datasets").arg(datasets()).args(more);
        command
    }

    /// `command` with `broker`, begun.
    pub(crate) fn begin_at(broker: &str, mut command: Command) -> Process {
        command.args(["--broker", broker]);
        Process::start(command)
    }

    /// A client for each of `devices` at `broker`.
    pub(crate) fn clients_at(&self, broker: &str, devices: impl IntoIterator<Item = u32>) -> Vec<Process> {
        let client = |device| Lab::begin_at(broker, self.client_without_broker(device));
        devices.into_iter().map(client).collect()
    }

    /// Digest of the model in which a run ends that nothing disturbs, in software.
    pub(crate) fn undisturbed(&self) -> String {
        self.model_after(self.hil("software", "undisturbed", &[]), "undisturbed")
    }

    /// Digest of the model in which `command` ends, which runs into the folder `out`.
    #[track_caller]
    pub(crate) fn model_after(&self, command: Command, out: &str) -> String {
        run(command).succeeded();
        summary(&self.path(out)).model_sha256
    }

    /// An aggregator with its own broker, always on the same port.
    pub(crate) fn aggregator(&self, out: &str) -> Command {
        let mut command = self.aggregator_without_broker(out);
        command.args(["--listen", &self.port.address().to_string()]);
        command
    }

    pub(crate) fn aggregator_without_broker(&self, out: &str) -> Command {
        let mut command = program("aggregator-node");
        command.arg(self.scenario_path()).arg("--out").arg(self.path(out));
        command.arg("--datasets").arg(datasets());
        command
    }

    /// A client of that broker.
    pub(crate) fn client(&self, device: u32) -> Command {
        let mut command = self.client_without_broker(device);
        command.args(["--broker", &self.broker()]);
        command
    }

    pub(crate) fn client_without_broker(&self, device: u32) -> Command {
        self.client_with(device, &self.shard(device))
    }

    /// A client with a shard that need not be its own.
    pub(crate) fn client_with(&self, device: u32, shard: &Path) -> Command {
        let mut command = program("edge-client");
        command.args(["--device", &DeviceId(device).to_string()]).arg("--scenario").arg(self.scenario_path());
        command.arg("--shard").arg(shard).env("RAYON_NUM_THREADS", "1");
        command
    }

    pub(crate) fn clients(&self, devices: impl IntoIterator<Item = u32>) -> Vec<Process> {
        devices.into_iter().map(|device| Process::start(self.client(device))).collect()
    }

    /// Where [`Lab::aggregator`] has its broker.
    pub(crate) fn broker(&self) -> String {
        format!("mqtt://{}", self.port.address())
    }

    /// The shard file of a device.
    pub(crate) fn shard(&self, device: u32) -> PathBuf {
        let path = self.path(&format!("{}.safetensors", DeviceId(device)));
        let scenario = &self.scenario;
        let shards = self.shards.get_or_init(|| {
            let data = FleetData::load(scenario, &datasets()).unwrap();
            let shards = data.shards(scenario).unwrap().into_iter().zip(scenario.devices());
            shards.map(|(shard, device)| shard.to_bytes(&data.shard_info(scenario, device))).collect()
        });
        fs::write(&path, &shards[device as usize]).unwrap();
        path
    }
}

/// The keys of a device that is a process of this machine.
pub(crate) const NATIVE: &str = "kind = \"native\"";

/// The text of an inventory: the lines of its broker, and of each of its devices the keys after the id.
pub(crate) fn inventory(name: &str, broker: &str, devices: impl IntoIterator<Item = String>) -> String {
    let devices = devices.into_iter().zip((0..).map(DeviceId));
    let devices = devices.map(|(keys, id)| format!("[[device]]\nid = \"{id}\"\n{keys}\n"));
    format!("name = \"{name}\"\n[broker]\n{broker}\n{}", devices.collect::<String>())
}

/// What the run in `out` has recorded.
pub(crate) fn records(out: &Path) -> Vec<RoundRecord> {
    stored(out).records().unwrap()
}

/// Waits for more rounds of the endless run in `out` of a fleet of five, and stops it: no round has missed a device.
#[track_caller]
pub(crate) fn assert_undisturbed_so_far(program: Process, out: &Path) {
    wait_for_rounds(out, recorded_rounds(out) + 5);
    program.signal(Signal::INT);
    program.outcome().ended_with(130);
    for record in records(out) {
        assert_eq!((record.accepted, record.absent.len()), (5, 0), "round {}", record.round);
    }
}

/// Waits for all of them to end well.
#[track_caller]
pub(crate) fn all_succeed(processes: impl IntoIterator<Item = Process>) {
    for outcome in processes.into_iter().map(Process::outcome) {
        let _: Outcome = outcome.succeeded();
    }
}
