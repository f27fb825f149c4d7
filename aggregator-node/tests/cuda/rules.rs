//! Each rule, on numbers of devices that kernels are compiled for in different ways.

use aggregator_node::backend::Engine;
use aggregator_node::cuda::{Cuda, ResidentRule, ResidentUpdates, WithoutEach};
use shared::rules::{Distances, Rule, RuleError, RuleName, RuleParameters, Updates, build};

use super::gpu;
use super::matrices::{KINDS, attacked, matrix};

/// In registers: few, odd, even, the most. In shared memory: the fewest, and any.
const DEVICES: [usize; 7] = [1, 2, 3, 9, 100, 128, 129];

/// In one block of threads, in several, and in one that is not full.
const DIMENSIONS: [usize; 3] = [1, 128, 301];

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn slices(rows: &[Vec<f32>]) -> Vec<&[f32]> {
    rows.iter().map(Vec::as_slice).collect()
}

type Aggregates = Result<Vec<Vec<f32>>, RuleError>;

fn assert_same_bits(there: Aggregates, here: &Aggregates, what: &str) {
    match (there, here) {
        (Ok(there), Ok(here)) => {
            assert_eq!(there.len(), here.len(), "{what}");
            for (row, (there, here)) in there.iter().zip(here).enumerate() {
                assert!(bits(there) == bits(here), "{what}, {row}: {there:?}, not {here:?}");
            }
        }
        (there, here) => assert_eq!(&there, here, "{what}"),
    }
}

fn all_and_without_each(rule: &dyn Rule, updates: &Updates<'_>) -> [Aggregates; 2] {
    let mut aggregates = Vec::new();
    let without_each = rule.leave_one_out(updates, &mut aggregates).map(|()| aggregates);
    [rule.aggregate(updates).map(|aggregate| vec![aggregate]), without_each]
}

/// Of updates that lie on the GPU, and with results that stay there until they are looked at.
fn resident(gpu: &Cuda, rule: &ResidentRule, updates: &Updates<'_>) -> [Aggregates; 2] {
    let values = gpu.stream().clone_htod(&updates.rows().concat()).unwrap();
    let there = ResidentUpdates::new(values.as_view(), updates.len(), updates.weights()).unwrap();
    let vectors = |values| -> Vec<Vec<f32>> {
        let values = gpu.stream().clone_dtoh(&values).unwrap();
        values.chunks(updates.dimension()).map(<[f32]>::to_vec).collect()
    };
    let without_each = rule.leave_one_out(&there).map(|WithoutEach { different, places }| {
        let different = vectors(different);
        places.into_iter().map(|place| different[place].clone()).collect()
    });
    [rule.aggregate(&there).map(vectors), without_each]
}

/// That the rule gives the same bits on the GPU, of all updates and without each.
pub(crate) fn assert_same(name: RuleName, parameters: RuleParameters, updates: &Updates<'_>) {
    let Some(gpu) = gpu() else { return };
    let here = all_and_without_each(&*build(name, &parameters), updates);
    let moved = all_and_without_each(&gpu.rule(name, &parameters), updates);
    for ((there, here), whose) in moved.into_iter().zip(&here).zip(["all", "without each"]) {
        let what = format!("{name} of {} x {}, {whose}", updates.len(), updates.dimension());
        assert_same_bits(there, here, &what);
    }
}

/// The same of updates that are moved to the GPU, and of updates that lie there.
fn assert_same_wherever(name: RuleName, parameters: RuleParameters, updates: &Updates<'_>) {
    assert_same(name, parameters, updates);
    let Some(gpu) = gpu() else { return };
    let here = all_and_without_each(&*build(name, &parameters), updates);
    let there = resident(gpu, &gpu.resident_rule(name, &parameters), updates);
    for ((there, here), whose) in there.into_iter().zip(&here).zip(["all", "without each"]) {
        let what = format!("resident {name} of {} x {}, {whose}", updates.len(), updates.dimension());
        assert_same_bits(there, here, &what);
    }
}

fn assert_same_on_all(name: RuleName, parameters: impl Fn(usize) -> RuleParameters) {
    for devices in DEVICES {
        for dimension in DIMENSIONS {
            for kind in KINDS {
                let rows = matrix(kind, devices, dimension);
                assert_same_wherever(name, parameters(devices), &Updates::new(&slices(&rows), None).unwrap());
            }
        }
    }
}

