//! Runs on the batched bench against the same on the software bench.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use record::{RoundRecord, StoredRun};
use scenario::catalogue::Catalogue;
use wire::Refusal;

use super::testing::place;
use super::*;
use crate::benches::software::Software;
use crate::benches::toys::catalogue;
use crate::data::FleetData;

const SCENARIO: &str = r#"
name = "batched"
dataset = "breast-cancer"
model = "logistic-regression"
rounds = 30
[training]
local-steps = 2
[fleet]
devices = 9
compromised = 3
[aggregation]
rule = "trimmed-mean"
[evaluation]
every = 5
"#;

fn batched() -> Batched {
    Batched { place: place().clone() }
}

/// Runs until `rounds` are over, in `out`: what is recorded, and the summary if that was all.
fn run_in(
    out: &Path,
    bench: &dyn Bench,
    settings: &[&str],
    rounds: usize,
) -> anyhow::Result<(Vec<RoundRecord>, Option<Summary>)> {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    let scenario = Arc::new(catalogue().parse("batched.toml", SCENARIO, &settings).unwrap());
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets");
    let data = FleetData::load(&scenario, &datasets).unwrap();
    let task = Task { scenario, data, datasets, out: out.to_owned() };
    let (stop, done) = (AtomicBool::new(rounds == 0), AtomicUsize::new(0));
    let on_round = |_: &RoundRecord| {
        stop.store(done.fetch_add(1, Ordering::Relaxed) + 1 >= rounds, Ordering::Relaxed);
    };
    let summary = bench.run(&task, &Watch { on_round: &on_round, stop: &stop })?;
    Ok((StoredRun::open(out, &catalogue())?.records()?, summary))
}

fn run(bench: &dyn Bench, settings: &[&str]) -> (Vec<RoundRecord>, Summary) {
    let folder = tempfile::tempdir().unwrap();
    let (records, summary) = run_in(&folder.path().join("run"), bench, settings, usize::MAX).unwrap();
    (records, summary.expect("nobody stops it"))
}

/// What is recorded of the first round, also of a run that is a failure because nothing was aggregated in it.
fn first_round(bench: &dyn Bench, settings: &[&str]) -> RoundRecord {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let _ = run_in(&out, bench, settings, usize::MAX);
    StoredRun::open(&out, &catalogue()).unwrap().records().unwrap().swap_remove(0)
}

/// That each round goes as on the software bench, within rounding.
fn assert_as_on_devices(settings: &[&str]) {
    let (batched, alone) = (run(&batched(), settings), run(&Software::default(), settings));
    let off = batched.1.final_test_error.unwrap() - alone.1.final_test_error.unwrap();
    assert!(off.abs() <= 0.005, "{settings:?}: {off}");
    assert_eq!(batched.0.len(), alone.0.len());
    for (batched, alone) in batched.0.iter().zip(&alone.0) {
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-3 * b.abs().max(0.01);
        let losses = batched.test_loss.zip(alone.test_loss).is_none_or(|(a, b)| near(a, b));
        let train_loss = near(batched.train_loss.unwrap().into(), alone.train_loss.unwrap().into());
        assert!(losses && train_loss, "{settings:?}: {batched:?}, not {alone:?}");
        // There is no link, and there are no devices to say what they train on.
        let of_devices = RoundRecord {
            bytes_up: 0,
            bytes_down: 0,
            seconds: batched.seconds,
            shards: Vec::new(),
            ..alone.clone()
        };
        let RoundRecord { test_loss, test_error, train_loss, classes, confusion, .. } = batched.clone();
        let of_devices = RoundRecord { test_loss, test_error, train_loss, classes, confusion, ..of_devices };
        assert_eq!(*batched, of_devices, "{settings:?}");
        assert_eq!(batched.classes.len(), alone.classes.len());
        assert_eq!(batched.test_loss.is_some(), alone.test_loss.is_some());
    }
}

#[test]
fn rounds_go_as_on_devices_whatever_the_attack() {
    for attack in [
        &["attack.kind=none"][..],
        &["attack.kind=gaussian", "attack.round-fraction=0.5"],
        &["attack.kind=label-flip"],
        &["attack.kind=trimmed-mean"],
        &["attack.kind=trimmed-mean", "attack.knowledge=full"],
        &["attack.kind=krum", "aggregation.rule=krum"],
        &["attack.kind=krum", "attack.knowledge=full", "aggregation.rule=krum"],
    ] {
        assert_as_on_devices(attack);
    }
}

