use std::collections::HashMap;
use std::os::unix::fs::symlink;

use scenario::catalogue::Catalogue;

use super::*;
use crate::examples::{manifest, manifest_of, parameters, record, scenario};
use crate::{FORMAT, RefusedDevice, State};

/// Opens the run of `settings` on top of the example's, or makes it.
fn opened(path: &Path, settings: &[&str]) -> Result<RunDirectory, RecordError> {
    let scenario = scenario(settings);
    RunDirectory::create(path, &scenario, &manifest_of(&scenario), || parameters(0.0))
}

/// The run as whoever looks at it finds it.
fn stored(path: &Path) -> Result<StoredRun, RecordError> {
    StoredRun::open(path, &Catalogue::standard())
}

fn new_run(path: &Path) -> RunDirectory {
    opened(path, &[]).unwrap()
}

/// A run that was killed after `rounds` rounds, the first `checkpointed` of which it has checkpointed.
fn interrupted_run(path: &Path, rounds: u32, checkpointed: u32) {
    let mut run = new_run(path);
    run.next_term(1).unwrap();
    for round in 1..=rounds {
        run.append(&record(round)).unwrap();
        if round <= checkpointed {
            run.checkpoint(round, &parameters(round as f32), &Arc::default()).unwrap();
        }
    }
}

fn finished_run(path: &Path) -> Summary {
    interrupted_run(path, 3, 3);
    new_run(path).finish().unwrap()
}

/// Every file of a folder, with its content.
fn contents(path: &Path) -> HashMap<String, Vec<u8>> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn terms_grow_even_where_the_clock_is_set_back() {
    let home = tempfile::tempdir().unwrap();
    let mut run = new_run(home.path());
    assert_eq!([100, 50, 200].map(|now| run.next_term(now).unwrap()), [100, 101, 200]);
    fs::write(home.path().join(TERM), "soon").unwrap();
    assert!(run.next_term(1).unwrap_err().to_string().contains("term"));
}

#[test]
fn a_run_resumes_at_its_checkpoint_and_drops_later_records_and_a_torn_line() {
    let home = tempfile::tempdir().unwrap();
    interrupted_run(home.path(), 4, 2);
    let rounds = home.path().join(ROUNDS);
    OpenOptions::new().append(true).open(&rounds).unwrap().write_all(b"{\"round\":5,\"sel").unwrap();

    let mut run = new_run(home.path());
    let (checkpoint, records) = run.resume().unwrap();
    assert_eq!((checkpoint.round, checkpoint.parameters), (2, parameters(2.0)));
    assert_eq!(records, [record(1), record(2)]);
    run.append(&record(3)).unwrap();
    run.checkpoint(3, &parameters(3.0), &Arc::default()).unwrap();
    assert_eq!(run.stored().records().unwrap(), [record(1), record(2), record(3)]);
}

