//! `hil shards`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use shared::data::ShardInfo;
use shared::identity::DeviceId;
use shared::scenario::Scenario;

use crate::cli::{DatasetsFolder, Ending};
use crate::fleet_data::FleetData;

/// Write each device's shard of a scenario's training data, for devices that are started by hand
#[derive(Debug, Args)]
pub struct ShardsArgs {
    /// The scenario file
    scenario: PathBuf,
    /// The folder for device-000.safetensors, device-001.safetensors, ...
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Override one key of the scenario; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    folder: DatasetsFolder,
}

impl ShardsArgs {
    /// Writes them.
    ///
    /// # Errors
    /// If the scenario or its data is unusable, or a file cannot be written.
    pub fn run(self) -> anyhow::Result<Ending> {
        let scenario = Scenario::load(&self.scenario, &self.settings)?;
        let data = FleetData::load(&scenario, &self.folder.path())?;
        fs::create_dir_all(&self.out).with_context(|| format!("cannot create {}", self.out.display()))?;
        for (_, path) in write_shards(&scenario, &data, &self.out)? {
            println!("{}", path.display());
        }
        Ok(Ending::Finished)
    }
}

/// Writes each device's shard into `folder`, and says where, in order of device.
///
/// # Errors
/// If a file cannot be written.
pub fn write_shards(
    scenario: &Scenario,
    data: &FleetData,
    folder: &Path,
) -> anyhow::Result<Vec<(DeviceId, PathBuf)>> {
    let write = |(index, shard): (usize, shared::data::Shard)| {
        let device = DeviceId(index as u32);
        let path = folder.join(format!("{device}.safetensors"));
        let bytes = shard.to_bytes(ShardInfo { dataset: scenario.dataset, device });
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok((device, path))
    };
    data.shards(scenario).into_iter().enumerate().map(write).collect()
}
