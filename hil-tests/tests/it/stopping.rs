//! Output that cannot be written, signals in every phase, and what is left of a bench that was killed.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::lab::{Lab, NATIVE, inventory};
use crate::process::{
    Process, hil, processes, run, summary, undisturbed, wait_for_rounds, wait_until, write_program,
};

/// Longer than any test waits.
const ENDLESS: &str = "rounds=1000000";

/// `command` behind a line of a shell, in which it is `"$@"`.
fn within(line: &str, command: &Command) -> Command {
    let mut shell = undisturbed("bash");
    shell.args(["-c", line, "bash"]).arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// Processes that have `path` among their words.
fn processes_of(path: &Path) -> Vec<String> {
    let path = path.display().to_string();
    processes(|words| words.iter().any(|word| word.contains(&path)))
}

#[test]
fn a_reader_that_goes_away_ends_the_printing_and_is_no_error() {
    let outcome = run(within(r#"set -o pipefail; "$@" | true"#, &hil!["paper", "list"]));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_result_for_which_there_is_no_room_is_an_error_that_says_so() {
    run(within(r#""$@" >/dev/full"#, &hil!["paper", "list"]))
        .complains(1, &["hil: cannot print the result", "check that the disk has room"]);
}

#[test]
fn a_run_whose_words_meet_a_full_disk_goes_on_and_still_hears_signals() {
    let lab = Lab::new(&[]);
    run(within(r#"exec "$@" 2>/dev/full"#, &lab.hil("processes", "run", &[]))).succeeded();
    assert_eq!(summary(&lab.path("run")).model_sha256, lab.undisturbed());
    let lab = Lab::new(&[ENDLESS]);
    for (signal, out) in [(Signal::TERM, "terminated"), (Signal::INT, "interrupted")] {
        let hil = Process::start(within(r#"exec "$@" 2>/dev/full"#, &lab.hil("software", out, &[])));
        wait_for_rounds(&lab.path(out), 1);
        hil.signal(signal);
        assert_eq!(hil.outcome().code, Some(130), "{signal:?}");
    }
}

/// Signals that ask a program to stop. Where these tests run under `nohup`, SIGHUP does not: what they start ignores it.
fn signals() -> Vec<Signal> {
    let hangup = (!link::is_ignored(Signal::HUP)).then_some(Signal::HUP);
    [Signal::INT, Signal::TERM].into_iter().chain(hangup).collect()
}

#[test]
fn every_signal_that_asks_a_program_to_stop_ends_it_with_130() {
    let lab = Lab::new(&[ENDLESS]);
    for (at, signal) in signals().into_iter().enumerate() {
        for bench in ["software", "processes"] {
            let out = format!("{bench}-{at}");
            let hil = Process::start(lab.hil(bench, &out, &[]));
            wait_for_rounds(&lab.path(&out), 1);
            hil.signal(signal);
            assert_eq!(hil.outcome().code, Some(130), "hil, {bench}, {signal:?}");
        }
        let out = format!("by-hand-{at}");
        let aggregator = Process::start(lab.aggregator(&out));
        let clients = lab.clients(0..5);
        wait_for_rounds(&lab.path(&out), 1);
        for program in clients.into_iter().chain([aggregator]) {
            program.signal(signal);
            assert_eq!(program.outcome().code, Some(130), "{signal:?}");
        }
    }
}

#[test]
fn a_program_under_nohup_outlives_its_terminal() {
    let lab = Lab::new(&[ENDLESS]);
    let mut hil = Process::start(within(r#"trap '' HUP; exec "$@""#, &lab.hil("software", "run", &[])));
    wait_for_rounds(&lab.path("run"), 1);
    hil.signal(Signal::HUP);
    wait_for_rounds(&lab.path("run"), crate::process::recorded_rounds(&lab.path("run")) + 50);
    assert!(hil.is_running());
    hil.signal(Signal::TERM);
    assert_eq!(hil.outcome().code, Some(130));
}

/// A folder with a program `name` that begins a file `begun` in it, and never ends.
fn endless_program(lab: &Lab, name: &str) -> std::path::PathBuf {
    let folder = lab.path(&format!("programs-{name}"));
    fs::create_dir(&folder).unwrap();
    let path = folder.join(name);
    write_program(&path, "#!/bin/sh\n: >\"${0%/*}/begun\"\nwhile sleep 1; do :; done\n");
    path
}

#[test]
fn a_signal_ends_hil_while_something_is_built_downloaded_or_waited_for() {
    if !link::has("curl") {
        return;
    }
    let lab = Lab::new(&[]);
    let cargo = endless_program(&lab, "cargo");
    let begun = |program: &Path| program.with_file_name("begun").exists();
    // Nobody answers there.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let address = silent.local_addr().unwrap();
    let is_called = || match silent.accept() {
        Ok((connection, _)) => {
            // It is held open.
            std::mem::forget(connection);
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    };
    let shelf = lab.path("shelf.toml");
    let text = inventory("shelf", &format!("url = \"mqtt://{address}\""), [NATIVE.to_owned()]);
    fs::write(&shelf, text).unwrap();

    let mut build = lab.hil("processes", "built", &[]);
    build.env("CARGO", &cargo);
    let (url, data) = (format!("http://{address}"), lab.path("data"));
    let fetch = hil!["data", "fetch", "fashion-mnist", "--url", url, "--datasets", data];
    let waiting: [(&str, Command, &dyn Fn() -> bool); 3] = [
        ("a build", build, &|| begun(&cargo)),
        ("a download", fetch, &is_called),
        ("a status", hil!["fleet", "status", "--watch", &shelf], &is_called),
    ];
    for (what, command, has_begun) in waiting {
        let hil = Process::start(command);
        wait_until(what, has_begun);
        hil.signal(Signal::TERM);
        let outcome = hil.outcome();
        assert_eq!(outcome.code, Some(130), "{what}: {}", outcome.stderr);
    }
    wait_until("the build has ended, too", || processes_of(&cargo).is_empty());
}

#[test]
fn nothing_that_a_bench_has_started_outlives_it_however_it_ends() {
    let lab = Lab::new(&[ENDLESS]);
    // Killed; and asked to stop twice.
    for (out, twice) in [("killed", false), ("twice", true)] {
        let hil = Process::start(lab.hil("processes", out, &[]));
        wait_for_rounds(&lab.path(out), 1);
        // The aggregator; clients have their own folder in their words.
        assert!(processes_of(&lab.path(out)).len() >= 2, "hil and its aggregator");
        if twice {
            hil.signal(Signal::TERM);
            hil.signal(Signal::TERM);
            assert_eq!(hil.outcome().code, Some(130));
        } else {
            hil.kill();
        }
        wait_until("all have ended", || processes_of(&lab.path(out)).is_empty());
    }
}

#[test]
fn what_the_shell_says_to_programs_does_not_reach_those_of_the_bench() {
    let lab = Lab::new(&[]);
    let mut hil = lab.hil("processes", "run", &[]);
    for (name, value) in [
        ("OUTPOST_TOPIC_PREFIX", "lab"),
        ("OUTPOST_DEVICE", "device-000"),
        ("OUTPOST_SCENARIO", "/nowhere/scenario.toml"),
        ("OUTPOST_SHARD", "/nowhere/shard"),
        ("OUTPOST_CONFIG", "/nowhere/client.toml"),
        ("OUTPOST_CA", "/nowhere/ca.pem"),
        ("OUTPOST_LISTEN", "127.0.0.1:1"),
        ("OUTPOST_OUT", "/nowhere/run"),
        ("OUTPOST_BENCH", "another"),
        ("OUTPOST_PATIENCE", "0"),
        ("NOTIFY_SOCKET", "/nowhere/socket"),
    ] {
        hil.env(name, value);
    }
    run(hil).succeeded();
    assert_eq!(summary(&lab.path("run")).model_sha256, lab.undisturbed());
}

#[test]
fn too_few_open_files_or_threads_are_named_with_their_number_and_what_to_do() {
    let lab = Lab::new(&[]);
    // Root may have any number of threads: somebody else tries.
    let script = r#"ulimit -u 8; exec "$@""#;
    let mut limited = within(script, &hil!["paper", "list"]);
    if rustix::process::geteuid().is_root() {
        limited.uid(65_534).gid(65_534);
    }
    match limited.output() {
        // It may not read the program.
        Err(error) => link::skipped("nobody", format!("it may not start the programs: {error}")),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if said.contains("Permission denied") {
                return link::skipped("nobody", "it may not start the programs");
            }
            assert_eq!(output.status.code(), Some(1), "{said}");
            for part in ["hil: cannot start", "threads", "8 processes", "ulimit -u"] {
                assert!(said.contains(part), "no `{part}` in: {said}");
            }
        }
    }
    // Too few to begin, and too few for the broker to hold a connection of each device.
    let programs = || [lab.hil("processes", "run", &[]), lab.aggregator("other"), lab.client(0)];
    let few = [6, 9, 16].into_iter().flat_map(|files| programs().map(|program| (files, program)));
    for (files, program) in few.chain([(40, lab.hil("processes", "run", &[])), (40, lab.aggregator("other"))])
    {
        let outcome = run(within(&format!(r#"ulimit -n {files}; exec "$@""#), &program));
        assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
        outcome.says(&[&format!("{files} files open"), "ulimit -n"]);
        assert!(
            !outcome.stderr.contains("panicked") && !outcome.stderr.contains("room"),
            "{}",
            outcome.stderr
        );
    }
}
