//! Provisioning and deployment, over a real sshd on the loopback that each test starts for itself.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hil_tests::faults::Mosquitto;
use link::TlsFiles;
use rustix::process::Signal;

use crate::lab::{ATTACK, Lab, inventory};
use crate::mosquitto;
use crate::process::{Outcome, Process, hil, program, run, summary, wait_until};
use crate::secured::equip;
use crate::sshd::Sshd;

/// A fleet of the lab's devices on that sshd.
struct Shelf {
    sshd: Sshd,
    lab: Lab,
    broker: String,
}

/// Of a pair that nobody has.
pub(crate) const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMKuT1sjTgACZjNRXBcLiokslez3dkYM+rIjViy1MY24 me\n";

/// Settings of a fleet of three, with time for its last device.
const THREE: [&str; 3] = ["fleet.devices=3", "fleet.compromised=1", "timing.gather-seconds=600"];

impl Shelf {
    fn new(settings: &[&str]) -> Option<Self> {
        Shelf::with_sshd(settings, "")
    }

    /// With `more` lines for the configuration of sshd.
    fn with_sshd(settings: &[&str], more: &str) -> Option<Self> {
        let sshd = Sshd::start_with(more)?;
        let lab = Lab::new(settings);
        let shelf = Shelf { sshd, broker: lab.broker(), lab };
        shelf.write_inventory("");
        Some(shelf)
    }

    /// Writes the inventory, with `more` keys for each device.
    fn write_inventory(&self, more: &str) {
        let device = |device: String| self.sshd.device(&self.root(&device)) + "\n" + more;
        let text = inventory("shelf", &format!("url = \"{}\"", self.broker), self.devices().map(device));
        fs::write(self.lab.path("shelf.toml"), text).unwrap();
    }

    fn devices(&self) -> impl Iterator<Item = String> + use<> {
        self.lab.scenario.devices().map(|device| device.to_string())
    }

    fn root(&self, device: &str) -> PathBuf {
        self.lab.path("boards").join(device)
    }

    fn hil(&self, words: &[&str]) -> Command {
        let mut command = program("hil");
        command.args(words).arg(self.lab.path("shelf.toml"));
        command
    }

    fn provision(&self) -> Outcome {
        run(self.lab.provision(&self.lab.path("shelf.toml"), &self.lab.path("fleet"), &[]))
    }

    fn deploy_as(&self, config: &str, more: &[&str]) -> Outcome {
        run(self.deployment(config, more))
    }

    fn deployment(&self, config: &str, more: &[&str]) -> Command {
        let mut command = self.hil(&["deploy"]);
        command.arg(self.lab.path("fleet")).args([
            "--ssh-option=-F",
            "--ssh-option",
            &self.sshd.config(config),
        ]);
        command.args(more);
        command
    }

    fn deploy(&self, more: &[&str]) -> Outcome {
        self.deploy_as("ssh_config", more)
    }

    /// An aggregator that brings the broker.
    fn aggregator(&self) -> Process {
        let process = Process::start(self.lab.aggregator("run"));
        wait_until("the broker answers", || {
            TcpStream::connect(self.broker.trim_start_matches("mqtt://")).is_ok()
        });
        process
    }

    /// What `hil fleet status` says of each device.
    fn presences(&self) -> Vec<String> {
        let mut command = self.hil(&["fleet", "status", "--format", "json", "--wait", "1"]);
        command.arg(self.lab.path("fleet"));
        let outcome = run(command).succeeded();
        let states: Vec<serde_json::Value> = serde_json::from_str(&outcome.stdout).unwrap();
        states.iter().map(|state| state["presence"].as_str().unwrap().to_owned()).collect()
    }

    /// The release in use.
    fn release(&self, device: &str) -> PathBuf {
        fs::canonicalize(self.root(device).join("current")).unwrap()
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        // Clients that a failed test leaves behind. They are not children of this process.
        for device in self.devices() {
            if let Ok(pid) = fs::read_to_string(self.root(&device).join("client.pid")) {
                let _ = Command::new("kill").arg(pid.trim()).stderr(Stdio::null()).status();
            }
        }
    }
}

