//! The settings of the binary: from a TOML file, then the environment, then flags.

#![allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "clap prints these comments as they stand")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, Args, Parser, Subcommand};
use input::toml_file::{self, FileError};
use link::{BrokerAccess, BrokerAddress, BrokerOptions, BrokerOptionsError};
use program::CommandLine;
use serde::{Deserialize, Serialize};
use toml::de::DeTable;
use wire::Topics;
use wire::identity::DeviceId;

use crate::import::ImportArgs;

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
#[command(name = "edge-client", version, verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    #[allow(missing_docs, reason = "clap would print it")]
    pub command: Option<Command>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "OUTPOST_CONFIG")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it")]
    pub settings: Settings,
    /// How much to log: error, warn, info, debug
    #[arg(long, value_name = "LEVEL", env = "OUTPOST_LOG", default_value = "info")]
    pub log: tracing::Level,
}

/// What else this program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[allow(missing_docs, reason = "clap would print it")]
    Import(ImportArgs),
}

/// The settings, as the configuration file, the environment and the flags have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Settings {
    /// This device's name, as in device-007
    #[arg(long, value_name = "NAME", env = "OUTPOST_DEVICE")]
    #[serde(with = "as_text")]
    pub device: Option<DeviceId>,
    /// The scenario file, the same as the aggregator's
    #[arg(long, value_name = "FILE", env = "OUTPOST_SCENARIO")]
    pub scenario: Option<PathBuf>,
    /// This device's training data: what was made for it, or what `edge-client import` has made of its own
    #[arg(long, value_name = "FILE", env = "OUTPOST_SHARD")]
    pub shard: Option<PathBuf>,
    /// The broker [default: mqtt://localhost:1883]
    #[arg(long, value_name = "URL", env = "OUTPOST_BROKER")]
    #[serde(with = "as_text")]
    pub broker: Option<BrokerAddress>,
    #[command(flatten)]
    #[serde(flatten)]
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
    /// Where an attack that keeps something from round to round keeps it over a restart [default: nowhere]
    #[arg(long, value_name = "FILE")]
    pub attack_memory: Option<PathBuf>,
    /// Where momentum that goes on from round to round is kept over a restart, of this device alone [default: nowhere]
    #[arg(long, value_name = "FILE")]
    pub training_memory: Option<PathBuf>,
    /// A program with its arguments that this device may start where the scenario's attack names exactly that, as in
    /// 'python3 /opt/mine.py'; words that have blanks as a list in JSON; may be repeated, a line each in the environment
    /// [default: none]
    #[arg(long, value_name = "COMMAND", env = "OUTPOST_ALLOW_PROGRAM", value_delimiter = '\n')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_program: Vec<CommandLine>,
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
    /// Where an attack keeps what it keeps from round to round.
    pub attack_memory: Option<PathBuf>,
    /// Where momentum is kept from round to round.
    pub training_memory: Option<PathBuf>,
    /// The programs that may be started.
    pub allow_program: Vec<CommandLine>,
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
    /// A path that no text can name, beside a configuration file.
    #[error("beside --config, paths are in UTF-8: {0}")]
    Path(#[from] toml::ser::Error),
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
        let settings = match &self.config {
            Some(file) => self.settings.over(file)?,
            None => self.settings,
        };
        let broker =
            settings.broker.unwrap_or(BrokerAddress { host: "localhost".to_owned(), port: 1883, tls: false });
        let topics = settings.topic_prefix.map_or(Ok(Topics::default()), |prefix| Topics::new(&prefix));
        Ok(Config {
            device: settings.device.ok_or(ConfigError::Missing("device"))?,
            scenario: settings.scenario.ok_or(ConfigError::Missing("scenario"))?,
            shard: settings.shard.ok_or(ConfigError::Missing("shard"))?,
            access: settings.access.load(&broker)?,
            topics: topics
                .map_err(|error| ConfigError::Value { key: "topic-prefix", what: error.to_string() })?,
            patience: Duration::from_secs(settings.patience.unwrap_or(300)),
            attack_log: settings.attack_log,
            attack_memory: settings.attack_memory,
            training_memory: settings.training_memory,
            allow_program: settings.allow_program,
        })
    }
}

