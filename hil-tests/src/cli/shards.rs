//! `hil shards`.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use learning::data::ShardList;
use scenario::catalogue::Catalogue;

use super::common::{Common, Ending};
use crate::data::FleetData;

/// Write each device's shard of a scenario's training data, for devices that are started by hand
///
/// Beside them it writes shards.toml, their list: with `aggregator-node --shards` a device that trains on anything else
/// is refused.
#[derive(Debug, Args)]
pub(super) struct ShardsArgs {
    /// The scenario file
    scenario: PathBuf,
    /// The folder for device-000.safetensors, device-001.safetensors, ... and shards.toml
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl ShardsArgs {
    /// Writes them.
    ///
    /// # Errors
    /// If the scenario or its data is unusable, or a file cannot be written.
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let scenario = self.common.load(catalogue, &self.scenario)?;
        let data = FleetData::load(&scenario, &self.common.folder.path())?;
        fs::create_dir_all(&self.out).with_context(|| format!("cannot create {}", self.out.display()))?;
        for (_, path) in data.write_shards(&scenario, &self.out)? {
            link::print(path.display())?;
        }
        link::print(self.out.join(ShardList::FILE).display())?;
        Ok(Ending::Finished)
    }
}
