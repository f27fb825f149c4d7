//! Runs end in the models that are written down in `recorded.txt`: whatever is built anew, results stay as they are, to the
//! last bit.
//!
//! A line of that file holds settings, and the `model_sha256` in which they end on the software bench and on the batched one
//! (`-`: not run, for it takes too long). Where a digest changes on purpose, the test prints the line that takes its place.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use link::skipped;

use crate::process::{datasets, hil, run};

const RECORDED: &str = include_str!("recorded.txt");

const SCENARIO: &str = r#"
name = "recorded"
dataset = "mnist"
model = "logistic-regression"
rounds = 6
[data]
train-examples = 800
[fleet]
devices = 16
compromised = 3
[evaluation]
every = 100
"#;

struct Recorded {
    settings: &'static str,
    software: &'static str,
    batched: &'static str,
}

fn recorded() -> impl Iterator<Item = Recorded> {
    RECORDED.lines().map(|line| {
        let columns: Vec<_> = line.split(" | ").collect();
        let [settings, software, batched] = columns[..] else { panic!("{line}: not three columns") };
        Recorded { settings, software, batched }
    })
}

/// Whether this machine multiplies matrices in the order of the one that these models come from: it follows from the
/// vectors and from the size of the first-level cache.
fn multiplies_alike() -> bool {
    let cache = fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index0/size").unwrap_or_default();
    let vectors = fs::read_to_string("/proc/cpuinfo").is_ok_and(|info| info.contains(" avx512f "));
    vectors && cache.trim() == "48K"
}

/// Runs what `digest` has a digest of, all in one sweep, and compares.
fn assert_as_recorded(option: Option<&str>, digest: impl Fn(&Recorded) -> Option<&'static str>) {
    let folder = tempfile::tempdir().unwrap();
    let expected: Vec<_> = recorded().filter_map(|line| Some((line.settings, digest(&line)?))).collect();
    let mut grid = "scenario = \"scenario.toml\"\n[[axes]]\nname = \"case\"\n".to_owned();
    for (number, (settings, _)) in expected.iter().enumerate() {
        let settings: Vec<_> = settings.split(' ').collect();
        write!(grid, "[[axes.cases]]\nlabel = \"{number}\"\nset = {settings:?}\n").unwrap();
    }
    fs::write(folder.path().join("scenario.toml"), SCENARIO).unwrap();
    fs::write(folder.path().join("grid.toml"), grid).unwrap();
    let (grid, out) = (folder.path().join("grid.toml"), folder.path().join("out"));
    let mut hil = hil!["sweep", grid, "--jobs", "2", "--out", out, "--datasets", datasets()];
    hil.args(option);
    run(hil).succeeded();
    let results = fs::read_to_string(folder.path().join("out/results.csv")).unwrap();
    let mut lines = results.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let column = lines.next().unwrap().iter().position(|name| *name == "model_sha256").unwrap();
    let results: BTreeMap<usize, &str> =
        lines.map(|cells| (cells[0].parse().unwrap(), cells[column])).collect();
    let mut other = String::new();
    for (number, (settings, digest)) in expected.iter().enumerate() {
        if results[&number] != *digest {
            writeln!(other, "{settings} | {}", results[&number]).unwrap();
        }
    }
    assert_eq!(results.len(), expected.len());
    assert!(other.is_empty(), "other models than recorded:\n{other}");
}

/// Says so where the record does not hold for what this processor multiplies.
fn comparable() -> bool {
    let alike = multiplies_alike();
    if !alike {
        skipped(
            "processor",
            "this processor multiplies matrices in another order than the one of the record",
        );
    }
    alike
}

fn is_network(line: &Recorded) -> bool {
    line.settings.contains("model=dnn")
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "recorded on x86-64")]
fn every_rule_attack_and_defense_ends_in_the_recorded_model_in_software() {
    assert_as_recorded(None, |line| (!is_network(line)).then_some(line.software));
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "recorded on x86-64")]
fn networks_end_in_the_recorded_model_in_software() {
    if comparable() {
        assert_as_recorded(None, |line| is_network(line).then_some(line.software));
    }
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "recorded on x86-64")]
fn every_rule_attack_and_defense_ends_in_the_recorded_model_on_the_batched_bench() {
    if comparable() {
        assert_as_recorded(Some("--batched"), |line| (line.batched != "-").then_some(line.batched));
    }
}
