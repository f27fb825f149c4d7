//! What is wrong is said in one line that names it and what to do, with an exit code to go by.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{Lab, all_succeed, records};
use crate::process::{Process, datasets, hil, no_broker, run};

/// `hil run` in software with data sets from `folder`.
fn hil_with_data(lab: &Lab, folder: &Path) -> Command {
    let out = lab.path("run");
    hil!["run", lab.scenario_path(), "--on", "software", "--out", out, "--datasets", folder]
}

/// Without the log, so that all it says is what went wrong.
fn quiet(mut command: Command) -> Command {
    command.args(["--log", "error"]);
    command
}

#[test]
fn a_missing_data_file_is_named() {
    let lab = Lab::new(&[]);
    let outcome = run(hil_with_data(&lab, &lab.path("nowhere")));
    outcome.complains(1, &["hil: ", "nowhere", "wdbc.csv: file not found", "hil data fetch"]);
    assert!(!lab.path("run").exists(), "a run that cannot begin leaves nothing");
}

#[test]
fn a_truncated_data_file_is_named() {
    let lab = Lab::new(&[]);
    let folder = lab.path("datasets/breast-cancer-wisconsin");
    fs::create_dir_all(&folder).unwrap();
    let whole = fs::read(crate::process::datasets().join("breast-cancer-wisconsin/wdbc.csv")).unwrap();
    fs::write(folder.join("wdbc.csv"), &whole[..whole.len() / 2]).unwrap();
    let outcome = run(hil_with_data(&lab, &lab.path("datasets")));
    outcome.complains(1, &["hil: ", "wdbc.csv", "get it again with `hil data fetch`"]);
}

#[test]
fn a_missing_scenario_is_named() {
    run(hil!["run", "nowhere.toml", "--on", "software"]).complains(2, &["hil: nowhere.toml: "]);
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let lab = Lab::new(&[]);
    let text = fs::read_to_string(lab.scenario_path()).unwrap();
    fs::write(lab.scenario_path(), format!("roundz = 3\n{text}")).unwrap();
    run(lab.hil("software", "run", &[])).complains(2, &["scenario.toml:1: ", "roundz"]);
}

#[test]
fn an_unknown_key_of_a_setting_is_named() {
    let lab = Lab::new(&[]);
    let outcome = run(lab.hil("software", "run", &["--set", "fleet.devicez=3"]));
    outcome.complains(2, &["--set fleet.devicez=3", "devicez"]);
}

#[test]
fn krum_is_refused_where_too_many_devices_are_compromised() {
    let lab = Lab::new(&[]);
    let hil = |devices: u32| {
        let fleet = [format!("fleet.devices={devices}"), format!("fleet.selected={devices}")];
        let mut command = lab.hil("software", "run", &["--set", "aggregation.rule=krum"]);
        command.args(["--set", &fleet[0], "--set", &fleet[1]]);
        command
    };
    run(hil(6)).complains(2, &["aggregation.rule: krum", "byzantine = 2 and devices = 6"]);
    run(hil(7)).succeeded();
}

#[test]
fn a_port_in_use_is_named() {
    let lab = Lab::new(&[]);
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut aggregator = quiet(lab.aggregator_without_broker("run"));
    aggregator.args(["--listen", &address]);
    run(aggregator).complains(1, &["aggregator-node: ", &address, "--listen", "--broker"]);
}

#[track_caller]
fn assert_gives_up_on_a_broker_that_is_away(mut command: Command) {
    let (_port, broker) = no_broker();
    command.args(["--broker", &broker, "--patience", "1"]);
    let outcome = run(command).ended_with(1);
    let tries = outcome.stderr.lines().filter(|line| line.contains("trying again")).count();
    assert!(tries >= 2, "one cannot see that it tries:\n{}", outcome.stderr);
    let remedy = "start it, or name another one with --broker";
    outcome.ends_by_saying(&[&broker, "was away for 1 s", remedy]);
}

#[test]
fn a_client_tries_and_then_gives_up_on_a_broker_that_is_away() {
    assert_gives_up_on_a_broker_that_is_away(Lab::new(&[]).client_without_broker(0));
}

#[test]
fn an_aggregator_tries_and_then_gives_up_on_a_broker_that_is_away() {
    assert_gives_up_on_a_broker_that_is_away(Lab::new(&[]).aggregator_without_broker("run"));
}

