//! What is in a run's directory is believed only as far as it can be checked, and never made anew in silence.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use link::skipped;
use record::StoredRun;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::lab::{Lab, all_succeed};
use crate::process::{Process, datasets, hil, run, stored, summary, undisturbed, wait_for_rounds};

/// Every file of a folder, with its content.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

/// Data sets of which the labels of one are exchanged.
fn exchanged_labels(lab: &Lab) -> std::path::PathBuf {
    let folder = lab.path("exchanged/breast-cancer-wisconsin");
    fs::create_dir_all(&folder).unwrap();
    let text = fs::read_to_string(datasets().join("breast-cancer-wisconsin/wdbc.csv")).unwrap();
    let exchanged = text.lines().map(|line| match line.rsplit_once(',') {
        Some((features, "0")) => format!("{features},1\n"),
        Some((features, "1")) => format!("{features},0\n"),
        _ => format!("{line}\n"),
    });
    fs::write(folder.join("wdbc.csv"), exchanged.collect::<String>()).unwrap();
    lab.path("exchanged")
}

fn with_data(mut command: Command, folder: &Path) -> Command {
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let place = arguments.iter().position(|argument| argument == "--datasets").unwrap();
    let mut other = undisturbed(command.get_program());
    other.args(&arguments[..=place]).arg(folder).args(&arguments[place + 2..]);
    command = other;
    command
}

#[test]
fn a_run_whose_checkpoint_is_gone_is_refused_and_left_as_it_is() {
    let lab = Lab::new(&[]);
    lab.undisturbed();
    let out = lab.path("undisturbed");
    for file in ["checkpoint.safetensors", "scenario.toml", "rounds.jsonl"] {
        let whole = fs::read(out.join(file)).unwrap();
        fs::remove_file(out.join(file)).unwrap();
        let before = contents(&out);
        run(lab.hil("software", "undisturbed", &[])).complains(1, &["hil: ", file, "is missing"]);
        assert_eq!(contents(&out), before);
        fs::write(out.join(file), whole).unwrap();
    }
    run(lab.hil("software", "undisturbed", &[])).succeeded();
}

#[test]
fn a_run_goes_on_or_is_printed_with_the_data_it_was_made_with_only() {
    let lab = Lab::new(&[]);
    lab.undisturbed();
    let other = exchanged_labels(&lab);
    let parts = ["breast-cancer test", "SHA-256", "undisturbed", "choose another directory"];
    run(with_data(lab.hil("software", "undisturbed", &[]), &other)).complains(1, &parts);
    // Interrupted: as a run that was killed before its first checkpoint.
    let out = lab.path("undisturbed");
    fs::remove_file(out.join("summary.json")).unwrap();
    run(with_data(lab.hil("software", "undisturbed", &["--set", "rounds=30"]), &other)).complains(1, &parts);
}

#[test]
fn an_aggregator_that_was_killed_goes_on_with_the_data_it_had_only() {
    let lab = Lab::new(&["rounds=60"]);
    let aggregator = Process::start(lab.aggregator("run"));
    let clients = lab.clients(0..5);
    wait_for_rounds(&lab.path("run"), 3);
    aggregator.kill();
    let mut other = with_data(lab.aggregator("run"), &exchanged_labels(&lab));
    other.args(["--log", "error"]);
    run(other).complains(1, &["aggregator-node: ", "breast-cancer test", "choose another directory"]);
    Process::start(lab.aggregator("run")).outcome().succeeded();
    all_succeed(clients);
    assert_eq!(summary(&lab.path("run")).model_sha256, lab.undisturbed());
}

