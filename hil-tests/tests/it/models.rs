//! Models as lists of layers, and from files of weights, by the real programs.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use learning::models::build;
use learning::parameters::{Layout, Parameters};
use serde_json::Value;

use crate::lab::Lab;
use crate::process::{Outcome, datasets, hil, run, stored, summary};

const PICTURES: &str = r#"model={ kind = "layers", layers = [
    { kind = "conv2d", channels = 4, kernel = 5, stride = 2 }, { kind = "batch-norm" }, { kind = "relu" },
    { kind = "residual", layers = [{ kind = "conv2d", channels = 6, padding = 1, stride = 2 }, { kind = "group-norm" }] },
    { kind = "gelu" }, { kind = "avg-pool", size = 2 }, { kind = "flatten" }, { kind = "dense", units = 10 },
    { kind = "tanh" }] }"#;

const SERIES: &str = r#"model={ kind = "layers", layers = [{ kind = "conv1d", channels = 4, stride = 4 },
    { kind = "max-pool", size = 2 }, { kind = "gru", units = 6 }] }"#;

/// One line, as a value on a command line is.
fn line(model: &str) -> String {
    model.replace('\n', " ")
}

#[test]
fn a_list_of_layers_ends_in_the_same_model_in_software_and_as_processes_and_is_trained_as_a_batch() {
    for (model, shape) in [(PICTURES, "[12, 12, 4]"), (SERIES, "[7, 4]")] {
        let settings = ["dataset=mnist", "data.train-examples=100", "rounds=4", "training.batch-size=8"];
        let lab = Lab::new(&[&settings[..], &[&line(model)]].concat());
        let digests =
            ["software", "processes"].map(|bench| lab.model_after(lab.hil(bench, bench, &[]), bench));
        assert_eq!(digests[0], digests[1]);
        run(lab.hil("batched", "batched", &[])).succeeded();
        let described = run(hil!["model", "describe", lab.scenario_path()]).succeeded();
        described.prints(&[shape, "head", "pi-4b", "estimated"]);
    }
}

/// A folder with the data sets of the repository, and one for weights.
fn with_weights(folder: &Path) {
    symlink(datasets().join("breast-cancer-wisconsin"), folder.join("breast-cancer-wisconsin")).unwrap();
    fs::create_dir(folder.join("models")).unwrap();
}

const MLP: &str = "model={ kind = \"mlp\", hidden = [8, 6] }";

fn tune(settings: &[&str]) -> Lab {
    let tune = "model={ kind = \"mlp\", hidden = [8, 6], weights = \"first.safetensors\" }";
    // An array in place of the table's own, if the settings have one.
    let tune = settings.iter().find(|setting| setting.starts_with("model=")).map_or(tune, |own| own);
    let others = settings.iter().filter(|setting| !setting.starts_with("model=")).copied();
    Lab::new(&[tune, "rounds=3"].into_iter().chain(others).collect::<Vec<_>>())
}

fn run_on(lab: &Lab, bench: &str, datasets: &Path) -> Outcome {
    let out = lab.path(bench);
    run(hil!["run", lab.scenario_path(), "--on", bench, "--out", out, "--datasets", datasets])
}

/// The model that the run in `out` ended in.
fn model(out: &Path) -> Parameters {
    stored(out).model().unwrap().parameters
}

/// Writes the model of a first run as weights for others; returns it.
fn first(folder: &Path) -> Parameters {
    with_weights(folder);
    let lab = Lab::new(&[MLP, "rounds=5"]);
    run(lab.hil("software", "first", &[])).succeeded();
    let model = model(&lab.path("first"));
    fs::write(folder.join("models/first.safetensors"), model.to_safetensors(HashMap::new(), []).unwrap())
        .unwrap();
    model
}

