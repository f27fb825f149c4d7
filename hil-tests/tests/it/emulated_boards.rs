//! Emulated boards, which boot a real kernel, beside processes of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hil_tests::benches::emulated_board::{Kernel, folder, qemu};
use hil_tests::fleet::inventory::Inventory;
use link::skipped;
use rustix::process::Signal;
use wire::identity::DeviceId;

use crate::deploy::broker_configuration;
use crate::emulated::{AARCH64, PATIENT, client};
use crate::faults::{assert_held, case, run_case};
use crate::lab::{ATTACK, Lab, NATIVE, inventory, records};
use crate::mosquitto;
use crate::process::{Outcome, Process, processes, recorded_rounds, run, summary};

/// Boots take four seconds; on a machine that has much else to do, a multiple.
const PATIENCE: Duration = Duration::from_secs(600);

/// A fleet of four: `device-001` and `device-002` are emulated boards, the others processes of this machine.
struct Shelf {
    lab: Lab,
}

const EMULATED: [u32; 2] = [1, 2];

impl Shelf {
    /// `None`, having said so, where there is no emulator, kernel or client.
    fn new(settings: &[&str]) -> Option<Self> {
        client(AARCH64)?;
        if let Err(missing) = qemu().and_then(|_| Kernel::find(None)) {
            skipped("emulated-board", missing);
            return None;
        }
        let settings: Vec<&str> =
            ["fleet.devices=4", "fleet.compromised=1"].iter().chain(settings).copied().collect();
        let shelf = Shelf { lab: Lab::new(&settings) };
        fs::create_dir(shelf.scratch()).unwrap();
        shelf.write_inventory("url = \"mqtt://127.0.0.1\"\nlisten = \"127.0.0.1:0\"");
        Some(shelf)
    }

    /// Writes the inventory, with `broker` for the broker.
    fn write_inventory(&self, broker: &str) {
        let board = |name: &str| format!("kind = \"qemu-system\"\nboard = \"{name}\"");
        let devices = [NATIVE.to_owned(), board("pi-4b"), board("zero-2-w"), NATIVE.to_owned()];
        let text = inventory("shelf", broker, devices);
        fs::write(self.inventory(), text).unwrap();
    }

    /// Provisions the fleet, and gives the folder.
    fn provision(&self) -> PathBuf {
        let folder = self.lab.path("provisioned");
        run(self.lab.provision(&self.inventory(), &folder, &[])).succeeded();
        folder
    }

    fn inventory(&self) -> PathBuf {
        self.lab.path("shelf.toml")
    }

    fn scratch(&self) -> PathBuf {
        self.lab.path("scratch")
    }

    fn hil(&self, out: &str, more: &[&str]) -> Command {
        self.hil_with(&folder(None).unwrap(), out, more)
    }

    fn hil_with(&self, kernel: &Path, out: &str, more: &[&str]) -> Command {
        let mut command = self.lab.hil("boards", out, more);
        command.arg("--fleet").arg(self.inventory()).arg("--kernel").arg(kernel);
        command.env("TMPDIR", self.scratch());
        command
    }

    /// What the board of `device` has shown in the run `out`.
    fn console(&self, out: &str, device: u32) -> String {
        let log = self.lab.path(out).join(format!("logs/{}.log", DeviceId(device)));
        fs::read_to_string(log).unwrap()
    }

    /// Emulators of this fleet that are running now, by number.
    fn emulators(&self) -> Vec<String> {
        let scratch = self.scratch().display().to_string();
        let holds = |words: &[String], part: &str| words.iter().any(|word| word.contains(part));
        processes(|words| holds(words, "qemu-system-aarch64") && holds(words, &scratch))
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        for process in self.emulators() {
            let _ = Command::new("kill").arg(process).stderr(Stdio::null()).status();
        }
    }
}

fn run_slow(command: Command) -> Outcome {
    Process::start(command).outcome_within(PATIENCE)
}

#[test]
fn a_fleet_of_emulated_boards_and_processes_ends_in_the_model_of_software() {
    let Some(shelf) = Shelf::new(&[ATTACK[0], PATIENT[0], PATIENT[1], "rounds=8"]) else { return };
    let outcome = run_slow(shelf.hil("run", &[])).succeeded();
    outcome.says(&["device-001: booting pi-4b, 4 x cortex-a72"]);
    outcome.says(&["device-002: booting zero-2-w, 4 x cortex-a53"]);
    let here = summary(&shelf.lab.path("run"));
    assert_eq!((here.model_sha256, here.bench.as_str()), (shelf.lab.undisturbed(), "boards"));
    for record in records(&shelf.lab.path("run")) {
        assert_eq!((record.accepted, record.absent.len()), (4, 0), "round {}", record.round);
    }
    for device in EMULATED {
        let console = shelf.console("run", device);
        assert!(console.contains(&format!("{}: ", DeviceId(device))), "{console}");
        assert!(console.contains("connected to mqtt://10.0.2.2:"), "{console}");
    }
    assert_eq!(shelf.emulators(), Vec::<String>::new());
}

