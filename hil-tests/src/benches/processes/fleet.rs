//! The files of the processes of a run: the scenario, and each device's configuration and shard.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use edge_client::config::Settings;
use link::{BrokerOptions, PASSWORD, random_id};
use record::{ATTACK_MEMORY, TRAINING_MEMORY, write_atomically_as};
use tempfile::TempDir;
use wire::identity::DeviceId;

use crate::benches::Task;

const ATTACK_LOG: &str = "attack.jsonl";

/// A temporary folder with everything that the processes read, and their logs until they are kept.
pub(super) struct Fleet {
    folder: TempDir,
    clients: Vec<(DeviceId, PathBuf)>,
    topic_prefix: String,
    access: BrokerOptions,
}

impl Fleet {
    /// Writes it all down; `access` is how they speak to the broker.
    pub(super) fn prepare(task: &Task, mut access: BrokerOptions) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("outpost-").context("no temporary folder")?;
        let scenario = &task.scenario;
        let scenario_path = folder.path().join("scenario.toml");
        write(&scenario_path, scenario.to_toml().as_bytes())?;
        // Its processes are not given the surroundings' variables.
        if let (Some(_), None, Ok(password)) =
            (&access.login.user, &access.login.password_file, std::env::var(PASSWORD))
        {
            let file = folder.path().join("password");
            write_atomically_as(&file, password.as_bytes(), 0o600)?;
            access.login.password_file = Some(file);
        }
        // Of its own: another fleet may use the same broker.
        let topic_prefix = format!("outpost/{:016x}", random_id());
        let out = std::path::absolute(&task.out)?;
        let mut clients = Vec::new();
        for (device, shard) in task.data.write_shards(scenario, folder.path())? {
            let config = Settings {
                device: Some(device),
                scenario: Some(scenario_path.clone()),
                shard: Some(shard),
                access: access.clone(),
                topic_prefix: Some(topic_prefix.clone()),
                attack_log: Some(folder.path().join(ATTACK_LOG)),
                attack_memory: Some(out.join(ATTACK_MEMORY)),
                training_memory: Some(out.join(TRAINING_MEMORY).join(format!("{device}.safetensors"))),
                // They run on this machine, by the word of whoever has this program run the scenario.
                allow_program: scenario.attack_commands(),
                ..Settings::default()
            };
            let config_path = folder.path().join(format!("{device}.toml"));
            write(&config_path, toml::to_string(&config)?.as_bytes())?;
            clients.push((device, config_path));
        }
        Ok(Fleet { folder, clients, topic_prefix, access })
    }

    /// Where all that is.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Name and configuration file of each device.
    pub(super) fn clients(&self) -> &[(DeviceId, PathBuf)] {
        &self.clients
    }

    pub(super) fn topic_prefix(&self) -> &str {
        &self.topic_prefix
    }

    /// Where the clients write what they do of an attack.
    pub(super) fn attack_log(&self) -> PathBuf {
        self.folder.path().join(ATTACK_LOG)
    }

    pub(super) fn access(&self) -> &BrokerOptions {
        &self.access
    }

    /// Where the process called `name` logs to.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).with_extension("log")
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
