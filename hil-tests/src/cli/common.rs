//! What several commands have in common.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use aggregator_node::backend::{self, DeviceChoice};
#[cfg(feature = "cuda-training")]
use anyhow::Context;
use candle_core::Device;
use clap::{Args, ValueEnum};
use rim::BrokerAddress;

use crate::bench::Bench;
use crate::emulated::{Architecture, Emulated};
use crate::inventory::Inventory;
use crate::on_boards::Boards;
use crate::processes::{Binaries, Processes};
use crate::software::{Computing, Faults, Software};

#[derive(Debug, Args)]
pub(super) struct Common {
    /// Override one key of the scenario, as in --set fleet.devices=20; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) settings: Vec<String>,
    #[command(flatten)]
    pub(super) folder: DatasetsFolder,
}

#[derive(Debug, Args)]
pub(super) struct DatasetsFolder {
    /// Folder that holds the data sets [default: datasets]
    #[arg(long, value_name = "DIR", env = "OUTPOST_DATASETS")]
    datasets: Option<PathBuf>,
}

impl DatasetsFolder {
    /// The folder as given; else the one here, or that of the checkout that `cargo` runs this program from.
    pub(super) fn path(&self) -> PathBuf {
        let here = PathBuf::from("datasets");
        let checkout =
            || std::env::var_os("CARGO_MANIFEST_DIR").map(|path| Path::new(&path).join("../datasets"));
        match &self.datasets {
            Some(given) => given.clone(),
            None if here.is_dir() => here,
            None => checkout().filter(|path| path.is_dir()).unwrap_or(here),
        }
    }
}

/// Where the devices run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum On {
    /// In this process, with virtual time
    Software,
    /// As processes on this machine, over MQTT
    Processes,
    /// The same, the clients built for ARM and run by QEMU's emulation of such processors
    Emulated,
    /// On the devices of an inventory: boards over ssh, emulated boards, processes, in any mixture
    Boards,
}

impl On {
    pub(super) fn bench(
        self,
        faults: Faults,
        broker: Option<BrokerAddress>,
        arch: &[Architecture],
        fleet: &FleetArgs,
        device: DeviceArg,
    ) -> anyhow::Result<Box<dyn Bench>> {
        if self != On::Software && device.is_given() {
            let what = "--device and --batched are for --on software; set OUTPOST_AGGREGATOR_DEVICE for the aggregators of other benches";
            return Err(UsageError(what.to_owned()).into());
        }
        Ok(match self {
            On::Software => Box::new(Software { faults, computing: device.open()? }),
            On::Processes => Box::new(Processes::native(Binaries::find()?, broker)),
            On::Emulated => Box::new(Emulated::new(arch, broker)?),
            On::Boards => Box::new(fleet.bench()?),
        })
    }
}

#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct DeviceArg {
    /// What the aggregator computes its rules on: cpu, cuda:N for the N-th GPU from 0 on, or auto for the first GPU if
    /// there is one and else the processors; a GPU needs a build with --features cuda (docs/cuda.md) [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// Train all devices of a round as one batch, and evaluate models likewise (software; logistic-regression, dnn), on the
    /// GPU of --device if it names one, which needs a build with --features cuda-training; models are those of other
    /// benches within rounding only
    #[arg(long)]
    batched: bool,
}

impl DeviceArg {
    fn is_given(self) -> bool {
        self.device.is_some() || self.batched
    }

    /// What computes, which is told of where it was asked for.
    pub(super) fn open(self) -> anyhow::Result<Computing> {
        let rules = backend::open(self.device.unwrap_or_default())?;
        let batched = self.batched.then(|| training_on(rules.gpu)).transpose()?;
        if self.device.is_some() {
            eprintln!("{rules}");
        }
        Ok(Computing { rules, batched })
    }
}

/// What trains beside rules on this GPU, or on the processors.
#[cfg(feature = "cuda-training")]
fn training_on(gpu: Option<u32>) -> anyhow::Result<Device> {
    let Some(gpu) = gpu else { return Ok(Device::Cpu) };
    Device::new_cuda(gpu as usize).with_context(|| format!("cuda:{gpu} cannot be used for training"))
}

#[cfg(not(feature = "cuda-training"))]
fn training_on(gpu: Option<u32>) -> anyhow::Result<Device> {
    let Some(gpu) = gpu else { return Ok(Device::Cpu) };
    let what = format!(
        "--batched trains on cuda:{gpu}, for which this program was not built: build it with --features cuda-training \
         (docs/cuda.md), or leave out one of --batched and --device"
    );
    Err(UsageError(what).into())
}

#[derive(Debug, Args)]
pub(super) struct ArchArgs {
    /// Processors of the devices, dealt out in turns: aarch64, armv7, native (emulated) [default: aarch64,armv7]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    arch: Vec<Architecture>,
}

impl ArchArgs {
    /// Those asked for; an error if they were and no bench of `on` emulates.
    pub(super) fn of(self, on: &[On]) -> Result<Vec<Architecture>, UsageError> {
        match self.arch {
            arch if arch.is_empty() => Ok(vec![Architecture::Aarch64, Architecture::Armv7]),
            arch if on.contains(&On::Emulated) => Ok(arch),
            _ => Err(UsageError("--arch is for --on emulated only".to_owned())),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct FleetArgs {
    /// The inventory of the devices (boards)
    #[arg(long, value_name = "FILE")]
    fleet: Option<PathBuf>,
    /// The folder that `hil provision` wrote for them (boards) [default: OUT-fleet, provisioned by the bench]
    #[arg(long, value_name = "DIR", requires = "fleet")]
    provisioned: Option<PathBuf>,
    /// Hand this to ssh (boards), as in --ssh-option=-F --ssh-option=my-config; may be repeated
    #[arg(long = "ssh-option", value_name = "WORD", allow_hyphen_values = true, requires = "fleet")]
    ssh_options: Vec<OsString>,
    /// The folder that `hil board-kernel` wrote (boards of kind qemu-system) [default: OUTPOST_KERNEL, or the user's
    /// cache]
    #[arg(long, value_name = "DIR", requires = "fleet")]
    kernel: Option<PathBuf>,
}

impl FleetArgs {
    /// An error if a fleet is named and no bench of `on` has a use for it, or the other way round.
    pub(super) fn check(&self, on: &[On]) -> Result<(), UsageError> {
        let what = match (on.contains(&On::Boards), self.fleet.is_some()) {
            (true, false) => {
                "--on boards wants an inventory: --fleet FILE (firmware-configs/fleets has examples)"
            }
            (false, true) => "--fleet is for --on boards only",
            _ => return Ok(()),
        };
        Err(UsageError(what.to_owned()))
    }

    fn bench(&self) -> anyhow::Result<Boards> {
        Ok(Boards {
            inventory: Inventory::load(self.fleet.as_deref().unwrap_or(Path::new("")))?,
            binaries: Binaries::find()?,
            provisioned: self.provisioned.clone(),
            ssh_options: self.ssh_options.clone(),
            kernel: self.kernel.clone(),
            fresh: std::env::var_os("CARGO").is_some(),
            faults: Vec::new(),
            told: |device, what| eprintln!("{device}: {what}"),
        })
    }
}

/// How to print a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

/// Whether a command ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did.
    Finished,
    /// It was asked to stop.
    Interrupted,
}

/// A combination of flags that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub(super) String);
