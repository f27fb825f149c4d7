//! Where the binary takes its settings from: a TOML file, then the environment, then flags.

#![allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "clap prints these comments as they stand")]

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use rim::{BrokerAccess, BrokerAddress, BrokerOptions, BrokerOptionsError, LoginOptions, TlsFiles};
use serde::{Deserialize, Serialize};
use shared::identity::DeviceId;
use shared::toml_file::{self, FileError};
use shared::wire::Topics;

/// One device of an Outpost fleet: trains on its own shard, sends updates over MQTT and, only where the
/// scenario designates it, attacks.
///
/// Every setting but --config and --log can stand in the configuration file under the name of its flag; all can be in
/// the environment or on the command line. The later wins. Example of a file:
///
///   device = "device-007"
///   scenario = "/etc/outpost/scenario.toml"
///   shard = "/var/lib/outpost/shard.safetensors"
///   broker = "mqtts://192.168.1.10:8883"
///   ca = "/etc/outpost/ca.pem"
///   cert = "/etc/outpost/device.pem"
///   key = "/etc/outpost/device.key"
///
/// The last three are for a broker with TLS (mqtts://); mqtt:// takes none of them. A broker with passwords takes
/// `user` and `password-file`.
/// The client waits for a run of its scenario, takes part in it and exits when it is over.
/// Exit codes: 0 the run is over, 1 failure, 2 wrong usage, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "edge-client", version, verbatim_doc_comment)]
pub struct Cli {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "OUTPOST_CONFIG")]
    pub config: Option<PathBuf>,
    /// This device's name, as in device-007
    #[arg(long, value_name = "NAME", env = "OUTPOST_DEVICE")]
    pub device: Option<DeviceId>,
    /// The scenario file, the same as the aggregator's
    #[arg(long, value_name = "FILE", env = "OUTPOST_SCENARIO")]
    pub scenario: Option<PathBuf>,
    /// This device's training data
    #[arg(long, value_name = "FILE", env = "OUTPOST_SHARD")]
    pub shard: Option<PathBuf>,
    /// The broker [default: mqtt://localhost:1883]
    #[arg(long, value_name = "URL", env = "OUTPOST_BROKER")]
    pub broker: Option<BrokerAddress>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it")]
    pub access: BrokerOptions,
    /// First level(s) of every topic [default: outpost]
    #[arg(long, value_name = "PREFIX", env = "OUTPOST_TOPIC_PREFIX")]
    pub topic_prefix: Option<String>,
    /// Seconds that the broker may be away before the client gives up [default: 300]
    #[arg(long, value_name = "SECONDS", env = "OUTPOST_PATIENCE")]
    pub patience: Option<u64>,
    /// For benches: append what this device does of an attack to this file, a line of JSON each
    #[arg(long, value_name = "FILE")]
    pub attack_log: Option<PathBuf>,
    /// How much to log: error, warn, info, debug
    #[arg(long, value_name = "LEVEL", env = "OUTPOST_LOG", default_value = "info")]
    pub log: tracing::Level,
}

/// The settings as the configuration file has them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct File {
    /// As the flag.
    pub device: Option<String>,
    /// As the flag.
    pub scenario: Option<PathBuf>,
    /// As the flag.
    pub shard: Option<PathBuf>,
    /// As the flag.
    pub broker: Option<String>,
    /// As the flag.
    pub ca: Option<PathBuf>,
    /// As the flag.
    pub cert: Option<PathBuf>,
    /// As the flag.
    pub key: Option<PathBuf>,
    /// As the flag.
    pub user: Option<String>,
    /// As the flag.
    pub password_file: Option<PathBuf>,
    /// As the flag.
    pub plain_password: Option<bool>,
    /// As the flag.
    pub keep_alive: Option<NonZero<u16>>,
    /// As the flag.
    pub topic_prefix: Option<String>,
    /// As the flag.
    pub patience: Option<u64>,
    /// As the flag.
    pub attack_log: Option<PathBuf>,
}

