//! Matrices that a small memory does not hold: blocks of columns. A real GPU holds them as a whole.

use std::sync::Arc;

use aggregator_node::backend::Backend as _;
use robust::{
    Bulyan, Byzantine, Executor as _, Krum, Meamed, Mean, Median, MultiKrum, Processors, Rule, TrimmedMean,
    Updates,
};

use super::gpu;
use super::matrices::attacked;
use super::rules::assert_same;

#[test]
fn blocks_of_columns_give_the_same() {
    let rows = attacked(9, 20_001);
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let updates = Updates::new(&rows, None).unwrap();
    let trimmed_mean = TrimmedMean { trim: Some(2) };
    let (mean, bulyan, multi_krum) = (Mean::default(), Bulyan::default(), MultiKrum::default());
    let rules: [&dyn Rule; 7] =
        [&mean, &Median {}, &trimmed_mean, &Krum::default(), &bulyan, &multi_krum, &Meamed {}];
    for rule in rules {
        assert_same(rule, 1, &updates);
    }
}

#[test]
fn rows_that_are_there_and_blocks_of_others_give_the_same() {
    let Some(gpu) = gpu() else { return };
    let rows: Vec<Arc<[f32]>> = attacked(9, 20_001).into_iter().map(Into::into).collect();
    let byzantine = Byzantine::of(2);
    for rule in [&Median {} as &dyn Rule, &Krum::default()] {
        let there = gpu.engine();
        rows.iter().for_each(|row| there.take(1, row));
        let rows: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
        let updates = Updates::new(&rows, None).unwrap();
        let expected = Processors.aggregate(rule, &updates, byzantine);
        assert_eq!(there.aggregate(rule, &updates, byzantine), expected);
    }
}