#[test]
fn rounds_go_as_on_devices_whatever_the_rule_and_the_defense() {
    let attacked = |others: &[&str]| assert_as_on_devices(&[&["attack.kind=gaussian"], others].concat());
    attacked(&["aggregation.rule=mean"]);
    attacked(&[
        "aggregation.rule=mean",
        "aggregation.weighted=false",
        "defense.kind=lfr",
        "defense.remove=3",
    ]);
    attacked(&["aggregation.rule=median", "defense.kind=lfr", "defense.remove=1"]);
    attacked(&[
        "aggregation.rule=trimmed-mean",
        "aggregation.trim=2",
        "defense.kind=lfr",
        "defense.remove=2",
    ]);
    attacked(&["aggregation.rule=bulyan", "aggregation.byzantine=1"]);
    attacked(&["aggregation.rule=krum", "aggregation.byzantine=2", "defense.kind=err", "defense.remove=1"]);
    attacked(&["aggregation.rule=median", "defense.kind=union", "defense.remove=2"]);
    attacked(&["fleet.selected=7", "aggregation.trim=2"]);
}

#[test]
fn rounds_go_as_on_devices_by_every_rule_that_combines_updates() {
    let attacked = |others: &[&str]| assert_as_on_devices(&[&["attack.kind=gaussian"], others].concat());
    for rule in ["geometric-median", "cge", "caf", "sign-majority", "centered-clipping", "foolsgold", "mda"] {
        attacked(&[&format!("aggregation.rule={rule}"), "rounds=6"]);
    }
    attacked(&["aggregation.rule=median-of-means", "aggregation.byzantine=1", "rounds=6"]);
    attacked(&["aggregation.rule=smea", "aggregation.byzantine=2", "rounds=6"]);
    attacked(&["aggregation.rule=fltrust", "aggregation.root-examples=20", "rounds=6"]);
    attacked(&["aggregation.rule=krum", "aggregation.distance=squared", "rounds=6"]);
}

#[test]
fn rounds_go_as_on_devices_by_every_stage_that_mixes_or_clusters() {
    let attacked = |others: &[&str]| assert_as_on_devices(&[&["attack.kind=gaussian"], others].concat());
    for stage in ["clip", "arc", "nnm", "bucketing", "norm-sign", "clipped-clustering", "flame"] {
        attacked(&["aggregation.rule=median", &format!("defense.kind={stage}"), "rounds=6"]);
    }
    attacked(&["aggregation.rule=mean", "defense.kind=dnc", "aggregation.byzantine=2", "rounds=6"]);
    let spectral = ["defense.kind=spectral", "defense.validation-examples=20"];
    attacked(&[&["aggregation.rule=mean", "aggregation.byzantine=2", "rounds=6"][..], &spectral].concat());
    let pipeline = "defense=[{ kind = \"clip\", norm = 0.5 }, { kind = \"nnm\" }, { kind = \"arc\" }]";
    attacked(&["aggregation.rule=geometric-median", pipeline, "rounds=6"]);
    let judged = "defense=[{ kind = \"nnm\" }, { kind = \"lfr\", remove = 1, validation-examples = 20 }]";
    attacked(&["aggregation.rule=trimmed-mean", "aggregation.trim=1", judged, "rounds=6"]);
}

#[test]
fn rounds_go_as_on_devices_however_these_train() {
    let attacked = |others: &[&str]| assert_as_on_devices(&[&["attack.kind=gaussian"], others].concat());
    attacked(&["training.momentum=0.9", "training.weight-decay=0.01"]);
    attacked(&["training.local-epochs=2", "training.decay-every=4", "training.decay-factor=0.5"]);
    let sent = ["training.momentum=0.9", "training.send=momentum", "training.local-steps=1"];
    attacked(&[&["fleet.selected=7", "aggregation.trim=2"][..], &sent].concat());
    attacked(&[&["aggregation.rule=fltrust", "aggregation.root-examples=20"][..], &sent].concat());
    for attack in [&["attack.kind=sign-flip", "attack.of=loss"][..], &["attack.kind=ascent"]] {
        assert_as_on_devices(&[attack, &sent].concat());
    }
}

#[test]
fn rounds_go_as_on_devices_whatever_the_optimizer() {
    for optimizer in
        [&["optimizer.kind=momentum", "optimizer.learning-rate=0.5"][..], &["optimizer.kind=adam"]]
    {
        assert_as_on_devices(&[&["attack.kind=gaussian"], optimizer].concat());
    }
}

#[test]
fn rounds_go_as_on_devices_whatever_the_partition() {
    for partition in ["dirichlet", "shards", "similarity", "quantity"] {
        assert_as_on_devices(&[&format!("fleet.partition={partition}"), "attack.kind=gaussian", "rounds=6"]);
    }
}

