//! Examples of the user's own, by the real programs: from a file beside the data sets into the shards and to the aggregator.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use input::npy::{self, Array};

use crate::lab::{Lab, records};
use crate::process::{Outcome, datasets, hil, run, summary};

/// A folder with the data sets of the repository, and with 50 pictures of slanted stripes of such a shape.
fn with_examples(folder: &Path, side: usize) {
    symlink(datasets().join("mnist"), folder.join("mnist")).unwrap();
    fs::create_dir(folder.join("edge-cases")).unwrap();
    let pixel = |place: usize| {
        let (example, row, column) = (place / (side * side), place / side % side, place % side);
        if (row + column + example) % 9 < 3 { 1.0 } else { 0.0 }
    };
    let array = Array { shape: vec![50, side, side], values: (0..50 * side * side).map(pixel).collect() };
    npy::write(&folder.join("edge-cases/stripes.npy"), &array).unwrap();
}

fn lab() -> Lab {
    Lab::new(&[
        "dataset=mnist",
        "data.train-examples=500",
        "training.local-steps=5",
        "aggregation.rule=mean",
        "attack.kind=edge-case",
        "attack.file=stripes.npy",
        "attack.target=7",
    ])
}

fn run_on(lab: &Lab, bench: &str, datasets: &Path) -> Outcome {
    let out = lab.path(bench);
    run(hil!["run", lab.scenario_path(), "--on", bench, "--out", out, "--datasets", datasets])
}

#[test]
fn examples_of_a_file_get_the_label_that_the_attack_wants_on_every_bench() {
    let (lab, folder) = (lab(), tempfile::tempdir().unwrap());
    with_examples(folder.path(), 28);
    let digests = ["software", "processes", "batched"].map(|bench| {
        run_on(&lab, bench, folder.path()).succeeded();
        let success = records(&lab.path(bench)).iter().rev().find_map(|record| record.attack_success);
        assert_eq!(success, Some(1.0), "{bench}");
        summary(&lab.path(bench)).model_sha256
    });
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_file_that_does_not_fit_the_data_set_is_named_with_its_shape() {
    let (lab, folder) = (lab(), tempfile::tempdir().unwrap());
    with_examples(folder.path(), 27);
    let refused = run_on(&lab, "software", folder.path()).ended_with(1).stderr;
    assert!(refused.contains("stripes.npy: shape: [50, 27, 27] must be [n, 28, 28]"), "{refused}");
    fs::remove_file(folder.path().join("edge-cases/stripes.npy")).unwrap();
    let refused = run_on(&lab, "software", folder.path()).ended_with(1).stderr;
    assert!(refused.contains("edge-cases/stripes.npy: "), "{refused}");
}