#[test]
fn the_second_client_of_one_name_leaves_and_the_first_goes_on() {
    let lab = Lab::new(&["rounds=3"]);
    let aggregator = Process::start(lab.aggregator("run"));
    let mut clients = lab.clients([0]);
    // The run waits for the other four.
    clients[0].wait_for_words("begins");
    let second = run(quiet(lab.client(0)));
    second.complains(1, &["edge-client: ", "device-000", "--device"]);
    assert!(clients[0].is_running(), "the first has left: {}", clients[0].stderr());
    clients.extend(lab.clients(1..5));
    aggregator.outcome().succeeded();
    all_succeed(clients);
}

#[test]
fn a_shard_of_another_data_set_is_named() {
    let (lab, other) = (Lab::new(&["dataset=mnist"]), Lab::new(&[]));
    run(quiet(lab.client_with(0, &other.shard(0))))
        .complains(1, &["edge-client: shard ", "breast-cancer", "mnist"]);
}

#[test]
fn a_shard_made_by_other_settings_is_refused_and_they_are_named() {
    let (lab, other) = (Lab::new(&["fleet.non-iid=0.9"]), Lab::new(&["fleet.non-iid=0.5"]));
    let differs = "made with fleet.non-iid = 0.5, but the scenario says fleet.non-iid = 0.9";
    run(quiet(lab.client_with(0, &other.shard(0))))
        .complains(1, &["edge-client: shard ", differs, "make the shards anew from this scenario"]);
}

#[test]
fn a_shard_with_a_flipped_bit_is_named() {
    let lab = Lab::new(&[]);
    let path = lab.shard(0);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    run(quiet(lab.client_with(0, &path))).complains(1, &["edge-client: shard ", "damaged: its digest is"]);
}

/// The shards that `hil shards` writes for this lab, and their list.
fn written_shards(lab: &Lab, settings: &[&str]) -> PathBuf {
    let folder = lab.path("shards");
    let mut hil = hil!["shards", lab.scenario_path(), "--out", &folder, "--datasets", datasets()];
    hil.args(settings.iter().flat_map(|setting| ["--set", setting]));
    run(hil).succeeded();
    folder
}

#[test]
fn an_aggregator_refuses_a_device_with_another_shard_than_the_listed_one() {
    let lab = Lab::new(&["rounds=3", "timing.gather-seconds=5", "aggregation.rule=mean"]);
    let list = written_shards(&lab, &[]).join("shards.toml");
    // As if device 1 had the right settings, but other data.
    let text = fs::read_to_string(&list).unwrap();
    let (device_0, rest) = text.split_once("device = 1").unwrap();
    let (before, after) = rest.split_once("blake3 = \"").unwrap();
    fs::write(&list, format!("{device_0}device = 1{before}blake3 = \"{}{}", "0".repeat(64), &after[64..]))
        .unwrap();
    let mut aggregator = lab.aggregator("run");
    aggregator.arg("--shards").arg(&list);
    let aggregator = Process::start(aggregator);
    let clients = lab.clients(0..5);
    aggregator.outcome().succeeded().says(&["refused from device-001: WrongShard"]);
    drop(clients);
    let records = records(&lab.path("run"));
    assert!(records.iter().all(|record| record.accepted == 4));
    let recorded: Vec<u32> = records[0].shards.iter().map(|entry| entry.device.0).collect();
    assert_eq!((recorded, records[1].shards.len()), (vec![0, 2, 3, 4], 0));
}

#[test]
fn a_list_of_shards_of_another_scenario_is_refused() {
    let lab = Lab::new(&[]);
    let list = written_shards(&lab, &["seed=2"]).join("shards.toml");
    let mut aggregator = quiet(lab.aggregator("run"));
    aggregator.arg("--shards").arg(&list);
    run(aggregator)
        .complains(2, &["shards.toml: source: made with seed = 2, but the scenario says seed = 1"]);
}

#[test]
fn more_devices_than_examples_are_refused_before_anything_is_written() {
    let lab = Lab::new(&[]);
    let devices = ["--set", "fleet.devices=456", "--set", "fleet.selected=456"];
    let mut shards = hil!["shards", lab.scenario_path(), "--out", lab.path("shards")];
    shards.args(devices);
    for command in [lab.hil("software", "run", &devices), lab.hil("batched", "run", &devices), shards] {
        run(command).complains(2, &["fleet.devices: 456 is more than the 455 training examples"]);
    }
    assert!(!lab.path("run").exists() && !lab.path("shards").exists());
}

