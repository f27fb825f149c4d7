//! Crafted models against those that devices craft.

use candle_core::Tensor;
use edge_client::attacks::{self as of_devices, Needs};
use shared::identity::DeviceId;

use super::super::collusion::Collusion;
use super::super::testing::{device, place};
use super::*;

const DEVICES: u32 = 9;
const D: usize = 60;
const SEED: u64 = 5;
const ROUND: u32 = 3;

fn scenario(settings: &[&str]) -> Scenario {
    let text = format!(
        "name = \"t\"\nseed = {SEED}\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n\
         [fleet]\ndevices = {DEVICES}\ncompromised = 3\n[aggregation]\nrule = \"krum\"\nbyzantine = 2\n"
    );
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    Scenario::parse("t.toml", &text, &settings).unwrap()
}

/// A global model, and what devices made of it: every fifth coordinate stands still in all of them.
fn models() -> (Vec<f32>, Vec<Vec<f32>>) {
    let value = |i: usize, salt: usize| ((i * 7919 + salt * 104_729) % 2003) as f32 / 2003.0 - 0.5;
    let global: Vec<f32> = (0..D).map(|j| value(j, 1)).collect();
    let local = |device: usize| -> Vec<f32> {
        let step = |j: usize| {
            if j.is_multiple_of(5) { 0.0 } else { 0.1 * value(j + device * D, 2) + 0.01 * value(j, 3) }
        };
        global.iter().enumerate().map(|(j, value)| value + step(j)).collect()
    };
    (global.clone(), (0..DEVICES as usize).map(local).collect())
}

/// That what is crafted here is what devices craft, to a part in 100,000 of what it is off.
fn assert_crafted_alike(settings: &[&str]) {
    let scenario = scenario(settings);
    let (global, models) = models();
    let attackers = scenario.attackers();
    let (colluders, benign): (Vec<u32>, Vec<u32>) =
        (0..DEVICES).partition(|device| attackers.contains(&DeviceId(*device)));
    let named = |rows: &[u32]| -> Vec<(DeviceId, &[f32])> {
        rows.iter().map(|&row| (DeviceId(row), models[row as usize].as_slice())).collect()
    };
    let (before_attack, of_benign) = (named(&colluders), named(&benign));
    let expected = of_devices::build(&scenario).unwrap().craft(&of_devices::View {
        seed: SEED,
        round: ROUND,
        global: &global,
        before_attack: &before_attack,
        benign: &of_benign,
    });
    let expected = expected.unwrap();

    let (attack, device) = (build(&scenario).unwrap(), device());
    let devices: Vec<DeviceId> = (0..DEVICES).map(DeviceId).collect();
    let collusion =
        Collusion::of(attack.as_ref(), Needs::Everyone, (SEED, ROUND), devices, &attackers).unwrap();
    let everyone = Tensor::new(models.clone(), device).unwrap();
    let global_there = Tensor::new(&global[..], device).unwrap();
    let rules = Rules::new(&scenario, place());
    let (sent, events) = collusion.attack(collusion.draw(D), everyone, &global_there, &rules).unwrap();
    assert_eq!(events.len(), colluders.len() + 1, "one crafts, all send: {settings:?}");
    let sent = sent.to_vec2::<f32>().unwrap();
    assert_eq!((sent.len(), expected.len()), (models.len(), colluders.len()), "{settings:?}");
    for row in benign {
        assert_eq!(sent[row as usize], models[row as usize], "{settings:?}");
    }
    let crafted = colluders.iter().map(|&row| &sent[row as usize]);
    let mut moved = 0.0_f32;
    for (crafted, expected) in crafted.zip(&expected) {
        for (j, (crafted, expected)) in crafted.iter().zip(expected).enumerate() {
            let off = (expected - global[j]).abs();
            moved = moved.max(off);
            assert!(
                (crafted - expected).abs() <= 1e-5 * off.max(0.01),
                "{settings:?}, {j}: {crafted}, not {expected}"
            );
        }
    }
    assert!(moved > 1e-3, "{settings:?}: it has crafted something");
}

#[test]
fn the_gaussian_attack_is_that_of_devices() {
    assert_crafted_alike(&["attack.kind=gaussian"]);
}

#[test]
fn the_trimmed_mean_attack_is_that_of_devices() {
    assert_crafted_alike(&["attack.kind=trimmed-mean", "attack.knowledge=partial"]);
    let full = |others: &[&str]| {
        assert_crafted_alike(&[&["attack.kind=trimmed-mean", "attack.knowledge=full"], others].concat());
    };
    full(&[]);
    full(&["attack.direction=rule", "attack.spread=3"]);
    for rule in ["aggregation.rule=median", "aggregation.rule=trimmed-mean", "aggregation.rule=mean"] {
        full(&["attack.direction=rule", rule]);
        full(&["attack.goal=undirected", rule]);
    }
}

#[test]
fn the_krum_attack_is_that_of_devices() {
    for knowledge in ["attack.knowledge=partial", "attack.knowledge=full"] {
        for others in [
            &[][..],
            &["attack.direction=rule"],
            &["attack.goal=undirected"],
            &["attack.epsilon=0.5", "aggregation.rule=mean"],
            &["fleet.compromised=4", "aggregation.byzantine=3"],
        ] {
            assert_crafted_alike(&[&["attack.kind=krum", knowledge], others].concat());
        }
    }
}

#[test]
fn attacks_on_data_craft_nothing() {
    for kind in ["none", "label-flip", "back-gradient"] {
        assert!(build(&scenario(&[&format!("attack.kind={kind}")])).is_none(), "{kind}");
    }
}

#[test]
fn nothing_is_crafted_by_nobody_or_of_nothing() {
    let attack = build(&scenario(&["attack.kind=gaussian"])).unwrap();
    let devices = [2, 5].map(DeviceId);
    let crafts = |needs, attackers: &[u32]| {
        let attackers = attackers.iter().copied().map(DeviceId).collect();
        Collusion::of(attack.as_ref(), needs, (SEED, ROUND), devices.to_vec(), &attackers).is_some()
    };
    assert!(crafts(Needs::Everyone, &[5]) && crafts(Needs::Colluders, &[2, 5]));
    assert!(!crafts(Needs::Colluders, &[3]) && !crafts(Needs::Everyone, &[2, 5]));
}