#[test]
fn a_finished_run_can_be_printed_where_nothing_can_be_written() {
    if !link::has("unshare") {
        return;
    }
    let lab = Lab::new(&[]);
    let model = lab.undisturbed();
    let out = lab.path("undisturbed");
    let script = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && ! touch "$1/x" 2>&- || exit 77
                    shift; exec "$@""#;
    let mut command = undisturbed("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&out);
    let hil = lab.hil("software", "undisturbed", &["--format", "json"]);
    command.arg(hil.get_program()).args(hil.get_args());
    let outcome = Process::start(command).outcome();
    if outcome.code == Some(77) || outcome.stderr.starts_with("unshare: ") {
        return skipped("unshare", "this user may not mount a file system in a name space of its own");
    }
    assert!(outcome.succeeded().stdout.contains(&model));
}

#[test]
fn links_and_pipes_in_a_run_directory_are_refused_at_once() {
    let lab = Lab::new(&[]);
    let (out, precious) = (lab.path("run"), lab.path("precious"));
    fs::write(&precious, "kept").unwrap();
    for name in [".lock", "scenario.toml", "rounds.jsonl", "manifest.json", "term"] {
        for is_link in [true, false] {
            fs::create_dir(&out).unwrap();
            if is_link {
                symlink(&precious, out.join(name)).unwrap();
            } else {
                mknodat(CWD, out.join(name), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
            }
            let what = if is_link { "a symbolic link" } else { "a pipe" };
            run(lab.hil("software", "run", &[])).complains(1, &["hil: ", name, what]);
            assert_eq!(fs::read(&precious).unwrap(), b"kept");
            fs::remove_dir_all(&out).unwrap();
        }
    }
}

#[test]
fn a_finished_run_goes_on_with_more_rounds_to_the_model_of_a_longer_run() {
    let lab = Lab::new(&["rounds=40"]);
    let longer = lab.undisturbed();
    let shorter = ["--set", "rounds=20"];
    for bench in ["software", "processes"] {
        let short = lab.model_after(lab.hil(bench, bench, &shorter), bench);
        assert_ne!(short, longer);
        assert_eq!(lab.model_after(lab.hil(bench, bench, &[]), bench), longer);
        let stored = stored(&lab.path(bench));
        assert_eq!((stored.scenario().rounds, stored.records().unwrap().len()), (40, 40));
        run(lab.hil(bench, bench, &shorter)).complains(1, &["a run of this scenario with 40 rounds"]);
        run(lab.hil(bench, bench, &["--set", "rounds=50", "--set", "seed=2"]))
            .complains(1, &["another scenario"]);
    }
}

#[test]
fn a_run_in_which_nothing_was_aggregated_is_no_success() {
    // Every answer takes longer than a round does.
    let lab = Lab::new(&["timing.round-seconds=1", "rounds=3"]);
    let late = ["--delay-ms", "4000"];
    for _ in 0..2 {
        let outcome = run(lab.hil("software", "run", &late)).ended_with(1);
        outcome.ends_by_saying(&["in none of the 3 rounds were updates aggregated"]);
    }
    let summary = stored(&lab.path("run")).arm("run").unwrap().summary;
    assert_eq!((summary.rounds, summary.aggregated_rounds), (3, 0));
    assert!(summary.least_updates < 5 && summary.mean_updates < 5.0);
    let page = fs::read_to_string(lab.path("run/report.html")).unwrap();
    assert!(page.contains("Aggregated") && page.contains("Least updates"));
}

fn report(lab: &Lab, more: &[&str]) -> Command {
    let mut command = hil!["report", lab.path("run")];
    command.args(more);
    command
}

#[test]
fn a_report_can_be_had_of_a_run_in_progress_interrupted_or_finished() {
    let lab = Lab::new(&["rounds=40"]);
    let out = lab.path("run");
    let aggregator = Process::start(lab.aggregator("run"));
    let mut clients = lab.clients(0..4);
    // It waits for the fifth device.
    crate::process::wait_until("the run has begun", || StoredRun::exists(&out) && out.join("term").exists());
    let page = lab.path("page.html");
    let said = |words: &str| {
        let outcome = run(report(&lab, &["--out", page.to_str().unwrap()])).succeeded();
        outcome.prints(&[words]);
        assert!(fs::read_to_string(&page).unwrap().contains(words), "{words}");
    };
    said("in progress, with 0 of 40 rounds so far");
    clients.extend(lab.clients(4..5));
    wait_for_rounds(&out, 5);
    aggregator.signal(Signal::INT);
    assert_eq!(aggregator.outcome().code, Some(130));
    said("interrupted after ");
    Process::start(lab.aggregator("run")).outcome().succeeded();
    all_succeed(clients);
    said("finished, with all of its 40 rounds");
    assert_eq!(summary(&out).model_sha256, lab.undisturbed());
    run(report(&lab, &[])).succeeded();
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("This run is finished"));
}
