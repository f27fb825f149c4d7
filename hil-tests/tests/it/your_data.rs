//! Data sets of the user's own, by the real programs, as `docs/your-data.md` shows it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::process::{hil, run, summary};

const DOCUMENT: &str = include_str!("../../../docs/your-data.md");

/// The block of the document that begins with this line.
fn block(first: &str) -> &'static str {
    let start = DOCUMENT.find(&format!("```toml\n{first}")).unwrap();
    DOCUMENT[start..].strip_prefix("```toml\n").unwrap().split("```").next().unwrap()
}

/// 300 plants of three species, under the header of the document.
fn plants() -> String {
    let start = DOCUMENT.find("leaf-length,").unwrap();
    let mut table = format!("{}\r\n", DOCUMENT[start..].lines().next().unwrap());
    for plant in 0..300_u32 {
        let (species, noise) = (plant % 3, |step: u32| f64::from(plant * step % 97) / 97.0 - 0.5);
        let name = ["setosa", "versicolor", "\"virginica, red\""][species as usize];
        let size = f64::from(species);
        let (length, width, height) =
            (5.0 + size + noise(7), 3.0 - 0.4 * size + noise(11), 20.0 + 15.0 * size);
        let height = height + 8.0 * noise(13);
        write!(table, "{length:.2},{width:.2},{height:.1},{},{name}\r\n", plant % 7).unwrap();
    }
    table
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("datasets/own")).unwrap();
    fs::write(folder.path().join("datasets/own/plants.csv"), plants()).unwrap();
    fs::write(folder.path().join("plants.toml"), block("name = \"plants\"")).unwrap();
    folder
}

fn hil_run(folder: &Path, bench: &str, more: &[&str]) -> std::process::Command {
    let mut hil = hil!["run", folder.join("plants.toml"), "--on", bench, "--out", folder.join(bench)];
    hil.arg("--datasets").arg(folder.join("datasets")).args(more);
    hil
}

#[test]
fn a_table_of_ones_own_is_trained_on_with_ten_lines_on_every_bench() {
    let folder = folder();
    let digests = ["software", "processes", "batched"].map(|bench| {
        run(hil_run(folder.path(), bench, &[])).succeeded();
        let summary = summary(&folder.path().join(bench));
        assert!(summary.final_test_error.is_some_and(|error| error < 0.2), "{bench}: {summary:?}");
        summary.model_sha256
    });
    assert_eq!(digests[0], digests[1]);
    let resolved = fs::read_to_string(folder.path().join("software/scenario.toml")).unwrap();
    for part in ["shape = [3]", "\"setosa\", \"versicolor\", \"virginica, red\"", "examples = 300"] {
        assert!(resolved.contains(part), "{resolved}");
    }
    // The run is another one if the file is.
    let table = folder.path().join("datasets/own/plants.csv");
    fs::write(&table, plants().replacen("5.", "6.", 1)).unwrap();
    run(hil_run(folder.path(), "software", &[])).complains(1, &["data"]);
    fs::write(&table, plants() + "1,2,3,b,setosa\r\n").unwrap();
    run(hil_run(folder.path(), "software", &[])).complains(1, &["scenario"]);
}

#[test]
fn a_wrong_table_is_named_with_line_and_column_before_anything_begins() {
    let folder = folder();
    let fails = |code: i32, settings: &[&str], parts: &[&str]| {
        let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
        run(hil_run(folder.path(), "software", &settings)).complains(code, parts);
        assert!(!folder.path().join("software").exists());
    };
    let complains = |settings: &[&str], parts: &[&str]| fails(2, settings, parts);
    complains(&["dataset.file=wheat.csv"], &["own/wheat.csv: file not found", "--datasets"]);
    complains(
        &["dataset.label=stem-height", "dataset.ignore=[\"plot\", \"species\"]"],
        &["no class but a measurement", "no regression"],
    );
    complains(&["dataset.label=colour"], &["there is no column \"colour\"; the 5 columns are leaf-length"]);
    complains(&["dataset.kind=file", "dataset.sheet=1"], &["the data set `file` has no `sheet`"]);
    fails(1, &["dataset.test=\"share\""], &["own/share: no file of a form that is read"]);
    complains(&["fleet.devices=500"], &["500 is more than the 300 training examples"]);
    let table = folder.path().join("datasets/own/plants.csv");
    fs::write(&table, plants().replacen("\r\n", "\r\n1,tall,3,a,setosa\r\n", 1)).unwrap();
    let place = "own/plants.csv: line 2, column 2 (leaf-width): \"tall\" is no number";
    complains(&[], &["plants.toml:2: ", place, "ignore = [\"leaf-width\"]"]);
}

#[test]
fn a_file_is_described_with_what_is_odd_and_the_lines_of_a_scenario() {
    let folder = folder();
    let table = folder.path().join("datasets/own/plants.csv");
    fs::write(&table, plants() + "?,3,20,a,setosa\r\n").unwrap();
    let describe = || hil!["data", "describe", &table, "--label", "species", "--set", "ignore=[\"plot\"]"];
    run(describe()).succeeded().prints(&[
        "301 examples of shape [3] in 3 classes",
        "101  setosa",
        "leaf-width",
        "1 values are missing",
        "kind = \"file\"",
        "label = \"species\"",
    ]);
    let mut json = describe();
    json.args(["--format", "json"]);
    let described: serde_json::Value = serde_json::from_str(&run(json).succeeded().stdout).unwrap();
    assert_eq!((&described["examples"], &described["classes"][0][1]), (&301.into(), &101.into()));
    run(hil!["data", "describe", &table]).complains(1, &["which column has the labels?"]);
    run(hil!["data", "describe", &table, "--set", "sheet=1"]).complains(2, &["has no `sheet`"]);
    run(hil!["data", "describe", folder.path().join("none.csv")]).complains(1, &["none.csv: file not found"]);
}
