//! The folder of mlflow's file store, as `mlflow/store/tracking/file_store.py` reads it.
//!
//! ```text
//! EXPERIMENT/meta.yaml          one for each name of a scenario
//! EXPERIMENT/RUN/meta.yaml      RUN is the run's id
//! EXPERIMENT/RUN/params/KEY     the value of a key of the scenario
//! EXPERIMENT/RUN/metrics/NAME   a line for each round: milliseconds since 1970, value, round
//! EXPERIMENT/RUN/tags/NAME
//! EXPERIMENT/RUN/artifacts/     files of the run
//! ```

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use record::metrics::{ROUNDS, RUNS, Value};
use record::{RoundRecord, State, copy_file};
use serde_json::json;
use wire::identity::Digest;

use super::run::{ExportedRun, file_name, plain};
use super::staging::Staging;
use super::{Export, Format, Outcome, Time};

/// The entry of the list of formats.
pub const FORMAT: Format = Format {
    name: "mlflow-files",
    about: "The folder of mlflow's file store, such as `mlruns`: parameters, metrics, tags and the run's report as an artifact",
    begin: |_, staging| Ok(Box::new(FileStore::begin(staging)?)),
};

/// Characters of a parameter's value: mlflow cuts what is longer (`MAX_PARAM_VAL_LENGTH`). The scenario is an artifact as well.
const LONGEST_VALUE: usize = 6000;
/// Files of a run that become artifacts, if they are there.
const ARTIFACTS: [&str; 6] =
    ["report.html", "summary.json", "metrics.csv", "scenario.toml", "manifest.json", "devices.json"];

/// Writes the store.
struct FileStore {
    /// Where the store will be, as a path that holds everywhere on this machine.
    root: PathBuf,
    /// The experiments that runs are in so far.
    experiments: HashSet<String>,
    run: Option<RunFolder>,
}

/// The folder of the run that is at hand.
struct RunFolder {
    folder: PathBuf,
    experiment: String,
    /// Names of metrics of a round, and the files of those that were measured in any.
    metrics: Vec<(String, Option<BufWriter<File>>)>,
    last_round: u32,
}

impl FileStore {
    fn begin(staging: &Staging) -> anyhow::Result<Self> {
        Ok(FileStore { root: staging.out().canonicalize()?, experiments: HashSet::new(), run: None })
    }

    fn location(&self, below: &str) -> String {
        self.root.join(below).display().to_string()
    }
}

impl Export for FileStore {
    fn begin(&mut self, run: &ExportedRun, staging: &mut Staging) -> anyhow::Result<()> {
        let name = &run.stored.scenario().name;
        let experiment = experiment_id(name);
        let meta = Path::new(&experiment).join("meta.yaml");
        // One that is there may have been renamed, and has tags.
        if self.experiments.insert(experiment.clone()) && !self.root.join(&meta).exists() {
            let created = run.created().milliseconds();
            staging.file(meta)?.write_all(&yaml(&json!({
                "artifact_location": self.location(&experiment),
                "creation_time": created,
                "experiment_id": experiment,
                "last_update_time": created,
                "lifecycle_stage": "active",
                "name": name,
            })))?;
        }
        let folder = staging.folder(Path::new(&experiment).join(run.id()))?;
        for below in ["params", "metrics", "tags", "artifacts"] {
            fs::create_dir(folder.join(below))?;
        }
        for (key, value) in &run.keys {
            let value: String = plain(value).chars().take(LONGEST_VALUE).collect();
            fs::write(folder.join("params").join(file_name(key)), value)?;
        }
        let names = ROUNDS.iter().flat_map(|metric| metric.columns(run.classes()));
        let metrics = names.map(|name| (name, None)).collect();
        self.run = Some(RunFolder { folder, experiment, metrics, last_round: 0 });
        Ok(())
    }

