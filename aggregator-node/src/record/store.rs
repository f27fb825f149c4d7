//! The directory itself: made, locked, appended to, checkpointed, resumed and finished.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::identity::Digest;
use shared::parameters::{Layout, Parameters};

use super::files::{encoding, lock, parse, read, write_atomically, write_json};
use super::rounds_file::{parse_records, records_up_to};
use super::{Arm, FORMAT, Manifest, RecordError, RoundRecord, Summary, metrics, report};

const LOCK: &str = ".lock";
const MANIFEST: &str = "manifest.json";
const SCENARIO: &str = "scenario.toml";
const ROUNDS: &str = "rounds.jsonl";
const CHECKPOINT: &str = "checkpoint.safetensors";
/// The global model of lowest testing error, where the scenario asks for it.
const BEST: &str = "best.safetensors";
/// The number of the last start of the aggregator.
const TERM: &str = "term";
const METRICS: &str = "metrics.csv";
const SUMMARY: &str = "summary.json";
const REPORT: &str = "report.html";

/// The directory of one run, locked for this process while the value lives.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    manifest: Manifest,
    layout: Arc<Layout>,
    rounds: File,
    _lock: File,
}

impl RunDirectory {
    /// Makes the directory of a new run, or opens the one that an interrupted run of the same scenario on the
    /// same bench left at `path`; that run's manifest, and so its run id, is then kept.
    ///
    /// # Errors
    /// [`RecordError::Occupied`] if `path` holds anything else, and the errors of [`RunDirectory::open`].
    pub fn create(path: &Path, scenario_toml: &str, manifest: &Manifest) -> Result<Self, RecordError> {
        fs::create_dir_all(path).map_err(RecordError::io("create", path))?;
        if !Self::exists(path) {
            refuse_foreign_files(path)?;
            let _lock = lock(path, LOCK)?;
            // Another process may have made the run while this one had no lock yet.
            if !Self::exists(path) {
                write_atomically(&path.join(SCENARIO), scenario_toml.as_bytes())?;
                write_json(&path.join(MANIFEST), manifest)?;
            }
        }
        let run = Self::open(path)?;
        let occupied = |holds| Err(RecordError::Occupied { path: path.to_owned(), holds });
        if run.manifest.scenario_sha256 != manifest.scenario_sha256 {
            return occupied("a run of another scenario".to_owned());
        }
        if run.manifest.bench != manifest.bench {
            return occupied(format!("a run of this scenario on the bench `{}`", run.manifest.bench));
        }
        Ok(run)
    }

