//! The boards bench: processes of this machine beside clients that are reached over a real sshd on the loopback.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hil_tests::cases::{self, Case, Rig};
use hil_tests::inventory::{Inventory, Kind};
use hil_tests::processes::Binaries;
use rustix::process::Signal;
use shared::identity::DeviceId;

use crate::lab::{ATTACK, Lab, records};
use crate::process::{Process, datasets, free_port, program, run, summary, wait_for_rounds};
use crate::sshd::Sshd;

/// A fleet of five: `device-001` and `device-003` sit behind ssh, the others are processes of this machine.
struct Shelf {
    sshd: Sshd,
    lab: Lab,
}

const REMOTE: [u32; 2] = [1, 3];
/// The bench brings the broker, on a free port.
const BROUGHT: &str = "listen = \"127.0.0.1:0\"";

impl Shelf {
    fn new(settings: &[&str]) -> Option<Self> {
        let shelf = Shelf { sshd: Sshd::start()?, lab: Lab::new(settings) };
        shelf.write_inventory(BROUGHT, "");
        Some(shelf)
    }

    /// Writes the inventory, with `broker` for the broker and `more` for each device behind ssh.
    fn write_inventory(&self, broker: &str, more: &str) {
        let mut text = format!("name = \"shelf\"\n[broker]\nurl = \"mqtt://127.0.0.1\"\n{broker}\n");
        for device in (0..5).map(DeviceId) {
            writeln!(text, "[[device]]\nid = \"{device}\"").unwrap();
            if REMOTE.contains(&device.0) {
                let (port, user, root) =
                    (self.sshd.port, &self.sshd.user, self.root(device).display().to_string());
                writeln!(
                    text,
                    "kind = \"ssh\"\naddress = \"127.0.0.1\"\nport = {port}\nuser = \"{user}\"\n\
                     service = \"process\"\nroot = \"{root}\"\n{}",
                    more.replace("ROOT", &root)
                )
                .unwrap();
            } else {
                text += "kind = \"native\"\n";
            }
        }
        fs::write(self.inventory(), text).unwrap();
    }

    fn inventory(&self) -> PathBuf {
        self.lab.path("shelf.toml")
    }

    fn root(&self, device: DeviceId) -> PathBuf {
        self.lab.path("boards").join(device.to_string())
    }

    fn hil(&self, out: &str, more: &[&str]) -> Command {
        let mut command = self.lab.hil("boards", out, &["--ssh-option=-F"]);
        command.arg(format!("--ssh-option={}", self.sshd.config("ssh_config")));
        command.arg("--fleet").arg(self.inventory()).args(more);
        command
    }

    /// Numbers of the clients behind ssh that are running now.
    fn running(&self) -> Vec<String> {
        let clients = REMOTE
            .map(DeviceId)
            .map(|device| self.root(device).join("current/edge-client").display().to_string());
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
        let is_client = |process: &PathBuf| {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
            clients.iter().any(|client| client.as_bytes() == first)
        };
        processes.filter(is_client).map(|process| process.display().to_string()).collect()
    }

    /// Runs a hardware case on the fleet, about a device behind ssh.
    fn case(&self, name: &str) -> anyhow::Result<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
        let mut case = Case::load(&folder.join(name).with_extension("toml")).unwrap();
        case.needs.kinds = vec![Kind::Ssh];
        for step in &mut case.steps {
            step.device = step.device.map(|device| DeviceId(REMOTE[device.0 as usize]));
        }
        let programs = Path::new(program("hil").get_program()).parent().unwrap().to_owned();
        let ssh_options = ["-F".to_owned(), self.sshd.config("ssh_config")].map(Into::into).to_vec();
        let rig = Rig { binaries: Binaries::within(&programs).unwrap(), ssh_options };
        let fleet = Inventory::load(&self.inventory()).unwrap();
        let out = tempfile::tempdir().unwrap();
        cases::run(&case, &fleet, &rig, &datasets(), out.path())
    }

    #[track_caller]
    fn assert_holds(&self, name: &str) {
        match self.case(name) {
            Ok(told) => println!("{name}: {told}"),
            Err(error) => panic!("{name}: {error:#}"),
        }
        assert_eq!(self.running(), Vec::<String>::new(), "after {name}");
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        // Clients that a failed test leaves behind. They are not children of this process.
        for process in self.running() {
            let _ = Command::new("kill").arg(&process["/proc/".len()..]).stderr(Stdio::null()).status();
        }
    }
}

#[test]
fn a_fleet_of_boards_and_processes_ends_in_the_model_of_software() {
    let Some(shelf) = Shelf::new(&ATTACK) else { return };
    let outcome = run(shelf.hil("run", &[])).succeeded();
    assert!(outcome.stderr.contains("device-001: sending edge-client"), "{}", outcome.stderr);
    let here = summary(&shelf.lab.path("run"));
    assert_eq!((here.model_sha256, here.bench.as_str()), (shelf.lab.undisturbed(), "boards"));
    for record in records(&shelf.lab.path("run")) {
        assert_eq!((record.accepted, record.absent.len()), (5, 0), "round {}", record.round);
    }
    for device in 0..5 {
        let log = fs::read_to_string(shelf.lab.path("run/logs").join(format!("{}.log", DeviceId(device))));
        assert!(log.unwrap().contains(" examples, "), "{}", DeviceId(device));
    }
    assert_eq!(shelf.running(), Vec::<String>::new());
    // Keys have no place in what people pass on.
    assert!(!shelf.lab.path("run/devices").exists() && shelf.lab.path("run-fleet/devices").is_dir());
}

