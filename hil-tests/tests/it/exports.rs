//! Exports, read back by the tools that they are for.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use hil_tests::exports::run::find;
use hil_tests::exports::{FORMATS, export};
use scenario::catalogue::Catalogue;

use crate::lab::{ATTACK, Lab};
use crate::process::{Outcome, Process, datasets, hil, python_has, run, undisturbed, wait_for_rounds};

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");

/// `hil export` of these runs of the lab in `format`, into its folder `out`.
fn export_of(lab: &Lab, runs: &[&str], format: &str, out: &str) -> Command {
    let mut command = hil!["export"];
    command.args(runs.iter().map(|run| lab.path(run)));
    command.args(["--format", format]).arg("--out").arg(lab.path(out));
    command
}

/// `script` in the folder of the lab.
fn python(lab: &Lab, script: &str) -> Outcome {
    let mut python = undisturbed("python3");
    // mlflow refuses its file store otherwise.
    python.env("MLFLOW_ALLOW_FILE_STORE", "true").env("MLFLOW_DISABLE_TELEMETRY", "true");
    run({
        python.args(["-W", "ignore", "-c", script]).current_dir(lab.path(""));
        python
    })
}

/// A lab with a finished run `software` and, if asked for, one of `processes`.
fn lab_with_runs(benches: &[&str]) -> Lab {
    let lab = Lab::new(&ATTACK);
    for bench in benches {
        run(lab.hil(bench, bench, &[])).succeeded();
    }
    lab
}

#[test]
fn pandas_reads_the_tables_and_finds_what_the_run_has_recorded() {
    if !(python_has("pandas") && python_has("pyarrow")) {
        return;
    }
    let lab = lab_with_runs(&["software", "processes"]);
    run(export_of(&lab, &["software", "processes"], "parquet", "tables"))
        .succeeded()
        .prints(&["2 runs as parquet: "]);
    let script = r#"
import json
import pandas
from pandas.testing import assert_frame_equal

runs, rounds, devices, confusion = (
    pandas.read_parquet(f"tables/{name}.parquet") for name in ("runs", "rounds", "devices", "confusion")
)
assert list(runs["run_name"]) == ["software", "processes"]
for name in ("software", "processes"):
    run = runs[runs["run_name"] == name].iloc[0]
    summary = json.load(open(f"{name}/summary.json"))
    for key in ("final_test_error", "model_sha256", "bench", "seconds", "least_updates", "bytes_up"):
        assert run[key] == summary[key], key
    assert run["run"] == json.load(open(f"{name}/manifest.json"))["run"]
    assert run["attack.as_meant"] == 20 and run["state"] == "finished"
    of_run = rounds[rounds["run"] == run["run"]].reset_index(drop=True)
    csv = pandas.read_csv(f"{name}/metrics.csv")
    assert len(csv) == 20
    assert_frame_equal(csv, of_run[csv.columns], check_dtype=False, check_exact=True)
    assert of_run["time"].is_monotonic_increasing
    matrix = confusion[confusion["run"] == run["run"]]
    assert matrix["examples"].sum() > 0
    assert list(zip(matrix["class"], matrix["taken_for"])) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert list(matrix["examples"]) == [n for row in summary["confusion"] for n in row]

# Of their own types, and not texts.
assert pandas.api.types.is_integer_dtype(rounds["bytes_up"])
assert pandas.api.types.is_float_dtype(rounds["test_error"]) and rounds["test_error"].isna().sum() == 32
assert pandas.api.types.is_bool_dtype(devices["compromised"])
assert str(runs["created"].dt.tz) == "UTC" and runs["created"].dt.year.min() > 2020
assert list(runs["scenario.fleet.devices"]) == [5, 5] and runs["scenario.aggregation.rule"][0] == "trimmed-mean"
assert rounds.attrs["test_error"]["unit"] == "share, 0 to 1" and rounds.attrs["test_error"]["help"]

assert len(devices) == 2 * 20 * 5 and devices["compromised"].sum() == 2 * 20 * 2
assert devices["accepted"].all() and not devices["absent"].any()
told = devices.merge(runs[["run", "bench"]], on="run")
assert told[told["bench"] == "software"]["rss_kib"].isna().all()
assert (told[told["bench"] == "processes"]["rss_kib"] > 1000).all()
assert (told[told["bench"] == "processes"]["train_seconds"] > 0).all()
"#;
    python(&lab, script).succeeded();
}

