//! A crate outside this workspace adds to the catalogue, and its programs run what it adds.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::process::{Process, datasets, run, undisturbed, wait_for_rounds};

const EXTENSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/extension");

/// What `docs/extending.md` shows is what is built.
#[test]
fn the_document_shows_the_files_of_the_extension() {
    let document = fs::read_to_string(Path::new(EXTENSION).join("../../docs/extending.md")).unwrap();
    let mut shown = 0;
    for block in document.split("```rust ").skip(1) {
        let (name, code) = block.split_once('\n').unwrap();
        let (code, _) = code.split_once("```").unwrap();
        assert_eq!(code, fs::read_to_string(Path::new(EXTENSION).join(name)).unwrap(), "{name}");
        shown += 1;
    }
    assert!(shown >= 5, "{shown} files are shown");
    let metrics = Path::new(EXTENSION).join("../../shared/record/src/metrics/rounds.rs");
    let (_, metric) = document.split_once("```rs\n").unwrap();
    let (metric, _) = metric.split_once("```").unwrap();
    assert!(fs::read_to_string(metrics).unwrap().contains(metric), "{metric}");
}

#[test]
#[ignore = "nightly: builds a workspace of its own"]
fn what_somebody_else_adds_runs_on_software_and_on_processes() {
    let target = Path::new(EXTENSION).join("target");
    // The same versions as in this workspace.
    let lock = Path::new(EXTENSION).join("../../Cargo.lock");
    fs::copy(lock, Path::new(EXTENSION).join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--manifest-path"]).arg(Path::new(EXTENSION).join("Cargo.toml"));
    assert!(cargo.env("CARGO_TARGET_DIR", &target).status().unwrap().success());
    let hil = |arguments: &[&str]| {
        let mut hil = undisturbed(target.join("debug/hil"));
        hil.args(arguments);
        hil
    };
    run(hil(&["list", "rules"])).succeeded().prints(&["closest-pair ", " The mean of the two updates"]);

    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("scenario.toml");
    let text = "name = \"extended\"\ndataset = \"mnist\"\nrounds = 5\n\
                model = { kind = \"nearest-mean\", sharpness = 0.1 }\n[data]\ntrain-examples = 400\n\
                [fleet]\ndevices = 8\ncompromised = 2\npartition = \"by-label\"\n\
                [aggregation]\nrule = \"closest-pair\"\n[[defense]]\nkind = \"farthest\"\nremove = 2\n\
                [attack]\nkind = \"opposite\"\nscale = 3.0\n";
    fs::write(&scenario, text).unwrap();
    let models = ["software", "batched", "processes"].map(|bench| {
        let out = folder.path().join(bench);
        let mut hil = hil(&["run", "--format", "json", "--on", bench]);
        hil.arg(&scenario).arg("--out").arg(&out).arg("--datasets").arg(datasets());
        let summary = run(hil).succeeded().stdout;
        let summary: Value = serde_json::from_str(&summary).unwrap();
        let rounds = fs::read_to_string(out.join("rounds.jsonl")).unwrap();
        for round in rounds.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            let count = |key: &str| round[key].as_array().map_or(0, Vec::len);
            assert_eq!((count("removed"), count("used")), (2, 2), "{bench}: {round}");
            assert_eq!(round["attack"]["crafted"][0]["from"]["colluders"], 2, "{bench}: {round}");
        }
        let manifest = fs::read_to_string(out.join("manifest.json")).unwrap();
        for name in ["closest-pair", "farthest", "opposite", "nearest-mean", "by-label"] {
            assert!(manifest.contains(name), "{bench}: {manifest}");
        }
        summary["model_sha256"].clone()
    });
    assert_eq!(models[0], models[2], "software and processes");

    // Rule, stage and attack keep something from round to round.
    let out = |bench: &str| folder.path().join(format!("kept-{bench}"));
    let keeping = |bench: &str| {
        let mut hil = hil(&["run", "--format", "json", "--on", bench, "--set", "rounds=60"]);
        hil.args(["--set", "aggregation.all-every=3", "--set", "attack.inertia=0.5"]);
        hil.arg(&scenario).arg("--out").arg(out(bench)).arg("--datasets").arg(datasets());
        hil
    };
    run(keeping("software")).succeeded();
    for rounds in [7, 20] {
        let hil = Process::start(keeping("processes"));
        wait_for_rounds(&out("processes"), rounds);
        hil.kill();
        assert!(!out("processes").join("summary.json").exists(), "killed too late to prove anything");
    }
    run(keeping("processes")).succeeded();
    let model = |bench: &str| {
        let summary = fs::read_to_string(out(bench).join("summary.json")).unwrap();
        serde_json::from_str::<Value>(&summary).unwrap()["model_sha256"].clone()
    };
    assert_eq!(model("processes"), model("software"));
}
