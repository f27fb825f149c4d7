//! Data that stay on the devices, by the real programs, as `docs/your-data.md` shows it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hil_tests::benches::emulated_board::{Kernel, qemu};
use hil_tests::data::FleetData;
use link::skipped;
use scenario::Scenario;
use scenario::catalogue::Catalogue;
use wire::identity::DeviceId;

use crate::emulated::{AARCH64, PATIENT, client};
use crate::lab::{NATIVE, inventory, records};
use crate::process::{Process, hil, program, run, summary, wait_until};
use crate::sshd::Sshd;

const DOCUMENT: &str = include_str!("../../../docs/your-data.md");
const DEVICES: u32 = 5;
const HEADER: &str = "temperature,vibration,current,state";
/// Settings of the small fleet of these tests.
const SMALL: [&str; 3] = ["fleet.devices=5", "fleet.compromised=2", "timing.gather-seconds=600"];

/// Settings of a fleet over ssh, to each device of which a client is sent.
const SHELF: [&str; 4] =
    ["fleet.devices=3", "fleet.compromised=0", "attack.kind=none", "timing.gather-seconds=600"];

/// What a sensor reads of a machine in one of three states, as lines of a table.
fn readings(count: u32, salt: u32) -> Vec<String> {
    let line = |reading: u32| {
        let noise = |step: u32| f64::from((reading + salt) * step % 89) / 89.0 - 0.5;
        let state = reading % 3;
        let (level, name) = (f64::from(state), ["idle", "run", "fault"][state as usize]);
        let (heat, shake) = (2.0 + 1.4 * level + 0.6 * noise(7), 0.2 + 0.3 * level + 0.2 * noise(11));
        format!("{heat:.2},{shake:.4},{:.3},{name}", 1.0 + 2.0 * level + noise(13))
    };
    (0..count).map(line).collect()
}

fn table(lines: &[String]) -> String {
    let mut text = format!("{HEADER}\n");
    lines.iter().for_each(|line| writeln!(text, "{line}").unwrap());
    text
}

/// The scenario of the document, the aggregator's test file, all readings, and each device's part of them.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        for folder in ["datasets/own", "tables", "shards"] {
            fs::create_dir_all(site.path(folder)).unwrap();
        }
        fs::write(site.path("datasets/own/test.csv"), table(&readings(60, 1000))).unwrap();
        let start = DOCUMENT.find("```toml\nname = \"readings\"").expect("the scenario of the document");
        let scenario = DOCUMENT[start..].strip_prefix("```toml\n").unwrap().split("```").next().unwrap();
        assert!(scenario.lines().count() <= 12, "{scenario}");
        fs::write(site.path("readings.toml"), scenario).unwrap();
        let all = readings(250, 0);
        fs::write(site.path("datasets/own/all.csv"), table(&all)).unwrap();
        // As the partition of the whole file would deal it out.
        let whole = site.scenario(&[&SMALL[..], &WHOLE].concat());
        let data = FleetData::load(&whole, &site.path("datasets")).unwrap();
        for (device, shard) in whole.devices().zip(data.shards(&whole).unwrap()) {
            let own: Vec<String> = shard.indices().iter().map(|row| all[*row as usize].clone()).collect();
            fs::write(site.table(device.0), table(&own)).unwrap();
        }
        site
    }

    /// The same, with everybody's shard imported.
    fn imported() -> Self {
        let site = Site::new();
        (0..DEVICES).for_each(|device| site.import(device));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The table of a device.
    fn table(&self, device: u32) -> PathBuf {
        self.path("tables").join(format!("{}.csv", DeviceId(device)))
    }

    fn shard(&self, device: u32) -> PathBuf {
        self.path("shards").join(format!("{}.safetensors", DeviceId(device)))
    }

    fn import(&self, device: u32) {
        run(import(&self.table(device), &self.shard(device))).succeeded().prints(&[" examples of shape [3]"]);
    }

    fn scenario(&self, settings: &[&str]) -> Scenario {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let catalogue = Catalogue::standard().with_datasets_in(&self.path("datasets"));
        catalogue.load(&self.path("readings.toml"), &settings).unwrap()
    }

    /// `hil run` into the folder `out`, with these settings on top of those of a small fleet.
    fn hil(&self, bench: &str, out: &str, settings: &[&str], more: &[&str]) -> Command {
        let mut command = hil!["run", self.path("readings.toml"), "--on", bench, "--out", self.path(out)];
        command.arg("--datasets").arg(self.path("datasets")).args(more);
        let key = |setting: &str| setting.split('=').next().map(ToOwned::to_owned);
        let is_said = |usual: &&&str| settings.iter().any(|setting| key(setting) == key(usual));
        for setting in SMALL.iter().filter(|usual| !is_said(usual)).chain(settings) {
            command.args(["--set", setting]);
        }
        command
    }

    /// The same, with the devices' shards of this machine.
    fn with_shards(&self, bench: &str, out: &str, settings: &[&str]) -> Command {
        let shards = self.path("shards");
        self.hil(bench, out, settings, &["--shards", shards.to_str().unwrap()])
    }

    /// The model that comes of it, and its test error.
    #[track_caller]
    fn result(&self, command: Command, out: &str) -> (String, f64) {
        run(command).succeeded();
        let summary = summary(&self.path(out));
        (summary.model_sha256, summary.final_test_error.unwrap())
    }
}