/// The settings, complete.
#[derive(Debug)]
pub struct Config {
    /// This device.
    pub device: DeviceId,
    /// The scenario file.
    pub scenario: PathBuf,
    /// The shard file.
    pub shard: PathBuf,
    /// The broker, and how it is spoken to.
    pub access: BrokerAccess,
    /// The topics.
    pub topics: Topics,
    /// How long the broker may be away.
    pub patience: Duration,
    /// Where to write what this device does of an attack.
    pub attack_log: Option<PathBuf>,
}

/// A setting that is missing or wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A setting that has no default.
    #[error("no {0}: give --{0}, set OUTPOST_{upper}, or write `{0} = ...` into the file of --config", upper = .0.to_uppercase())]
    Missing(&'static str),
    /// A value that cannot be read.
    #[error("{key}: {what}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The broker cannot be spoken to as the options say.
    #[error(transparent)]
    Broker(#[from] BrokerOptionsError),
}

impl Cli {
    /// Merges file, environment and flags.
    ///
    /// # Errors
    /// [`ConfigError`] names the file or the setting.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let file = self.config.as_deref().map(toml_file::load::<File>).transpose()?.unwrap_or_default();
        let device = or_parse(self.device, file.device, "device")?.ok_or(ConfigError::Missing("device"))?;
        let broker = or_parse(self.broker, file.broker, "broker")?.unwrap_or(BrokerAddress {
            host: "localhost".to_owned(),
            port: 1883,
            tls: false,
        });
        let access = self.access.or(BrokerOptions {
            tls: TlsFiles { ca: file.ca, cert: file.cert, key: file.key },
            login: LoginOptions {
                user: file.user,
                password_file: file.password_file,
                plain_password: file.plain_password.unwrap_or_default(),
                keep_alive: file.keep_alive.map(NonZero::get),
            },
        });
        let prefix = self.topic_prefix.or(file.topic_prefix);
        let topics = prefix.map_or(Ok(Topics::default()), |prefix| Topics::new(&prefix));
        Ok(Config {
            device,
            scenario: self.scenario.or(file.scenario).ok_or(ConfigError::Missing("scenario"))?,
            shard: self.shard.or(file.shard).ok_or(ConfigError::Missing("shard"))?,
            access: access.load(&broker)?,
            topics: topics
                .map_err(|error| ConfigError::Value { key: "topic-prefix", what: error.to_string() })?,
            patience: Duration::from_secs(self.patience.or(file.patience).unwrap_or(300)),
            attack_log: self.attack_log.or(file.attack_log),
        })
    }
}

/// The flag's value, or the file's text as one.
fn or_parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    flag: Option<T>,
    text: Option<String>,
    key: &'static str,
) -> Result<Option<T>, ConfigError> {
    let parse =
        |text: String| text.parse().map_err(|e: T::Err| ConfigError::Value { key, what: e.to_string() });
    flag.map_or_else(|| text.map(parse).transpose(), |value| Ok(Some(value)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn resolve(flags: &[&str]) -> Result<Config, String> {
        let args = std::iter::once("edge-client").chain(flags.iter().copied());
        Cli::try_parse_from(args).unwrap().resolve().map_err(|error| error.to_string())
    }

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.toml");
        std::fs::write(&path, "device = \"device-003\"\nscenario = \"a\"\nshard = \"b\"\npatience = 5\n")
            .unwrap();
        let path = path.to_str().unwrap();
        let config = resolve(&["--config", path, "--device", "device-004"]).unwrap();
        assert_eq!((config.device, config.patience), (DeviceId(4), Duration::from_secs(5)));
        assert_eq!(config.scenario, Path::new("a"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert!(resolve(&[]).unwrap_err().contains("--device"));
        let error = resolve(&["--device", "device-001", "--scenario", "a"]).unwrap_err();
        assert!(error.contains("OUTPOST_SHARD"), "{error}");
        let error = resolve(&["--config", "/nowhere/client.toml"]).unwrap_err();
        assert!(error.contains("/nowhere/client.toml"), "{error}");
        let flags = ["--device", "device-001", "--scenario", "a", "--shard", "b", "--topic-prefix", "A"];
        assert!(resolve(&flags).unwrap_err().contains("topic-prefix"));
        let flags = ["--device", "device-001", "--scenario", "a", "--shard", "b", "--password-file", "p"];
        assert!(resolve(&flags).unwrap_err().contains("without --user NAME"));
    }
}