    fn round(&mut self, run: &ExportedRun, record: &RoundRecord, time: Time) -> anyhow::Result<()> {
        let Some(folder) = &mut self.run else { return Ok(()) };
        folder.last_round = record.round;
        let values = ROUNDS.iter().flat_map(|metric| metric.values(record, run.classes()));
        for ((name, file), value) in folder.metrics.iter_mut().zip(values) {
            // The round is the step of all others.
            let Some(value) = value.filter(|value| value.is_finite() && name != "round") else { continue };
            let place = folder.folder.join("metrics").join(&*name);
            let file = match file {
                Some(file) => file,
                None => file.insert(BufWriter::new(File::create_new(place)?)),
            };
            writeln!(file, "{} {value} {}", time.milliseconds(), record.round)?;
        }
        Ok(())
    }

    fn end(&mut self, run: &ExportedRun, outcome: &Outcome, _: &mut Staging) -> anyhow::Result<()> {
        let Some(RunFolder { folder, experiment, mut metrics, last_round }) = self.run.take() else {
            return Ok(());
        };
        metrics.iter_mut().filter_map(|(_, file)| file.as_mut()).try_for_each(BufWriter::flush)?;
        let (manifest, id) = (run.stored.manifest(), run.id());
        let mut tags = vec![
            ("mlflow.runName".to_owned(), run.name.clone()),
            ("mlflow.source.name".to_owned(), "hil export".to_owned()),
            ("mlflow.source.type".to_owned(), "LOCAL".to_owned()),
            ("directory".to_owned(), run.stored.path().display().to_string()),
            ("bench".to_owned(), manifest.bench.clone()),
        ];
        tags.extend(
            manifest.versions.iter().map(|(name, version)| (format!("version.{name}"), version.clone())),
        );
        let end = outcome.time.milliseconds();
        for metric in RUNS.iter().filter(|metric| metric.is_measured()) {
            // Some are called like metrics of a round.
            let name = format!("run.{}", metric.name);
            match metric.of(&outcome.summary) {
                Some(Value::Number(value)) if value.is_finite() => {
                    fs::write(folder.join("metrics").join(name), format!("{end} {value} {last_round}\n"))?;
                }
                Some(Value::Text(text)) => tags.push((name, text)),
                _ => {}
            }
        }
        for (name, value) in tags {
            fs::write(folder.join("tags").join(name), value)?;
        }
        for name in ARTIFACTS {
            let file = run.stored.path().join(name);
            if file.exists() {
                copy_file(&file, &folder.join("artifacts").join(name))?;
            }
        }
        // `RunStatus` of mlflow.
        let (status, end_time) = match outcome.state {
            State::InProgress => (1, None),
            State::Finished => (3, Some(end)),
            State::Interrupted => (5, Some(end)),
        };
        let meta = yaml(&json!({
            "artifact_uri": self.location(&format!("{experiment}/{id}/artifacts")),
            "end_time": end_time,
            "entry_point_name": "",
            "experiment_id": experiment,
            "lifecycle_stage": "active",
            "run_id": id,
            "run_name": run.name,
            "run_uuid": id,
            "source_name": "",
            "source_type": 4,
            "source_version": "",
            "start_time": run.created().milliseconds(),
            "status": status,
            "tags": [],
            "user_id": "",
        }));
        Ok(fs::write(folder.join("meta.yaml"), meta)?)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The id of the experiment of all runs of scenarios of this `name`: 18 digits, as mlflow's own are.
fn experiment_id(name: &str) -> String {
    let Digest(bytes) = Digest::of(name.as_bytes());
    let number = bytes[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (100_000_000_000_000_000 + number % 900_000_000_000_000_000).to_string()
}

/// `value` as YAML: what is JSON is YAML.
fn yaml(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_has_the_id_of_its_name() {
        let id = experiment_id("mnist-trimmed-mean");
        assert_eq!((id.len(), id.chars().all(|digit| digit.is_ascii_digit())), (18, true), "{id}");
        assert_eq!(id, experiment_id("mnist-trimmed-mean"));
        assert_ne!(id, experiment_id("mnist-median"));
    }
}
