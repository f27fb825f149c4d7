//! Whatever the link does, a run in which every update arrives in the end is the undisturbed run.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use learning::random::{Purpose, stream};
use rand::Rng;
use record::{AttackSummary, RoundRecord};
use scenario::attack_record::AttackRecord;

use super::*;
use crate::benches::toys::catalogue;
use crate::data::FleetData;

/// Fault seeds. One that ever fails stays here.
const SEEDS: std::ops::Range<u64> = 0..12;

/// The time for a round leaves room for many repetitions; being virtual, it costs nothing.
const SCENARIO: &str = r#"
name = "faults"
dataset = "breast-cancer"
model = "logistic-regression"
rounds = 5
[fleet]
devices = 7
compromised = 3
[aggregation]
rule = "trimmed-mean"
[timing]
gather-seconds = 600
round-seconds = 600
"#;

fn run(settings: &[&str], faults: Faults) -> Summary {
    run_on(&Software { faults, ..Software::default() }, settings)
}

fn run_on(bench: &Software, settings: &[&str]) -> Summary {
    run_recorded(bench, settings).0
}

fn run_recorded(bench: &Software, settings: &[&str]) -> (Summary, Vec<RoundRecord>) {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    let scenario = Arc::new(catalogue().parse("faults.toml", SCENARIO, &settings).unwrap());
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets");
    let data = FleetData::load(&scenario, &datasets).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let task = Task { scenario, data, datasets, out: folder.path().join("run") };
    let records = Mutex::new(Vec::new());
    let on_round = |record: &RoundRecord| records.lock().unwrap().push(record.clone());
    let watch = Watch { on_round: &on_round, stop: &AtomicBool::new(false) };
    let summary = bench.run(&task, &watch).unwrap().expect("nobody stops it");
    (summary, records.into_inner().unwrap())
}

/// Faults of every kind, some of them drawn to be mild.
fn faults(fault_seed: u64) -> Faults {
    let mut random = stream(fault_seed, Purpose::Faults, None, 1);
    Faults {
        loss: random.random_range(0.0..0.2),
        duplicate: random.random_range(0.0..0.3),
        reorder: random.random_range(0.0..0.5),
        delay_ms: random.random_range(0..100),
        fault_seed,
    }
}

fn assert_faults_change_nothing(settings: &[&str]) {
    let undisturbed = run(settings, Faults::default());
    assert!(undisturbed.refused.is_empty(), "{:?}", undisturbed.refused);
    for seed in SEEDS {
        let faults = faults(seed);
        let disturbed = run(settings, faults.clone());
        assert_eq!(disturbed.model_sha256, undisturbed.model_sha256, "{faults:?}");
        assert!(disturbed.refused.is_empty(), "{:?} with {faults:?}", disturbed.refused);
    }
}

#[test]
fn faults_change_nothing_without_an_attack() {
    assert_faults_change_nothing(&["attack.kind=none"]);
}

#[test]
fn faults_change_nothing_when_some_are_selected() {
    assert_faults_change_nothing(&["attack.kind=none", "fleet.selected=4", "aggregation.trim=1"]);
}

#[test]
fn faults_change_nothing_under_an_attack_with_partial_knowledge() {
    assert_faults_change_nothing(&["attack.kind=trimmed-mean"]);
}

#[test]
fn without_a_step_the_model_comes_back_as_it_went() {
    let digest = |steps: &str, rounds: &str| {
        let settings = ["model=dnn", "attack.kind=none", "aggregation.rule=median", steps, rounds];
        run(&settings, Faults::default()).model_sha256
    };
    let once = digest("training.local-steps=0", "rounds=1");
    assert_eq!(digest("training.local-steps=0", "rounds=3"), once);
    assert_ne!(digest("training.local-steps=1", "rounds=1"), once);
}

#[test]
fn an_attack_changes_the_model() {
    let digest = |kind: &str| run(&[&format!("attack.kind={kind}")], Faults::default()).model_sha256;
    assert_ne!(digest("none"), digest("trimmed-mean"));
}

/// Whether every attack that `records` tell of took place as the scenario means it.
fn as_meant(records: &[RoundRecord]) -> bool {
    records.iter().filter_map(|record| record.attack.as_ref()).all(AttackRecord::is_as_meant)
}

