//! What the devices of a run receive, and where the client of each runs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use edge_client::config::Settings;
use link::{BrokerAddress, BrokerOptions, TlsFiles};
use record::{ATTACK_MEMORY, TRAINING_MEMORY};
use tempfile::TempDir;

use super::Boards;
use super::remote::RemoteHost;
use crate::benches::Task;
use crate::benches::emulated::emulated_client;
use crate::benches::emulated_board::{EmulatedBoard, EmulatedHost, Kernel};
use crate::benches::processes::{ClientProgram, ProcessHost};
use crate::faults::Host;
use crate::fleet::deploy::{Binary, Claim, Release, Ssh, built_for};
use crate::fleet::inventory::{Device, Kind};
use crate::fleet::provision::{Keys, Manifest, Provision, RENEW_WITHIN_DAYS};
use crate::fleet::toolchain::{Program, Target, build};

/// A provisioned fleet, and a place for what only this run needs.
pub(super) struct Fleet<'a> {
    folder: PathBuf,
    /// The run's directory, where clients that are processes of this machine keep what they keep from round to round.
    out: PathBuf,
    scratch: &'a TempDir,
}

impl<'a> Fleet<'a> {
    /// The folder that is given, if it is one of this run; or one beside the run's directory, which people pass on.
    pub(super) fn provision(bench: &Boards, task: &Task, scratch: &'a TempDir) -> anyhow::Result<Self> {
        let folder = if let Some(folder) = &bench.provisioned {
            check_provisioned(bench, task, folder)?;
            folder.clone()
        } else {
            let broker = &bench.inventory.broker.url;
            ensure!(
                !broker.tls,
                "{broker} wants certificates: run `hil provision`, give its files to the broker, and name the folder \
                 with --provisioned"
            );
            let folder = beside(&task.out)?;
            let scenario = task.scenario.clone();
            let (inventory, data) = (&bench.inventory, &task.data);
            let (keys, renew_within_days) = (Keys::Keep, RENEW_WITHIN_DAYS);
            Provision { inventory, scenario, data, first_boot: None, keys, renew_within_days }
                .write(&folder)?;
            folder
        };
        // Clients need not run in the directory that this was started in.
        let folder = fs::canonicalize(&folder).with_context(|| folder.display().to_string())?;
        let out = std::path::absolute(&task.out)?;
        Ok(Fleet { folder, out, scratch })
    }

    /// What is the aggregator's.
    pub(super) fn aggregator_folder(&self) -> PathBuf {
        self.folder.join("aggregator")
    }

    /// Where clients that are processes of this machine write what they do of an attack.
    pub(super) fn attack_log(&self) -> PathBuf {
        self.scratch.path().join("attack.jsonl")
    }