/// The same data in one file, which is dealt out.
const WHOLE: [&str; 4] =
    ["dataset.kind=file", "dataset.file=all.csv", "dataset.standardise=false", "fleet.partition=iid"];

fn import(table: &Path, shard: &Path) -> Command {
    let mut command = program("edge-client");
    command.arg("import").arg(table).args(["--label", "state", "--out"]).arg(shard);
    command
}

#[test]
fn shards_that_devices_import_end_in_the_model_of_the_same_data_dealt_out_of_one_file() {
    let site = Site::imported();
    let (whole, _) = site.result(site.hil("software", "whole", &WHOLE, &[]), "whole");
    let plain = ["dataset.standardise=false"];
    for bench in ["software", "processes"] {
        let out = format!("{bench}-plain");
        assert_eq!(site.result(site.with_shards(bench, &out, &plain), &out).0, whole, "{bench}");
    }
}

#[test]
fn features_are_standardised_and_poisoned_on_the_devices_as_in_software() {
    let site = Site::imported();
    for attack in ["little-is-enough", "label-flip"] {
        let setting = format!("attack.kind={attack}");
        let [software, processes] = ["software", "processes"].map(|bench| {
            let out = format!("{bench}-{attack}");
            site.result(site.with_shards(bench, &out, &[&setting]), &out)
        });
        assert_eq!(software, processes, "{attack}");
        assert!(software.1 < 0.2, "{attack}: {}", software.1);
    }
    let resolved = fs::read_to_string(site.path("processes-label-flip/scenario.toml")).unwrap();
    for part in ["shape = [3]", "classes = [\"fault\", \"idle\", \"run\"]", "standardise = true", "means = ["]
    {
        assert!(resolved.contains(part), "{resolved}");
    }
    assert!(!resolved.contains("non-iid"), "nothing is dealt out: {resolved}");
    // What devices trained on is recorded, and held against what comes when the run goes on.
    assert_eq!(records(&site.path("processes-label-flip"))[0].shards.len(), DEVICES as usize);
}

#[test]
fn a_device_whose_data_do_not_fit_is_named_with_its_reason_and_the_run_goes_without_it() {
    let site = Site::imported();
    let mut broken = fs::read_to_string(site.table(1)).unwrap();
    broken.push_str("20,0.1,1,broken\n");
    fs::write(site.table(1), broken).unwrap();
    site.import(1);
    fs::write(site.shard(2), [7; 1000]).unwrap();
    fs::remove_file(site.shard(3)).unwrap();
    let settings = ["fleet.compromised=0", "attack.kind=none", "timing.gather-seconds=20"];
    let whys = [
        ("device-001", "its class \"broken\" is none of the scenario's, fault, idle, run"),
        ("device-002", "not a valid safetensors file"),
        ("device-003", "it has no shard: `edge-client import FILE --label \"state\" --out "),
    ];
    let outcome = run(site.with_shards("processes", "run", &settings)).succeeded();
    let (summary, first) = (summary(&site.path("run")), records(&site.path("run")).remove(0));
    assert_eq!((first.accepted, first.absent.len(), summary.unfit.len()), (2, 0, 3));
    let log = fs::read_to_string(site.path("run/logs/aggregator-node.log")).unwrap();
    let page = fs::read_to_string(site.path("run/report.html")).unwrap();
    for ((device, why), recorded) in whys.iter().zip(&first.unfit) {
        outcome.says(&[&format!("{device}: its data do not fit"), why]);
        assert!(recorded.device.to_string() == *device && recorded.why.contains(why), "{recorded:?}");
        assert!(summary.unfit[*device].contains(why), "{:?}", summary.unfit);
        assert!(log.contains(&format!("refused from {device}: WrongShard: its data do not fit: ")), "{log}");
        assert!(page.contains(&format!("The data of {device} do not fit: ")));
        let own = fs::read_to_string(site.path(&format!("run/logs/{device}.log"))).unwrap();
        assert!(own.contains(why), "{own}");
    }
    // Nothing is simulated that would be another run.
    run(site.with_shards("software", "software", &[]))
        .complains(1, &["device-001.safetensors: its class \"broken\""]);
    assert!(!site.path("software").exists());
}