#[test]
fn a_fleet_is_provisioned_and_deployed_falls_back_and_runs() {
    let Some(shelf) = Shelf::new(&THREE) else { return };
    shelf.provision().succeeded();
    let aggregator = shelf.aggregator();

    let first = shelf.deploy(&["--only", "device-000,device-001"]).succeeded();
    assert_eq!(first.stdout.matches(" online ").count(), 2, "{}", first.stdout);
    assert_eq!(shelf.presences(), ["online", "online", "never-seen"]);
    let release = shelf.release("device-000");
    assert!(release.join("shard.safetensors").is_file());

    // The same again: nothing to send, and a new process all the same.
    let again = shelf.deploy(&["--only", "device-000"]).succeeded();
    assert!(!again.stderr.contains("sending"), "{}", again.stderr);
    assert_eq!(shelf.release("device-000"), release);

    // A client that does not run: the earlier release is in use and online again, the other device is not touched.
    let broken = shelf.lab.path("broken");
    fs::write(&broken, "#!/bin/sh\necho no such luck >&2\nexit 1\n").unwrap();
    let other = shelf.release("device-001");
    let fallen = shelf.deploy(&["--only", "device-000", "--binary", broken.to_str().unwrap()]).ended_with(1);
    assert!(
        fallen.stderr.contains("sending edge-client") && !fallen.stderr.contains("sending shard"),
        "{}",
        fallen.stderr
    );
    fallen.says(&["no such luck"]);
    fallen.prints(&["rolled back "]);
    assert_eq!((shelf.release("device-000"), shelf.release("device-001")), (release.clone(), other));
    assert_eq!(fs::read_dir(release.parent().unwrap()).unwrap().count(), 1, "the broken release is gone");
    assert_eq!(shelf.presences(), ["online", "online", "never-seen"]);

    // The third makes the fleet complete, and the run goes as it does in software.
    shelf.deploy(&["--only", "device-002"]).succeeded();
    aggregator.outcome().succeeded();
    assert!(shelf.lab.path("run/report.html").is_file());
    assert_eq!(summary(&shelf.lab.path("run")).model_sha256, shelf.lab.undisturbed());
}

/// Provisions the fleet for a Mosquitto, and starts that with exactly what was provisioned for it.
fn secured(shelf: &mut Shelf) -> Option<Mosquitto> {
    mosquitto::start_with(tempfile::tempdir().unwrap(), |port| {
        shelf.broker = format!("mqtts://127.0.0.1:{port}");
        shelf.write_inventory("");
        shelf.provision().succeeded();
        broker_configuration(&shelf.lab.path("fleet"))
    })
}

/// What was provisioned for the broker into `fleet`, with its files where they lie.
pub(crate) fn broker_configuration(fleet: &Path) -> String {
    let folder = fleet.join("broker");
    let text = fs::read_to_string(folder.join("outpost.conf")).unwrap();
    let (here, there) = (folder.display().to_string(), "/etc/mosquitto/outpost/");
    assert_eq!(text.matches(&format!("file {there}")).count(), 4, "{text}");
    text.replace(&format!("file {there}"), &format!("file {here}/"))
}

#[test]
fn certificates_and_access_control_as_provisioned_let_a_fleet_run_and_its_attackers_collude() {
    let Some(mut shelf) = Shelf::new(&[ATTACK[0], "attack.knowledge=full"]) else { return };
    let Some(_mosquitto) = secured(&mut shelf) else { return };
    shelf.deploy(&[]).succeeded();
    assert_eq!(shelf.presences(), ["online"; 5]);
    let file = |name: &str| Some(shelf.lab.path("fleet/aggregator").join(name));
    let files = TlsFiles { ca: file("ca.pem"), cert: file("aggregator.pem"), key: file("aggregator.key") };
    let aggregator = equip(shelf.lab.aggregator_without_broker("run"), &shelf.broker, &files);
    run(aggregator).succeeded();
    // One grant too few, and the attackers would have behaved.
    assert_eq!(summary(&shelf.lab.path("run")).model_sha256, shelf.lab.undisturbed());
    wait_until("all have left", || shelf.presences() == ["offline"; 5]);
}