#[test]
fn an_interrupted_run_leaves_no_client_behind_and_goes_on() {
    let Some(shelf) = Shelf::new(&["rounds=300"]) else { return };
    let first = Process::start(shelf.hil("run", &[]));
    wait_for_rounds(&shelf.lab.path("run"), 5);
    assert_eq!(shelf.running().len(), 2);
    first.signal(Signal::INT);
    assert_eq!(first.outcome().code, Some(130));
    assert_eq!(shelf.running(), Vec::<String>::new());
    let again = run(shelf.hil("run", &[])).succeeded();
    assert!(!again.stderr.contains("sending shard"), "{}", again.stderr);
    assert_eq!(summary(&shelf.lab.path("run")).model_sha256, shelf.lab.undisturbed());
}

#[test]
fn every_device_that_cannot_be_reached_is_named_and_nothing_is_begun() {
    let Some(mut shelf) = Shelf::new(&[]) else { return };
    shelf.sshd.port = free_port();
    shelf.write_inventory(BROUGHT, "");
    let parts = ["device-001: ", "device-003: ", "127.0.0.1 cannot be reached", "is it switched on"];
    run(shelf.hil("run", &[])).complains(1, &parts);
    assert!(!shelf.lab.path("run").exists());
}

#[test]
fn what_stands_in_the_way_of_a_fleet_is_named() {
    let Some(shelf) = Shelf::new(&[]) else { return };
    let run_with = |more: &[&str]| run(shelf.hil("run", more));
    run_with(&["--set", "fleet.devices=7"]).complains(1, &["shelf.toml: 5 devices", "--set fleet.devices=5"]);
    run_with(&["--broker", "mqtt://localhost"]).complains(2, &["the broker of the inventory"]);
    run_with(&["--provisioned", "/nowhere"]).complains(1, &["/nowhere: not provisioned", "hil provision"]);
    run(shelf.lab.hil("boards", "run", &[])).complains(2, &["--fleet FILE"]);
    shelf.write_inventory("", "");
    let text = fs::read_to_string(shelf.inventory()).unwrap();
    let nobody = format!("mqtt://127.0.0.1:{}", free_port());
    fs::write(shelf.inventory(), text.replace("mqtt://127.0.0.1", &nobody)).unwrap();
    run_with(&[]).complains(1, &[&nobody, "does not answer", "broker.listen"]);
    fs::write(
        shelf.inventory(),
        text.replace("mqtt://", "mqtts://").replace("127.0.0.1\"\n\n", "127.0.0.1:1\"\n\n"),
    )
    .unwrap();
    assert_eq!(run_with(&[]).code, Some(1));
}

/// One test for each case; each strikes a client behind ssh.
macro_rules! cases {
    ($($test:ident: $case:literal,)*) => {
        $(#[test]
        fn $test() {
            if let Some(shelf) = Shelf::new(&[]) {
                shelf.assert_holds($case);
            }
        })*
    };
}

cases! {
    nothing_goes_wrong: "calm",
    a_client_behind_ssh_is_killed_and_started_again: "kill",
    a_client_behind_ssh_stands_still: "freeze",
    the_connection_of_a_client_behind_ssh_is_cut: "cut",
    a_client_behind_ssh_has_a_full_disk: "full-disk",
    a_device_behind_ssh_has_two_clients: "twin",
}

/// Switches the power of the device in the folder `$2`: whose processes end, and do not come back by themselves.
const SWITCH: &str = r#"#!/bin/sh
echo "$1" >>"$2/switched"
if [ "$1" = off ]; then kill -9 "$(cat "$2/client.pid")"; fi
"#;

#[test]
fn a_board_that_loses_its_power_comes_back() {
    let Some(shelf) = Shelf::new(&[]) else { return };
    let switch = shelf.lab.path("switch");
    fs::write(&switch, SWITCH).unwrap();
    let power = format!("power = \"sh {} {{action}} ROOT\"", switch.display());
    shelf.write_inventory(BROUGHT, &power);
    shelf.assert_holds("power-cycle");
    assert_eq!(fs::read_to_string(shelf.root(DeviceId(1)).join("switched")).unwrap(), "off\non\n");

    shelf.write_inventory(BROUGHT, "power = \"false {action}\"");
    let error = format!("{:#}", shelf.case("power-cycle").unwrap_err());
    assert!(error.contains("device-001: `false off` has not switched it off"), "{error}");
    assert_eq!(shelf.running(), Vec::<String>::new());
}