#[test]
fn an_attack_that_faults_cut_short_is_told() {
    // Half of all that is said is lost, and the time for a round is short: some seeds must change the model.
    let harsh =
        |fault_seed| Faults { loss: 0.5, reorder: 0.9, delay_ms: 20, fault_seed, ..Faults::default() };
    let settings = ["attack.kind=gaussian", "timing.round-seconds=20"];
    let (undisturbed, records) = run_recorded(&Software::default(), &settings);
    assert!(as_meant(&records) && records.iter().all(|record| record.attack.is_some()));
    let whole = AttackSummary { rounds: 5, as_meant: 5, ..AttackSummary::default() };
    assert_eq!(undisturbed.attack, Some(whole));
    let mut changed = 0;
    for seed in SEEDS {
        let (summary, records) =
            run_recorded(&Software { faults: harsh(seed), ..Software::default() }, &settings);
        if summary.model_sha256 != undisturbed.model_sha256 {
            changed += 1;
            let absent = records.iter().any(|record| !record.absent.is_empty());
            assert!(absent || !as_meant(&records), "seed {seed}: another model without a trace");
        }
    }
    assert!(changed > 0, "nothing was cut short");
}

#[test]
fn without_an_attack_that_crafts_there_is_no_word_of_one() {
    for kind in ["attack.kind=none", "attack.kind=label-flip"] {
        let (summary, records) = run_recorded(&Software::default(), &[kind]);
        assert!(summary.attack.is_none() && records.iter().all(|record| record.attack.is_none()), "{kind}");
    }
}

#[test]
#[ignore = "nightly: hundreds of runs; prints how often faults change the model"]
fn how_often_faults_change_an_attack() {
    const MNIST: [&str; 7] = [
        "dataset=mnist",
        "data.train-examples=2000",
        "fleet.devices=10",
        "fleet.compromised=2",
        "seed=2",
        "rounds=6",
        "timing.round-seconds=60",
    ];
    let harsh = Faults { loss: 0.4, reorder: 0.9, delay_ms: 20, ..Faults::default() };
    let mild = Faults { loss: 0.01, ..Faults::default() };
    for (attack, faults, seeds) in [
        (&["attack.kind=trimmed-mean"][..], &harsh, 468_320..468_360),
        (&["attack.kind=trimmed-mean", "attack.knowledge=full"][..], &mild, 0..40),
        (&["attack.kind=gaussian"][..], &mild, 0..40),
        (&["attack.kind=gaussian"][..], &harsh, 0..40),
    ] {
        let settings = [&MNIST[..], attack].concat();
        let undisturbed = run(&settings, Faults::default()).model_sha256;
        let (mut other, mut short, mut missed) = (0, 0, 0);
        for fault_seed in seeds.clone() {
            let bench = Software { faults: Faults { fault_seed, ..faults.clone() }, ..Software::default() };
            let (summary, records) = run_recorded(&bench, &settings);
            let absent = records.iter().any(|record| !record.absent.is_empty());
            let (changed, whole) = (summary.model_sha256 != undisturbed, as_meant(&records));
            other += u32::from(changed);
            short += u32::from(!whole);
            missed += u32::from(absent);
            assert!(!changed || !whole || absent, "{attack:?}, {fault_seed}: another model without a trace");
        }
        let (loss, count) = (faults.loss, seeds.count());
        println!(
            "{attack:?}, loss {loss}: of {count} runs {other} ended in another model; in {short} the attack was cut \
             short, in {missed} a device missed a round"
        );
    }
}

#[test]
fn a_compromised_device_may_train_otherwise() {
    let honest = run(&["attack.kind=none"], Faults::default()).final_test_error.unwrap();
    let attacked = run(&["attack.kind=ascent", "aggregation.rule=mean"], Faults::default());
    assert!(attacked.final_test_error.unwrap() > honest, "{attacked:?}");
}