#[test]
fn the_dnn_goes_as_on_devices() {
    assert_as_on_devices(&["model=dnn", "rounds=6", "attack.kind=trimmed-mean"]);
}

/// The model of `docs/extending.md`.
#[path = "../../../extension/src/nearest_mean.rs"]
#[expect(unreachable_pub, reason = "it is written for a crate of its own")]
mod nearest_mean;

#[test]
fn a_model_of_ones_own_learns_in_software_and_on_the_batched_bench() {
    let mut catalogue = Catalogue::standard();
    catalogue.models.add::<nearest_mean::NearestMean>("nearest-mean");
    let settings = ["model.kind=nearest-mean", "model.sharpness=0.5", "training.learning-rate=0.02"];
    let scenario = Arc::new(catalogue.parse("own.toml", SCENARIO, &settings.map(str::to_owned)).unwrap());
    assert_eq!(catalogue.parse("resolved.toml", &scenario.to_toml(), &[]).unwrap(), *scenario);
    let losses = |bench: &dyn Bench| {
        let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets");
        let (folder, data) = (tempfile::tempdir().unwrap(), FleetData::load(&scenario, &datasets).unwrap());
        let task = Task { scenario: scenario.clone(), data, datasets, out: folder.path().join("run") };
        let losses = Mutex::new(Vec::new());
        let on_round = |record: &RoundRecord| losses.lock().unwrap().push(record.train_loss.unwrap());
        let watch = Watch { on_round: &on_round, stop: &AtomicBool::new(false) };
        bench.run(&task, &watch).unwrap().expect("nobody stops it");
        losses.into_inner().unwrap()
    };
    let (alone, batched) = (losses(&Software::default()), losses(&batched()));
    assert!(alone[29] < 0.7 * alone[0], "{alone:?}");
    for (alone, batched) in alone.iter().zip(&batched) {
        assert!((alone - batched).abs() <= 1e-5, "{alone}, not {batched}");
    }
}

#[test]
fn updates_that_are_not_finite_are_refused_by_name_and_the_round_goes_on() {
    // Some devices get beyond all numbers, compromised ones among them: of those nothing is crafted.
    let fleet = ["fleet.devices=20", "fleet.compromised=5", "aggregation.trim=1", "rounds=1"];
    let steps = ["training.learning-rate=3.3e38", "training.local-steps=1"];
    for attack in [
        &["attack.kind=none", "training.batch-size=1"][..],
        &["attack.kind=gaussian", "training.batch-size=1"],
        &["attack.kind=trimmed-mean", "training.batch-size=4"],
        &["attack.kind=krum", "training.batch-size=4"],
        &["attack.kind=krum", "attack.knowledge=full", "training.batch-size=2"],
    ] {
        let settings = [&fleet[..], &steps, attack].concat();
        let (batched, alone) =
            (first_round(&batched(), &settings), first_round(&Software::default(), &settings));
        assert!(batched.refused[&Refusal::NonFinite] > 0, "{settings:?}: {batched:?}");
        assert_eq!((batched.accepted, &batched.refused), (alone.accepted, &alone.refused), "{settings:?}");
        let names = |record: &RoundRecord| {
            let mut names = record.refused_devices.clone();
            names.sort();
            names
        };
        assert_eq!((names(&batched), batched.aggregated), (names(&alone), alone.aggregated), "{settings:?}");
    }
}

#[test]
fn devices_with_poisoned_data_train_as_on_devices() {
    // 40 examples, to which the attack adds two.
    let data = ["dataset=mnist", "data.train-examples=40", "attack.kind=back-gradient"];
    assert_as_on_devices(&[&data[..], &["rounds=2", "evaluation.every=2"]].concat());
}

#[test]
fn devices_that_look_for_poison_train_on_the_rest_as_on_devices() {
    // Each has some 50 examples.
    let roni = "{ kind = \"roni\", train-examples = 10, test-examples = 20, trials = 2 }";
    let stages = format!("defense=[{roni}, {{ kind = \"trim\", share = 0.2 }}, {{ kind = \"clip\" }}]");
    for attack in ["attack.kind=label-flip", "attack.kind=trimmed-mean"] {
        assert_as_on_devices(&[attack, &stages, "rounds=6"]);
        let (_, sanitised) = run(&batched(), &[attack, &stages, "rounds=6"]);
        let (_, raw) = run(&batched(), &[attack, "defense=[{ kind = \"clip\" }]", "rounds=6"]);
        assert_ne!(sanitised.model_sha256, raw.model_sha256, "{attack}");
    }
}