#[test]
fn tensorboards_own_reader_finds_every_number_at_its_round_and_the_scenario() {
    if !python_has("tensorboard") {
        return;
    }
    let lab = lab_with_runs(&["software"]);
    // The second export takes the place of the first.
    for _ in 0..2 {
        run(export_of(&lab, &["software"], "tensorboard", "events")).succeeded();
    }
    let script = r#"
import csv, glob, json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

[file] = glob.glob("events/*/*tfevents*")
assert file.startswith("events/software/")
# Without a word of what it cannot read, checksums among it: version, scenario, and 20 rounds.
assert len(list(RawEventFileLoader(file).Load())) == 22
events = EventAccumulator("events/software", size_guidance={"scalars": 0, "tensors": 0}).Reload()
rows = list(csv.DictReader(open("software/metrics.csv")))
tags = {tag.split("/")[-1]: tag for tag in events.Tags()["scalars"]}
for column in rows[0]:
    expected = [(int(row["round"]), float(row[column])) for row in rows if row[column]]
    if column == "round" or not expected:
        assert column not in tags
        continue
    found = [(event.step, event.value) for event in events.Scalars(tags[column])]
    assert [step for step, _ in found] == [step for step, _ in expected], column
    assert all(abs(a - b) <= 1e-6 * abs(b) for (_, a), (_, b) in zip(found, expected)), column
assert tags["test_error"] == "shares/test_error" and tags["bytes_up"] == "traffic/bytes_up"
created = json.load(open("software/manifest.json"))["created_unix"]
times = [event.wall_time for event in events.Scalars("shares/test_error")]
assert times == sorted(times) and created <= times[0] < created + 100
[text] = events.Tensors("scenario")
assert 'rule = "trimmed-mean"' in text.tensor_proto.string_val[0].decode()
assert events.SummaryMetadata("scenario").plugin_data.plugin_name == "text"
assert "share" in events.SummaryMetadata("shares/test_error").summary_description
data = HParamsPluginData.FromString(events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
hparams = data.session_start_info.hparams
assert hparams["fleet.devices"].number_value == 5 and hparams["aggregation.rule"].string_value == "trimmed-mean"
"#;
    python(&lab, script).succeeded();
}

#[test]
fn mlflows_file_store_has_each_run_once_with_parameters_metrics_and_its_report() {
    if !python_has("mlflow") {
        return;
    }
    let lab = lab_with_runs(&["software"]);
    let out = "ml runs/of us";
    for _ in 0..2 {
        run(export_of(&lab, &["software"], "mlflow-files", out)).succeeded();
    }
    let script = r#"
import csv, json, pathlib
from mlflow import MlflowClient

store = pathlib.Path("ml runs/of us").absolute()
client = MlflowClient(tracking_uri=store.as_uri())
[experiment] = [one for one in client.search_experiments() if one.name == "end-to-end"]
[run] = client.search_runs([experiment.experiment_id], filter_string="params.`aggregation.rule` = 'trimmed-mean'")
manifest, summary = (json.load(open(f"software/{name}.json")) for name in ("manifest", "summary"))
assert run.info.run_id == manifest["run"] and run.info.run_name == "software" and run.info.status == "FINISHED"
assert run.info.start_time == 1000 * manifest["created_unix"] <= run.info.end_time
assert run.data.params["fleet.devices"] == "5" and run.data.params["attack.kind"] == "trimmed-mean"
assert run.data.tags["run.model_sha256"] == summary["model_sha256"]
assert run.data.metrics["run.final_test_error"] == summary["final_test_error"]
rows = list(csv.DictReader(open("software/metrics.csv")))
for column in rows[0]:
    expected = [(int(row["round"]), float(row[column])) for row in rows if row[column]]
    if column != "round" and expected:
        found = [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, column)]
        assert found == expected, column
    else:
        assert column not in run.data.metrics
times = [one.timestamp for one in client.get_metric_history(run.info.run_id, "accepted")]
assert times == sorted(times) and run.info.start_time <= times[0] <= times[-1] == run.info.end_time
artifacts = {one.path for one in client.list_artifacts(run.info.run_id)}
assert {"report.html", "summary.json", "scenario.toml"} <= artifacts
path = client.download_artifacts(run.info.run_id, "scenario.toml", str(store.parent))
assert open(path).read() == open("software/scenario.toml").read()
"#;
    python(&lab, script).succeeded();
}

#[test]
fn the_commands_and_scripts_of_the_document_work_as_they_stand() {
    if !["pandas", "pyarrow", "tensorboard", "mlflow"].into_iter().all(python_has) {
        return;
    }
    let lab = Lab::new(&ATTACK);
    run(lab.hil("software", "runs/read-me", &[])).succeeded();
    let (_, section) = DOCUMENT.split_once("\n## For other tools\n").unwrap();
    let commands: Vec<&str> =
        section.lines().filter_map(|line| line.strip_prefix("cargo hil export ")).collect();
    assert_eq!(commands.len(), FORMATS.len());
    for command in commands {
        let mut export = hil!["export"];
        export.args(command.split_whitespace()).current_dir(lab.path(""));
        run(export).succeeded();
    }
    let scripts: Vec<&str> =
        section.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(scripts.len(), FORMATS.len());
    for script in scripts {
        let outcome = python(&lab, script).succeeded();
        assert!(!outcome.stdout.is_empty(), "{script}");
    }
}

