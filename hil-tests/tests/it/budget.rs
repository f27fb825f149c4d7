//! What a client may take of a board: size of the program, and memory while it trains.
//!
//! The memory of an emulated client is what is resident in its own address space. QEMU is told to put that where it
//! keeps nothing else, so QEMU itself and the code that it translates do not count.
//!
//! A client of this machine is as `cargo test` builds it, and counts whole. It is given glibc's settings of the client's
//! unit, without which glibc keeps much of what a round has freed; the static client has another allocator.

use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::emulated::{AARCH64, ARMV7, PATIENT, client};
use crate::lab::Lab;
use crate::process::Process;

const MB: u64 = 1_000_000;
/// Of the stripped program.
const SIZE: u64 = 8_500_000;
/// Resident while it trains logistic regression, and the paper's convolutional network.
const LOGISTIC_REGRESSION: u64 = 16 * MB;
const DNN: u64 = 32 * MB;
/// What the program of this machine may take beyond that: it has a debug build's code, and reads Parquet and pictures, because
/// the workspace's other programs do.
const DEBUG_BUILD: u64 = 8 * MB;
/// What starts the client on a board.
const UNIT: &str = include_str!("../../../firmware-configs/systemd/outpost-edge-client.service");
/// Where QEMU is told to begin a client's address space, and where it ends at the latest.
const GUEST: Range<u64> = 0x1000_0000_0000..0x2000_0000_0000;

#[test]
fn the_client_for_boards_is_small() {
    for triple in [AARCH64, ARMV7] {
        let Some((path, _)) = client(triple) else { continue };
        let size = fs::metadata(&path).unwrap().len();
        eprintln!("{triple}: {:.2} MB", size as f64 / MB as f64);
        assert!(size <= SIZE, "{}: {size} bytes are more than {SIZE}", path.display());
    }
}

#[test]
fn the_client_for_boards_has_no_symbols_and_the_64_bit_one_needs_no_library() {
    for triple in [AARCH64, ARMV7] {
        let Some((path, _)) = client(triple) else { continue };
        let file = fs::read(path).unwrap();
        let holds = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
        assert!(!holds(b".symtab\0"), "{triple}: it has symbols");
        assert_eq!(holds(b"/lib/ld-"), triple == ARMV7, "{triple}: whether it wants a dynamic linker");
    }
}

#[test]
fn training_logistic_regression_takes_little_memory() {
    assert_memory("logistic-regression", 5, LOGISTIC_REGRESSION);
}

#[test]
fn training_the_convolutional_network_takes_little_memory() {
    assert_memory("dnn", 2, DNN);
}

/// One client of this machine and one of each target train on 600 digits each, as the paper's 100 devices do.
fn assert_memory(model: &str, rounds: u32, limit: u64) {
    let emulated: Vec<_> =
        [AARCH64, ARMV7].into_iter().filter_map(|triple| Some((triple, client(triple)?))).collect();
    let devices = 1 + emulated.len();
    let sizes = [
        format!("model={model}"),
        format!("rounds={rounds}"),
        format!("fleet.devices={devices}"),
        format!("data.train-examples={}", 600 * devices),
    ];
    let rest = ["dataset=mnist", "fleet.compromised=0", "aggregation.rule=mean", "evaluation.every=1000"];
    let settings: Vec<&str> = sizes.iter().map(String::as_str).chain(rest).chain(PATIENT).collect();
    let lab = Lab::new(&settings);
    let aggregator = Process::start(lab.aggregator("run"));
    let here = "this machine";
    let mut clients = vec![Client::start(here, lab.client(0), peak)];
    for (device, (triple, (path, emulator))) in (1..).zip(&emulated) {
        clients.push(Client::start(
            triple,
            with_emulator(emulator, path, &lab.client(device)),
            resident_in_guest,
        ));
    }
    while clients.iter_mut().any(Client::is_running) {
        clients.iter_mut().for_each(Client::look);
        sleep(Duration::from_millis(5));
    }
    for Client { name, process, peak, .. } in clients {
        eprintln!("{model}, {name}: {:.1} MB", peak as f64 / MB as f64);
        process.outcome().succeeded();
        assert!(peak > MB, "{name}: {peak} bytes cannot be all; nothing was measured");
        let limit = if name == here { limit + DEBUG_BUILD } else { limit };
        assert!(peak <= limit, "{name}: {peak} bytes are more than {limit}");
    }
    aggregator.outcome().succeeded();
}

/// A client whose memory is looked at.
struct Client {
    name: &'static str,
    process: Process,
    memory: fn(u32) -> Option<u64>,
    peak: u64,
}

impl Client {
    fn start(name: &'static str, mut command: Command, memory: fn(u32) -> Option<u64>) -> Self {
        command.envs(UNIT.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('=')));
        Client { name, process: Process::start(command), memory, peak: 0 }
    }

    fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    fn look(&mut self) {
        // Nothing once it has ended.
        let now = (self.memory)(self.process.id());
        self.peak = self.peak.max(now.unwrap_or_default());
    }
}

/// `native`, with the client `path` under `emulator` in place of this machine's.
fn with_emulator(emulator: &[OsString], path: &Path, native: &Command) -> Command {
    let mut command = Command::new(&emulator[0]);
    command.args(["-B", &format!("{:#x}", GUEST.start)]).args(&emulator[1..]).arg(path);
    command.args(native.get_args()).env("RAYON_NUM_THREADS", "1");
    command
}

/// The most that the process ever had resident, in bytes.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(file_of(process, "status")).ok()?;
    kibibytes(status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?)
}

/// What the process has resident now within [`GUEST`], in bytes.
fn resident_in_guest(process: u32) -> Option<u64> {
    let maps = fs::read_to_string(file_of(process, "smaps")).ok()?;
    let (mut within, mut sum) = (false, 0);
    for line in maps.lines() {
        if let Some(resident) = line.strip_prefix("Rss:") {
            sum += if within { kibibytes(resident)? } else { 0 };
        } else if let Some((start, _)) = line.split_once('-') {
            // The first line of a mapping; others have no such number.
            within = u64::from_str_radix(start, 16).map_or(within, |start| GUEST.contains(&start));
        }
    }
    Some(sum)
}

fn file_of(process: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/{name}"))
}

/// `  1234 kB` in bytes.
fn kibibytes(text: &str) -> Option<u64> {
    text.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|count| count * 1024)
}