#[test]
fn shards_that_are_too_small_to_judge_are_refused_by_device() {
    let settings = ["defense.kind=roni", "defense.train-examples=400"];
    for bench in [&batched() as &dyn Bench, &Software::default()] {
        let folder = tempfile::tempdir().unwrap();
        let refused = run_in(&folder.path().join("run"), bench, &settings, usize::MAX).unwrap_err();
        let refused = format!("{refused:#}");
        assert!(
            refused.starts_with("device-000: defense.train-examples") && refused.contains("450"),
            "{refused}"
        );
    }
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["attack.kind=trimmed-mean", "attack.knowledge=full"];
    let out = folder.path().join("run");
    let (records, summary) = run_in(&out, &batched(), &settings, 7).unwrap();
    assert_eq!((records.len(), summary), (7, None));
    let (records, summary) = run_in(&out, &batched(), &settings, usize::MAX).unwrap();
    assert_eq!(records.len(), 30);
    assert_eq!(summary.unwrap().model_sha256, run(&batched(), &settings).1.model_sha256);
    let other = run_in(&out, &Software::default(), &settings, usize::MAX).unwrap_err().to_string();
    assert!(other.contains("a run of this scenario on the bench `batched`"), "{other}");
}

#[test]
fn what_is_kept_from_round_to_round_survives_a_stop_after_any_round() {
    let kept = [
        "rounds=7",
        "aggregation.rule=closest-pair",
        "aggregation.all-every=3",
        "defense=[{ kind = \"farthest\", remove = 2 }]",
        "attack.kind=opposite",
        "attack.inertia=0.5",
        "fleet.selected=8",
        "training.momentum=0.9",
        "training.send=momentum",
        "optimizer.kind=momentum",
        "optimizer.momentum=0.5",
    ];
    let benches: [&dyn Bench; 2] = [&batched(), &Software::default()];
    for bench in benches {
        let model = |settings: &[&str]| run(bench, settings).1.model_sha256;
        let undisturbed = model(&kept);
        for change in [
            "aggregation.all-every=4",
            "defense=[]",
            "attack.inertia=0.25",
            "training.momentum=0.8",
            "optimizer.momentum=0.25",
        ] {
            let key = change.split_once('=').unwrap().0;
            let others = kept.into_iter().filter(|setting| !setting.starts_with(key));
            let settings: Vec<&str> = others.chain([change]).collect();
            assert_ne!(model(&settings), undisturbed, "{change} changes nothing");
        }
        for stop in 1..7 {
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join("run");
            run_in(&out, bench, &kept, stop).unwrap();
            let checkpoint = std::fs::read(out.join("checkpoint.safetensors")).unwrap();
            for name in [
                "state/rule/rounds",
                "state/stage-1/sum of device-",
                "state/attack/step",
                "state/training/momentum of device-",
                "state/optimizer/momentum",
            ] {
                assert!(String::from_utf8_lossy(&checkpoint).contains(name), "{name}");
            }
            let (_, summary) = run_in(&out, bench, &kept, usize::MAX).unwrap();
            assert_eq!(summary.unwrap().model_sha256, undisturbed, "{}: {stop}", bench.name());
        }
    }
}

#[test]
fn more_validation_examples_than_there_are_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["defense.kind=err", "defense.remove=1", "defense.validation-examples=1000"];
    let refused = run_in(&folder.path().join("run"), &batched(), &settings, usize::MAX).unwrap_err();
    assert!(refused.to_string().contains("defense.validation-examples = 1000"), "{refused}");
}

#[test]
fn a_stage_may_mix_updates_and_another_remove_what_was_mixed() {
    let settings =
        ["aggregation.rule=median", "defense=[{ kind = \"pairs\" }, { kind = \"farthest\" }]", "rounds=6"];
    assert_as_on_devices(&settings);
    for bench in [&batched() as &dyn Bench, &Software::default()] {
        let (records, _) = run(bench, &settings);
        assert!(records.iter().all(|record| record.accepted == 9 && (1..=2).contains(&record.removed.len())));
    }
}

#[test]
fn what_compromised_devices_train_otherwise_counts_here_too() {
    assert_as_on_devices(&["attack.kind=ascent", "aggregation.rule=mean"]);
}

#[test]
fn what_compromised_devices_deliver_too_late_is_absent_here_too() {
    let settings = ["attack.kind=late", "attack.share=1.5", "aggregation.rule=median"];
    let (records, _) = run(&batched(), &settings);
    let attackers: Vec<_> = catalogue()
        .parse("batched.toml", SCENARIO, &settings.map(ToOwned::to_owned))
        .unwrap()
        .attackers()
        .into_iter()
        .collect();
    assert!(records.iter().all(|record| record.absent == attackers), "{:?}", records[0].absent);
}
