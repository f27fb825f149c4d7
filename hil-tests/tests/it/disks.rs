//! Disks without room: nothing that was acknowledged is lost, and the run goes on when there is room again.

use std::fs;
use std::path::Path;
use std::process::Command;

use link::skipped;

use crate::lab::{Lab, all_succeed, records};
use crate::process::{Process, datasets, program, run, summary, undisturbed};

const ROUNDS: &str = "rounds=80";

/// `command` under a limit on the size of each file it writes: a disk that is full for what grows.
fn with_room_for(kib: u32, command: &Command) -> Command {
    let mut limited = undisturbed("bash");
    limited.args(["-c", &format!("ulimit -f {kib}; exec \"$@\""), "bash"]);
    limited.arg(command.get_program()).args(command.get_args());
    limited
}

#[test]
fn a_run_whose_disk_is_full_goes_on_when_there_is_room_again() {
    let lab = Lab::new(&[ROUNDS]);
    let out = lab.path("run");
    // A record is some 300 bytes, so that this is enough for about half of the rounds.
    let full = Process::start(with_room_for(12, &lab.aggregator("run")));
    let clients = lab.clients(0..5);
    let outcome = full.outcome().ended_with(1);
    let complaint = outcome.stderr.lines().next_back().unwrap_or_default().to_owned();
    assert!(complaint.starts_with("aggregator-node: cannot "), "{complaint}");
    // It is a limit, not the disk, and that is what it says.
    for part in ["rounds.jsonl", "12 KiB", "ulimit -f"] {
        assert!(complaint.contains(part), "no `{part}` in: {complaint}");
    }
    let text = fs::read_to_string(out.join("rounds.jsonl")).unwrap();
    let before: Vec<&str> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
    assert!((3..80).contains(&before.len()), "{} rounds had room", before.len());

    Process::start(lab.aggregator("run")).outcome().succeeded();
    all_succeed(clients);
    let after = fs::read_to_string(out.join("rounds.jsonl")).unwrap();
    assert!(after.starts_with(&before.concat()), "a round that was recorded has changed");
    assert_eq!(records(&out).len(), 80);
    assert_eq!(summary(&out).model_sha256, lab.undisturbed());
}

#[test]
fn a_run_on_a_file_system_without_room_says_so_and_goes_on_when_there_is() {
    let lab = Lab::new(&[ROUNDS]);
    let (out, small) = (lab.path("run"), lab.path("small"));
    fs::create_dir(&small).unwrap();
    // A name space of its own, in which this user may mount: the file system is seen, and ends, with this script. A file
    // that leaves room for seven pages of files, two of them for rounds.jsonl, is removed before the second try.
    let script = r#"mount -t tmpfs -o size=512k tmpfs "$1" && head -c 495616 /dev/zero >"$1/filler" || exit 77
        "$2" "$3" --out "$1/run" --datasets "$4" --listen "$5"; test $? = 1 || exit 78
        rm "$1/filler"
        wc -l <"$1/run/rounds.jsonl" >"$7"
        "$2" "$3" --out "$1/run" --datasets "$4" --listen "$5" || exit 79
        cp -r "$1/run" "$6""#;
    let mut command = undisturbed("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&small);
    command.arg(program("aggregator-node").get_program()).arg(lab.scenario_path()).arg(datasets());
    command.arg(lab.broker().trim_start_matches("mqtt://")).arg(&out).arg(lab.path("before"));
    if !may_mount(&small) {
        skipped("unshare", "this user may not mount a file system in a name space of its own");
        return;
    }
    let aggregator = Process::start(command);
    let clients = lab.clients(0..5);
    let outcome = aggregator.outcome().succeeded();
    let full = outcome.stderr.lines().find(|line| line.contains("No space left on device"));
    assert!(full.is_some_and(|line| line.contains("check that the disk has room")), "{}", outcome.stderr);
    all_succeed(clients);
    let before: usize = fs::read_to_string(lab.path("before")).unwrap().trim().parse().unwrap();
    assert!((3..80).contains(&before), "{before} rounds had room");
    assert_eq!(records(&out).len(), 80);
    assert_eq!(summary(&out).model_sha256, lab.undisturbed());
}

fn may_mount(folder: &Path) -> bool {
    let mut command = undisturbed("unshare");
    command.args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs"]).arg(folder);
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn programs_whose_output_meets_a_full_disk_end_as_they_should() {
    for name in ["edge-client", "aggregator-node"] {
        let mut command = undisturbed("sh");
        let script = r#""$@" >/dev/full 2>&1"#;
        command.args(["-c", script, "sh"]).arg(program(name).get_program());
        // Wrong usage for either, told on a full disk.
        let arguments = match name {
            "edge-client" => {
                vec!["--device", "device-000", "--scenario", "nowhere.toml", "--shard", "nowhere"]
            }
            _ => vec!["nowhere.toml", "--out", "nowhere"],
        };
        command.args(arguments);
        assert_eq!(run(command).code, Some(2), "{name}");
    }
}
