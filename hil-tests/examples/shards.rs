//! Writes the training data of each device of a scenario into a folder, for a fleet that is started by hand:
//!
//! ```sh
//! cargo run --release -p hil-tests --example shards -- scenario.toml shards
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use hil_tests::fleet_data::FleetData;
use shared::data::ShardInfo;
use shared::identity::DeviceId;
use shared::scenario::Scenario;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(scenario), Some(out), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        bail!("expected SCENARIO and FOLDER, as in `scenario.toml shards`");
    };
    let scenario = Scenario::load(&scenario, &[])?;
    let data = FleetData::load(&scenario, Path::new("datasets"))?;
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    for (index, shard) in data.shards(&scenario).into_iter().enumerate() {
        let device = DeviceId(index as u32);
        let path = out.join(format!("{device}.safetensors"));
        let bytes = shard.to_bytes(ShardInfo { dataset: scenario.dataset, device });
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}: {} examples", path.display(), shard.len());
    }
    Ok(())
}
