//! Over Mosquitto, the broker of fleets in the field.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::lab::{ATTACK, Lab, all_succeed};
use crate::process::{Process, free_port, recorded_rounds, summary, wait_for_rounds, wait_until};

/// A Mosquitto of one's own on a free port.
pub(crate) struct Mosquitto {
    program: PathBuf,
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    process: Option<Process>,
}

impl Mosquitto {
    /// `None`, having said so, where it is not installed.
    fn start() -> Option<Self> {
        Self::start_with(tempfile::tempdir().unwrap(), |port| {
            format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        })
    }

    /// With the configuration that `config` writes for a port; `folder` holds what that names.
    pub(crate) fn start_with(folder: TempDir, config: impl FnOnce(u16) -> String) -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        // Debian keeps it where only root looks.
        let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        let Some(program) = folders.map(|folder| folder.join("mosquitto")).find(|path| path.is_file()) else {
            eprintln!("skipped: mosquitto is not installed");
            return None;
        };
        let port = free_port();
        fs::write(folder.path().join("mosquitto.conf"), config(port)).unwrap();
        let mut mosquitto = Mosquitto { program, folder, port, process: None };
        mosquitto.start_again();
        Some(mosquitto)
    }

    fn start_again(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.folder.path().join("mosquitto.conf"));
        let process = self.process.insert(Process::start(command));
        wait_until("mosquitto answers", || {
            assert!(process.is_running(), "mosquitto has ended: {}", process.stderr());
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    fn address(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

#[test]
fn a_run_over_mosquitto_agrees_with_software() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let lab = Lab::new(&ATTACK);
    let hil = lab.hil("processes", "run", &["--broker", &mosquitto.address()]);
    assert_eq!(lab.model_after(hil, "run"), lab.undisturbed());
}

#[test]
fn a_run_survives_that_its_broker_is_killed_and_forgets_everything() {
    let Some(mut mosquitto) = Mosquitto::start() else { return };
    let lab = Lab::new(&["rounds=60", ATTACK[0]]);
    let out = lab.path("run");
    let hil = Process::start(lab.hil("processes", "run", &["--broker", &mosquitto.address()]));
    for round in [10, 30] {
        wait_for_rounds(&out, round);
        mosquitto.kill();
        assert!(recorded_rounds(&out) < 60, "killed too late to prove anything");
        mosquitto.start_again();
    }
    hil.outcome().succeeded();
    assert_eq!(summary(&out).model_sha256, lab.undisturbed());
}

#[test]
fn an_aggregator_that_is_killed_under_a_broker_that_stays_goes_on() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let lab = Lab::new(&["rounds=40"]);
    let (out, broker) = (lab.path("run"), mosquitto.address());
    let start = |mut command: Command| {
        command.args(["--broker", &broker]);
        Process::start(command)
    };
    let first = start(lab.aggregator_without_broker("run"));
    let clients: Vec<_> = (0..5).map(|device| start(lab.client_without_broker(device))).collect();
    wait_for_rounds(&out, 10);
    first.kill();
    assert!(recorded_rounds(&out) < 40, "killed too late to prove anything");
    start(lab.aggregator_without_broker("run")).outcome().succeeded();
    all_succeed(clients);
    assert_eq!(summary(&out).model_sha256, lab.undisturbed());
}