#[test]
fn runs_of_a_sweep_are_found_and_called_by_what_tells_them_apart() {
    let lab = Lab::new(&[]);
    let grid = "scenario = \"scenario.toml\"\nseeds = [1, 2]\n[[axes]]\nkey = \"aggregation.trim\"\nvalues = [1, 2]\n";
    fs::write(lab.path("grid.toml"), grid).unwrap();
    let mut sweep = hil!["sweep", lab.path("grid.toml"), "--out", lab.path("sweep")];
    sweep.arg("--datasets").arg(datasets());
    run(sweep).succeeded();
    run(export_of(&lab, &["sweep"], "tensorboard", "events")).succeeded().prints(&["4 runs as tensorboard"]);
    let folders = fs::read_dir(lab.path("events")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut folders: Vec<_> = folders.map(|name| name.into_string().unwrap()).collect();
    folders.sort();
    let expected = ["trim=1, seed=1", "trim=1, seed=2", "trim=2, seed=1", "trim=2, seed=2"];
    assert_eq!(folders, expected.map(|name| format!("aggregation.{name}")));

    // Exported alone, one of them has another name, and is not there twice.
    let cell = fs::read_dir(lab.path("sweep/cells")).unwrap().next().unwrap().unwrap().file_name();
    let cell = cell.to_str().unwrap();
    let alone = format!("sweep/cells/{cell}");
    run(export_of(&lab, &[alone.as_str()], "tensorboard", "events")).succeeded();
    let folders = fs::read_dir(lab.path("events")).unwrap();
    assert_eq!((folders.count(), lab.path("events").join(cell).is_dir()), (4, true));
    run(export_of(&lab, &["sweep", alone.as_str()], "parquet", "tables"))
        .complains(1, &["hold the same run"]);
}

#[test]
fn a_run_that_is_not_over_is_exported_as_far_as_it_is_with_a_word_about_it() {
    let lab = Lab::new(&["rounds=1000000"]);
    let hil = Process::start(lab.hil("software", "run", &[]));
    wait_for_rounds(&lab.path("run"), 1);
    let in_progress = run(export_of(&lab, &["run"], "mlflow-files", "mlruns")).succeeded();
    in_progress.says(&["in progress, with ", " of 1000000 rounds so far"]);
    hil.kill();
    run(export_of(&lab, &["run"], "mlflow-files", "mlruns"))
        .succeeded()
        .says(&["interrupted after ", " of 1000000 rounds"]);
}

#[test]
fn what_is_no_run_or_damaged_is_refused_and_leaves_what_was_there() {
    let lab = lab_with_runs(&["software"]);
    run(export_of(&lab, &["software"], "parquet", "tables")).succeeded();
    let before = fs::read(lab.path("tables/rounds.parquet")).unwrap();
    let rounds = fs::read_to_string(lab.path("software/rounds.jsonl")).unwrap();
    fs::write(lab.path("software/rounds.jsonl"), rounds.replacen("\"accepted\":5", "\"accepted\":4", 7))
        .unwrap();
    for format in FORMATS {
        run(export_of(&lab, &["software"], format.name, "tables"))
            .complains(1, &["rounds.jsonl is damaged: line 1 does not have the digest"]);
    }
    assert_eq!(fs::read(lab.path("tables/rounds.parquet")).unwrap(), before);
    assert_eq!(fs::read_dir(lab.path("tables")).unwrap().count(), 4, "nothing else is left");
    fs::create_dir(lab.path("empty")).unwrap();
    run(export_of(&lab, &["empty"], "parquet", "tables")).complains(1, &["there is no run in ", "empty"]);
    run(export_of(&lab, &["nowhere"], "parquet", "tables")).complains(1, &["nowhere", "No such file"]);
    run(export_of(&lab, &["software"], "arff", "tables")).ended_with(2).says(&["arff", "mlflow-files"]);
    run(export_of(&lab, &["software"], "parquet", "scenario.toml")).complains(1, &["scenario.toml", "--out"]);
}

#[test]
fn an_export_that_is_interrupted_changes_nothing() {
    let lab = lab_with_runs(&["software"]);
    let runs = find(&[lab.path("software")], &Catalogue::standard()).unwrap();
    for format in FORMATS {
        let out = lab.path(format.name);
        let outcome = export(&runs, format, &out, &AtomicBool::new(true)).unwrap();
        assert!(outcome.is_none() && is_empty(&out), "{}", format.name);
        assert!(export(&runs, format, &out, &AtomicBool::new(false)).unwrap().is_some() && !is_empty(&out));
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}