    /// Where the process called `name` logs to.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name).with_extension("log")
    }

    /// The host of `device`, whose client goes to `broker`. Another kind of device is another arm here.
    pub(super) fn host(
        &self,
        bench: &Boards,
        task: &Task,
        device: &Device,
        broker: BrokerAddress,
        claim: &Claim,
    ) -> anyhow::Result<Box<dyn Host>> {
        match device.kind {
            Kind::Native => {
                let program = ClientProgram::native(bench.binaries.edge_client.clone());
                self.local(task, device, program, broker)
            }
            Kind::QemuUser => {
                let target = Target::find(&device.board_to_emulate()?.target)?;
                self.local(task, device, emulated_client(target, bench.fresh)?, broker)
            }
            Kind::Ssh => {
                let binary = Binary::read(&built_for(device, &bench.binaries.edge_client)?)?;
                let release = Release::of(&self.folder, device, &broker, &binary)?;
                let ssh = Ssh::new(device, &bench.ssh_options, self.scratch.path());
                Ok(Box::new(RemoteHost::new(device, release, ssh, claim, bench.told)))
            }
            Kind::QemuSystem => self.emulated(bench, device, &broker),
        }
    }

    /// The host of a board of its own under QEMU.
    fn emulated(
        &self,
        bench: &Boards,
        device: &Device,
        broker: &BrokerAddress,
    ) -> anyhow::Result<Box<dyn Host>> {
        if broker.tls {
            let certificates = Manifest::load(&self.folder, &bench.inventory.name)?.certificates;
            ensure!(
                certificates.get("broker").is_some_and(|it| it.hosts.contains(&broker.host)),
                "an emulated board finds the broker at {}, which its certificate does not say: run `hil provision` \
                 again, and give the new one to the broker",
                broker.host
            );
        }
        let kernel = Kernel::find(bench.kernel.as_deref())?;
        if bench.fresh {
            build(Target::find(&device.board_to_emulate()?.target)?, &[Program::EdgeClient])?;
        }
        let binary = Binary::read(&built_for(device, &bench.binaries.edge_client)?)?;
        let release = Release::of(&self.folder, device, broker, &binary)?;
        let board = EmulatedBoard::new(device, &kernel, &release, self.scratch.path())?;
        Ok(Box::new(EmulatedHost::new(board, bench.told)))
    }

    /// The host of a process of this machine.
    fn local(
        &self,
        task: &Task,
        device: &Device,
        program: ClientProgram,
        broker: BrokerAddress,
    ) -> anyhow::Result<Box<dyn Host>> {
        let own_shard = task.scenario.dataset.on_devices().map(|_| {
            // The usual place would be one and the same for all of this machine.
            device.shard.clone().context("say with `shard` in the inventory where this device's shard lies")
        });
        let own_shard = own_shard.transpose()?.map(PathBuf::from);
        let Device { id: device, allow_program, .. } = device;
        let own = |name: &str| Some(self.folder.join("devices").join(device.to_string()).join(name));
        let with_tls = |name: &str| own(name).filter(|_| broker.tls);
        let tls =
            TlsFiles { ca: with_tls("ca.pem"), cert: with_tls("device.pem"), key: with_tls("device.key") };
        let config = Settings {
            device: Some(*device),
            scenario: own("scenario.toml"),
            shard: own_shard.or_else(|| own("shard.safetensors")),
            access: BrokerOptions { tls, ..BrokerOptions::default() },
            attack_log: Some(self.attack_log()),
            attack_memory: Some(self.out.join(ATTACK_MEMORY)),
            training_memory: Some(self.out.join(TRAINING_MEMORY).join(format!("{device}.safetensors"))),
            allow_program: allow_program.clone(),
            ..Settings::default()
        };
        let path = self.scratch.path().join(format!("{device}.toml"));
        fs::write(&path, toml::to_string(&config)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let log = self.log(&device.to_string());
        Ok(Box::new(ProcessHost::new(*device, program, &path, broker, &log)))
    }
}

/// Makes sure that `folder` is provisioned for this fleet, broker and scenario.
fn check_provisioned(bench: &Boards, task: &Task, folder: &Path) -> anyhow::Result<()> {
    let (inventory, shown) = (&bench.inventory, folder.display());
    let manifest = Manifest::load(folder, &inventory.name)?;
    manifest.check_broker(folder, inventory)?;
    ensure!(
        manifest.scenario_sha256 == task.scenario.digest().to_string(),
        "{shown}: provisioned for another scenario ({}); run `hil provision` again with this one and its --set",
        manifest.scenario
    );
    let devices: Vec<String> = inventory.devices.iter().map(|device| device.id.to_string()).collect();
    let names = ["broker", "aggregator"].into_iter().chain(devices.iter().map(String::as_str));
    if let Some(warning) = manifest.check_dates(folder, &names.collect::<Vec<_>>())? {
        link::complain(warning);
    }
    Ok(())
}

/// `runs/first-fleet` for `runs/first`. Keys do not belong into a run's directory.
fn beside(out: &Path) -> anyhow::Result<PathBuf> {
    let name = out.file_name().with_context(|| format!("--out {}: no name of a folder", out.display()))?;
    let mut name = name.to_owned();
    name.push("-fleet");
    Ok(out.with_file_name(name))
}