#[test]
fn a_compromised_device_may_deliver_late_or_not_at_all() {
    let late = |share: &str| {
        // In a fourth, those that were absent from three would not be selected.
        let settings = ["attack.kind=late", share, "aggregation.rule=median", "rounds=3"];
        let (_, records) = run_recorded(&Software::default(), &settings);
        records.iter().map(|record| record.absent.len()).collect::<Vec<_>>()
    };
    let attackers =
        catalogue().parse("faults.toml", SCENARIO, &["attack.kind=late".to_owned()]).unwrap().attackers();
    let (in_time, too_late) = (late("attack.share=0.5"), late("attack.share=1.5"));
    for (round, (in_time, too_late)) in (1..).zip(in_time.into_iter().zip(too_late)) {
        let silent = if round % 3 == 0 { attackers.len() } else { 0 };
        assert_eq!((in_time, too_late), (silent, attackers.len()), "round {round}");
    }
}

/// Models of 31 KB, and rounds in which some are absent.
const ATTACKED_LINKS: [&str; 4] =
    ["dataset=mnist", "data.train-examples=700", "aggregation.rule=median", "timing.round-seconds=60"];

/// What a run under an attack on the link records, in which no honest device loses anything.
fn recorded_under(settings: &[&str]) -> Vec<RoundRecord> {
    let settings = [&ATTACKED_LINKS[..], settings].concat();
    let (_, records) = run_recorded(&Software::default(), &settings);
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    let attackers = catalogue().parse("faults.toml", SCENARIO, &settings).unwrap().attackers();
    for record in &records {
        let by_attackers = record.absent.iter().all(|device| attackers.contains(device))
            && record
                .muted
                .iter()
                .all(|muted| muted.device.is_some_and(|device| attackers.contains(&device)))
            && record.refused_devices.iter().all(|it| it.device.is_some_and(|it| attackers.contains(&it)));
        assert!(by_attackers && record.aggregated && record.accepted >= 4, "{record:?}");
    }
    records
}

fn late(record: &RoundRecord) -> u32 {
    record.refused.get(&wire::Refusal::Late).copied().unwrap_or(0)
}

#[test]
fn an_update_that_comes_after_its_round_is_refused_as_late_in_the_next() {
    let records = recorded_under(&["attack.kind=delay", "attack.share=1.0"]);
    let counted: Vec<_> = records.iter().map(|record| (record.absent.len(), late(record))).collect();
    // Who was absent from three rounds is not selected until it is heard.
    assert_eq!(counted, [(3, 0), (3, 3), (3, 3), (0, 3), (3, 0)]);
}

#[test]
fn an_earlier_update_under_its_old_number_is_refused_as_late() {
    let records = recorded_under(&["attack.kind=replay", "attack.as=old", "attack.every=2"]);
    let counted: Vec<_> = records.iter().map(|record| (record.absent.len(), late(record))).collect();
    assert_eq!(counted, [(0, 0), (3, 3), (0, 0), (3, 3), (0, 0)]);
}

#[test]
fn a_device_that_floods_has_its_update_counted_is_muted_and_not_selected() {
    let records = recorded_under(&["attack.kind=flood"]);
    let counted: Vec<_> = records.iter().map(|record| (record.selected, record.accepted)).collect();
    assert_eq!(counted, [(7, 7), (4, 4), (4, 4), (4, 4), (4, 4)]);
    let dropped: u64 = records.iter().flat_map(|record| &record.muted).map(|muted| muted.messages).sum();
    assert!((2_000..3_000).contains(&dropped), "{dropped} of 3,000");
    let within_budget = recorded_under(&["attack.kind=flood", "attack.messages=2"]);
    assert!(within_budget.iter().all(|record| record.accepted == 7 && record.muted.is_empty()));
    let bytes = |records: &[RoundRecord]| records.iter().map(|record| record.bytes_up).sum::<u64>();
    assert!(bytes(&within_budget) > 2 * bytes(&recorded_under(&["attack.kind=none"])) * 3 / 4);
}

#[test]
fn transfers_that_never_end_hold_two_updates_and_no_more() {
    let settings = ["attack.kind=slow-loris", "attack.restart-seconds=5", "rounds=3"];
    let records = recorded_under(&settings);
    for record in &records {
        // Each holds half an update, and in a minute twelve are begun.
        let refused = record.refused.get(&wire::Refusal::Oversized).copied();
        assert_eq!((record.absent.len(), refused), (3, Some(3 * 8)), "{record:?}");
    }
}
