//! The boards bench: processes of this machine beside clients that are reached over a real sshd on the loopback.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hil_tests::fleet::inventory::{Inventory, Kind};
use hil_tests::system::held_port::HeldPort;
use rustix::process::Signal;
use wire::identity::DeviceId;

use crate::deploy::broker_configuration;
use crate::faults::{self, assert_held, run_case};
use crate::lab::{ATTACK, Lab, NATIVE, assert_undisturbed_so_far, inventory, records};
use crate::mosquitto;
use crate::process::{
    Process, datasets, hil, no_broker, processes, run, summary, wait_for_rounds, write_program,
};
use crate::programs;
use crate::sshd::Sshd;

/// A fleet of five: `device-001` and `device-003` sit behind ssh, the others are processes of this machine.
struct Shelf {
    sshd: Sshd,
    lab: Lab,
}

const REMOTE: [u32; 2] = [1, 3];
/// The bench brings the broker, on a free port.
const BROUGHT: &str = "url = \"mqtt://127.0.0.1\"\nlisten = \"127.0.0.1:0\"";

impl Shelf {
    fn new(settings: &[&str]) -> Option<Self> {
        let shelf = Shelf { sshd: Sshd::start()?, lab: Lab::new(settings) };
        shelf.write_inventory(BROUGHT, "");
        Some(shelf)
    }

    /// Writes the inventory, with `broker` for the broker and `more` for each device behind ssh.
    fn write_inventory(&self, broker: &str, more: &str) {
        fs::write(self.inventory(), self.inventory_text(broker, more)).unwrap();
    }

    fn inventory_text(&self, broker: &str, more: &str) -> String {
        let device = |device: u32| {
            let root = self.root(DeviceId(device));
            let more = more.replace("ROOT", &root.display().to_string());
            if REMOTE.contains(&device) { self.sshd.device(&root) + "\n" + &more } else { NATIVE.to_owned() }
        };
        inventory("shelf", broker, (0..5).map(device))
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
        let client = |device| self.root(DeviceId(device)).join("current/edge-client").display().to_string();
        let clients = REMOTE.map(client);
        processes(|words| clients.contains(&words[0]))
    }

    /// Runs a hardware case on the fleet, about a device behind ssh.
    fn case(&self, name: &str) -> anyhow::Result<String> {
        let mut case = faults::case(name);
        case.needs.kinds = vec![Kind::Ssh];
        for step in &mut case.steps {
            step.device = step.device.map(|device| DeviceId(REMOTE[device.0 as usize]));
        }
        let ssh_options = ["-F".to_owned(), self.sshd.config("ssh_config")].map(Into::into).to_vec();
        let fleet = Inventory::load(&self.inventory()).unwrap();
        run_case(&case, &fleet, ssh_options, tempfile::tempdir().unwrap().path())
    }

    #[track_caller]
    fn assert_holds(&self, name: &str) {
        assert_held(name, self.case(name));
        assert_eq!(self.running(), Vec::<String>::new(), "after {name}");
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        // Clients that a failed test leaves behind. They are not children of this process.
        for process in self.running() {
            let _ = Command::new("kill").arg(process).stderr(Stdio::null()).status();
        }
    }
}

