//! The algebra that rules obey whatever the updates, and what the tests of single rules share.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

use super::kernels::columns::BLOCK;
use super::{
    Bulyan, Byzantine, CenteredClipping, Cge, Distances, Executor as _, GeometricMedian, Geometry, Krum,
    Meamed, Mean, Measured, Median, MultiKrum, Plan, Processors, Rule, TrimmedMean, Updates,
};

/// The aggregate of owned rows that are known to be fine.
pub(super) fn aggregate(rule: &dyn Rule, rows: &[Vec<f32>]) -> Vec<f32> {
    aggregate_byzantine(rule, 0, rows)
}

/// The same where so many devices are assumed to be Byzantine.
pub(super) fn aggregate_byzantine(rule: &dyn Rule, byzantine: usize, rows: &[Vec<f32>]) -> Vec<f32> {
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let updates = Updates::new(&rows, None).unwrap();
    Processors.aggregate(rule, &updates, Byzantine::of(byzantine)).unwrap().values
}

/// The aggregates without each of the updates.
pub(super) fn leave_one_out(rule: &dyn Rule, updates: &Updates<'_>) -> Vec<Vec<f32>> {
    let mut aggregates = Vec::new();
    Processors.leave_one_out(rule, updates, Byzantine::default(), &mut aggregates).unwrap();
    aggregates
}

/// The row that Krum selects among owned rows that are known to be fine.
pub(super) fn select(byzantine: usize, rows: &[Vec<f32>]) -> usize {
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let updates = Updates::new(&rows, None).unwrap();
    match Plan::of(&Krum::default(), &Geometry::of(&updates), Byzantine::of(byzantine)).unwrap() {
        Plan::Row(row) => row,
        other => panic!("{other:?}"),
    }
}

/// Rows of one value each.
pub(super) fn column(values: &[f32]) -> Vec<Vec<f32>> {
    values.iter().map(|&value| vec![value]).collect()
}

/// The distances between owned rows that are known to be fine.
pub(super) fn distances(rows: &[Vec<f32>]) -> Distances {
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    Distances::of(&Updates::new(&rows, None).unwrap())
}

/// Rows of small whole numbers, whose sums, squares and halves are exact in `f32`; ties are common.
pub(super) fn matrix(devices: Range<usize>) -> impl Strategy<Value = Vec<Vec<f32>>> {
    let dimension = prop_oneof![1..4_usize, BLOCK - 1..2 * BLOCK + 2];
    (devices, dimension).prop_flat_map(|(m, d)| vec(vec((-50..=50_i8).prop_map(f32::from), d), m))
}

/// Benign rows of small whole numbers and, of the same length, fewer Byzantine rows of any finite values.
fn attacked(largest_c: usize, spare: usize) -> impl Strategy<Value = (Vec<Vec<f32>>, Vec<Vec<f32>>)> {
    let finite = any::<f32>().prop_filter("finite", |value| value.is_finite());
    (matrix(1..8), 0..=largest_c).prop_flat_map(move |(mut benign, c)| {
        let d = benign[0].len();
        while benign.len() < c + spare {
            benign.extend_from_within(..1);
        }
        (Just(benign), vec(vec(finite.clone(), d), c))
    })
}

/// A rule, with a number of Byzantine devices that suits it.
pub(super) type Suited = (Box<dyn Rule>, usize);

/// The rules that make something of each column, for `devices` >= 3.
fn of_columns(devices: usize) -> Vec<Suited> {
    let rules: [Box<dyn Rule>; 4] = [
        Box::new(Mean::default()),
        Box::new(TrimmedMean::default()),
        Box::new(Median {}),
        Box::new(Meamed {}),
    ];
    rules.into_iter().map(|rule| (rule, (devices - 3) / 2)).collect()
}

/// The rules that select rows by their distances, for `devices` >= 3.
fn of_distances(devices: usize) -> Vec<Suited> {
    let byzantine = (devices - 3) / 2;
    let (krum, multi_krum) = (Box::new(Krum::default()), Box::new(MultiKrum::default()));
    vec![(krum, byzantine), (multi_krum, byzantine), (Box::new(Bulyan::default()), (devices - 3) / 4)]
}

pub(super) fn rules(devices: usize) -> impl Iterator<Item = Suited> {
    of_columns(devices).into_iter().chain(of_distances(devices))
}

fn map(rows: &[Vec<f32>], change: impl Fn(f32) -> f32) -> Vec<Vec<f32>> {
    rows.iter().map(|row| row.iter().map(|&value| change(value)).collect()).collect()
}