#[test]
fn the_median_is_the_same() {
    assert_same_on_all(RuleName::Median, |_| RuleParameters::default());
}

#[test]
fn the_trimmed_mean_is_the_same() {
    assert_same_on_all(RuleName::TrimmedMean, |devices| RuleParameters {
        trim: devices / 5,
        ..RuleParameters::default()
    });
}

#[test]
fn the_trimmed_mean_is_the_same_however_much_is_trimmed() {
    for (devices, trim) in [(9, 0), (9, 4), (10, 5), (130, 64)] {
        let rows = matrix("any", devices, 40);
        let parameters = RuleParameters { trim, ..RuleParameters::default() };
        assert_same_wherever(RuleName::TrimmedMean, parameters, &Updates::new(&slices(&rows), None).unwrap());
    }
}

#[test]
fn the_mean_is_the_same_with_weights_and_without() {
    for devices in DEVICES {
        let weights: Vec<f64> = (0..devices).map(|device| (device * 37 % 11) as f64).collect();
        for kind in KINDS {
            let rows = matrix(kind, devices, 301);
            for weights in [None, Some(weights.as_slice())] {
                if let Ok(updates) = Updates::new(&slices(&rows), weights) {
                    assert_same_wherever(RuleName::Mean, RuleParameters::default(), &updates);
                }
            }
        }
    }
}

/// Many devices, in shared memory, and few columns: on an emulated GPU that takes its time.
#[test]
fn a_thousand_devices_are_sorted_the_same() {
    for devices in [160, 161, 1_000, 1_024] {
        for rows in KINDS.map(|kind| matrix(kind, devices, 20)) {
            let rows = slices(&rows);
            let updates = Updates::new(&rows, None).unwrap();
            let parameters = RuleParameters { trim: devices / 5, ..RuleParameters::default() };
            assert_same_wherever(RuleName::Median, parameters, &updates);
            assert_same_wherever(RuleName::TrimmedMean, parameters, &updates);
        }
    }
}

#[test]
fn krum_selects_the_same() {
    for devices in [3, 31, 129] {
        for rows in ["ties", "any"]
            .map(|kind| matrix(kind, devices, 301))
            .into_iter()
            .chain([attacked(devices, 2_500)])
        {
            let byzantine = (devices - 3) / 3;
            let parameters = RuleParameters { byzantine, ..RuleParameters::default() };
            assert_same_wherever(RuleName::Krum, parameters, &Updates::new(&slices(&rows), None).unwrap());
        }
    }
}

#[test]
fn bulyan_selects_and_averages_the_same() {
    // With one device more than it needs, what is left without each is enough, too.
    for devices in [7, 8, 31, 32] {
        for rows in KINDS.map(|kind| matrix(kind, devices, 301)).into_iter().chain([attacked(devices, 2_500)])
        {
            let byzantine = (devices - 3) / 4;
            // An odd and an even number of values, of which some or one are averaged.
            for (theta, gamma) in [(None, None), (None, Some(1)), (Some(2 * byzantine + 2), None)] {
                let parameters = RuleParameters { byzantine, theta, gamma, ..RuleParameters::default() };
                assert_same_wherever(
                    RuleName::Bulyan,
                    parameters,
                    &Updates::new(&slices(&rows), None).unwrap(),
                );
            }
        }
    }
}

/// A selection that is sorted in shared memory.
#[test]
fn bulyan_averages_many_the_same() {
    let rows = attacked(150, 40);
    let rows = slices(&rows);
    let (there, here) =
        (RuleParameters { byzantine: 5, ..RuleParameters::default() }, Updates::new(&rows, None).unwrap());
    let Some(gpu) = gpu() else { return };
    let expected = build(RuleName::Bulyan, &there).aggregate(&here).unwrap();
    assert_eq!(bits(&gpu.rule(RuleName::Bulyan, &there).aggregate(&here).unwrap()), bits(&expected));
}