#[test]
fn a_fleet_of_boards_and_processes_ends_in_the_model_of_software() {
    let Some(shelf) = Shelf::new(&ATTACK) else { return };
    run(shelf.hil("run", &[])).succeeded().says(&["device-001: sending edge-client"]);
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
fn boards_run_the_program_of_an_attack_that_the_inventory_allows() {
    let program = programs::script(programs::COPY);
    let attack = ["attack.kind=program", &programs::command("attack", &program), "attack.given=models"];
    let Some(shelf) = Shelf::new(&attack) else { return };
    let allowed = toml::Value::from(vec![serde_json::to_string(&program).unwrap()]);
    let text = shelf.inventory_text(BROUGHT, "");
    let text = text.replace("[[device]]", &format!("[[device]]\nallow-program = {allowed}"));
    fs::write(shelf.inventory(), text).unwrap();
    assert_eq!(shelf.lab.model_after(shelf.hil("run", &[]), "run"), shelf.lab.undisturbed());
    let attack = summary(&shelf.lab.path("run")).attack.unwrap();
    assert_eq!((attack.as_meant, attack.rounds), (20, 20));
}

#[test]
fn a_run_logs_in_to_each_board_once_and_a_finished_one_not_at_all() {
    let Some(shelf) = Shelf::new(&[]) else { return };
    run(shelf.hil("run", &[])).succeeded();
    assert_eq!(shelf.sshd.logins(), REMOTE.len());
    run(shelf.hil("run", &[])).succeeded().says(&["already finished"]);
    assert_eq!(shelf.sshd.logins(), REMOTE.len(), "nothing is to be done there");
    // Nothing is sent, and still one login is enough.
    run(shelf.hil("another", &["--jobs", "1"])).succeeded();
    assert_eq!(shelf.sshd.logins(), 2 * REMOTE.len());
}

#[test]
fn a_second_run_on_the_same_boards_is_refused_and_the_first_goes_on() {
    let Some(shelf) = Shelf::new(&["rounds=100000"]) else { return };
    let first = Process::start(shelf.hil("run", &[]));
    let out = shelf.lab.path("run");
    wait_for_rounds(&out, 5);
    let (clients, logins) = (shelf.running(), shelf.sshd.logins());
    let parts = ["device-001: in use by ", "device-003: in use by ", "/run since ", "--take-over"];
    run(shelf.hil("another", &[])).complains(1, &parts);
    assert_eq!(shelf.running(), clients);
    assert!(!shelf.lab.path("another").exists());
    let logins_of_another = shelf.sshd.logins() - logins;
    run(shelf.hil("run", &[])).complains(1, &["run is being written by another process"]);
    assert_eq!(shelf.sshd.logins() - logins, logins_of_another, "the directory is looked at first");
    assert_undisturbed_so_far(first, &out);
}

#[test]
fn boards_that_are_taken_over_leave_the_earlier_run_and_its_clients_end() {
    let Some(shelf) = Shelf::new(&["rounds=2000", "timing.round-seconds=3"]) else { return };
    let first = Process::start(shelf.hil("run", &[]));
    wait_for_rounds(&shelf.lab.path("run"), 5);
    run(shelf.hil("another", &["--take-over", "--set", "rounds=20"])).succeeded();
    assert_eq!(summary(&shelf.lab.path("another")).rounds, 20);
    first.signal(Signal::INT);
    first.outcome().says(&["device-001"]);
    assert_eq!(shelf.running(), Vec::<String>::new());
}

/// Fewer attackers, so that a fleet of five can do without one; a run that waited for it would take too long.
const SPARE: [&str; 2] = ["fleet.compromised=1", "timing.gather-seconds=600"];

#[test]
fn one_board_out_of_reach_is_named_and_the_run_goes_without_it() {
    let Some(shelf) = Shelf::new(&SPARE) else { return };
    let nobody = HeldPort::local().unwrap();
    let text = shelf.inventory_text(BROUGHT, "");
    let dead = text.replacen(
        &format!("port = {}", shelf.sshd.port),
        &format!("port = {}", nobody.address().port()),
        1,
    );
    fs::write(shelf.inventory(), dead).unwrap();
    let outcome = run(shelf.hil("run", &[])).succeeded();
    outcome.says(&["device-001: ", "cannot be reached", "the run goes on without it"]);
    for record in records(&shelf.lab.path("run")) {
        assert_eq!((record.accepted, record.absent.len()), (4, 0), "round {}", record.round);
    }
    let devices = fs::read(shelf.lab.path("run/devices.json")).unwrap();
    let devices: serde_json::Value = serde_json::from_slice(&devices).unwrap();
    assert_eq!(devices["device-001"], serde_json::json!({ "left_out": true }));
    let release = devices["device-003"]["told"][0]["release"].as_str().unwrap();
    let current = fs::read_link(shelf.root(DeviceId(3)).join("current")).unwrap();
    assert!(current.ends_with(release), "{release} is not {}", current.display());
    let report = fs::read_to_string(shelf.lab.path("run/report.html")).unwrap();
    assert!(report.contains("Left out: device-001."));
}

#[test]
fn a_board_that_fails_when_it_is_looked_at_is_named_and_the_run_goes_without_it() {
    // The root is the last word of the command that looks, and of no other.
    let force = "ForceCommand case \"$SSH_ORIGINAL_COMMAND\" in *device-001|*device-001\\') exit 3 ;; \
                 *) eval \"$SSH_ORIGINAL_COMMAND\" ;; esac";
    let Some(sshd) = Sshd::start_with(force) else { return };
    let shelf = Shelf { sshd, lab: Lab::new(&SPARE) };
    shelf.write_inventory(BROUGHT, "");
    let outcome = run(shelf.hil("run", &[])).succeeded();
    outcome.says(&["device-001: ", "does not answer to look", "the run goes on without it"]);
    assert_eq!(records(&shelf.lab.path("run"))[0].accepted, 4);
}

#[test]
fn a_board_whose_release_was_lost_gets_it_again() {
    let Some(shelf) = Shelf::new(&[]) else { return };
    run(shelf.hil("first", &[])).succeeded();
    for release in fs::read_dir(shelf.root(DeviceId(1)).join("releases")).unwrap() {
        fs::remove_dir_all(release.unwrap().path()).unwrap();
    }
    run(shelf.hil("second", &[])).succeeded();
    assert_eq!(records(&shelf.lab.path("second"))[0].accepted, 5);
}

#[test]
fn boards_are_left_out_by_id_name_or_tag_and_gaps_are_named_with_the_remedy() {
    let Some(shelf) = Shelf::new(&SPARE) else { return };
    let text = shelf.inventory_text(BROUGHT, "tags = [\"attic\"]");
    let named = text.replace("id = \"device-004\"", "id = \"device-004\"\nname = \"pi-kitchen\"");
    fs::write(shelf.inventory(), &named).unwrap();
    run(shelf.hil("kitchen", &["--without", "pi-kitchen"])).succeeded();
    assert_eq!(records(&shelf.lab.path("kitchen"))[0].accepted, 4);
    assert_eq!(shelf.sshd.logins(), 2);
    run(shelf.hil("attic", &["--without", "attic", "--set", "fleet.compromised=0"])).succeeded();
    assert_eq!((records(&shelf.lab.path("attic"))[0].accepted, shelf.sshd.logins()), (3, 2));
    let few =
        shelf.hil("few", &["--without", "attic", "--without", "pi-kitchen", "--set", "aggregation.trim=1"]);
    run(few).complains(1, &["--without: ", "trimmed-mean"]);
    run(shelf.hil("cellar", &["--without", "cellar"])).complains(1, &["--without", "cellar: not in"]);

    let device = named.find("[[device]]\nid = \"device-001\"").unwrap();
    let next = named.find("[[device]]\nid = \"device-002\"").unwrap();
    fs::write(shelf.inventory(), format!("{}{}", &named[..device], &named[next..])).unwrap();
    run(shelf.hil("gap", &[])).complains(1, &["there is no device-001", "--without device-001"]);
    let remedy = ["ids up to device-004", "--set fleet.devices=5 --without device-001"];
    let fewer = ["--set", "fleet.devices=4", "--set", "fleet.selected=4"];
    run(shelf.hil("gap", &fewer)).complains(1, &remedy);
    run(shelf.hil("gap", &["--without", "device-001"])).succeeded();
    assert_eq!(records(&shelf.lab.path("gap"))[0].accepted, 4);
}

#[track_caller]
fn assert_no_client_is_left_behind_after(stop: impl Fn(&Process)) {
    let Some(shelf) = Shelf::new(&["rounds=300"]) else { return };
    let first = Process::start_in_terminal(shelf.hil("run", &[]));
    wait_for_rounds(&shelf.lab.path("run"), 5);
    assert_eq!(shelf.running().len(), 2);
    stop(&first);
    first.outcome().ended_with(130).says(&["the same command goes on"]);
    assert_eq!(shelf.running(), Vec::<String>::new());
    let again = run(shelf.hil("run", &[])).succeeded();
    assert!(!again.stderr.contains("sending shard"), "{}", again.stderr);
    assert_eq!(summary(&shelf.lab.path("run")).model_sha256, shelf.lab.undisturbed());
}

#[test]
fn an_interrupted_run_leaves_no_client_behind_and_goes_on() {
    assert_no_client_is_left_behind_after(|hil| hil.signal(Signal::INT));
}

#[test]
fn a_run_with_all_its_processes_interrupted_leaves_no_client_behind_and_goes_on() {
    assert_no_client_is_left_behind_after(Process::interrupt_all);
}

#[test]
fn every_device_that_cannot_be_reached_is_named_and_nothing_is_begun() {
    let Some(mut shelf) = Shelf::new(&[]) else { return };
    let nobody = HeldPort::local().unwrap();
    shelf.sshd.port = nobody.address().port();
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
    let (_port, nobody) = no_broker();
    shelf.write_inventory(&format!("url = \"{nobody}\""), "");
    run_with(&[]).complains(1, &[&nobody, "does not answer", "broker.listen"]);
}

#[test]
fn a_fleet_with_certificates_runs_as_it_is_provisioned() {
    let Some(shelf) = Shelf::new(&[ATTACK[0], "attack.knowledge=full"]) else { return };
    let folder = shelf.lab.path("fleet");
    let provision = |more: &[&str]| {
        run(shelf.lab.provision(&shelf.inventory(), &folder, more)).succeeded();
    };
    let mosquitto = mosquitto::start_with(tempfile::tempdir().unwrap(), |port| {
        shelf.write_inventory(&format!("url = \"mqtts://127.0.0.1:{port}\""), "");
        provision(&[]);
        broker_configuration(&folder)
    });
    let Some(_mosquitto) = mosquitto else { return };
    run(shelf.hil("run", &[])).complains(1, &["mqtts://", "hil provision", "--provisioned"]);
    let provisioned = ["--provisioned", folder.to_str().unwrap()];
    run(shelf.hil("run", &provisioned)).succeeded();
    // One grant too few, or topics that the grants do not name, and the attackers would have behaved.
    assert_eq!(summary(&shelf.lab.path("run")).model_sha256, shelf.lab.undisturbed());
    provision(&["--set", "rounds=7"]);
    run(shelf.hil("another", &provisioned)).complains(1, &["fleet: provisioned for another scenario"]);
}

#[test]
fn a_line_that_is_lost_is_made_again_and_the_run_goes_on() {
    let Some(shelf) = Shelf::new(&["rounds=100000"]) else { return };
    let mut hil = Process::start(shelf.hil("run", &[]));
    wait_for_rounds(&shelf.lab.path("run"), 5);
    let line = format!("'line' '{}'", shelf.root(DeviceId(1)).display());
    let lines = processes(|words| words[0] == "ssh" && words.iter().any(|word| word.contains(&line)));
    assert_eq!(lines.len(), 1, "one login for all");
    assert!(Command::new("kill").args(["-9", &lines[0]]).status().unwrap().success());
    hil.wait_for_words("device-001 is out of reach");
    hil.wait_for_words("device-001 is back after ");
    assert_undisturbed_so_far(hil, &shelf.lab.path("run"));
    assert_eq!(shelf.running(), Vec::<String>::new());
}

#[test]
fn boards_agree_with_software() {
    let Some(shelf) = Shelf::new(&[]) else { return };
    let mut command = hil!["agree", shelf.lab.scenario_path(), "--on", "software,boards", "--ssh-option=-F"];
    command.arg(format!("--ssh-option={}", shelf.sshd.config("ssh_config"))).arg("--fleet");
    command.arg(shelf.inventory()).arg("--datasets").arg(datasets());
    command.arg("--out").arg(shelf.lab.path("agreement"));
    let outcome = run(command).succeeded();
    let boards = outcome.stdout.lines().find(|line| line.starts_with("boards")).unwrap();
    assert!(boards.contains(" all "), "{}", outcome.stdout);
}

/// One test for each case; each strikes a client behind ssh.
macro_rules! cases {
    ($($test:ident: $case:literal,)*) => {
        $(#[test]
        #[ignore = "nightly: one of the fault matrix"]
        fn $test() {
            if let Some(shelf) = Shelf::new(&[]) {
                shelf.assert_holds($case);
            }
        })*
    };
}

cases! {
    a_client_behind_ssh_is_killed_and_started_again: "kill",
    a_client_behind_ssh_stands_still: "freeze",
    the_connection_of_a_client_behind_ssh_is_cut: "cut",
    a_client_behind_ssh_has_a_full_disk: "full-disk",
    a_device_behind_ssh_has_two_clients: "twin",
    the_broker_of_boards_is_killed: "broker-killed",
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

/// As much of systemd as a deployment sees of it, for one unit: programs that stand in for its own, in a folder that
/// also holds the unit's state. What is killed is started again, as the unit has it.
const SYSTEMD: [(&str, &str); 4] = [
    ("sudo", "program=$2; shift 2; exec \"$here/${program##*/}\" \"$@\""),
    ("install", ":"),
    ("journalctl", "cat \"$here/journal\""),
    (
        "systemctl",
        r#"
        echo "$*" >>"$here/asked"
        state=$(cat "$here/state" 2>/dev/null || echo inactive)
        pid=$(cat "$here/pid" 2>/dev/null)
        case $1 in
        show) case $3 in
            MainPID) if [ "$state" = active ]; then echo "$pid"; else echo 0; fi ;;
            ActiveState) echo "$state" ;;
            esac ;;
        is-failed) [ "$state" = failed ] ;;
        stop)
            echo stopping >"$here/state"
            kill "$pid" 2>/dev/null
            while [ "$(cat "$here/state")" = stopping ] && [ "$state" = active ]; do sleep 0.05; done
            echo inactive >"$here/state" ;;
        restart)
            echo active >"$here/state"
            setsid sh -c '
                while :; do
                    ROOT/current/edge-client --config ROOT/current/client.toml >>"$0/journal" 2>&1 &
                    echo $! >"$0/pid"
                    wait $! && code=0 || code=$?
                    if [ "$code" = 0 ] || [ "$(cat "$0/state")" = stopping ]; then echo inactive >"$0/state"; exit; fi
                    sleep 0.2
                    if [ "$(cat "$0/state")" != active ]; then echo inactive >"$0/state"; exit; fi
                done' "$here" </dev/null >/dev/null 2>&1 &
            while [ ! -f "$here/pid" ]; do sleep 0.02; done ;;
        esac"#,
    ),
];