#[test]
fn whatever_byte_the_kill_tore_the_last_line_at_the_run_resumes() {
    let home = tempfile::tempdir().unwrap();
    interrupted_run(home.path(), 2, 1);
    let rounds = home.path().join(ROUNDS);
    let whole = fs::read(&rounds).unwrap();
    let first = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for length in first..=whole.len() {
        fs::write(&rounds, &whole[..length]).unwrap();
        let (_, records) = new_run(home.path()).resume().unwrap();
        assert_eq!(records, [record(1)]);
        assert_eq!(fs::read(&rounds).unwrap(), whole[..first]);
    }
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_goes_on_from_the_initial_model() {
    let home = tempfile::tempdir().unwrap();
    interrupted_run(home.path(), 3, 0);
    let mut run = new_run(home.path());
    let (checkpoint, records) = run.resume().unwrap();
    assert_eq!((checkpoint.round, checkpoint.parameters, records), (0, parameters(0.0), Vec::new()));
    assert!(fs::read(home.path().join(ROUNDS)).unwrap().is_empty());
}

#[test]
fn damage_is_refused_and_the_file_is_named() {
    let home = tempfile::tempdir().unwrap();
    interrupted_run(home.path(), 3, 3);
    let refused = |file: &str, content: &[u8]| {
        let path = home.path().join(file);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        let before = contents(home.path());
        let error = opened(home.path(), &[]).and_then(|mut run| run.resume()).unwrap_err();
        assert!(matches!(&error, RecordError::Damaged { path: named, .. } if *named == path), "{error}");
        assert_eq!(contents(home.path()), before);
        fs::write(&path, whole).unwrap();
        error.to_string()
    };
    let checkpoint = fs::read(home.path().join(CHECKPOINT)).unwrap();
    refused(CHECKPOINT, b"");
    refused(CHECKPOINT, &checkpoint[..checkpoint.len() - 1]);
    refused(CHECKPOINT, &[0xff; 200]);
    refused(CHECKPOINT, &parameters(1.0).to_safetensors(HashMap::new(), []).unwrap());
    refused(MANIFEST, format!("{{\"format\":{FORMAT}}}").as_bytes());
    refused(ROUNDS, b"");
    let rounds = fs::read_to_string(home.path().join(ROUNDS)).unwrap();
    let lines: Vec<&str> = rounds.split_inclusive('\n').collect();
    let without_the_second = refused(ROUNDS, [lines[0], lines[2]].concat().as_bytes());
    assert!(without_the_second.contains("line 2 "), "{without_the_second}");
    refused(ROUNDS, [lines[0], "nonsense\n", lines[2]].concat().as_bytes());
    refused(ROUNDS, [lines[0], lines[1]].concat().as_bytes());
    let scenario = fs::read_to_string(home.path().join(SCENARIO)).unwrap();
    refused(SCENARIO, scenario.replace("compromised = 2", "compromised = 3").as_bytes());
    refused(SCENARIO, scenario.replace("rounds = 3", "rounds = 2").as_bytes());
    refused(SCENARIO, &[0xff]);
    assert!(new_run(home.path()).resume().is_ok());
}

#[test]
fn one_flipped_bit_anywhere_in_what_decides_the_model_is_found() {
    let home = tempfile::tempdir().unwrap();
    interrupted_run(home.path(), 3, 3);
    for file in [CHECKPOINT, ROUNDS, SCENARIO] {
        let path = home.path().join(file);
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(&path, &flipped).unwrap();
            let error = opened(home.path(), &[]).and_then(|mut run| run.resume());
            let Err(error) = error.map(|found| (place, found)) else {
                // Spaces that fill the header up are nothing's content.
                assert!(file == CHECKPOINT && whole[place] == b' ', "{file}: byte {place}");
                continue;
            };
            if file == ROUNDS {
                let line = String::from_utf8_lossy(&whole[..place]).matches('\n').count() + 1;
                let torn_off = place == whole.len() - 1;
                assert!(torn_off || error.to_string().contains(&format!("line {line} ")), "{place}: {error}");
            }
        }
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn lines_of_another_run_are_found() {
    let home = tempfile::tempdir().unwrap();
    let (one, other) = (home.path().join("one"), home.path().join("other"));
    interrupted_run(&one, 3, 3);
    let manifest = Manifest { run: wire::identity::RunId(1), ..manifest() };
    let mut run = RunDirectory::create(&other, &scenario(&[]), &manifest, || parameters(0.0)).unwrap();
    for round in 1..=3 {
        run.append(&record(round)).unwrap();
    }
    drop(run);
    fs::copy(other.join(ROUNDS), one.join(ROUNDS)).unwrap();
    let error = new_run(&one).resume().unwrap_err().to_string();
    assert!(error.contains("line 1 "), "{error}");
}

#[test]
fn a_file_that_must_be_there_and_is_not_is_named_and_the_rest_is_left_as_it_is() {
    for file in [MANIFEST, SCENARIO, ROUNDS, CHECKPOINT, TERM] {
        let home = tempfile::tempdir().unwrap();
        interrupted_run(home.path(), 3, 3);
        fs::remove_file(home.path().join(file)).unwrap();
        let before = contents(home.path());
        let opened = opened(home.path(), &[]).and_then(|mut run| run.resume().map(|_| run));
        let error = opened.and_then(|mut run| run.next_term(2)).unwrap_err();
        assert!(matches!(&error, RecordError::Missing { path } if path.ends_with(file)), "{error}");
        assert_eq!(contents(home.path()), before, "{file}");
    }
}

#[test]
fn rounds_are_read_one_after_the_other_and_add_up_to_the_summary() {
    let home = tempfile::tempdir().unwrap();
    let summary = finished_run(home.path());
    let run = stored(home.path()).unwrap();
    let mut rounds = run.rounds().unwrap();
    assert_eq!(rounds.next().unwrap().unwrap(), record(1));
    // Those that nobody has asked for count as well.
    assert_eq!(rounds.summary(State::Finished).unwrap(), summary);
    // What is wrong with a line is found when it is read.
    let path = home.path().join(ROUNDS);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"round\":3", "\"round\":4")).unwrap();
    let read = run.rounds().unwrap().map(|record| record.map_err(|error| error.to_string()));
    let read: Vec<_> = read.take(3).collect();
    assert_eq!(read[..2], [Ok(record(1)), Ok(record(2))]);
    assert!(read[2].as_ref().unwrap_err().contains("line 3 does not have the digest"), "{read:?}");
    assert!(run.rounds().unwrap().summary(State::Finished).is_err());
}