#[test]
fn an_interrupted_run_leaves_no_emulator_behind() {
    let Some(shelf) = Shelf::new(&[PATIENT[0], PATIENT[1], "rounds=2000"]) else { return };
    let hil = Process::start(shelf.hil("run", &[]));
    let deadline = Instant::now() + PATIENCE;
    while recorded_rounds(&shelf.lab.path("run")) < 2 {
        assert!(Instant::now() < deadline, "no round comes about");
        sleep(Duration::from_millis(20));
    }
    assert_eq!(shelf.emulators().len(), 2);
    hil.signal(Signal::INT);
    assert_eq!(hil.outcome_within(PATIENCE).code, Some(130));
    assert_eq!(shelf.emulators(), Vec::<String>::new());
}

#[test]
fn boards_check_the_certificate_of_a_broker_of_this_machine_and_show_their_own() {
    let Some(shelf) = Shelf::new(&[ATTACK[0], PATIENT[0], PATIENT[1], "rounds=4"]) else { return };
    let mosquitto = mosquitto::start_with(tempfile::tempdir().unwrap(), |port| {
        shelf.write_inventory(&format!("url = \"mqtts://127.0.0.1:{port}\""));
        broker_configuration(&shelf.provision())
    });
    let Some(_mosquitto) = mosquitto else { return };
    let provisioned = shelf.lab.path("provisioned");
    run_slow(shelf.hil("run", &["--provisioned", provisioned.to_str().unwrap()])).succeeded();
    assert_eq!(summary(&shelf.lab.path("run")).model_sha256, shelf.lab.undisturbed());
    for device in EMULATED {
        let console = shelf.console("run", device);
        assert!(console.contains("connected to mqtts://10.0.2.2:"), "{console}");
    }
}

/// A copy of the kernel's folder, with something else in place of busybox.
fn kernel_with(busybox: &str) -> tempfile::TempDir {
    let (from, to) = (folder(None).unwrap(), tempfile::tempdir().unwrap());
    fs::copy(from.join("vmlinuz"), to.path().join("vmlinuz")).unwrap();
    fs::create_dir(to.path().join("modules")).unwrap();
    for entry in fs::read_dir(from.join("modules")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.path().join("modules").join(entry.file_name())).unwrap();
    }
    fs::write(to.path().join("busybox"), busybox).unwrap();
    to
}

#[test]
fn a_board_that_does_not_come_up_is_named_with_its_kernels_last_words() {
    let Some(shelf) = Shelf::new(&[]) else { return };
    let kernel = kernel_with("no program");
    let parts = ["device-001 does not come up", "Kernel panic", "device-002 does not come up"];
    run_slow(shelf.hil_with(kernel.path(), "run", &[])).ended_with(1).ends_by_saying(&parts);
    assert_eq!(shelf.emulators(), Vec::<String>::new());
    assert!(!shelf.lab.path("run").exists());
}

#[test]
fn a_client_that_cannot_work_on_its_board_is_named_and_the_run_ends_without_it() {
    let Some(shelf) = Shelf::new(&["timing.gather-seconds=20", "timing.round-seconds=600", "rounds=2"])
    else {
        return;
    };
    let provisioned = shelf.provision();
    let config = provisioned.join("devices/device-001/client.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap() + "color = \"red\"\n").unwrap();
    let outcome = run_slow(shelf.hil("run", &["--provisioned", provisioned.to_str().unwrap()]));
    outcome.says(&["device-001", "color"]);
    assert_eq!(shelf.emulators(), Vec::<String>::new());
}

#[test]
fn a_missing_kernel_is_named_with_the_command_that_gets_it() {
    let Some(shelf) = Shelf::new(&[]) else { return };
    let nowhere = shelf.lab.path("nowhere");
    let parts = ["device-001", "nowhere: no kernel", "cargo hil board-kernel --out"];
    run(shelf.hil_with(&nowhere, "run", &[])).complains(1, &parts);
}

/// Runs a hardware case on the fleet of the example.
#[track_caller]
fn assert_holds(name: &str) {
    if Shelf::new(&[]).is_none() {
        return;
    }
    let fleet = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-configs/fleets/emulated-boards.toml");
    let out = tempfile::tempdir().unwrap();
    assert_held(name, run_case(&case(name), &Inventory::load(&fleet).unwrap(), Vec::new(), out.path()));
    let [undisturbed, disturbed] = ["undisturbed", "run"].map(|run| summary(&out.path().join(run)));
    assert_eq!(disturbed.model_sha256, undisturbed.model_sha256, "{name}");
}

#[test]
fn a_board_whose_power_is_taken_away_comes_back_and_delivers() {
    assert_holds("power-cycle-awaited");
}

#[test]
fn a_client_that_is_killed_on_its_board_is_started_there_again() {
    assert_holds("kill");
}
