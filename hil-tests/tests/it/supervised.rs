//! What systemd hears from the programs.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::lab::{Lab, all_succeed};
use crate::process::{Process, no_broker, wait_until};

/// In the place of systemd: a socket, and what came in on it.
struct Supervisor {
    socket: UnixDatagram,
    path: PathBuf,
    heard: Vec<String>,
    _folder: TempDir,
}

impl Supervisor {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Supervisor { socket, path, heard: Vec::new(), _folder: folder }
    }

    /// `command`, which is to report, and to beat ten times a second or so.
    fn supervise(&self, mut command: Command) -> Command {
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", "300000").env_remove("WATCHDOG_PID");
        command
    }

    fn heard(&mut self) -> &[String] {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.heard.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
        }
        &self.heard
    }

    fn count(&mut self, word: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(word)).count()
    }
}

#[test]
fn a_run_is_reported_from_ready_to_stopping() {
    let lab = Lab::new(&["rounds=60"]);
    let (mut of_aggregator, mut of_client) = (Supervisor::new(), Supervisor::new());
    let mut aggregator = Process::start(of_aggregator.supervise(lab.aggregator("run")));
    aggregator.wait_for_words("connected to");
    let mut supervised = Process::start(of_client.supervise(lab.client(0)));
    let clients = lab.clients(1..5);
    // So that the socket, which holds some ten words, never fills up.
    wait_until("the run is over", || {
        of_client.heard();
        of_aggregator.heard();
        !aggregator.is_running() && !supervised.is_running()
    });
    aggregator.outcome().succeeded();
    all_succeed(clients.into_iter().chain([supervised]));
    for supervisor in [&mut of_aggregator, &mut of_client] {
        for word in ["READY=1", "STOPPING=1"] {
            assert_eq!(supervisor.count(word), 1, "{word} of {:?}", supervisor.heard);
        }
        for word in ["WATCHDOG=1", "STATUS=round 59"] {
            assert!(supervisor.count(word) >= 1, "no {word} in {:?}", supervisor.heard);
        }
        assert_eq!(supervisor.heard.last().unwrap(), "STOPPING=1");
    }
}

#[test]
fn the_watchdog_hears_a_loop_that_lives_and_none_that_is_frozen() {
    let mut supervisor = Supervisor::new();
    let lab = Lab::new(&[]);
    let mut aggregator = Process::start(supervisor.supervise(lab.aggregator("run")));
    wait_until("the watchdog hears it thrice", || supervisor.count("WATCHDOG=1") >= 3);
    aggregator.signal(Signal::STOP);
    // What had been sent before is heard now.
    std::thread::sleep(Duration::from_millis(500));
    let heard = supervisor.count("WATCHDOG=1");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(supervisor.count("WATCHDOG=1"), heard);
    aggregator.signal(Signal::CONT);
    wait_until("it is heard again", || supervisor.count("WATCHDOG=1") > heard);
    aggregator.signal(Signal::TERM);
    wait_until("it stops", || {
        supervisor.heard();
        !aggregator.is_running()
    });
    assert_eq!(aggregator.outcome().code, Some(130));
    assert_eq!(supervisor.count("STOPPING=1"), 1);
}

#[test]
fn a_client_without_a_broker_is_alive_but_not_ready() {
    let (mut supervisor, lab) = (Supervisor::new(), Lab::new(&[]));
    let (_port, broker) = no_broker();
    let mut client = supervisor.supervise(lab.client_without_broker(0));
    client.args(["--broker", &broker, "--patience", "1"]);
    let mut client = Process::start(client);
    // As above: who speaks to a full one waits.
    wait_until("it gives up", || {
        supervisor.heard();
        !client.is_running()
    });
    assert_eq!(client.outcome().code, Some(1));
    assert!(supervisor.count("WATCHDOG=1") >= 1, "{:?}", supervisor.heard);
    assert_eq!(supervisor.count("READY=1"), 0);
}