#[test]
fn a_client_that_never_comes_online_leaves_a_new_device_without_a_release() {
    let Some(shelf) = Shelf::new(&THREE) else { return };
    shelf.provision().succeeded();
    let _aggregator = shelf.aggregator();
    let idle = shelf.lab.path("idle");
    fs::write(&idle, "#!/bin/sh\nwhile :; do sleep 1; done\n").unwrap();
    let outcome = shelf
        .deploy(&["--only", "device-000", "--wait", "2", "--binary", idle.to_str().unwrap()])
        .ended_with(1);
    outcome.says(&["not online within 2 s"]);
    assert!(!shelf.root("device-000").join("current").exists());
    assert!(!shelf.root("device-000").join("client.pid").exists());
}

#[test]
fn what_a_login_shell_prints_is_not_taken_for_an_answer() {
    let chatter = "ForceCommand echo machine sparc; echo 1 failed no; printf 'Welcome> '; echo loud >&2; \
                   eval \"$SSH_ORIGINAL_COMMAND\"";
    let Some(shelf) = Shelf::with_sshd(&THREE, chatter) else { return };
    shelf.provision().succeeded();
    let _aggregator = shelf.aggregator();
    shelf.deploy(&["--only", "device-000"]).succeeded();
    assert_eq!(shelf.sshd.logins(), 1);
    let again = shelf.deploy(&["--only", "device-000"]).succeeded();
    assert!(!again.stderr.contains("sending"), "{}", again.stderr);
}

/// That three boards on which every login runs `command` are each given up by name.
#[track_caller]
fn assert_given_up(command: &str) {
    let Some(shelf) = Shelf::with_sshd(&THREE, &format!("ForceCommand {command}")) else { return };
    shelf.provision().succeeded();
    let _aggregator = shelf.aggregator();
    let outcome = shelf.deploy(&[]);
    assert_eq!(outcome.code, Some(1), "{command}: {}", outcome.stderr);
    assert_eq!(outcome.stderr.matches(": root@127.0.0.1 ").count(), 3, "{command}: {}", outcome.stderr);
}

#[test]
fn a_board_that_prints_without_end_or_runs_no_command_is_given_up() {
    for command in ["cat /dev/zero", "echo This account is not available; exit 1"] {
        assert_given_up(command);
    }
}

#[test]
#[ignore = "nightly: it waits for a minute"]
fn a_board_that_complains_without_end_is_given_up_in_time() {
    assert_given_up("cat /dev/zero >&2");
}

#[test]
fn a_deployment_to_boards_that_say_nothing_ends_when_it_is_interrupted() {
    let Some(shelf) = Shelf::with_sshd(&THREE, "ForceCommand sleep 1000") else { return };
    shelf.provision().succeeded();
    let _aggregator = shelf.aggregator();
    let deployment = Process::start(shelf.deployment("ssh_config", &[]));
    wait_until("all are logged in to", || shelf.sshd.logins() == 3);
    deployment.signal(Signal::INT);
    let outcome = deployment.outcome().ended_with(130);
    assert_eq!(outcome.stderr.matches("nothing came within").count(), 3, "{}", outcome.stderr);
}

#[test]
fn a_device_whose_host_key_is_unknown_is_left_alone() {
    let Some(shelf) = Shelf::new(&THREE) else { return };
    shelf.provision().succeeded();
    let _aggregator = shelf.aggregator();
    let outcome = shelf.deploy_as("stranger_config", &[]).ended_with(1);
    assert_eq!(outcome.stderr.matches("compare the fingerprint").count(), 3, "{}", outcome.stderr);
    assert!(!shelf.lab.path("boards").exists());
}

#[test]
fn a_device_of_another_architecture_than_its_board_is_left_alone() {
    let Some(shelf) = Shelf::new(&THREE) else { return };
    let foreign =
        if cfg!(target_arch = "x86_64") { "aarch64-unknown-linux-musl" } else { "x86_64-unknown-linux-gnu" };
    let board = shelf.lab.path("board.toml");
    fs::write(&board, format!("name = \"board\"\ntarget = \"{foreign}\"\nmemory-mib = 512\ncores = 1\n"))
        .unwrap();
    shelf.write_inventory(&format!("board = \"{}\"", board.display()));
    shelf.provision().succeeded();
    let _aggregator = shelf.aggregator();
    let client = program("edge-client").get_program().to_owned();
    let outcome = shelf.deploy(&["--only", "device-000", "--binary", client.to_str().unwrap()]).ended_with(1);
    outcome.says(&[std::env::consts::ARCH, foreign]);
    assert!(!shelf.root("device-000").join("current").exists());
}

