//! Each rule, on numbers of devices that kernels are compiled for in different ways.

use aggregator_node::backend::Backend as _;
use aggregator_node::cuda::{Cuda, LeaveOneOutAggregates, ResidentUpdates};
use robust::{
    Bulyan, Byzantine, CenteredClipping, Cge, Distances, Executor, GeometricMedian, Krum, Mda, Meamed, Mean,
    Median, MultiKrum, Processors, Rule, RuleError, SignMajority, TrimmedMean, Updates,
};

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

fn all_and_leave_one_out(
    executor: &dyn Executor,
    rule: &dyn Rule,
    updates: &Updates<'_>,
    byzantine: Byzantine,
) -> [Aggregates; 2] {
    let mut aggregates = Vec::new();
    let leave_one_out =
        executor.leave_one_out(rule, updates, byzantine, &mut aggregates).map(|()| aggregates);
    [executor.aggregate(rule, updates, byzantine).map(|aggregate| vec![aggregate.values]), leave_one_out]
}

/// Of updates that lie on the GPU, and with results that stay there until they are looked at.
fn resident(gpu: &Cuda, rule: &dyn Rule, updates: &Updates<'_>, byzantine: Byzantine) -> [Aggregates; 2] {
    let engine = gpu.resident();
    let values = gpu.stream().clone_htod(&updates.rows().concat()).unwrap();
    let zeros = vec![0.0; updates.dimension()];
    let origin = updates.origin().unwrap_or(&zeros);
    let there = ResidentUpdates::new(values.as_view(), updates.len(), updates.weights(), origin).unwrap();
    let vectors = |values| -> Vec<Vec<f32>> {
        let values = gpu.stream().clone_dtoh(&values).unwrap();
        values.chunks(updates.dimension()).map(<[f32]>::to_vec).collect()
    };
    let leave_one_out =
        engine.leave_one_out(rule, &there, byzantine).map(|LeaveOneOutAggregates { different, places }| {
            let different = vectors(different);
            places.into_iter().map(|place| different[place].clone()).collect()
        });
    [engine.aggregate(rule, &there, byzantine).map(|(values, _)| vectors(values)), leave_one_out]
}

/// That the rule gives the same bits on the GPU, of all updates and without each.
pub(crate) fn assert_same(rule: &dyn Rule, byzantine: usize, updates: &Updates<'_>) {
    let Some(gpu) = gpu() else { return };
    let byzantine = Byzantine::of(byzantine);
    let here = all_and_leave_one_out(&Processors, rule, updates, byzantine);
    let moved = all_and_leave_one_out(&*gpu.engine(), rule, updates, byzantine);
    for ((there, here), whose) in moved.into_iter().zip(&here).zip(["all", "without each"]) {
        let what = format!("{rule:?} of {} x {}, {whose}", updates.len(), updates.dimension());
        assert_same_bits(there, here, &what);
    }
}

/// The same of updates that are moved to the GPU, and of updates that lie there.
fn assert_same_wherever(rule: &dyn Rule, byzantine: usize, updates: &Updates<'_>) {
    assert_same(rule, byzantine, updates);
    let Some(gpu) = gpu() else { return };
    let byzantine = Byzantine::of(byzantine);
    let here = all_and_leave_one_out(&Processors, rule, updates, byzantine);
    let there = resident(gpu, rule, updates, byzantine);
    for ((there, here), whose) in there.into_iter().zip(&here).zip(["all", "without each"]) {
        let what = format!("resident {rule:?} of {} x {}, {whose}", updates.len(), updates.dimension());
        assert_same_bits(there, here, &what);
    }
}

fn assert_same_on_all(rule: &dyn Rule, byzantine: impl Fn(usize) -> usize) {
    for devices in DEVICES {
        for dimension in DIMENSIONS {
            for kind in KINDS {
                let rows = matrix(kind, devices, dimension);
                assert_same_wherever(rule, byzantine(devices), &Updates::new(&slices(&rows), None).unwrap());
            }
        }
    }
}

#[test]
fn the_median_is_the_same() {
    assert_same_on_all(&Median {}, |_| 0);
}

#[test]
fn the_trimmed_mean_is_the_same() {
    assert_same_on_all(&TrimmedMean::default(), |devices| devices / 5);
}

#[test]
fn the_trimmed_mean_is_the_same_however_much_is_trimmed() {
    for (devices, trim) in [(9, 0), (9, 4), (10, 5), (130, 64)] {
        let rows = matrix("any", devices, 40);
        assert_same_wherever(&TrimmedMean::default(), trim, &Updates::new(&slices(&rows), None).unwrap());
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
                    assert_same_wherever(&Mean::default(), 0, &updates);
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
            assert_same_wherever(&Median {}, 0, &updates);
            assert_same_wherever(&TrimmedMean::default(), devices / 5, &updates);
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
            assert_same_wherever(
                &Krum::default(),
                (devices - 3) / 3,
                &Updates::new(&slices(&rows), None).unwrap(),
            );
        }
    }
}

#[test]
fn multi_krum_and_meamed_average_the_same() {
    for devices in [5, 32, 129] {
        for rows in KINDS.map(|kind| matrix(kind, devices, 301)).into_iter().chain([attacked(devices, 2_500)])
        {
            let (byzantine, rows) = ((devices - 4) / 3, slices(&rows));
            let updates = Updates::new(&rows, None).unwrap();
            assert_same_wherever(&Meamed {}, byzantine, &updates);
            for select in [None, Some(2)] {
                assert_same_wherever(&MultiKrum { select, ..MultiKrum::default() }, byzantine, &updates);
            }
        }
    }
}