#[test]
fn a_run_goes_on_from_the_weights_of_a_file_on_every_bench_and_names_their_digest() {
    let folder = tempfile::tempdir().unwrap();
    let first = first(folder.path());
    // Devices send the model back as it came.
    let unmoved = tune(&["training.local-steps=0", "aggregation.rule=median"]);
    for bench in ["software", "processes", "batched"] {
        run_on(&unmoved, bench, folder.path()).succeeded();
        assert_eq!(model(&unmoved.path(bench)), first, "{bench}");
        let manifest = fs::read_to_string(unmoved.path(bench).join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert!(manifest["data"]["breast-cancer weights"].is_string(), "{manifest}");
    }
    let tuned = tune(&[]);
    for bench in ["software", "processes"] {
        run_on(&tuned, bench, folder.path()).succeeded();
    }
    assert_eq!(summary(&tuned.path("software")).model_sha256, summary(&tuned.path("processes")).model_sha256);
    assert_ne!(model(&tuned.path("software")), first);
    // Other weights are other data.
    let other = Parameters::new(first.layout().clone(), vec![0.5; first.values().len()]).unwrap();
    let bytes = other.to_safetensors(HashMap::new(), []).unwrap();
    fs::write(folder.path().join("models/first.safetensors"), bytes).unwrap();
    run_on(&tuned, "software", folder.path()).complains(1, &["breast-cancer weights", "SHA-256"]);
}

#[test]
fn what_is_frozen_is_moved_by_nobody_on_any_bench() {
    let folder = tempfile::tempdir().unwrap();
    let first = first(folder.path());
    let model_key = "model={ kind = \"mlp\", hidden = [8, 6], weights = \"first.safetensors\", frozen = [\"fc1\", \"fc2.bias\"] }";
    let frozen = tune(&[
        model_key,
        "attack.kind=gaussian",
        "aggregation.rule=mean",
        "training.weight-decay=0.1",
        "training.momentum=0.5",
        "optimizer.kind=momentum",
    ]);
    for bench in ["software", "processes", "batched"] {
        run_on(&frozen, bench, folder.path()).succeeded();
        let after = model(&frozen.path(bench));
        for entry in first.layout().entries() {
            let stays = entry.name.starts_with("fc1.") || entry.name == "fc2.bias";
            let same = after.values()[entry.range()] == first.values()[entry.range()];
            assert_eq!(same, stays, "{bench}: {}", entry.name);
        }
    }
    assert_eq!(
        summary(&frozen.path("software")).model_sha256,
        summary(&frozen.path("processes")).model_sha256
    );
}

#[test]
fn weights_that_are_not_those_of_the_model_are_refused_by_file_tensor_and_both_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let first = first(folder.path());
    let wider = "model={ kind = \"mlp\", hidden = [8, 7], weights = \"first.safetensors\" }";
    let refused =
        |model: &str, parts: &[&str]| run_on(&tune(&[model]), "software", folder.path()).complains(1, parts);
    refused(
        wider,
        &[
            "models/first.safetensors: the tensor `fc2.weight` of the file has shape [6, 8], that of the model [7, 8]",
        ],
    );
    refused(
        "model={ kind = \"mlp\", hidden = [8, 6], weights = \"second.safetensors\" }",
        &["models/second.safetensors: "],
    );
    // What the file lacks, or is not to give, is drawn, which is said.
    let entries = first.layout().entries().iter();
    let renamed = entries.map(|it| (it.name.replace("fc2", "other"), it.shape.clone()));
    let renamed = Parameters::new(Arc::new(Layout::new(renamed)), first.values().to_vec()).unwrap();
    let bytes = renamed.to_safetensors(HashMap::new(), []).unwrap();
    fs::write(folder.path().join("models/first.safetensors"), bytes).unwrap();
    let anew =
        "model={ kind = \"mlp\", hidden = [8, 6], weights = \"first.safetensors\", anew = [\"head\"] }";
    let said = run_on(&tune(&[anew]), "software", folder.path()).succeeded().stderr;
    for part in [
        "these tensors of the model are drawn: fc2.weight, fc2.bias, head.weight, head.bias",
        "the model has none of these tensors: other.bias, other.weight",
    ] {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
}

#[test]
fn a_model_that_cannot_be_is_refused_with_the_scenario_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |model: &str, parts: &[&str]| {
        let path = folder.path().join("scenario.toml");
        let text = format!("name = \"bad\"\ndataset = \"breast-cancer\"\nrounds = 3\n{model}\n");
        fs::write(&path, text).unwrap();
        run(hil!["run", path, "--on", "software", "--datasets", datasets()]).complains(2, parts);
    };
    refused(
        "[[model.layers]]\nkind = \"dense\"\nunits = 3\n[[model.layers]]\nkind = \"gru\"\nunits = 2\n[model]\nkind = \"layers\"",
        &["scenario.toml"],
    );
    refused(
        "[model]\nkind = \"layers\"\n[[model.layers]]\nkind = \"dense\"\nunits = 3\n[[model.layers]]\nkind = \"gru\"\nunits = 2",
        &[
            "scenario.toml: model: layers.1 (gru) takes series of steps with features, but what comes in are values, [3]",
        ],
    );
    refused(
        "[model]\nkind = \"layers\"\n[[model.layers]]\nkind = \"dense\"\nunit = 3",
        &["scenario.toml:", "layers.0 (dense): unknown field `unit`, expected `units` or `name`"],
    );
    refused("model = \"resnet20\"", &["model: model `resnet20` does not take examples of shape [30]"]);
    refused(
        "model = { kind = \"mlp\", frozen = [\"fc9\"] }",
        &["frozen: the model has no layer or tensor `fc9`"],
    );
    refused(
        "model = { kind = \"dnn\", weights = \"../x\" }",
        &["model.weights: `../x` must be the name of a file"],
    );
    refused(
        "model = { kind = \"dnn\", anew = [\"fc1\"] }",
        &["model.anew: says what is not taken from a file"],
    );
    refused("model = { kind = \"dnn\", froze = [\"fc1\"] }", &["froze"]);
}

#[test]
fn a_model_is_described_layer_by_layer_for_people_and_for_programs() {
    let said = run(hil!["model", "describe", "--model", "lenet5", "--dataset", "mnist", "--board", "pi-5"])
        .succeeded();
    said.prints(&["conv2d", "[28, 28, 6]", "61,706 parameters", "246,824 bytes", "pi-5"]);
    let model = "{ kind = \"gru\", units = 8 }";
    let json = run(hil!["model", "describe", "--model", model, "--dataset", "mnist", "--format", "json"])
        .succeeded();
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["layers"][0]["name"], "gru1");
    assert_eq!(json["parameters"], 24 * (28 + 8 + 2) + 90);
    assert_eq!(json["boards"].as_array().unwrap().len(), 5);
    let spec_shape: Vec<usize> = serde_json::from_value(json["shape"].clone()).unwrap();
    let gru = learning::models::GruClassifier { units: 8 };
    let built = build(&gru, &spec_shape, 10).unwrap();
    assert_eq!(json["tensors"].as_array().unwrap().len(), built.layout().entries().len());
    run(hil!["model", "describe", "--model", "lenet6", "--dataset", "mnist"])
        .complains(2, &["unknown model `lenet6`", "`lenet5`"]);
    run(hil!["model", "describe", "--model", "lenet5", "--dataset", "mnist", "--board", "pi-6"])
        .complains(1, &["no board `pi-6`"]);
    run(hil!["model", "describe"]).ended_with(2);
}
