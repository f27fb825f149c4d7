//! Data sets of the user's own, by the real programs, as `docs/your-data.md` shows it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::process::{hil, run, summary, undisturbed};

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

/// As `hil_run` with the groups of a column, of which there are seven.
fn run_by_plot(folder: &Path, bench: &str, more: &[&str]) -> std::process::Command {
    let settings = [
        "dataset.ignore=[]",
        "dataset.group=plot",
        "fleet.partition=groups",
        "attack.kind=sign-flip",
        "rounds=5",
    ];
    let settings: Vec<&str> = settings.iter().chain(more).flat_map(|setting| ["--set", *setting]).collect();
    hil_run(folder, bench, &settings)
}

#[test]
fn each_device_has_the_rows_of_whole_groups_on_every_bench() {
    let folder = folder();
    let fleet = ["fleet.devices=7", "fleet.compromised=1"];
    let digests = ["software", "processes"].map(|bench| {
        run(run_by_plot(folder.path(), bench, &fleet)).succeeded();
        summary(&folder.path().join(bench)).model_sha256
    });
    assert_eq!(digests[0], digests[1]);
    run(run_by_plot(folder.path(), "batched", &fleet)).succeeded();
    // Each plot has 42 or 43 of the 300 plants, of which a fifth is for testing.
    let list = |more: &[&str]| {
        let out = folder.path().join("shards");
        let _ = fs::remove_dir_all(&out);
        let mut shards = hil!["shards", folder.path().join("plants.toml"), "--out", &out];
        shards.arg("--datasets").arg(folder.path().join("datasets"));
        for setting in
            ["dataset.ignore=[]", "dataset.group=plot", "fleet.partition=groups", "attack.kind=sign-flip"]
                .iter()
                .chain(more)
        {
            shards.args(["--set", setting]);
        }
        run(shards).succeeded();
        let list: toml::Table =
            toml::from_str(&fs::read_to_string(out.join("shards.toml")).unwrap()).unwrap();
        let shards = list["shard"].as_array().unwrap().clone();
        shards.iter().map(|shard| shard["examples"].as_integer().unwrap()).collect::<Vec<_>>()
    };
    let each = list(&fleet);
    assert!(each.len() == 7 && each.iter().sum::<i64>() == 240, "{each:?}");
    let pairs = list(&["fleet.devices=3", "fleet.compromised=1", "fleet.groups-per-device=2"]);
    assert!(pairs.len() == 3 && pairs.iter().sum::<i64>() < 240, "{pairs:?}");
    fs::remove_dir_all(folder.path().join("software")).unwrap();
    run(run_by_plot(folder.path(), "software", &["fleet.devices=8", "fleet.compromised=1"]))
        .complains(1, &["fleet.devices: 8 devices cannot have a whole group each", "in 7 groups"]);
    let describe = hil![
        "data",
        "describe",
        folder.path().join("datasets/own/plants.csv"),
        "--label",
        "species",
        "--set",
        "group=plot"
    ];
    run(describe).succeeded().prints(&["groups\n        43  0\n", "        42  6\n"]);
}

#[test]
#[ignore = "nightly: a table of 50 MB"]
fn a_run_takes_less_than_four_times_the_memory_that_its_table_takes_on_disk() {
    const SIZE: usize = 50_000_000;
    let folder = folder();
    let mut table = "a,b,c,d,e,f,g,h,species\n".to_owned();
    for row in 0_u32.. {
        if table.len() >= SIZE {
            break;
        }
        let value = |step: u32| row.wrapping_mul(step) % 1_000;
        let values = [7, 11, 13, 17, 19, 23, 29, 31].map(value).map(|value| value.to_string());
        writeln!(table, "{},s{}", values.join(","), row % 3).unwrap();
    }
    fs::write(folder.path().join("datasets/own/plants.csv"), table).unwrap();
    let limited = |command: std::process::Command| {
        let mut shell = undisturbed("bash");
        // Of memory that is written to; what else is mapped does not count.
        shell.args(["-c", &format!("ulimit -d {}; exec \"$@\"", 4 * SIZE / 1024), "bash"]);
        shell.arg(command.get_program()).args(command.get_args());
        shell
    };
    let settings = ["--set", "dataset.ignore=[]", "--set", "rounds=1"];
    run(limited(hil_run(folder.path(), "software", &settings))).succeeded();
    let table = folder.path().join("datasets/own/plants.csv");
    run(limited(hil!["data", "describe", table, "--label", "species"])).succeeded();
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
