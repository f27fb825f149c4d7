//! A matrix of attacks and defenses, by the real program.

use std::fs;

use crate::process::{datasets, hil, run};

const MATRIX: &str = r#"
name = "small"
dataset = "breast-cancer"
model = "logistic-regression"
rounds = 20
seeds = [1, 2]
attacks = ["none", { label = "away", kind = "sign-flip", of = "mean", scale = 9.0, knowledge = "full" }]
defenses = ["mean", "nnm + median"]
[fleet]
devices = 8
compromised = 2
[evaluation]
every = 5
"#;

#[test]
fn a_matrix_names_the_worst_attack_on_each_defense_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("small.toml"), folder.path().join("out"));
    fs::write(&file, MATRIX).unwrap();
    let matrix = || {
        let mut command = hil!["matrix", &file, "--out", &out];
        command.env("OUTPOST_DATASETS", datasets());
        command
    };
    let first = run(matrix()).succeeded();
    assert!(first.stderr.contains("[8/8]"), "{}", first.stderr);
    let csv = fs::read_to_string(out.join("matrix.csv")).unwrap();
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 5, "{csv}");
    let error = |line: usize| lines[line][3].parse::<f64>().unwrap();
    assert!(error(3) > error(1) + 0.1 && lines[3][5] == "true", "the mean falls: {csv}");
    assert!(error(4) < error(3), "{csv}");
    assert!(first.stdout.contains("away") && first.stdout.contains('*'), "{}", first.stdout);

    // What is finished is not run again, and what is added is all that is run.
    let again = run(matrix()).succeeded();
    assert!(!again.stderr.contains("[8/8]"), "{}", again.stderr);
    assert_eq!(again.stdout, first.stdout);
    fs::write(&file, MATRIX.replace("[\"mean\"", "[\"median\", \"mean\"")).unwrap();
    let more = run(matrix()).succeeded();
    assert_eq!(more.stderr.matches("median").count(), 4, "{}", more.stderr);
    for file in ["matrix.html", "matrix.svg", "results.csv"] {
        assert!(out.join(file).exists(), "{file}");
    }
}