#[test]
fn an_empty_environment_variable_counts_as_not_set() {
    let lab = Lab::new(&["rounds=1"]);
    let mut hil = lab.hil("software", "run", &[]);
    hil.envs(["OUTPOST_BROKER", "OUTPOST_LOG", "SLURM_ARRAY_TASK_ID"].map(|name| (name, "")));
    run(hil).succeeded();
    let mut aggregator = lab.aggregator("other");
    aggregator.envs(
        ["OUTPOST_BROKER", "OUTPOST_SHARDS", "OUTPOST_CA", "OUTPOST_PATIENCE", "OUTPOST_TOPIC_PREFIX"]
            .map(|name| (name, "")),
    );
    let aggregator = Process::start(aggregator);
    let clients = (0..5).map(|device| {
        let mut client = lab.client(device);
        client.envs(
            ["OUTPOST_CONFIG", "OUTPOST_KEY", "OUTPOST_PATIENCE", "OUTPOST_LOG"].map(|name| (name, "")),
        );
        Process::start(client)
    });
    let clients: Vec<_> = clients.collect();
    aggregator.outcome().succeeded();
    all_succeed(clients);
}

#[test]
fn a_scenario_in_another_encoding_is_named_and_a_mark_before_it_is_no_obstacle() {
    let lab = Lab::new(&["rounds=1"]);
    let text = fs::read_to_string(lab.scenario_path()).unwrap();
    let utf16: Vec<u8> =
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    fs::write(lab.scenario_path(), utf16).unwrap();
    run(lab.hil("software", "run", &[]))
        .complains(2, &["scenario.toml: it is text in UTF-16; save it as UTF-8"]);
    fs::write(lab.scenario_path(), format!("\u{feff}{text}")).unwrap();
    run(lab.hil("software", "run", &[])).succeeded();
}

#[test]
fn a_key_that_is_set_twice_is_named() {
    let lab = Lab::new(&[]);
    let twice = ["--set", "seed=1", "--set", "seed=2"];
    run(lab.hil("software", "run", &twice)).complains(2, &["--set seed=2: `seed=1` sets seed already"]);
    let grid = lab.path("grid.toml");
    fs::write(&grid, "scenario = \"scenario.toml\"\n[[axes]]\nkey = \"seed\"\nvalues = [1, 2, 3]\n").unwrap();
    run(hil!["sweep", &grid, "--out", lab.path("sweep")])
        .complains(2, &["grid.toml: axes: `seed` is no axis", "seeds = [1, 2, 3]"]);
    let (rule, out) = ("aggregation.rule=median", lab.path("out"));
    for command in [
        hil!["paper", "table2a", "--set", rule, "--out", &out],
        hil!["demo", "--on", "software", "--set", rule, "--out", &out],
    ] {
        run(command).complains(2, &[rule, "leave one of the two out"]);
    }
}

#[test]
fn a_shard_of_another_device_is_named() {
    let lab = Lab::new(&[]);
    run(quiet(lab.client_with(1, &lab.shard(0))))
        .complains(1, &["edge-client: shard ", "device-000", "device-001"]);
}

#[test]
fn a_shard_that_is_none_is_named() {
    let lab = Lab::new(&[]);
    fs::write(lab.path("shard"), "no shard").unwrap();
    run(quiet(lab.client_with(0, &lab.path("shard"))))
        .complains(1, &["edge-client: shard ", "write the shard file again"]);
}

#[test]
fn a_device_that_is_not_of_the_fleet_is_named() {
    let lab = Lab::new(&[]);
    run(quiet(lab.client_with(5, &lab.shard(0))))
        .complains(1, &["edge-client: device-005", "fleet.devices = 5"]);
}

#[test]
fn flags_of_another_bench_are_wrong_usage() {
    let lab = Lab::new(&[]);
    let broker = ["--broker", "mqtt://127.0.0.1:1883"];
    run(lab.hil("software", "run", &broker)).complains(2, &["--on processes"]);
    run(lab.hil("processes", "run", &["--loss", "0.1"])).complains(2, &["--on software"]);
}

#[test]
fn a_run_directory_of_another_scenario_is_left_alone() {
    let lab = Lab::new(&[]);
    lab.undisturbed();
    let manifest = fs::read(lab.path("undisturbed/manifest.json")).unwrap();
    let name = lab.path("undisturbed").display().to_string();
    run(lab.hil("software", "other", &["--set", "seed=2"])).succeeded();
    run(lab.hil("software", "other", &[]))
        .ended_with(1)
        .ends_by_saying(&["a run of another scenario; choose another directory"]);
    let aggregator = quiet(lab.aggregator("undisturbed"));
    run(aggregator).complains(1, &[&name, "on the bench `software`", "choose another directory"]);
    assert_eq!(fs::read(lab.path("undisturbed/manifest.json")).unwrap(), manifest);
}