#[test]
fn columns_in_another_order_and_examples_of_another_shape_are_no_data_of_the_scenario() {
    let site = Site::imported();
    let swapped =
        fs::read_to_string(site.table(0)).unwrap().replace("temperature,vibration", "vibration,temperature");
    fs::write(site.table(0), swapped).unwrap();
    site.import(0);
    let why = "feature 1 is \"vibration\", where the scenario has \"temperature\"";
    run(site.with_shards("software", "run", &[])).complains(1, &["device-000", why]);
    let mut narrow = import(&site.table(0), &site.shard(0));
    narrow.args(["--set", "ignore=[\"current\"]"]);
    run(narrow).succeeded();
    let why = "an example has the shape [2], where the scenario has [3]";
    run(site.with_shards("software", "run", &[])).complains(1, &["device-000", why]);
}

#[test]
fn what_makes_no_sense_where_data_lie_on_the_devices_is_refused_by_its_key() {
    let site = Site::imported();
    for (setting, part) in [
        ("fleet.partition=iid", "nothing is dealt out"),
        ("fleet.non-iid=0.9", "nothing is dealt out"),
        ("data.train-examples=100", "data.train-examples: the training examples lie on the devices"),
        ("aggregation.rule=fltrust", "`fltrust` trains on some at the aggregator"),
        ("attack.kind=back-gradient", "`back-gradient` plants examples in shards"),
        ("dataset.means=[1, 2]", "2 numbers, where an example has 3 columns"),
        ("dataset.test=none.csv", "own/none.csv: file not found"),
    ] {
        run(site.with_shards("software", "run", &[setting])).complains(2, &[part]);
    }
    run(site.with_shards("batched", "run", &[])).complains(2, &["--shards is for --on software"]);
    for bench in ["software", "processes"] {
        run(site.hil(bench, "run", &[], &[])).complains(1, &["lie on the devices", "--shards DIR"]);
    }
    run(site.hil("batched", "run", &[], &[])).complains(1, &["the batched bench deals one data set out"]);
    run(site.with_shards("software", "run", &WHOLE)).complains(1, &["the shards of file are dealt out"]);
    assert!(!site.path("run").exists());
    let mut shards = hil!["shards", site.path("readings.toml"), "--out", site.path("others")];
    shards.arg("--datasets").arg(site.path("datasets"));
    run(shards).complains(1, &["lie on the devices"]);
}

#[test]
fn an_import_names_what_is_wrong_with_file_line_and_column_and_keeps_the_earlier_shard() {
    let site = Site::imported();
    let (table, shard) = (site.table(0), site.shard(0));
    let before = fs::read(&shard).unwrap();
    let with = |settings: &[&str]| {
        let mut command = import(&table, &shard);
        for setting in settings {
            command.args(["--set", setting]);
        }
        run(command)
    };
    with(&["sheet=1"]).complains(2, &["`sheet` says nothing of how a file is read", "missing"]);
    with(&["test=0.5"]).complains(2, &["`test` says nothing"]);
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, text.clone() + "hot,0.1,1,idle\n").unwrap();
    let line = format!("line {}, column 1 (temperature): \"hot\" is no number", text.lines().count() + 1);
    with(&[]).complains(1, &["device-000.csv: ", &line]);
    fs::write(&table, text.clone() + "?,0.1,1,idle\n").unwrap();
    with(&[]).complains(1, &["the value is missing"]);
    assert_eq!(fs::read(&shard).unwrap(), before);
    with(&["missing=drop"]).succeeded().prints(&["1 rows are left out"]);
    assert_eq!(fs::read(&shard).unwrap(), before, "the same examples");
    with(&["missing=mean"]).succeeded();
    assert_ne!(fs::read(&shard).unwrap(), before);
    fs::write(&table, "").unwrap();
    with(&[]).complains(1, &["it is empty"]);
    run(import(&site.path("none.csv"), &shard)).complains(1, &["none.csv: file not found"]);
    run(import(&site.table(1), &site.path("no/folder"))).complains(1, &["cannot write", "no/folder"]);
}