#[test]
fn rules_that_combine_updates_do_so_wherever_these_are() {
    let rules: [&dyn Rule; 5] = [
        &GeometricMedian { smoothing: 0.1, steps: Some(3) },
        &CenteredClipping::default(),
        &Cge {},
        &Mda {},
        &SignMajority { threshold: Some(2) },
    ];
    for devices in [5, 33] {
        for kind in ["ties", "any"] {
            let rows = matrix(kind, devices, 301);
            let (rows, origin) = (slices(&rows), vec![0.25; 301]);
            let updates = Updates::new(&rows, None).unwrap().from_origin(&origin).unwrap();
            for rule in rules {
                assert_same_wherever(rule, 1, &updates);
            }
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
            for (theta, gamma) in [(None, None), (None, Some(1)), (Some(2 * byzantine as u32 + 2), None)] {
                let bulyan = Bulyan { theta, gamma };
                assert_same_wherever(&bulyan, byzantine, &Updates::new(&slices(&rows), None).unwrap());
            }
        }
    }
}

/// A selection that is sorted in shared memory.
#[test]
fn bulyan_averages_many_the_same() {
    let rows = attacked(150, 40);
    let rows = slices(&rows);
    let updates = Updates::new(&rows, None).unwrap();
    let Some(gpu) = gpu() else { return };
    let aggregate = |executor: &dyn Executor| {
        executor.aggregate(&Bulyan::default(), &updates, Byzantine::of(5)).unwrap().values
    };
    assert_eq!(bits(&aggregate(&*gpu.engine())), bits(&aggregate(&Processors)));
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
            let zeros = vec![0.0; dimension];
            let lying = ResidentUpdates::new(values.as_view(), devices, None, &zeros).unwrap();
            let measured = gpu.resident().measure(&lying, |updates| updates.distances());
            assert_eq!(measured.unwrap(), there, "{devices} x {dimension}");
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
    let there = gpu.engine();
    let aggregate = |executor: &dyn Executor, updates: &Updates<'_>| {
        executor.aggregate(&TrimmedMean::default(), updates, Byzantine::of(1)).unwrap().values
    };
    for round in [1, 2, 3, 2] {
        let rows: Vec<std::sync::Arc<[f32]>> =
            matrix("any", 5 + round as usize, 301).into_iter().map(Into::into).collect();
        for update in rows.iter().step_by(2) {
            there.take(round, update);
        }
        let rows: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
        let updates = Updates::new(&rows, None).unwrap();
        assert_eq!(bits(&aggregate(&*there, &updates)), bits(&aggregate(&Processors, &updates)));
        if round != 1 {
            there.release(round);
        }
    }
}

/// The driver knows in which threads a GPU was used before.
#[test]
fn any_thread_may_hand_over_aggregate_and_let_go() {
    let Some(gpu) = gpu() else { return };
    let engine = gpu.engine();
    let rows: Vec<std::sync::Arc<[f32]>> = matrix("ties", 3, 40).into_iter().map(Into::into).collect();
    let slices: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
    let updates = Updates::new(&slices, None).unwrap();
    let aggregate =
        |executor: &dyn Executor| executor.aggregate(&Median {}, &updates, Byzantine::default()).unwrap();
    let expected = aggregate(&Processors);
    let in_a_thread =
        |work: &(dyn Fn() + Sync)| std::thread::scope(|scope| scope.spawn(work).join().unwrap());
    for round in 1..3 {
        in_a_thread(&|| rows.iter().for_each(|row| engine.take(round, row)));
        in_a_thread(&|| assert_eq!(aggregate(&*engine), expected));
        in_a_thread(&|| engine.release(round));
    }
    in_a_thread(&|| engine.take(3, &rows[0]));
    std::thread::spawn(move || drop(engine)).join().unwrap();
    assert_eq!(aggregate(&*gpu.engine()), expected);
}

#[test]
fn a_condition_that_fails_is_the_same_error() {
    let Some(gpu) = gpu() else { return };
    let rows = matrix("normal", 4, 10);
    let rows = slices(&rows);
    let updates = Updates::new(&rows, None).unwrap();
    for rule in [&Krum::default() as &dyn Rule, &Bulyan::default(), &TrimmedMean::default()] {
        let refused =
            |executor: &dyn Executor| executor.aggregate(rule, &updates, Byzantine::of(3)).unwrap_err();
        assert_eq!(refused(&*gpu.engine()), refused(&Processors));
    }
}

#[test]
fn resident_updates_that_are_none_are_refused() {
    let Some(gpu) = gpu() else { return };
    let values = gpu.stream().clone_htod(&[1.0_f32; 7]).unwrap();
    let refused =
        |devices, weights| ResidentUpdates::new(values.as_view(), devices, weights, &[0.0; 7]).err().unwrap();
    assert_eq!(refused(0, None), RuleError::NoUpdates);
    assert_eq!(refused(3, None), RuleError::Dimension { row: 2, expected: 2, actual: 3 });
    assert_eq!(refused(1, Some(&[1.0; 2])), RuleError::WeightCount { rows: 1, weights: 2 });
    assert_eq!(refused(7, None), RuleError::Origin { expected: 1, actual: 7 });
}