#[test]
fn distances_are_the_same() {
    let Some(gpu) = gpu() else { return };
    let shapes = [(1, 5), (2, 1), (3, 16), (32, 1_024), (33, 1_025), (65, 2_400), (100, 5_000), (130, 1_100)];
    for (devices, dimension) in shapes {
        for rows in ["ties", "any"]
            .map(|kind| matrix(kind, devices, dimension))
            .into_iter()
            .chain([attacked(devices, dimension)])
        {
            let rows = slices(&rows);
            let updates = Updates::new(&rows, None).unwrap();
            let (there, here) = (gpu.distances(&updates).unwrap(), Distances::of(&updates));
            let values = gpu.stream().clone_htod(&updates.rows().concat()).unwrap();
            let lying = ResidentUpdates::new(values.as_view(), devices, None).unwrap();
            let any = gpu.resident_rule(RuleName::Mean, &RuleParameters::default());
            assert_eq!(any.distances(&lying).unwrap(), there, "{devices} x {dimension}");
            for device in 0..devices {
                let of = |distances: &Distances| -> Vec<(usize, u64)> {
                    distances.nearest_first(device).iter().map(|(other, d)| (*other, d.to_bits())).collect()
                };
                assert_eq!(of(&there), of(&here), "{device} of {devices} x {dimension}");
            }
        }
    }
}

#[test]
fn an_update_that_was_handed_over_before_counts_as_any_other() {
    let Some(gpu) = gpu() else { return };
    let parameters = RuleParameters { trim: 1, ..RuleParameters::default() };
    let (there, here) =
        (gpu.rule(RuleName::TrimmedMean, &parameters), build(RuleName::TrimmedMean, &parameters));
    for round in [1, 2, 3, 2] {
        let rows: Vec<std::sync::Arc<[f32]>> =
            matrix("any", 5 + round as usize, 301).into_iter().map(Into::into).collect();
        for update in rows.iter().step_by(2) {
            there.take(round, update);
        }
        let rows: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
        let updates = Updates::new(&rows, None).unwrap();
        assert_eq!(bits(&there.aggregate(&updates).unwrap()), bits(&here.aggregate(&updates).unwrap()));
        if round != 1 {
            there.release(round);
        }
    }
}

/// The driver knows in which threads a GPU was used before.
#[test]
fn any_thread_may_hand_over_aggregate_and_let_go() {
    let Some(gpu) = gpu() else { return };
    let rule = gpu.rule(RuleName::Median, &RuleParameters::default());
    let rows: Vec<std::sync::Arc<[f32]>> = matrix("ties", 3, 40).into_iter().map(Into::into).collect();
    let slices: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
    let updates = Updates::new(&slices, None).unwrap();
    let expected = build(RuleName::Median, &RuleParameters::default()).aggregate(&updates);
    let in_a_thread =
        |work: &(dyn Fn() + Sync)| std::thread::scope(|scope| scope.spawn(work).join().unwrap());
    for round in 1..3 {
        in_a_thread(&|| rows.iter().for_each(|row| rule.take(round, row)));
        in_a_thread(&|| assert_eq!(rule.aggregate(&updates), expected));
        in_a_thread(&|| rule.release(round));
    }
    in_a_thread(&|| rule.take(3, &rows[0]));
    std::thread::spawn(move || drop(rule)).join().unwrap();
    assert_eq!(gpu.rule(RuleName::Median, &RuleParameters::default()).aggregate(&updates), expected);
}

#[test]
fn a_condition_that_fails_is_the_same_error() {
    let Some(gpu) = gpu() else { return };
    let rows = matrix("normal", 4, 10);
    let rows = slices(&rows);
    let updates = Updates::new(&rows, None).unwrap();
    for name in [RuleName::Krum, RuleName::Bulyan, RuleName::TrimmedMean] {
        let parameters = RuleParameters { byzantine: 3, trim: 3, ..RuleParameters::default() };
        let refused = gpu.rule(name, &parameters).aggregate(&updates).unwrap_err();
        assert_eq!(refused, build(name, &parameters).aggregate(&updates).unwrap_err());
    }
}

#[test]
fn resident_updates_that_are_none_are_refused() {
    let Some(gpu) = gpu() else { return };
    let values = gpu.stream().clone_htod(&[1.0_f32; 7]).unwrap();
    let refused = |devices, weights| ResidentUpdates::new(values.as_view(), devices, weights).err().unwrap();
    assert_eq!(refused(0, None), RuleError::NoUpdates);
    assert_eq!(refused(3, None), RuleError::Dimension { row: 2, expected: 2, actual: 3 });
    assert_eq!(refused(7, Some(&[1.0])), RuleError::WeightCount { rows: 7, weights: 1 });
}
