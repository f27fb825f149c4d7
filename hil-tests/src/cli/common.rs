//! What several commands have in common.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aggregator_node::backend::{self, Chosen, DeviceChoice};
#[cfg(feature = "cuda-training")]
use anyhow::Context;
use candle_core::Device;
use clap::{Args, ValueEnum};
use link::complain;
use scenario::catalogue::Catalogue;
use scenario::{Scenario, ScenarioError};

use crate::benches::Bench;
use crate::benches::batched::{Batched, Place};
use crate::benches::boards::Boards;
use crate::benches::emulated::{Architecture, Emulated};
use crate::benches::processes::{Binaries, JOBS, Processes, RunningBroker};
use crate::benches::software::{Faults, Software};
use crate::data::{FleetData, FleetDataError};
use crate::experiments::sweep::Pool;
use crate::fleet::inventory::Inventory;

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

    /// `catalogue`, with what is found in the files of data sets of the user's own.
    pub(super) fn catalogue(&self, catalogue: &Catalogue) -> Catalogue {
        catalogue.with_datasets_in(&self.path())
    }
}

impl Common {
    /// The scenario in `path` with the settings of the command line.
    pub(super) fn load(&self, catalogue: &Catalogue, path: &Path) -> Result<Scenario, ScenarioError> {
        self.folder.catalogue(catalogue).load(path, &self.settings)
    }
}

#[derive(Debug, Args)]
pub(super) struct OwnShardsArg {
    /// Folder with device-000.safetensors and so on, the shards that `edge-client import` has made of the devices' own data, for
    /// a data set of kind "devices" (software, processes, emulated)
    #[arg(long, value_name = "DIR")]
    shards: Option<PathBuf>,
}

impl OwnShardsArg {
    /// An error if there are some and `on` has a use for none.
    pub(super) fn check(&self, on: On) -> Result<(), UsageError> {
        if self.shards.is_some() && matches!(on, On::Boards | On::Batched) {
            let what = "--shards is for --on software, processes and emulated; the inventory says where those of boards lie";
            return Err(UsageError(what.to_owned()));
        }
        Ok(())
    }

    /// The data of `scenario` below `datasets`, with these shards.
    pub(super) fn load(&self, scenario: &Scenario, datasets: &Path) -> Result<FleetData, FleetDataError> {
        FleetData::load(scenario, datasets)?.with_shards_in(scenario, self.shards.as_deref())
    }
}

/// Where the devices run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum On {
    /// In this process, with virtual time
    Software,
    /// In this process, all devices of a round as one batch of tensors, without a link between them
    Batched,
    /// As processes on this machine, over MQTT
    Processes,
    /// The same, the clients built for ARM and run by QEMU's emulation of such processors
    Emulated,
    /// On the devices of an inventory: boards over ssh, emulated boards, processes, in any mixture
    Boards,
}

impl On {
    /// Whether devices and aggregator are in this process.
    pub(super) fn is_simulation(self) -> bool {
        matches!(self, On::Software | On::Batched)
    }

    pub(super) fn bench(
        self,
        faults: Faults,
        broker: Option<RunningBroker>,
        arch: &[Architecture],
        fleet: &FleetArgs,
        device: DeviceArg,
    ) -> anyhow::Result<Box<dyn Bench>> {
        if !self.is_simulation() {
            device.refuse()?;
        }
        Ok(match self {
            On::Software => Box::new(Software { faults, rules: device.rules()? }),
            On::Batched => Box::new(device.batched()?),
            On::Processes => Box::new(Processes::native(Binaries::find()?, broker)),
            On::Emulated => Box::new(Emulated::new(arch, broker)?),
            On::Boards => Box::new(fleet.bench()?),
        })
    }
}

#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct DeviceArg {
    /// What the aggregator computes its rules on, and the batched bench everything: cpu, cuda:N for the N-th GPU from 0
    /// on, or auto for the first GPU if there is one and else the processors; a GPU needs a build with --features cuda,
    /// the batched bench there one with --features cuda-training (docs/cuda.md) [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
}

impl DeviceArg {
    /// An error if a device is named where no bench has a use for it.
    pub(super) fn refuse(self) -> Result<(), UsageError> {
        let what = "--device is for --on software and batched; set OUTPOST_AGGREGATOR_DEVICE for the aggregators of other benches";
        if self.device.is_some() { Err(UsageError(what.to_owned())) } else { Ok(()) }
    }

    /// What computes rules, which is told of where it was asked for.
    fn rules(self) -> anyhow::Result<Chosen> {
        let rules = backend::open(self.device.unwrap_or_default())?;
        if self.device.is_some() {
            complain(&rules);
        }
        Ok(rules)
    }

    /// The batched bench, on the device that was asked for.
    #[cfg(feature = "cuda-training")]
    fn batched(self) -> anyhow::Result<Batched> {
        let device = match self.rules()?.gpu {
            // With a stream of its own, which all threads share: candle's other device has one for each thread.
            Some(gpu) => Device::new_cuda_with_stream(gpu as usize)
                .with_context(|| format!("cuda:{gpu} cannot be used for training"))?,
            None => Device::Cpu,
        };
        Ok(Batched { place: Place::new(device)? })
    }

    /// The batched bench, on the processors: on a GPU, this program computes rules at most.
    #[cfg(not(feature = "cuda-training"))]
    fn batched(self) -> anyhow::Result<Batched> {
        match self.device {
            None | Some(DeviceChoice::Cpu) => {}
            Some(DeviceChoice::Auto) => complain("computing on cpu: built without --features cuda-training"),
            Some(device @ DeviceChoice::Cuda(_)) => {
                let what = format!(
                    "--device {device}: this program was built without what the batched bench needs there: build it with \
                     --features cuda-training (docs/cuda.md), or use --device cpu"
                );
                return Err(UsageError(what).into());
            }
        }
        Ok(Batched { place: Place::new(Device::Cpu)? })
    }
}

/// How cells of a grid are run.
#[derive(Debug, Args)]
pub(super) struct PoolArgs {
    /// Cells at a time [default: the number of cores]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    device: DeviceArg,
    /// Run cells on the batched bench: all devices of a round as one batch of tensors, which is made for a GPU; models are
    /// those of other benches within rounding only
    #[arg(long)]
    batched: bool,
    #[command(flatten)]
    pub(super) folder: DatasetsFolder,
}

impl PoolArgs {
    /// What runs them, into the folder `out`.
    pub(super) fn pool(&self, out: &Path) -> anyhow::Result<Pool> {
        let bench: Arc<dyn Bench + Send + Sync> = if self.batched {
            Arc::new(self.device.batched()?)
        } else {
            Arc::new(Software { rules: self.device.rules()?, ..Software::default() })
        };
        Ok(Pool { out: out.to_owned(), datasets: self.folder.path(), jobs: self.jobs, bench })
    }
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
    /// Leave these devices out (boards), by id, name or tag of the inventory: the run begins without them
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',', requires = "fleet")]
    without: Vec<String>,
    /// Devices that are seen to at a time (boards)
    #[arg(long, value_name = "N", default_value_t = JOBS, requires = "fleet")]
    jobs: usize,
    /// Take devices (boards) that belong to another run or deployment, which goes on without them
    #[arg(long, requires = "fleet")]
    take_over: bool,
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
            told: |device, what| complain(format_args!("{device}: {what}")),
            without: self.without.clone(),
            jobs: self.jobs,
            take_over: self.take_over,
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