impl Settings {
    /// These settings, and for those that are not given, what the file says.
    fn over(&self, file: &Path) -> Result<Settings, ConfigError> {
        let name = file.display().to_string();
        let mut merged = toml::Table::try_from(Settings::parse(&name, &toml_file::read(file)?)?)?;
        merged.extend(toml::Table::try_from(self)?);
        Ok(toml_file::parse(&name, &toml::to_string(&merged)?)?)
    }

    /// What the configuration file `file` says, which holds `text`.
    ///
    /// # Errors
    /// [`FileError::Text`] names the line.
    pub fn parse(file: &str, text: &str) -> Result<Settings, FileError> {
        let settings = toml_file::parse(file, text);
        let Ok(table) = DeTable::parse(text) else { return settings };
        let command = Settings::augment_args(clap::Command::new("edge-client"));
        let known: Vec<&str> = command.get_arguments().filter_map(Arg::get_long).collect();
        // One by one, for serde forgets the place of what stands in a struct within this one.
        for (key, value) in table.get_ref() {
            let entry = &text[key.span().start..value.span().end];
            let wrong = if known.contains(&&**key.get_ref()) {
                toml_file::parse::<Settings>(file, entry).err()
            } else {
                let known = known.join("`, `");
                let message = format!("unknown field `{}`, expected one of `{known}`", key.get_ref());
                Some(FileError::Text { file: file.to_owned(), line: 1, message })
            };
            if let Some(FileError::Text { file, message, .. }) = wrong {
                let line = 1 + text[..key.span().start].matches('\n').count();
                return Err(FileError::Text { file, line, message });
            }
        }
        settings
    }
}

/// A value that may be missing, as the text that it is displayed and parsed as.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<T: Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(ToString::to_string).serialize(to)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        Option::<String>::deserialize(from)?.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
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
    fn what_is_wrong_in_a_file_is_named_with_its_line() {
        let unknown = "client.toml:2: unknown field `borker`, expected one of `device`, `scenario`, ";
        for (text, said) in [
            ("device = \"device-003\"\nborker = 1\n", unknown),
            ("device = \"device-003\"\nkeep-alive = 0\n", "client.toml:2: invalid value: integer `0`"),
            ("user = \"a\"\n\nca = 5\n", "client.toml:3: invalid type: integer `5`, expected "),
            ("broker = \"here\"\n", "client.toml:1: `here` is not"),
            ("user = \"a\"\ndevice = \n", "client.toml:2: "),
        ] {
            let error = Settings::parse("client.toml", text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn settings_read_back_as_they_were_written() {
        let text = "device = \"device-003\"\nbroker = \"mqtts://h:8883\"\nca = \"a\"\nplain-password = true\n\
                    keep-alive = 5\npatience = 7\nallow-program = [\"python3 mine.py\"]\n";
        let settings = Settings::parse("client.toml", text).unwrap();
        assert_eq!(toml::to_string(&settings).unwrap(), text);
    }

    #[test]
    fn programs_are_allowed_by_the_file_or_by_flags() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.toml");
        let text = "device = \"device-003\"\nscenario = \"a\"\nshard = \"b\"\nallow-program = [\"a b\", '[\"c d\"]']\n";
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let words = |config: Config| -> Vec<Vec<String>> {
            config.allow_program.iter().map(|command| command.words().to_vec()).collect()
        };
        assert_eq!(words(resolve(&["--config", path]).unwrap()), [vec!["a", "b"], vec!["c d"]]);
        let flags = ["--config", path, "--allow-program", "e f", "--allow-program", "g"];
        assert_eq!(words(resolve(&flags).unwrap()), [vec!["e", "f"], vec!["g"]]);
        let error = Settings::parse("client.toml", "allow-program = [\"\"]\n").unwrap_err().to_string();
        assert!(error.starts_with("client.toml:1: ``") && error.contains("no program"), "{error}");
        assert!(Settings::parse("client.toml", "allow-program = \"a\"\n").is_err(), "a list");
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
