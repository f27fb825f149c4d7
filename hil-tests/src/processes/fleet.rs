//! What the processes of a run are given: the scenario, and each device's configuration and shard.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use edge_client::config::File;
use rim::nonce;
use tempfile::TempDir;

use crate::bench::Task;

/// A temporary folder with everything that the processes read, and their logs.
pub(super) struct Fleet {
    folder: TempDir,
    clients: Vec<(String, PathBuf)>,
    topic_prefix: String,
}

impl Fleet {
    /// Writes it all down.
    pub(super) fn prepare(task: &Task) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("outpost-").context("no temporary folder")?;
        let scenario = &task.scenario;
        let scenario_path = folder.path().join("scenario.toml");
        write(&scenario_path, scenario.to_toml().as_bytes())?;
        // Of its own: another fleet may use the same broker.
        let topic_prefix = format!("outpost/{:016x}", nonce());
        let mut clients = Vec::new();
        for (device, shard) in task.data.write_shards(scenario, folder.path())? {
            let config = File {
                device: Some(device.to_string()),
                scenario: Some(scenario_path.clone()),
                shard: Some(shard),
                topic_prefix: Some(topic_prefix.clone()),
                ..File::default()
            };
            let config_path = folder.path().join(format!("{device}.toml"));
            write(&config_path, toml::to_string(&config)?.as_bytes())?;
            clients.push((device.to_string(), config_path));
        }
        Ok(Fleet { folder, clients, topic_prefix })
    }

    pub(super) fn scenario(&self) -> PathBuf {
        self.folder.path().join("scenario.toml")
    }

    /// Name and configuration file of each device.
    pub(super) fn clients(&self) -> &[(String, PathBuf)] {
        &self.clients
    }

    pub(super) fn topic_prefix(&self) -> &str {
        &self.topic_prefix
    }

    /// Where the process called `name` logs to.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).with_extension("log")
    }

    /// Copies the logs into the run's directory.
    pub(super) fn keep_logs(&self, out: &Path) -> anyhow::Result<()> {
        let logs = out.join("logs");
        fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
        let names = self.clients.iter().map(|(device, _)| device.as_str()).chain(["aggregator-node"]);
        for name in names {
            let from = self.log(name);
            if from.is_file() {
                let to = logs.join(name).with_extension("log");
                fs::copy(&from, &to).with_context(|| to.display().to_string())?;
            }
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