/// Bit patterns, for comparisons that tell -0 from 0.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// That leaving one out gives what the rule makes of the others, within rounding.
fn assert_leave_one_out(
    (rule, byzantine): (&dyn Rule, usize),
    all: &[Vec<f32>],
    weights: &[f64],
) -> Result<(), TestCaseError> {
    let byzantine = Byzantine::of(byzantine);
    let rows: Vec<&[f32]> = all.iter().map(Vec::as_slice).collect();
    let updates = Updates::new(&rows, Some(&weights[..rows.len()])).unwrap();
    // What was there before, of whatever shape, changes nothing.
    let mut quick = vec![vec![f32::NAN; all[0].len()], vec![f32::NAN; 1]];
    Processors.leave_one_out(rule, &updates, byzantine, &mut quick).unwrap();
    prop_assert_eq!(quick.len(), rows.len());
    for (left_out, quick) in quick.iter().enumerate() {
        let others = |row: &usize| *row != left_out;
        let kept: Vec<usize> = (0..rows.len()).filter(others).collect();
        let (kept_rows, kept_weights): (Vec<&[f32]>, Vec<f64>) =
            kept.iter().map(|&row| (rows[row], weights[row])).unzip();
        let kept = Updates::new(&kept_rows, Some(&kept_weights)).unwrap();
        let expected = Processors.aggregate(rule, &kept, byzantine).unwrap().values;
        prop_assert_eq!(quick.len(), expected.len());
        for (j, (quick, expected)) in quick.iter().zip(&expected).enumerate() {
            let off = (f64::from(*quick) - f64::from(*expected)).abs();
            // Byzantine values count in the mean alone; all others are at most 50.
            let is_mean = format!("{rule:?}").starts_with("Mean");
            let counts = |value: &f32| is_mean || value.abs() <= 50.0;
            let values = all.iter().map(|row| row[j]).filter(counts);
            let largest = values.fold(0.0, |largest, value| f64::from(value.abs()).max(largest));
            let bound = 3e-7 * f64::from(expected.abs()) + 1e-13 * largest;
            prop_assert!(off <= bound, "{rule:?} without {left_out}: {quick}, not {expected}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_order_of_devices_changes_no_bit(
        (rows, shuffled) in vec(vec(-1e6..1e6_f32, 3), 3..12).prop_flat_map(|rows| {
            (Just(rows.clone()), Just(rows).prop_shuffle())
        }),
    ) {
        let trimmed_mean = TrimmedMean { trim: Some(1) };
        for rule in [&trimmed_mean as &dyn Rule, &Median {}] {
            prop_assert_eq!(bits(&aggregate(rule, &rows)), bits(&aggregate(rule, &shuffled)));
        }
    }

    #[test]
    fn the_order_of_devices_changes_neither_the_mean_of_whole_numbers_nor_krums_least_score(
        (rows, shuffled) in matrix(3..12).prop_flat_map(|rows| {
            (Just(rows.clone()), Just(rows).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(aggregate(&Mean::default(), &rows), aggregate(&Mean::default(), &shuffled));
        let byzantine = (rows.len() - 3) / 2;
        let least_score = |rows: &[Vec<f32>]| {
            let views: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            Distances::of(&Updates::new(&views, None).unwrap())
                .sum_to_nearest(select(byzantine, rows), rows.len() - byzantine - 2)
        };
        prop_assert_eq!(least_score(&rows), least_score(&shuffled));
    }

    #[test]
    fn translating_every_update_translates_the_aggregate(rows in matrix(3..12), shift in -100..=100_i8) {
        let shift = f32::from(shift);
        let translated = map(&rows, |value| value + shift);
        for (rule, byzantine) in rules(rows.len()) {
            let aggregate = |rows| aggregate_byzantine(&*rule, byzantine, rows);
            for (before, after) in aggregate(&rows).into_iter().zip(aggregate(&translated)) {
                // Means of whole numbers are rounded once to f32, on either side of the translation.
                prop_assert!((before + shift - after).abs() <= 2e-5, "{rule:?}");
            }
        }
    }

    #[test]
    fn scaling_by_a_power_of_two_scales_the_aggregate_exactly(rows in matrix(3..12), exponent in -20..20_i32) {
        let scale = 2.0_f32.powi(exponent);
        let scaled = map(&rows, |value| value * scale);
        for (rule, byzantine) in rules(rows.len()) {
            let aggregate = |rows| aggregate_byzantine(&*rule, byzantine, rows);
            let expected: Vec<f32> = aggregate(&rows).iter().map(|value| value * scale).collect();
            prop_assert_eq!(aggregate(&scaled), expected, "{:?}", rule);
        }
    }

    #[test]
    fn leaving_one_out_is_aggregating_the_others(
        (rows, byzantine) in attacked(3, 9),
        weights in vec(1.0..1000.0_f64, 16),
    ) {
        let all = [byzantine, rows].concat();
        for (rule, byzantine) in of_columns(all.len() - 1) {
            assert_leave_one_out((&*rule, byzantine), &all, &weights)?;
        }
    }

    /// Of numbers that distances are exact for; of others, two ways of computing them may settle a tie differently.
    #[test]
    fn selecting_with_one_left_out_is_selecting_among_the_others(
        (rows, byzantine) in attacked(3, 9),
        weights in vec(1.0..1000.0_f64, 16),
    ) {
        let byzantine = map(&byzantine, |value| (value % 300.0).trunc());
        let all = [byzantine, rows].concat();
        for (rule, byzantine) in of_distances(all.len() - 1) {
            assert_leave_one_out((&*rule, byzantine), &all, &weights)?;
        }
    }

    /// Whose sums are rounded in another order.
    #[test]
    fn combining_with_one_left_out_is_combining_the_others(rows in matrix(6..12)) {
        let rules: [&dyn Rule; 3] = [
            &GeometricMedian { smoothing: 0.1, steps: Some(4) },
            &CenteredClipping::default(),
            &Cge {},
        ];
        for rule in rules {
            let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let updates = Updates::new(&slices, None).unwrap();
            let byzantine = Byzantine::of(1);
            let mut aggregates = Vec::new();
            Processors.leave_one_out(rule, &updates, byzantine, &mut aggregates).unwrap();
            for (left_out, quick) in aggregates.iter().enumerate() {
                let others = [&rows[..left_out], &rows[left_out + 1..]].concat();
                let expected = aggregate_byzantine(rule, 1, &others);
                let off = |(quick, expected): (&f32, &f32)| (quick - expected).abs() > 0.01;
                prop_assert!(!quick.iter().zip(&expected).any(off), "{rule:?}: {quick:?} {expected:?}");
            }
        }
    }

    #[test]
    fn byzantine_updates_cannot_push_median_or_trimmed_mean_out_of_the_benign_range(
        (benign, byzantine) in attacked(5, 1),
    ) {
        let rows = [byzantine.clone(), benign.clone()].concat();
        for rule in [&TrimmedMean::default() as &dyn Rule, &Median {}] {
            for (j, value) in aggregate_byzantine(rule, byzantine.len(), &rows).into_iter().enumerate() {
                let column = || benign.iter().map(|row| row[j]);
                let (min, max) = (column().reduce(f32::min).unwrap(), column().reduce(f32::max).unwrap());
                prop_assert!((min..=max).contains(&value), "{rule:?}: {value}");
            }
        }
    }

    #[test]
    fn krum_selects_a_benign_update_where_these_are_clustered(
        (benign, mut byzantine) in attacked(5, 3),
        distance in 1e5..1e38_f32,
    ) {
        // Byzantine updates far from the cluster, though as near each other as they like.
        for row in &mut byzantine {
            row[0] = distance;
        }
        let selected = select(byzantine.len(), &[byzantine.clone(), benign].concat());
        prop_assert!(selected >= byzantine.len());
    }
}

/// What the rounds that leave one out have looked at does not change what is known of all.
#[test]
fn what_has_been_measured_serves_rounds_of_other_sizes() {
    let value = |i: usize, j: usize| ((i * 37 + j * 101 + i * i * j) % 83) as f32 - 41.0;
    let rows: Vec<Vec<f32>> = (0..24).map(|i| (0..19).map(|j| value(i, j)).collect()).collect();
    let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let updates = Updates::new(&slices, None).unwrap();
    for (rule, byzantine) in rules(rows.len() - 1) {
        let (measured, byzantine) = (Measured::default(), Byzantine::of(byzantine));
        let (known, mut aggregates) = (updates.knowing(&measured), Vec::new());
        Processors.leave_one_out(&*rule, &known, byzantine, &mut aggregates).unwrap();
        let of_all = Processors.aggregate(&*rule, &known, byzantine).unwrap();
        assert_eq!(of_all, Processors.aggregate(&*rule, &updates, byzantine).unwrap(), "{rule:?}");
        let mut fresh = Vec::new();
        Processors.leave_one_out(&*rule, &updates, byzantine, &mut fresh).unwrap();
        assert_eq!(aggregates, fresh, "{rule:?}");
    }
}

/// More than columns of several strips are sorted of.
#[test]
fn leaving_one_out_of_many_is_aggregating_the_others() -> Result<(), TestCaseError> {
    let value = |i: usize, j: usize| ((i * 37 + j * 101 + i * i * j) % 83) as f32 - 41.0;
    let rows: Vec<Vec<f32>> = (0..170).map(|i| (0..19).map(|j| value(i, j)).collect()).collect();
    let weights: Vec<f64> = (1..=170).map(f64::from).collect();
    for (rule, byzantine) in rules(rows.len() - 1) {
        assert_leave_one_out((&*rule, byzantine), &rows, &weights)?;
    }
    Ok(())
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let rows: Vec<Vec<f32>> = (0..9_u16)
        .map(|i| (0..4500_u16).map(|j| (f32::from(i) * 0.7 + f32::from(j)).sin()).collect())
        .collect();
    let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let leave_one_out = |(rule, byzantine): Suited| {
        let (updates, byzantine) = (Updates::new(&slices, None).unwrap(), Byzantine::of(byzantine));
        let mut aggregates = Vec::new();
        Processors.leave_one_out(&*rule, &updates, byzantine, &mut aggregates).unwrap();
        aggregates.iter().map(|aggregate| bits(aggregate)).collect::<Vec<_>>()
    };
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let of_all = |(rule, byzantine): Suited| bits(&aggregate_byzantine(&*rule, byzantine, &rows));
            let of_all: Vec<_> = rules(rows.len()).map(of_all).collect();
            (of_all, rules(rows.len() - 1).map(leave_one_out).collect::<Vec<_>>())
        })
    };
    assert_eq!(on(1), on(4));
}