#[test]
fn a_fleet_over_ssh_imports_on_its_boards_and_is_told_what_is_missing_until_then() {
    let Some(sshd) = Sshd::start() else { return };
    let site = Site::imported();
    let root = |device: u32| site.path("boards").join(DeviceId(device).to_string());
    let devices = (0..3).map(|device| sshd.device(&root(device)));
    let broker = hil_tests::system::held_port::HeldPort::local().unwrap();
    let url = format!("mqtt://{}", broker.address());
    fs::write(site.path("shelf.toml"), inventory("shelf", &format!("url = \"{url}\""), devices)).unwrap();
    let mut provision = hil!["provision", site.path("shelf.toml"), site.path("readings.toml"), "--out"];
    provision.arg(site.path("fleet")).arg("--datasets").arg(site.path("datasets"));
    for setting in SHELF {
        provision.args(["--set", setting]);
    }
    let ssh = format!("'{}/current/edge-client import FILE --label \"state\" --out ", root(0).display());
    run(provision).succeeded().prints(&[&ssh]);
    let device = site.path("fleet/devices/device-000");
    assert!(
        !device.join("shard.safetensors").exists() && !site.path("fleet/aggregator/shards.toml").exists()
    );

    let scenario = site.path("fleet/aggregator/scenario.toml");
    let mut aggregator = program("aggregator-node");
    aggregator.arg(&scenario).arg("--out").arg(site.path("run")).arg("--datasets").arg(site.path("datasets"));
    aggregator.args(["--listen", &broker.address().to_string()]);
    let aggregator = Process::start(aggregator);
    wait_until("the broker answers", || std::net::TcpStream::connect(broker.address()).is_ok());
    let deploy = || {
        let mut command = hil!["deploy", site.path("shelf.toml"), site.path("fleet"), "--ssh-option=-F"];
        command.arg(format!("--ssh-option={}", sshd.config("ssh_config")));
        run(command)
    };
    let outcome = deploy().ended_with(1);
    let command = format!("`edge-client import FILE --label \"state\" --out {}/shard`", root(0).display());
    outcome.says(&["device-000: online with ", "its data do not fit: it has no shard", &command]);
    outcome.prints(&["online, data do not fit"]);
    let mut status = hil!["fleet", "status", site.path("shelf.toml"), "--wait", "1"];
    status.arg(site.path("fleet"));
    run(status).succeeded().prints(&["it has no shard: `edge-client import FILE"]);

    for device in 0..3 {
        let root = root(device).display().to_string();
        fs::copy(site.table(device), format!("{root}/readings.csv")).unwrap();
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", &sshd.config("ssh_config"), "-p", &sshd.port.to_string()]);
        ssh.arg(format!("{}@127.0.0.1", sshd.user)).arg(format!(
            "{root}/current/edge-client import {root}/readings.csv --label state --out {root}/shard"
        ));
        run(ssh).succeeded();
    }
    let again = deploy().succeeded();
    assert!(!again.stderr.contains("sending"), "{}", again.stderr);
    aggregator.outcome().succeeded();
    let here = site.result(site.with_shards("software", "software", &SHELF), "software");
    assert_eq!(summary(&site.path("run")).model_sha256, here.0);
}

#[test]
fn emulated_boards_import_their_own_data_and_end_in_the_model_of_software() {
    let Some(_) = client(AARCH64) else { return };
    if let Err(missing) = qemu().and_then(|_| Kernel::find(None)) {
        skipped("emulated-board", missing);
        return;
    }
    let site = Site::imported();
    let board = |device: u32| {
        let table = site.table(device);
        format!("kind = \"qemu-system\"\nboard = \"pi-4b\"\nimport = [{table:?}, \"--label\", \"state\"]")
    };
    let native = |device: u32| format!("{NATIVE}\nshard = {:?}", site.shard(device));
    let devices = (0..DEVICES).map(|device| if device < 2 { board(device) } else { native(device) });
    let text = inventory("shelf", "url = \"mqtt://127.0.0.1\"\nlisten = \"127.0.0.1:0\"", devices);
    fs::write(site.path("shelf.toml"), text).unwrap();
    let fleet = site.path("shelf.toml");
    let settings = [PATIENT[0], PATIENT[1], "rounds=6"];
    let command = site.hil("boards", "run", &settings, &["--fleet", fleet.to_str().unwrap()]);
    Process::start(command).outcome_within(std::time::Duration::from_secs(600)).succeeded();
    for record in records(&site.path("run")) {
        assert_eq!((record.accepted, record.absent.len()), (DEVICES, 0), "round {}", record.round);
    }
    let here = site.result(site.with_shards("software", "software", &settings), "software");
    assert_eq!(summary(&site.path("run")).model_sha256, here.0);
    let console = fs::read_to_string(site.path("run/logs/device-000.log")).unwrap();
    let rows = fs::read_to_string(site.table(0)).unwrap().lines().count() - 1;
    let made = format!("/opt/outpost/shard: {rows} examples of shape [3] in 3 classes");
    assert!(console.contains(&made), "{console}");
    // What is on a board never was on this machine's disk as a shard.
    assert!(!site.path("run-fleet/devices/device-000/shard.safetensors").exists());
}
