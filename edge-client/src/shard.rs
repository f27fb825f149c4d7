//! What this device trains on: a shard that was made for it, or one of its own.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use learning::data::{ImportedFile, OnDevices, Shard, ShardFile};
use scenario::Scenario;
use wire::identity::{DeviceId, Digest};

/// A shard, and its digest.
#[derive(Clone, Debug)]
pub struct OwnShard {
    /// The examples.
    pub shard: Shard,
    /// The digest of the file.
    pub digest: Digest,
}

impl OwnShard {
    /// Reads the shard at `path` and checks that it is for this device, and made by the scenario's settings.
    ///
    /// # Errors
    /// If it is another, or none.
    pub(crate) fn dealt(path: &Path, scenario: &Scenario, device: DeviceId) -> anyhow::Result<Self> {
        let shown = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("shard {shown}"))?;
        // With another shard a run would end in another model than elsewhere, and nothing would say why.
        let ShardFile { shard, info, digest } =
            ShardFile::read(&bytes, &scenario.dataset, &scenario.shard_settings())
                .with_context(|| format!("shard {shown}"))?;
        let owner = info.device;
        ensure!(
            owner == device,
            "shard {shown}: is for {owner}, but this is {device}; give each device its own --shard"
        );
        ensure!(
            !shard.is_empty(),
            "shard {shown}: holds no example; have fewer devices, or more training examples"
        );
        Ok(OwnShard { shard, digest })
    }

    /// Reads the shard at `path` that `edge-client import` has made of a device's own data, as examples of `expected`.
    ///
    /// # Errors
    /// What is wrong with it, or why it does not fit, and what to do.
    pub fn imported(path: &Path, expected: &OnDevices) -> Result<Self, String> {
        let shown = path.display();
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let command = expected.import_command("edge-client", &shown.to_string());
                format!("it has no shard: `{command}` makes it")
            }
            _ => format!("shard {shown}: {error}"),
        })?;
        let ImportedFile { imported, digest } =
            ImportedFile::read(&bytes).map_err(|error| error.to_string())?;
        let examples = expected.fit(imported).map_err(|misfit| misfit.to_string())?;
        if examples.is_empty() {
            return Err("its shard holds no example".to_owned());
        }
        Ok(OwnShard { shard: Shard::whole(Arc::new(examples)), digest })
    }
}