    /// Opens the directory of an earlier run.
    ///
    /// # Errors
    /// [`RecordError::NotARun`], [`RecordError::Locked`], [`RecordError::Format`], [`RecordError::Damaged`] for
    /// a manifest that does not parse, or [`RecordError::Io`].
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        if !Self::exists(path) {
            return Err(RecordError::NotARun { path: path.to_owned() });
        }
        let lock = lock(path, LOCK)?;
        let manifest = read_manifest(&path.join(MANIFEST))?;
        let layout = manifest.model_layout().map(Arc::new).ok_or_else(|| {
            RecordError::damaged(
                &path.join(MANIFEST),
                "the model's layout has more values than memory can hold",
            )
        })?;
        let rounds_path = path.join(ROUNDS);
        let rounds = OpenOptions::new().create(true).append(true).open(&rounds_path);
        let rounds = rounds.map_err(RecordError::io("open", &rounds_path))?;
        Ok(RunDirectory { path: path.to_owned(), manifest, layout, rounds, _lock: lock })
    }

    /// Whether `path` holds a run.
    pub fn exists(path: &Path) -> bool {
        path.join(MANIFEST).is_file()
    }

    /// A number for this start of the aggregator: `now`, or one more than the last start's where a clock that was set
    /// back would make it smaller.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] if the last start's cannot be read, or [`RecordError::Io`].
    pub fn next_term(&mut self, now: u64) -> Result<u64, RecordError> {
        let path = self.path.join(TERM);
        let last = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| RecordError::damaged(&path, "it holds no number"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(RecordError::io("read", &path)(error)),
        };
        let term = now.max(last + 1);
        write_atomically(&path, term.to_string().as_bytes())?;
        Ok(term)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the run is made of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Adds a finished round. The line is with the operating system when this returns, and so outlives this
    /// process; it is on the disk after the next [`RunDirectory::checkpoint`].
    ///
    /// # Errors
    /// [`RecordError::Io`]; part of the line may then be in the file, so the run must be resumed before it goes on.
    pub fn append(&mut self, record: &RoundRecord) -> Result<(), RecordError> {
        let path = self.path.join(ROUNDS);
        let mut line = serde_json::to_vec(record).map_err(encoding(&path))?;
        line.push(b'\n');
        // One write, so that a killed process leaves at most one torn line, at the end.
        self.rounds
            .write_all(&line)
            .and_then(|()| self.rounds.flush())
            .map_err(RecordError::io("append to", &path))
    }

    /// Replaces the checkpoint by the global model after `round`, whose record must have been appended before
    /// (round 0, the initial model, has none).
    ///
    /// # Errors
    /// [`RecordError::Checkpoint`] or [`RecordError::Io`]; the previous checkpoint is then still there.
    pub fn checkpoint(&mut self, round: u32, parameters: &Parameters) -> Result<(), RecordError> {
        // A checkpoint that survives a power failure must not be ahead of the rounds that do.
        self.rounds.sync_data().map_err(RecordError::io("sync", &self.path.join(ROUNDS)))?;
        self.write_model(CHECKPOINT, round, parameters)
    }

    /// Keeps the global model after `round` as the best so far.
    ///
    /// # Errors
    /// As [`RunDirectory::checkpoint`].
    pub fn keep_best(&mut self, round: u32, parameters: &Parameters) -> Result<(), RecordError> {
        self.write_model(BEST, round, parameters)
    }

    /// What [`RunDirectory::keep_best`] kept last: the round and the global model after it.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] if it is not what this program wrote, or [`RecordError::Io`].
    pub fn best(&self) -> Result<Option<(u32, Parameters)>, RecordError> {
        self.read_model(BEST)
    }

    fn write_model(&self, file: &str, round: u32, parameters: &Parameters) -> Result<(), RecordError> {
        let path = self.path.join(file);
        // safetensors has no checksum of its own, and a flipped bit of a float is still a float.
        let digest = Digest::of(&parameters.to_le_bytes());
        let run = self.manifest.run;
        let metadata =
            [("round", round.to_string()), ("run", run.to_string()), ("sha256", digest.to_string())];
        let metadata: HashMap<_, _> = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        let bytes = parameters
            .to_safetensors(metadata)
            .map_err(|cause| RecordError::Checkpoint { path: path.clone(), cause })?;
        write_atomically(&path, &bytes)
    }

    /// Where the run continues: the last checkpointed round, the global model after it, and all records up to
    /// it. Records of later rounds, a torn last line among them, are removed. `None` if there is no checkpoint:
    /// the run starts anew, and no record is left. To be called before the first [`RunDirectory::append`].
    ///
    /// # Errors
    /// [`RecordError::Damaged`] if the checkpoint or a record before it is not what this program wrote, or
    /// [`RecordError::Io`].
    pub fn resume(&mut self) -> Result<Option<(u32, Parameters, Vec<RoundRecord>)>, RecordError> {
        let rounds_path = self.path.join(ROUNDS);
        let checkpoint = self.read_model(CHECKPOINT)?;
        let (records, length) = match &checkpoint {
            Some((round, _)) => records_up_to(&rounds_path, &read(&rounds_path)?, *round)?,
            None => (Vec::new(), 0),
        };
        let cut = self.rounds.set_len(length as u64).and_then(|()| self.rounds.sync_data());
        cut.map_err(RecordError::io("truncate", &rounds_path))?;
        Ok(checkpoint.map(|(round, parameters)| (round, parameters, records)))
    }

    /// Every complete record.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] or [`RecordError::Io`].
    pub fn records(&self) -> Result<Vec<RoundRecord>, RecordError> {
        let path = self.path.join(ROUNDS);
        parse_records(&path, &read(&path)?).map(|record| record.map(|(record, _)| record)).collect()
    }

    /// Ends the run: writes its metrics, its summary and its report.
    ///
    /// # Errors
    /// Those of [`RunDirectory::records`], or [`RecordError::Plot`].
    pub fn finish(&self, summary: &Summary) -> Result<(), RecordError> {
        let arm = self.arm_with(&summary.name, summary.clone())?;
        write_atomically(&self.path.join(METRICS), metrics::to_csv(&arm.records).as_bytes())?;
        let page = report::render(&summary.name, std::slice::from_ref(&arm))?;
        write_atomically(&self.path.join(REPORT), page.as_bytes())?;
        // Last: who finds a summary finds the rest.
        write_json(&self.path.join(SUMMARY), summary)
    }

    /// A finished run as one arm, called `label`, of a report that compares several.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the run is not finished, or [`RecordError::Damaged`].
    pub fn arm(&self, label: &str) -> Result<Arm, RecordError> {
        let path = self.path.join(SUMMARY);
        self.arm_with(label, parse(&path, &read(&path)?)?)
    }

    fn arm_with(&self, label: &str, summary: Summary) -> Result<Arm, RecordError> {
        let path = self.path.join(SCENARIO);
        let scenario_toml = String::from_utf8(read(&path)?)
            .map_err(|error| RecordError::damaged(&path, error.to_string()))?;
        let manifest = self.manifest.clone();
        Ok(Arm { label: label.to_owned(), summary, manifest, records: self.records()?, scenario_toml })
    }

    fn read_model(&self, file: &str) -> Result<Option<(u32, Parameters)>, RecordError> {
        let path = self.path.join(file);
        let damaged = |what: &str| RecordError::damaged(&path, what);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(RecordError::io("read", &path)(error)),
        };
        // Before anything of the size that the manifest states is allocated.
        if bytes.len() / 4 < self.layout.dimension() {
            return Err(damaged("it is shorter than the model that the manifest describes"));
        }
        let (parameters, metadata) = Parameters::from_safetensors(self.layout.clone(), &bytes)
            .map_err(|error| RecordError::damaged(&path, error.to_string()))?;
        if metadata.get("run") != Some(&self.manifest.run.to_string()) {
            return Err(damaged("it is of another run than the manifest's"));
        }
        if metadata.get("sha256") != Some(&Digest::of(&parameters.to_le_bytes()).to_string()) {
            return Err(damaged("its parameters do not have the digest it states"));
        }
        let round = metadata.get("round").and_then(|round| round.parse().ok());
        Ok(Some((round.ok_or_else(|| damaged("it does not say which round it is of"))?, parameters)))
    }
}