#[test]
fn a_client_that_systemd_runs_is_started_killed_and_stopped() {
    let lab = Lab::new(&[]);
    let folder = lab.path("systemd");
    fs::create_dir(&folder).unwrap();
    let root = lab.path("boards/device-001").display().to_string();
    for (name, text) in SYSTEMD {
        let path = folder.join(name);
        let text = format!("#!/bin/sh\nhere={}\n{}\n", folder.display(), text.replace("ROOT", &root));
        write_program(&path, &text);
    }
    let path = format!("SetEnv PATH={}:/usr/local/bin:/usr/bin:/bin", folder.display());
    let Some(sshd) = Sshd::start_with(&path) else { return };
    let shelf = Shelf { sshd, lab };
    shelf.write_inventory(BROUGHT, "");
    let text = fs::read_to_string(shelf.inventory()).unwrap();
    fs::write(shelf.inventory(), text.replacen("\"process\"", "\"systemd\"", 1)).unwrap();
    shelf.assert_holds("kill");
    let asked = fs::read_to_string(folder.join("asked")).unwrap();
    let count = |verb: &str| asked.lines().filter(|line| line.starts_with(verb)).count();
    // Once at first, and once after each of the two kills, each of which is followed by a stop.
    assert_eq!((count("restart"), count("stop")), (3, 2), "{asked}");
    assert!(fs::read_to_string(folder.join("journal")).unwrap().contains(" examples, "));
}