#[test]
fn a_finished_run_without_its_checkpoint_is_not_finished_again() {
    let home = tempfile::tempdir().unwrap();
    finished_run(home.path());
    fs::remove_file(home.path().join(CHECKPOINT)).unwrap();
    let before = contents(home.path());
    let error = stored(home.path()).unwrap().finished().unwrap_err();
    assert!(matches!(&error, RecordError::Missing { path } if path.ends_with(CHECKPOINT)), "{error}");
    assert!(opened(home.path(), &[]).and_then(|mut run| run.resume()).is_err());
    assert_eq!(contents(home.path()), before);
}

#[test]
fn a_summary_that_does_not_say_what_the_rounds_say_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let summary = finished_run(home.path());
    assert_eq!(stored(home.path()).unwrap().finished().unwrap(), Some(summary));
    let path = home.path().join(SUMMARY);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"rounds\": 3", "\"rounds\": 2")).unwrap();
    let error = stored(home.path()).unwrap().finished().unwrap_err();
    assert!(matches!(&error, RecordError::Damaged { path: named, .. } if *named == path), "{error}");
}

/// A run that keeps its best model: of round 2, unless the errors are others.
fn run_with_best(path: &Path, errors: [f64; 3], kept: &[u32]) -> RunDirectory {
    let mut run = opened(path, &["evaluation.model=best"]).unwrap();
    run.next_term(1).unwrap();
    for (round, error) in (1..).zip(errors) {
        run.append(&RoundRecord { test_error: Some(error), ..record(round) }).unwrap();
        run.checkpoint(round, &parameters(round as f32), &Arc::default()).unwrap();
        if kept.contains(&round) {
            run.keep_best(round, &parameters(round as f32), &Arc::default()).unwrap();
        }
    }
    run
}

#[test]
fn the_best_model_is_the_result_and_must_be_there() {
    let home = tempfile::tempdir().unwrap();
    let run = run_with_best(home.path(), [0.3, 0.1, 0.2], &[1, 2]);
    assert_eq!(run.stored().model().unwrap().parameters, parameters(2.0));
    let path = home.path().join(BEST);
    let best = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let error = run.stored().model().unwrap_err();
    assert!(matches!(&error, RecordError::Missing { path } if path.ends_with(BEST)), "{error}");
    fs::copy(home.path().join(CHECKPOINT), &path).unwrap();
    assert!(run.stored().model().unwrap_err().to_string().contains("of round 3"));
    fs::write(&path, best).unwrap();
    run.finish().unwrap();
}

#[test]
fn a_best_model_that_was_not_kept_before_the_kill_is_that_of_the_checkpoint() {
    for (errors, kept) in [([0.3, 0.2, 0.1], &[1, 2][..]), ([0.3, 0.4, 0.1], &[1])] {
        let home = tempfile::tempdir().unwrap();
        drop(run_with_best(home.path(), errors, kept));
        let mut run = opened(home.path(), &["evaluation.model=best"]).unwrap();
        run.resume().unwrap();
        fs::remove_file(home.path().join(CHECKPOINT)).unwrap();
        fs::copy(home.path().join(BEST), home.path().join(CHECKPOINT)).unwrap();
        assert_eq!(run.stored().model().unwrap().parameters, parameters(3.0));
    }
}

#[test]
fn a_run_resumes_under_the_id_it_was_made_with() {
    let home = tempfile::tempdir().unwrap();
    interrupted_run(home.path(), 1, 1);
    let again = Manifest { run: wire::identity::RunId(1), created_unix: 0, ..manifest() };
    let run = RunDirectory::create(home.path(), &scenario(&[]), &again, || parameters(0.0)).unwrap();
    assert_eq!(run.stored().manifest(), &manifest());
}