/// Provisions a fleet with TLS into `out`.
fn provision_with_tls(lab: &Lab, more: &[&str]) -> Outcome {
    let device = "kind = \"ssh\"\naddress = \"device-000.local\"".to_owned();
    let text = inventory("shelf", "url = \"mqtts://192.168.1.10\"", [device]);
    fs::write(lab.path("tls.toml"), text).unwrap();
    fs::write(lab.path("me.pub"), PUBLIC_KEY).unwrap();
    let mut command = lab.provision(&lab.path("tls.toml"), &lab.path("fleet"), more);
    command.arg("--ssh-key").arg(lab.path("me.pub"));
    run(command)
}

#[test]
fn provisioning_again_keeps_the_keys_and_changes_what_has_changed() {
    let lab = Lab::new(&[]);
    let read = |name: &str| fs::read_to_string(lab.path("fleet").join(name)).unwrap();
    let keys =
        ["ca/ca.key", "broker/broker.key", "devices/device-000/device.key", "devices/device-000/device.pem"];
    provision_with_tls(&lab, &[]).succeeded();
    let before = keys.map(read);
    provision_with_tls(&lab, &[]).succeeded().prints(&[" 0 new or changed"]);
    let other = provision_with_tls(&lab, &["--set", "rounds=7"]).succeeded();
    // The scenario, for the device and for the aggregator, and where that is to record it.
    other.prints(&[" 3 new or changed"]);
    assert_eq!(keys.map(read), before);

    provision_with_tls(&lab, &["--rotate"]).succeeded();
    let rotated = keys.map(read);
    assert!(before.iter().zip(&rotated).all(|(old, new)| old != new));
    let retired = fs::read_dir(lab.path("fleet/retired")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read_to_string(retired.join(keys[0])).unwrap(), before[0]);
}

#[test]
fn what_is_secret_is_closed_to_others() {
    let lab = Lab::new(&[]);
    provision_with_tls(&lab, &[]).succeeded();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(lab.path("fleet")), 0o700);
    for key in
        ["ca/ca", "broker/broker", "operator/operator", "aggregator/aggregator", "devices/device-000/device"]
    {
        assert_eq!(mode(lab.path("fleet").join(format!("{key}.key"))), 0o600, "{key}");
    }
    let client = fs::read_to_string(lab.path("fleet/devices/device-000/client.toml")).unwrap();
    assert!(client.contains("key = \"/opt/outpost/current/device.key\""), "{client}");
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let lab = Lab::new(&[]);
    fs::create_dir(lab.path("fleet")).unwrap();
    fs::write(lab.path("fleet/thesis.tex"), "").unwrap();
    provision_with_tls(&lab, &[]).complains(1, &["fleet: holds something else", "--out"]);
    assert_eq!(fs::read_dir(lab.path("fleet")).unwrap().count(), 1);
}

#[test]
fn wrong_usage_of_a_fleet_is_named() {
    let lab = Lab::new(&[]);
    provision_with_tls(&lab, &["--set", "fleet.devices=0"]).complains(2, &["fleet.devices"]);
    provision_with_tls(&lab, &[]).succeeded();
    let (file, fleet) = (lab.path("tls.toml"), lab.path("fleet"));
    run(hil!["fleet", "status", &file]).complains(1, &["mqtts://192.168.1.10:8883", "hil provision"]);
    run(hil!["deploy", "--only", "device-007", &file, &fleet])
        .complains(2, &["--only device-007", "tls.toml"]);
    run(hil!["deploy", &file, lab.path("nowhere")])
        .complains(1, &["nowhere: not provisioned", "hil provision"]);
    let board = lab.path("mine.toml");
    let profile = "name = \"mine\"\ntarget = \"mips-unknown-linux-gnu\"\nmemory-mib = 64\ncores = 1\n";
    fs::write(&board, profile).unwrap();
    let inventory = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{inventory}board = \"{}\"\n", board.display())).unwrap();
    run(hil!["deploy", &file, &fleet])
        .complains(1, &["--binary FILE", "device-000", "cargo hil build --target mips-unknown-linux-gnu"]);
}