/// Refuses a directory that holds more than an interrupted [`RunDirectory::create`] leaves behind.
fn refuse_foreign_files(path: &Path) -> Result<(), RecordError> {
    let unfinished = [LOCK, SCENARIO, "scenario.toml.tmp", "manifest.json.tmp"];
    for entry in fs::read_dir(path).map_err(RecordError::io("list", path))? {
        let name = entry.map_err(RecordError::io("list", path))?.file_name();
        if !unfinished.iter().any(|&ours| name == ours) {
            let holds = format!("`{}` and is not a run directory", name.display());
            return Err(RecordError::Occupied { path: path.to_owned(), holds });
        }
    }
    Ok(())
}

fn read_manifest(path: &Path) -> Result<Manifest, RecordError> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let bytes = read(path)?;
    // First, because another format may have other fields.
    let Version { format } = parse(path, &bytes)?;
    if format != FORMAT {
        return Err(RecordError::Format { path: path.to_owned(), found: format, expected: FORMAT });
    }
    parse(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::examples::{SCENARIO_TOML, manifest, parameters, record, summary};

    fn new_run(path: &Path) -> RunDirectory {
        RunDirectory::create(path, SCENARIO_TOML, &manifest()).unwrap()
    }

    /// A run that was killed after `rounds` rounds, the first `checkpointed` of which it has checkpointed.
    fn interrupted_run(path: &Path, rounds: u32, checkpointed: u32) {
        let mut run = new_run(path);
        for round in 1..=rounds {
            run.append(&record(round)).unwrap();
            if round <= checkpointed {
                run.checkpoint(round, &parameters(round as f32)).unwrap();
            }
        }
    }

    #[test]
    fn terms_grow_even_where_the_clock_is_set_back() {
        let home = tempfile::tempdir().unwrap();
        let mut run = new_run(home.path());
        assert_eq!([100, 50, 200].map(|now| run.next_term(now).unwrap()), [100, 101, 200]);
        fs::write(home.path().join(TERM), "soon").unwrap();
        assert!(run.next_term(1).unwrap_err().to_string().contains("term"));
    }

    #[test]
    fn a_run_resumes_at_its_checkpoint_and_drops_later_records_and_a_torn_line() {
        let home = tempfile::tempdir().unwrap();
        interrupted_run(home.path(), 4, 2);
        let rounds = home.path().join(ROUNDS);
        OpenOptions::new().append(true).open(&rounds).unwrap().write_all(b"{\"round\":5,\"sel").unwrap();

        let mut run = new_run(home.path());
        let (round, model, records) = run.resume().unwrap().unwrap();
        assert_eq!((round, model), (2, parameters(2.0)));
        assert_eq!(records, [record(1), record(2)]);
        run.append(&record(3)).unwrap();
        assert_eq!(run.records().unwrap(), [record(1), record(2), record(3)]);
    }

    #[test]
    fn whatever_byte_the_kill_tore_the_last_line_at_the_run_resumes() {
        let home = tempfile::tempdir().unwrap();
        interrupted_run(home.path(), 2, 1);
        let rounds = home.path().join(ROUNDS);
        let whole = fs::read(&rounds).unwrap();
        let first = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for length in first..=whole.len() {
            fs::write(&rounds, &whole[..length]).unwrap();
            let (_, _, records) = RunDirectory::open(home.path()).unwrap().resume().unwrap().unwrap();
            assert_eq!(records, [record(1)]);
            assert_eq!(fs::read(&rounds).unwrap(), whole[..first]);
        }
    }

    #[test]
    fn without_a_checkpoint_the_run_starts_anew() {
        let home = tempfile::tempdir().unwrap();
        interrupted_run(home.path(), 3, 0);
        let mut run = new_run(home.path());
        assert!(run.resume().unwrap().is_none());
        assert!(run.records().unwrap().is_empty());
    }

    #[test]
    fn a_checkpoint_of_the_initial_model_needs_no_record() {
        let home = tempfile::tempdir().unwrap();
        new_run(home.path()).checkpoint(0, &parameters(0.0)).unwrap();
        let mut run = new_run(home.path());
        run.append(&record(1)).unwrap();
        assert_eq!(run.resume().unwrap(), Some((0, parameters(0.0), Vec::new())));
        assert!(run.records().unwrap().is_empty());
    }

    #[test]
    fn damage_is_refused_and_the_file_is_named() {
        let home = tempfile::tempdir().unwrap();
        interrupted_run(home.path(), 3, 3);
        let refused = |file: &str, content: &[u8]| {
            let path = home.path().join(file);
            let whole = fs::read(&path).unwrap();
            fs::write(&path, content).unwrap();
            let error = RunDirectory::open(home.path()).and_then(|mut run| run.resume()).unwrap_err();
            assert!(matches!(&error, RecordError::Damaged { path: named, .. } if *named == path), "{error}");
            fs::write(&path, whole).unwrap();
        };
        let checkpoint = fs::read(home.path().join(CHECKPOINT)).unwrap();
        refused(CHECKPOINT, b"");
        refused(CHECKPOINT, &checkpoint[..checkpoint.len() - 1]);
        refused(CHECKPOINT, &[0xff; 200]);
        let mut flipped = checkpoint.clone();
        *flipped.last_mut().unwrap() ^= 1;
        refused(CHECKPOINT, &flipped);
        refused(CHECKPOINT, &parameters(1.0).to_safetensors(HashMap::new()).unwrap());
        refused(MANIFEST, br#"{"format":1}"#);
        refused(ROUNDS, b"");
        let line = |round| serde_json::to_string(&record(round)).unwrap();
        refused(ROUNDS, format!("{}\n{}\n", line(1), line(3)).as_bytes());
        refused(ROUNDS, format!("{}\nnonsense\n{}\n", line(1), line(3)).as_bytes());
        assert!(new_run(home.path()).resume().unwrap().is_some());
    }

    #[test]
    fn a_run_resumes_under_the_id_it_was_made_with() {
        let home = tempfile::tempdir().unwrap();
        interrupted_run(home.path(), 1, 1);
        let again = Manifest { run: shared::identity::RunId(1), created_unix: 0, ..manifest() };
        let run = RunDirectory::create(home.path(), SCENARIO_TOML, &again).unwrap();
        assert_eq!(run.manifest(), &manifest());
    }

    #[test]
    fn a_directory_in_use_for_something_else_is_refused_untouched() {
        let home = tempfile::tempdir().unwrap();
        let refusal = |path: &Path, manifest: &Manifest| {
            let error = RunDirectory::create(path, SCENARIO_TOML, manifest).unwrap_err();
            assert!(matches!(error, RecordError::Occupied { .. }), "{error}");
            error.to_string()
        };
        let thesis = home.path().join("thesis");
        fs::create_dir(&thesis).unwrap();
        fs::write(thesis.join("chapter.tex"), "x").unwrap();
        assert!(refusal(&thesis, &manifest()).contains("`chapter.tex`"));
        assert_eq!(fs::read_dir(&thesis).unwrap().count(), 1);

        let run = home.path().join("run");
        drop(new_run(&run));
        let other = Manifest { scenario_sha256: "00".repeat(32), ..manifest() };
        assert!(refusal(&run, &other).contains("another scenario"));
        let boards = Manifest { bench: "boards".into(), ..manifest() };
        assert!(refusal(&run, &boards).contains("`software`"));
    }

    #[test]
    fn a_creation_that_was_killed_halfway_is_completed() {
        let home = tempfile::tempdir().unwrap();
        drop(new_run(home.path()));
        fs::remove_file(home.path().join(ROUNDS)).unwrap();
        fs::rename(home.path().join(MANIFEST), home.path().join("manifest.json.tmp")).unwrap();
        assert!(!RunDirectory::exists(home.path()));
        assert_eq!(new_run(home.path()).manifest(), &manifest());
    }

    #[test]
    fn two_writers_of_one_directory_are_one_too_many() {
        let home = tempfile::tempdir().unwrap();
        let first = new_run(home.path());
        assert!(matches!(RunDirectory::open(home.path()), Err(RecordError::Locked { .. })));
        drop(first);
        assert!(RunDirectory::open(home.path()).is_ok());
    }

    #[test]
    fn no_run_and_a_run_of_another_format_are_told_apart() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(RunDirectory::open(home.path()), Err(RecordError::NotARun { .. })));
        fs::write(home.path().join(MANIFEST), r#"{"format":2}"#).unwrap();
        assert!(matches!(RunDirectory::open(home.path()), Err(RecordError::Format { found: 2, .. })));
    }

    #[test]
    fn a_finished_run_holds_everything_the_design_lists_and_no_temporary_file() {
        let home = tempfile::tempdir().unwrap();
        interrupted_run(home.path(), 3, 3);
        let run = RunDirectory::open(home.path()).unwrap();
        run.finish(&summary("example")).unwrap();
        let mut files: Vec<_> = fs::read_dir(run.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, [LOCK, CHECKPOINT, MANIFEST, METRICS, REPORT, ROUNDS, SCENARIO, SUMMARY]);
        let arm = run.arm("mean").unwrap();
        assert_eq!((arm.summary, arm.records.len()), (summary("example"), 3));
        assert_eq!(fs::read_to_string(home.path().join(METRICS)).unwrap().lines().count(), 4);
    }
}