#[test]
fn a_directory_in_use_for_something_else_is_refused_untouched() {
    let home = tempfile::tempdir().unwrap();
    let refusal = |path: &Path, settings: &[&str], manifest: &Manifest| {
        let scenario = scenario(settings);
        let error = RunDirectory::create(path, &scenario, manifest, || parameters(0.0)).unwrap_err();
        assert!(matches!(error, RecordError::Occupied { .. }), "{error}");
        error.to_string()
    };
    let thesis = home.path().join("thesis");
    fs::create_dir(&thesis).unwrap();
    fs::write(thesis.join("chapter.tex"), "x").unwrap();
    assert!(refusal(&thesis, &[], &manifest()).contains("`chapter.tex`"));
    assert_eq!(fs::read_dir(&thesis).unwrap().count(), 1);

    let run = home.path().join("run");
    drop(new_run(&run));
    let other = scenario(&["seed=2"]);
    assert!(refusal(&run, &["seed=2"], &manifest_of(&other)).contains("another scenario"));
    assert!(refusal(&run, &["rounds=2"], &manifest_of(&scenario(&["rounds=2"]))).contains("with 3 rounds"));
    let boards = Manifest { bench: "boards".into(), ..manifest() };
    assert!(refusal(&run, &[], &boards).contains("`software`"));
    let layout = Vec::new();
    assert!(refusal(&run, &[], &Manifest { layout, ..manifest() }).contains("another model"));
}

#[test]
fn a_run_goes_on_with_no_other_data() {
    let home = tempfile::tempdir().unwrap();
    interrupted_run(home.path(), 2, 2);
    let mut other = manifest();
    other.data.insert("mnist test".into(), "cd".repeat(32));
    let error = RunDirectory::create(home.path(), &scenario(&[]), &other, || parameters(0.0)).unwrap_err();
    assert!(matches!(&error, RecordError::OtherData { name, .. } if name == "mnist test"), "{error}");
}

#[test]
fn a_finished_run_goes_on_with_more_rounds() {
    let home = tempfile::tempdir().unwrap();
    finished_run(home.path());
    let mut run = opened(home.path(), &["rounds=5"]).unwrap();
    assert_eq!(run.stored().manifest().rounds, 5);
    let (checkpoint, records) = run.resume().unwrap();
    assert_eq!((checkpoint.round, records.len()), (3, 3));
    for round in 4..=5 {
        run.append(&record(round)).unwrap();
        run.checkpoint(round, &parameters(round as f32), &Arc::default()).unwrap();
    }
    assert_eq!(run.finish().unwrap().rounds, 5);
    drop(run);
    assert_eq!(fs::read_to_string(home.path().join(SCENARIO)).unwrap(), scenario(&["rounds=5"]).to_toml());
    assert!(opened(home.path(), &[]).unwrap_err().to_string().contains("with 5 rounds"));
}

#[test]
fn more_rounds_are_refused_where_the_last_evaluation_would_not_have_been() {
    for (every, holds) in [("evaluation.every=2", true), ("evaluation.every=3", false)] {
        let home = tempfile::tempdir().unwrap();
        let settings = [every, "evaluation.model=best", "rounds=3"];
        drop(opened(home.path(), &settings).unwrap());
        let longer = opened(home.path(), &[every, "evaluation.model=best", "rounds=5"]);
        assert_eq!(matches!(longer, Err(RecordError::Occupied { .. })), holds, "{every}");
    }
}

#[test]
fn killed_while_rounds_are_added_the_run_goes_on_with_either_number() {
    for settings in [&[][..], &["rounds=5"]] {
        let home = tempfile::tempdir().unwrap();
        interrupted_run(home.path(), 3, 3);
        fs::write(home.path().join(SCENARIO), scenario(&["rounds=5"]).to_toml()).unwrap();
        assert_eq!(stored(home.path()).unwrap().scenario(), &scenario(&[]));
        assert_eq!(opened(home.path(), settings).unwrap().stored().scenario(), &scenario(settings));
        let text = fs::read_to_string(home.path().join(SCENARIO)).unwrap();
        assert_eq!(text, scenario(settings).to_toml());
    }
}

#[test]
fn a_creation_that_was_killed_halfway_is_completed() {
    let home = tempfile::tempdir().unwrap();
    drop(new_run(home.path()));
    fs::rename(home.path().join(MANIFEST), home.path().join("manifest.json.tmp")).unwrap();
    assert!(!StoredRun::exists(home.path()));
    assert_eq!(new_run(home.path()).stored().manifest(), &manifest());
}

#[test]
fn a_checkpoint_alone_is_no_creation_that_was_killed() {
    let home = tempfile::tempdir().unwrap();
    interrupted_run(home.path(), 2, 2);
    for removed in [MANIFEST, ROUNDS, SCENARIO] {
        fs::remove_file(home.path().join(removed)).unwrap();
        let before = contents(home.path());
        let error = opened(home.path(), &[]).unwrap_err();
        assert!(matches!(error, RecordError::Missing { .. }), "{removed}: {error}");
        assert_eq!(contents(home.path()), before);
    }
    fs::write(home.path().join(CHECKPOINT), "precious").unwrap();
    assert!(opened(home.path(), &[]).is_err());
}

#[test]
fn two_writers_of_one_directory_are_one_too_many() {
    let home = tempfile::tempdir().unwrap();
    let first = new_run(home.path());
    assert!(matches!(opened(home.path(), &[]), Err(RecordError::Locked { .. })));
    drop(first);
    assert!(opened(home.path(), &[]).is_ok());
}

#[test]
fn no_run_and_a_run_of_another_format_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    assert!(matches!(stored(home.path()), Err(RecordError::NotARun { .. })));
    fs::write(home.path().join(MANIFEST), r#"{"format":1}"#).unwrap();
    assert!(matches!(stored(home.path()), Err(RecordError::Format { found: 1, .. })));
}

#[test]
fn what_is_no_file_is_refused_before_anything_is_written() {
    for name in FILES {
        let home = tempfile::tempdir().unwrap();
        let (run, precious) = (home.path().join("run"), home.path().join("precious"));
        fs::create_dir(&run).unwrap();
        fs::write(&precious, "kept").unwrap();
        symlink(&precious, run.join(name)).unwrap();
        let error = opened(&run, &[]).unwrap_err();
        assert!(matches!(&error, RecordError::NotAFile { path, .. } if path.ends_with(name)), "{error}");
        assert_eq!(fs::read(&precious).unwrap(), b"kept");
        assert_eq!(fs::read_dir(&run).unwrap().count(), 1);
    }
}

#[test]
fn a_finished_run_holds_everything_the_design_lists_and_no_temporary_file() {
    let home = tempfile::tempdir().unwrap();
    finished_run(home.path());
    let mut files: Vec<_> = fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, [LOCK, CHECKPOINT, MANIFEST, METRICS, REPORT, ROUNDS, SCENARIO, SUMMARY, TERM]);
    let arm = stored(home.path()).unwrap().arm("mean").unwrap();
    assert_eq!((arm.summary.rounds, arm.records.len(), arm.state), (3, 3, State::Finished));
    assert_eq!(fs::read_to_string(home.path().join(METRICS)).unwrap().lines().count(), 4);
}

#[test]
fn how_far_a_run_is_can_be_seen_without_disturbing_it() {
    let home = tempfile::tempdir().unwrap();
    interrupted_run(home.path(), 3, 2);
    let state = || stored(home.path()).unwrap().state().unwrap();
    assert_eq!(state(), State::Interrupted);
    let mut run = new_run(home.path());
    run.resume().unwrap();
    assert_eq!(state(), State::InProgress);
    let before = contents(home.path());
    let arm = stored(home.path()).unwrap().arm("a").unwrap();
    assert_eq!((arm.records.len(), arm.rounds, arm.state), (2, 3, State::InProgress));
    assert_eq!(contents(home.path()), before);
    run.append(&record(3)).unwrap();
    run.checkpoint(3, &parameters(3.0), &Arc::default()).unwrap();
    run.finish().unwrap();
    assert_eq!(state(), State::Finished);
}

#[test]
fn a_run_in_which_nothing_was_aggregated_is_written_down_and_is_no_success() {
    let home = tempfile::tempdir().unwrap();
    let mut run = new_run(home.path());
    for round in 1..=3 {
        let refused_devices = vec![RefusedDevice { device: None, reason: wire::Refusal::Late }];
        let record = RoundRecord { aggregated: false, accepted: round, refused_devices, ..record(round) };
        run.append(&record).unwrap();
        run.checkpoint(round, &parameters(0.0), &Arc::default()).unwrap();
    }
    let error = run.finish().unwrap_err();
    assert!(error.to_string().contains("in none of the 3 rounds"), "{error}");
    assert!(error.to_string().contains("at most 3 of 10 updates"), "{error}");
    let again = stored(home.path()).unwrap().finished();
    assert!(matches!(again, Err(RecordError::NothingAggregated { .. })));
    assert!(home.path().join(REPORT).exists());
}
